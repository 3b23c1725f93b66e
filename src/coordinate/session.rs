//! A session that is kept alive.
//!
//! # Guarantees
//! - While [`Session::lost`] says nothing, Consul has the session: its lease runs from *before* the last renewal that
//!   succeeded, for its ttl, and Consul ends no session by its ttl before that (it takes up to twice as long).
//! - One renewal is sent each third of the ttl. One that fails is tried again until the lease is over; a single failure
//!   loses nothing. A longer ttl that the server answers with is obeyed.
//! - A lease that was over stays over, though a late renewal succeeds.
//!
//! # Caveats
//! - Consul can end the session before its ttl: somebody destroys it, or a check that it depends on fails
//!   ([`Profile::Liveness`]). Then it is lost when the next renewal says so, a third of the ttl later at most.
//! - The clock is the monotonic one, which on Linux stands still while the machine is suspended: a virtual machine that
//!   is paused for longer than its lease and resumed believes in it until the next renewal.
//! - Dropping it ends the session as far as that can be done then. [`Session::release`] says whether it was.
//!
//! # Errors
//! [`Error::Consul`] where the session cannot be made. A session that is lost is no error by itself: ask
//! [`Session::check`].

use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::consul::{Client, Query, SessionRequest};
use crate::duration::ConsulDuration;

use super::Error;
use super::lease::{Lease, Lost, Why};

/// Consul's bounds for a ttl.
pub(super) const TTL_MIN: Duration = Duration::from_secs(10);
pub(super) const TTL_MAX: Duration = Duration::from_secs(86_400);

/// The longest lock-delay that Consul keeps to.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);

/// The lease of a session without a ttl: a hundred years.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How many renewals there are within a ttl: two may fail.
const RENEWALS: u32 = 3;

/// The pause after a renewal that failed, at most; with jitter.
const RETRY: Duration = Duration::from_millis(500);

/// What ends a session besides its ttl.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The ttl alone. Nobody loses a lock because the gossip pool takes a node for dead that is only slow; but of a node
    /// that dies, its locks are free only when the ttl is over: up to twice the ttl, and the lock-delay.
    #[default]
    Safety,
    /// The ttl, and the health of the node (`serfHealth`). Locks of a dead node are free after some seconds; but a node
    /// that is taken for dead by mistake loses its locks at once, before the lease says so.
    Liveness,
}

/// What a session is to be like.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Its name, for people.
    pub name: String,
    /// The node that it is on; the agent's own where it is `None`.
    pub node: Option<String>,
    /// How long it lives without a renewal, at least: 10 s to a day.
    pub ttl: Duration,
    /// How long its keys stay barred when it ends while it holds them: 0 to 60 s.
    pub lock_delay: Duration,
    /// What ends it.
    pub profile: Profile,
    /// Whether the keys that it holds are deleted with it, in place of released.
    pub delete_keys: bool,
}

impl Default for SessionOptions {
    /// Named `lictor`, on the agent's own node, 15 s of ttl and of lock-delay, as HashiCorp's own recipes have it.
    fn default() -> Self {
        Self {
            name: "lictor".to_owned(),
            node: None,
            ttl: Duration::from_secs(15),
            lock_delay: Duration::from_secs(15),
            profile: Profile::default(),
            delete_keys: false,
        }
    }
}

/// A session that lives as long as this does.
#[derive(Debug)]
pub struct Session {
    client: Client,
    query: Query,
    id: String,
    lease: Arc<Lease>,
    stop: Mutex<Option<Sender<()>>>,
    renewer: Mutex<Option<JoinHandle<()>>>,
    /// The keys that are held with it, or waited for.
    claims: Mutex<BTreeSet<String>>,
}

/// A key that one holder has to itself, of those who share a session. Dropping it lets another one try.
pub(super) struct Claim<'s> {
    session: &'s Session,
    key: String,
}

impl SessionOptions {
    /// Checks the bounds, some of which Consul does not.
    ///
    /// # Errors
    /// [`Error::Options`] says what to write.
    pub fn validate(&self) -> Result<(), Error> {
        let (ttl, delay) = (ConsulDuration::from(self.ttl), ConsulDuration::from(self.lock_delay));
        if !(TTL_MIN..=TTL_MAX).contains(&self.ttl) {
            return Err(Error::Options(format!("ttl is {ttl}: Consul takes 10s to 24h")));
        }
        if self.lock_delay > LOCK_DELAY_MAX {
            return Err(Error::Options(format!("lock-delay is {delay}: Consul keeps to 60s at most")));
        }
        Ok(())
    }

    fn request(&self) -> SessionRequest {
        let checks = match self.profile {
            Profile::Safety => Vec::new(),
            Profile::Liveness => vec!["serfHealth".to_owned()],
        };
        SessionRequest {
            name: Some(self.name.clone()),
            node: self.node.clone(),
            lock_delay: Some(ConsulDuration::from(self.lock_delay).to_string()),
            behavior: Some(if self.delete_keys { "delete" } else { "release" }.to_owned()),
            ttl: Some(ConsulDuration::from(self.ttl).to_string()),
            node_checks: Some(checks),
            service_checks: Vec::new(),
        }
    }
}

