//! The lock of one owner: two runs for the same owner come one after the other.
//!
//! # Guarantees
//! - While [`OwnerLock::check`] passes, no other run has the lock: by the local clock, from before the last renewal that
//!   succeeded, the session's ttl has not passed, and Consul ends no session before its ttl.
//! - A transaction with [`OwnerLock::operation`] in it changes nothing once the lock is lost, whatever any clock says.
//!
//! # Not guaranteed
//! Sessions and services are not written in transactions: one request of theirs that was sent while the lock was held may
//! arrive after it was lost. And the local clock stands still while a machine is suspended, so that the first request
//! after that may come too late.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::consul::{Client, Condition, Error as ConsulError, KvPair, Operation, PutOptions, Query, SessionRequest};

use super::Error;

/// Below it are the locks of all owners.
const LOCKS: &str = "lictor/locks/";

/// How long the lock outlives a run that was killed; Consul takes up to twice as long. 10 s is the shortest ttl that
/// Consul takes.
const TTL: Duration = Duration::from_secs(10);

/// How often the session is renewed: two renewals may fail.
const RENEWAL: Duration = Duration::from_millis(TTL.as_millis() as u64 / 3);

/// The pause after a renewal that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The lock of an owner, held. It is given back when this is dropped, as far as that can be done then.
#[derive(Debug)]
pub struct OwnerLock {
    client: Client,
    query: Query,
    owner: String,
    key: String,
    session: String,
    lease: Arc<Mutex<Option<Instant>>>,
    stop: Option<Sender<()>>,
    renewer: Option<JoinHandle<()>>,
}

/// Who holds a lock: the value of its key.
#[derive(Serialize, Deserialize)]
struct Holder {
    host: String,
    pid: u32,
    since: String,
}

impl OwnerLock {
    /// Gets the lock of `owner`; waits for another holder for so long, or until `stop` is set.
    ///
    /// # Errors
    /// [`Error::OwnerLocked`] names who holds it; [`Error::Stopped`]; or what Consul answered. It takes `session:write` on the agent's node,
    /// and `key:write` below `lictor/locks/`.
    pub fn acquire(
        client: &Client,
        query: &Query,
        owner: &str,
        wait: Duration,
        stop: Option<&AtomicBool>,
    ) -> Result<Self, Error> {
        let should_stop = || stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        let key = format!("{LOCKS}{owner}");
        let start = Instant::now();
        let me = Holder {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            since: crate::duration::time_text(SystemTime::now()),
        };
        let session = create_session(client, query, &format!("lictor: {owner} ({} {})", me.host, me.pid))?;
        let lease = Arc::new(Mutex::new(Some(start + TTL)));
        let (end, ended) = mpsc::channel();
        let renewer = {
            let (client, query, session, lease) = (client.clone(), query.clone(), session.clone(), lease.clone());
            std::thread::spawn(move || {
                let mut pause = RENEWAL;
                while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    match renew(&client, &query, &session, &lease) {
                        Some(next) => pause = next,
                        None => return,
                    }
                }
            })
        };
        let (client, query) = (client.clone(), query.clone());
        let lock = Self {
            client,
            query,
            owner: owner.to_owned(),
            key,
            session,
            lease,
            stop: Some(end),
            renewer: Some(renewer),
        };
        // From here on, a failure drops the lock, and with it the session.
        lock.wait_for_it(&me, start, wait, &should_stop)?;
        Ok(lock)
    }

    fn wait_for_it(
        &self,
        me: &Holder,
        start: Instant,
        wait: Duration,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let value = serde_json::to_vec(me).unwrap_or_default();
        let options = PutOptions { flags: 0, condition: Condition::Acquire(self.session.clone()) };
        let mut watch = None;
        loop {
            self.check()?;
            if should_stop() {
                return Err(Error::Stopped);
            }
            if self.client.kv().put(&self.key, &value, &options, &self.query)? {
                return Ok(());
            }
            let left = wait.saturating_sub(start.elapsed());
            let pair = self.client.kv().get(&self.key, &self.query.consistent())?;
            let held = pair.as_ref().is_some_and(|pair| pair.session.is_some());
            if left.is_zero() {
                return Err(Error::OwnerLocked {
                    owner: self.owner.clone(),
                    holder: describe(pair.as_ref()),
                    waited: wait,
                });
            }
            if !held {
                // Given back a moment ago.
                std::thread::sleep(left.min(RETRY));
                continue;
            }
            // Never longer than a renewal: a session that was lost meanwhile is to be noticed.
            let watch = match &mut watch {
                Some(watch) => watch,
                None => watch.insert(self.client.kv().watch(&self.key, &self.query)?.wait(left.min(RENEWAL))),
            };
            while start.elapsed() < wait && self.still_held() && !should_stop() {
                match watch.next().transpose() {
                    Ok(Some((pairs, _))) if pairs.first().is_some_and(|pair| pair.session.is_some()) => {}
                    // It rests before it asks again.
                    Err(error) if error.is_retryable(true) => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => break,
                }
            }
        }
    }

    /// Whose lock it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Where it is.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// Whether the lock is certainly still held. It asks nobody.
    pub fn still_held(&self) -> bool {
        locked(&self.lease).is_some_and(|lease| Instant::now() < lease)
    }

    /// [`still_held`](Self::still_held), as a result.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.still_held() { Ok(()) } else { Err(self.lost()) }
    }

    /// The error for a lock that is lost.
    pub(super) fn lost(&self) -> Error {
        *locked(&self.lease) = None;
        Error::LockLost { owner: self.owner.clone() }
    }

    /// What makes a transaction fail where the lock is lost.
    pub(super) fn operation(&self) -> Operation {
        Operation::check_session(&self.key, &self.session)
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// What Consul answered: then it ends by its ttl.
    pub fn release(mut self) -> Result<(), Error> {
        self.give_back()?;
        Ok(())
    }

    fn give_back(&mut self) -> Result<(), ConsulError> {
        let Some(stop) = self.stop.take() else { return Ok(()) };
        drop(stop);
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
        // The key first, by its holder: the end of a session that holds a key can bar that key for a while. Where it is
        // another's by now, or could not be deleted, the end of the session does it.
        let _ = self.client.txn().once(&[self.operation(), Operation::delete(&self.key)], &self.query);
        self.client.session().destroy(&self.session, &self.query).inspect_err(|_| self.end_later())
    }

    /// Tries to end the session until its ttl has: where this program goes on, its next run is not to wait for that.
    fn end_later(&self) {
        let (client, query, session) = (self.client.clone(), self.query.clone(), self.session.clone());
        let start = Instant::now();
        std::thread::spawn(move || {
            while start.elapsed() < 2 * TTL && client.session().destroy(&session, &query).is_err() {
                std::thread::sleep(RETRY);
            }
        });
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        let _ = self.give_back();
    }
}

