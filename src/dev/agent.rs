//! The agent: its state behind a lock, its clock, and those who wait for a change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::clock::Clock;
use super::fault::{Fate, Faults};
use super::state::State;

/// A running agent. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    clock: Clock,
    /// What goes wrong on purpose, and when that was said, in real time.
    faults: Mutex<(Faults, Instant)>,
    /// Counts the changes of the state, and of the clock.
    changes: watch::Sender<u64>,
}

impl Agent {
    pub fn new(state: State, faults: Faults) -> Self {
        let (state, faults) = (Mutex::new(state), Mutex::new((faults, Instant::now())));
        Self { inner: Arc::new(Inner { state, clock: Clock::start(), faults, changes: watch::Sender::new(0) }) }
    }

    /// Does something with the state as it is now: what was due by now is done.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (done, changed) = {
            let mut state = self.state();
            let before = state.index();
            state.advance(self.inner.clock.now());
            (act(&mut state), state.index() != before)
        };
        if changed {
            self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's time.
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// Moves the agent's clock ahead: what is due by then is done at once, and waits that are over end.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
        self.with(|_| ());
        self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> Faults {
        self.faulty().0.clone()
    }

    /// From now on, this goes wrong, and nothing else.
    pub fn set_faults(&self, faults: Faults) {
        *self.faulty() = (faults, Instant::now());
    }

    /// What is to become of a request.
    pub fn fate(&self) -> Fate {
        let faulty = self.faulty();
        faulty.0.fate(faulty.1.elapsed())
    }

    /// How long nobody is answered from now on.
    pub fn frozen(&self) -> Option<Duration> {
        let faulty = self.faulty();
        faulty.0.frozen(faulty.1.elapsed())
    }

    fn faulty(&self) -> MutexGuard<'_, (Faults, Instant)> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of each change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Does what is due by itself, for ever.
    pub async fn keep_time(self) {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let next = self.with(|state| state.next_deadline());
            let rest = next.map(|at| at.saturating_sub(self.now()));
            let _ = tokio::time::timeout(rest.unwrap_or(Duration::MAX), changes.changed()).await;
        }
    }
}