impl Session {
    /// Creates a session, and keeps it alive from now on.
    ///
    /// # Errors
    /// [`Error::Options`], or what Consul answered; it takes `session:write` on the node.
    pub fn start(client: &Client, query: &Query, options: &SessionOptions) -> Result<Self, Error> {
        options.validate()?;
        Self::create(client, query, &options.request(), Some(options.ttl))
    }

    /// Creates a session, and keeps it alive where it has a ttl.
    pub(super) fn create(
        client: &Client,
        query: &Query,
        request: &SessionRequest,
        ttl: Option<Duration>,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let id = client.session().create(request, query)?;
        let lease = Lease::until(start + ttl.unwrap_or(FOREVER));
        let (stop, stopped) = mpsc::channel();
        let renewals = Renewals { client: client.clone(), query: query.clone(), id: id.clone(), lease: lease.clone() };
        let renewer = ttl.map(|ttl| std::thread::spawn(move || renewals.run(ttl, start, &stopped)));
        let (client, query) = (client.clone(), query.clone());
        Ok(Self {
            client,
            query,
            id,
            lease,
            stop: Mutex::new(Some(stop)),
            renewer: Mutex::new(renewer),
            claims: Mutex::default(),
        })
    }

    /// Leaves it behind: it lives on, and from now on nobody here renews it.
    pub(super) fn leave(self) {
        self.stop_renewing();
    }

    /// False where that was done before.
    fn stop_renewing(&self) -> bool {
        let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() else { return false };
        drop(stop);
        if let Some(renewer) = self.renewer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = renewer.join(); // it does not panic
        }
        true
    }

    /// Its id. Whoever knows it can acquire keys in its name: do not print it where others read along.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The client that it was made with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it is.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Until when it certainly lives. It moves with each renewal.
    pub fn deadline(&self) -> Instant {
        self.lease.deadline()
    }

    /// Tells when it is lost.
    pub fn lost(&self) -> Lost {
        Lost::of(self.lease.clone())
    }

    /// Consul said that it is over.
    pub(super) fn end(&self, why: Why) {
        self.lease.end(why);
    }

    /// Makes sure that it lives. It asks nobody.
    ///
    /// # Errors
    /// [`Error::SessionLost`].
    pub fn check(&self) -> Result<(), Error> {
        match self.lease.over() {
            None => Ok(()),
            Some(why) => Err(Error::SessionLost { session: self.id.clone(), why }),
        }
    }

    /// Claims `key` for one holder.
    pub(super) fn claim(&self, key: &str) -> Result<Claim<'_>, Error> {
        let key = key.to_owned();
        if self.claims.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            Ok(Claim { session: self, key })
        } else {
            Err(Error::Claimed { key })
        }
    }

    /// Gives a claim back that was kept.
    pub(super) fn unclaim(&self, key: &str) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Ends it. What it still holds is released or deleted, and barred for its lock-delay: release locks first.
    ///
    /// # Errors
    /// What Consul answered: then it ends by its ttl.
    pub fn release(self) -> Result<(), Error> {
        self.give_back()
    }

    fn give_back(&self) -> Result<(), Error> {
        if !self.stop_renewing() {
            return Ok(());
        }
        self.lease.end(Why::Released);
        Ok(self.client.session().destroy(&self.id, &self.query)?)
    }
}

impl Claim<'_> {
    /// Keeps it until the session is told otherwise.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.session.unclaim(&self.key);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.give_back();
    }
}

/// What keeps a session alive.
struct Renewals {
    client: Client,
    query: Query,
    id: String,
    lease: Arc<Lease>,
}

impl Renewals {
    fn run(self, mut ttl: Duration, mut last: Instant, stopped: &mpsc::Receiver<()>) {
        let mut next = last + ttl / RENEWALS;
        while stopped.recv_timeout(next.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Timeout) {
            if self.lease.over().is_some() {
                return;
            }
            let start = Instant::now();
            // A request that hangs must leave time for another.
            let left = self.lease.deadline().saturating_duration_since(start);
            let client = self.client.with_timeout((ttl / RENEWALS).min(left).max(Duration::from_millis(1)));
            match client.session().renew(&self.id, &self.query) {
                Ok(Some(entry)) => {
                    ttl = entry.ttl.parse::<ConsulDuration>().map_or(ttl, |given| ttl.max(given.into()));
                    last = start;
                    self.lease.extend(last + ttl);
                    next = last + ttl / RENEWALS;
                }
                Ok(None) => return self.lease.end(Why::SessionEnded),
                // It may come back, and the lease ends by itself.
                Err(_) => next = Instant::now() + RETRY.mul_f64(0.5 + fastrand::f64() / 2.0),
            }
        }
    }
}