/// A session on the agent's node, or, where the lock is in another datacenter, on a node there: only its ttl ends it.
fn create_session(client: &Client, query: &Query, name: &str) -> Result<String, ConsulError> {
    let request = |node: Option<String>| SessionRequest {
        name: Some(name.to_owned()),
        node,
        lock_delay: Some("0s".to_owned()),
        behavior: Some("delete".to_owned()),
        ttl: Some(format!("{}s", TTL.as_secs())),
        node_checks: Some(Vec::new()),
        service_checks: Vec::new(),
    };
    match client.session().create(&request(None), query) {
        Err(error) if query.datacenter.is_some() && error.body().is_some_and(|body| body.contains("Missing node")) => {
            match client.catalog().nodes(query)?.into_iter().next() {
                Some(node) => client.session().create(&request(Some(node.node)), query),
                None => Err(error),
            }
        }
        created => created,
    }
}

/// Renews the session, and says how long to rest; `None` where it is over.
fn renew(client: &Client, query: &Query, session: &str, lease: &Mutex<Option<Instant>>) -> Option<Duration> {
    let start = Instant::now();
    let answer = client.session().renew(session, query);
    let mut lease = locked(lease);
    match answer {
        Ok(Some(_)) if lease.is_some() => {
            *lease = Some(start + TTL);
            Some(RENEWAL)
        }
        Ok(_) => {
            *lease = None;
            None
        }
        // It may come back, and the lease ends by itself.
        Err(_) => Some(RETRY),
    }
}

fn describe(pair: Option<&KvPair>) -> String {
    match pair.map(KvPair::json::<Holder>) {
        Some(Ok(Holder { host, pid, since })) => format!("process {pid} on {host} since {since}"),
        Some(Err(_)) => {
            let session = pair.and_then(|pair| pair.session.as_deref()).unwrap_or("none");
            format!("somebody unknown (session {session})")
        }
        None => "somebody who has just let go".to_owned(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
