//! Until when a hold is certain, by the local monotonic clock.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Why a hold is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The lease ran out: no renewal succeeded in time. Consul may keep the session for a while yet, or may not.
    LeaseOver,
    /// Consul says that the session has ended.
    SessionEnded,
    /// The key is somebody else's now, or nobody's, or gone.
    KeyLost,
    /// It was given back.
    Released,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaseOver => "it could not be renewed in time",
            Self::SessionEnded => "Consul has ended it",
            Self::KeyLost => "its key was taken away",
            Self::Released => "it was given back",
        })
    }
}

/// A lease: it ends by itself at its deadline, which only a success moves.
#[derive(Debug)]
pub(super) struct Lease {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    deadline: Instant,
    over: Option<Why>,
}

impl Lease {
    pub fn until(deadline: Instant) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { deadline, over: None }), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when it is certain.
    pub fn deadline(&self) -> Instant {
        self.state().deadline
    }

    /// Moves the deadline. A lease that is over stays so: whoever relied on it has been told.
    pub fn extend(&self, deadline: Instant) {
        let mut state = self.state();
        if state.over(Instant::now()).is_none() {
            state.deadline = deadline;
            self.changed.notify_all();
        }
    }

    /// Ends it.
    pub fn end(&self, why: Why) {
        self.state().over.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Why it is over, if it is.
    pub fn over(&self) -> Option<Why> {
        self.state().over(Instant::now())
    }

    /// Ends what rests on the lease, but not the lease.
    pub fn end_of(&self, one: &OnceLock<Why>, why: Why) {
        // Under the lock, so that whoever is about to wait sees it.
        let _state = self.state();
        let _ = one.set(why); // the first reason counts
        self.changed.notify_all();
    }

    /// Waits until the deadline is another one than `known`, or it is over, or `one` that rests on it is.
    fn next_deadline(&self, one: &OnceLock<Why>, known: Instant) -> Result<Instant, Why> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if let Some(why) = one.get().cloned().or_else(|| state.over(now)) {
                return Err(why);
            }
            if state.deadline != known {
                return Ok(state.deadline);
            }
            let waited = self.changed.wait_timeout(state, known.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it is over, or `one` that rests on it is, or `until` has come; `None` then.
    fn wait(&self, one: &OnceLock<Why>, until: Option<Instant>) -> Option<Why> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if let Some(why) = one.get().cloned().or_else(|| state.over(now)) {
                return Some(why);
            }
            if until.is_some_and(|until| until <= now) {
                return None;
            }
            let next = until.map_or(state.deadline, |until| until.min(state.deadline));
            let waited = self.changed.wait_timeout(state, next.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn over(&mut self, now: Instant) -> Option<Why> {
        if self.over.is_none() && now >= self.deadline {
            self.over = Some(Why::LeaseOver);
        }
        self.over.clone()
    }
}

/// Tells when a hold is over. It can be waited for, from any thread.
#[derive(Clone, Debug)]
pub struct Lost {
    lease: Arc<Lease>,
    /// Why what rests on the lease is over although the lease is not.
    own: Arc<OnceLock<Why>>,
}

impl Lost {
    pub(super) fn of(lease: Arc<Lease>) -> Self {
        Self { lease, own: Arc::default() }
    }

    /// Says that the hold is over, though its lease is not.
    pub(super) fn end(&self, why: Why) {
        self.lease.end_of(&self.own, why);
    }

    /// Why the hold is over; `None` while it is certain. It asks nobody.
    pub fn why(&self) -> Option<Why> {
        self.own.get().cloned().or_else(|| self.lease.over())
    }

    /// Until when the hold is certain, as far as its lease goes. It moves with each renewal.
    pub fn deadline(&self) -> Instant {
        self.lease.deadline()
    }

    /// Waits until the deadline is another one than `known`, and gives it; for whoever passes it on.
    ///
    /// # Errors
    /// Why the hold is over.
    pub fn next_deadline(&self, known: Instant) -> Result<Instant, Why> {
        self.lease.next_deadline(&self.own, known)
    }

    /// Waits until the hold is over, and says why.
    pub fn wait(&self) -> Why {
        loop {
            if let Some(why) = self.lease.wait(&self.own, None) {
                return why;
            }
        }
    }

    /// Waits until the hold is over, for `timeout` at most; `None` where it is certain still.
    pub fn wait_for(&self, timeout: Duration) -> Option<Why> {
        let until = Instant::now().checked_add(timeout); // what no clock can show is for ever
        self.lease.wait(&self.own, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_itself_and_does_not_come_back() {
        let lease = Lease::until(Instant::now() + Duration::from_millis(20));
        assert_eq!(lease.over(), None);
        assert_eq!(Lost::of(lease.clone()).wait(), Why::LeaseOver);
        lease.extend(Instant::now() + Duration::from_secs(60));
        assert_eq!(lease.over(), Some(Why::LeaseOver), "a renewal that comes too late");
    }

    #[test]
    fn whoever_waits_hears_of_the_end_and_of_a_longer_lease() {
        let lease = Lease::until(Instant::now() + Duration::from_millis(200));
        lease.extend(Instant::now() + Duration::from_secs(60));
        let lost = Lost::of(lease.clone());
        assert_eq!(lost.wait_for(Duration::from_millis(300)), None, "the deadline has moved");
        assert_eq!(lost.next_deadline(Instant::now()), Ok(lost.deadline()));
        let waiter = std::thread::spawn(move || lost.wait());
        lease.end(Why::SessionEnded);
        lease.end(Why::Released);
        assert_eq!(waiter.join().unwrap(), Why::SessionEnded, "the first reason counts");
    }
}
