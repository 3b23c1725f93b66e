//! Holds that outlast the process which takes them: taken by one, released by another, by path and identifier. What a
//! playbook needs, whose tasks are a process each.
//!
//! # Guarantees
//! - A hold is a lock or a permit in HashiCorp's layout, at `PATH/.lock`, so that `consul lock` and `lictor lock run` on the same
//!   path are kept out, and keep it out.
//! - An identifier holds once: whoever takes it again gets the hold that is there ([`Taken::Already`]), and no second permit.
//! - The key's value says who holds it, from which host, since when and why.
//! - A hold is released by its identifier alone. Another's is left alone, and so is that of a living process, such as
//!   `lictor lock run`, though it has the same identifier.
//! - A release leaves no session behind, nor a key; also where its answer is lost.
//! - Who waits has no session that lasts: in line it has one with a ttl, and else none.
//!
//! # Caveats
//! - Nobody renews it, and nobody is told when it ends: what it protects does not stop. That is what sessions that are kept
//!   alive are for.
//! - With `ephemeral` it ends with the health of its node (`serfHealth`): that of the *agent's* node. Without it, and without a
//!   ttl, it lasts until it is released.
//! - With a ttl it lasts that long at least, and twice as long at most. To take it again renews it, with or without a ttl; the
//!   ttl stays that of the first time.
//! - Where Consul stops answering in the middle of it, a hold may be there although [`Holds::take`] failed.
//!
//! # Errors
//! As for [`Lock`](super::Lock) and [`Semaphore`](super::Semaphore).

use std::time::Duration;

use serde_json::json;

use crate::consul::{Client, KvPair, Query, SessionRequest, TxnError};
use crate::duration::ConsulDuration;

use super::holder::{Holder, Layout};
use super::kind::LOCK;
use super::line::Turn;
use super::lock::{Lock, Try};
use super::membership::folder;
use super::semaphore::{SEMAPHORE, Semaphore, Table};
use super::session::{TTL_MAX, TTL_MIN};
use super::{Cancel, Error, Limits, Session, SessionOptions, Waiter, wait};

/// How long a hold that ended by itself bars its lock. Consul's own default.
pub(super) const LOCK_DELAY: Duration = Duration::from_secs(15);

/// The holds at a path.
///
/// ```no_run
/// use std::time::Duration;
///
/// use lictor::consul::{Client, Config, Query};
/// use lictor::coordinate::{Hold, Holds};
///
/// let (client, query) = (Client::new(Config::default())?, Query::default());
/// let upgrades = Holds::new(&client, &query, "service/web/upgrade")?;
/// let hold = Hold { limit: Some(2), reason: Some("upgrade".to_owned()), ..Hold::default() };
/// if upgrades.take(&hold, Some(Duration::from_secs(60)), None)?.is_some() {
///     // Two hosts at a time; it may be released by another process.
///     upgrades.release(&hold.identifier)?;
/// }
/// # Ok::<(), lictor::coordinate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Holds {
    pub(super) client: Client,
    pub(super) query: Query,
    /// Ends in a slash.
    pub(super) folder: String,
}

/// What is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who holds it. By default the host's name.
    pub identifier: String,
    /// How many permits there are; `None` for a lock.
    pub limit: Option<u32>,
    /// Whether it ends with the health of the agent's node.
    pub ephemeral: bool,
    /// How long it lasts without being taken again, at least: 10 s to a day.
    pub ttl: Option<Duration>,
    /// Take a permit though there is none left, past those in line.
    pub force: bool,
    /// First come, first served, among those who ask for it.
    pub fair: bool,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What came of taking a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is held now, with this fencing token.
    New {
        /// The token.
        token: u64,
        /// Whether there was no permit left, and it was taken by force.
        over_limit: bool,
    },
    /// The identifier held it before.
    Already(Holder),
}

impl Default for Hold {
    /// A lock for this host, which ends with the health of the agent's node.
    fn default() -> Self {
        Self {
            identifier: super::host_name(),
            limit: None,
            ephemeral: true,
            ttl: None,
            force: false,
            fair: false,
            reason: None,
        }
    }
}

impl Hold {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Options`] says what to write.
    pub fn validate(&self) -> Result<(), Error> {
        if self.identifier.is_empty() {
            return Err(Error::Options("identifier is empty: say who holds it".to_owned()));
        }
        if self.limit == Some(0) {
            return Err(Error::Options("limit is 0: nobody could have a permit; give 1 or more".to_owned()));
        }
        if self.force && self.limit.is_none() {
            let problem = "force takes a permit over the limit of a semaphore: give limit; a lock has one holder";
            return Err(Error::Options(problem.to_owned()));
        }
        check_ttl(self.ttl)
    }

    fn session(&self, path: &str) -> SessionRequest {
        // A permit's key is its session's own: there is nobody to bar.
        let delay = if self.limit.is_none() { LOCK_DELAY } else { Duration::ZERO };
        session(format!("lictor hold {path} {}", self.identifier), self.ephemeral, self.ttl, delay)
    }

    fn value(&self) -> Vec<u8> {
        let host = super::host_name();
        let Self { identifier, reason, .. } = self;
        json!({"identifier": identifier, "host": host, "reason": reason, "persistent": true}).to_string().into_bytes()
    }
}

/// What a session is asked for that nobody renews. Its keys go with it.
pub(super) fn session(name: String, ephemeral: bool, ttl: Option<Duration>, lock_delay: Duration) -> SessionRequest {
    SessionRequest {
        name: Some(name),
        lock_delay: Some(ConsulDuration::from(lock_delay).to_string()),
        behavior: Some("delete".to_owned()),
        ttl: ttl.map(|ttl| ConsulDuration::from(ttl).to_string()),
        node_checks: Some(if ephemeral { vec!["serfHealth".to_owned()] } else { Vec::new() }),
        ..SessionRequest::default()
    }
}

/// Makes sure that Consul takes the ttl of such a session.
pub(super) fn check_ttl(ttl: Option<Duration>) -> Result<(), Error> {
    match ttl.filter(|ttl| !(TTL_MIN..=TTL_MAX).contains(ttl)) {
        Some(ttl) => Err(Error::Options(format!("ttl is {}: Consul takes 10s to 24h", ConsulDuration::from(ttl)))),
        None => Ok(()),
    }
}

/// Renews the session of a hold; false where there is none any more. Where nobody asked for a ttl, the right to do so may lack.
pub(super) fn renewed(client: &Client, query: &Query, session: &str, must: bool) -> Result<bool, Error> {
    match client.session().renew(session, query) {
        Ok(entry) => Ok(entry.is_some()),
        Err(error) if error.is_denied() && !must => Ok(true),
        Err(error) => Err(error.into()),
    }
}

impl Holds {
    /// The holds at `path`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where Consul would take the path for another.
    pub fn new(client: &Client, query: &Query, path: &str) -> Result<Self, Error> {
        Ok(Self { client: client.clone(), query: query.clone(), folder: folder(path)? })
    }

    /// The key of the lock, or of the semaphore's table.
    pub fn key(&self) -> String {
        format!("{}.lock", self.folder)
    }

    /// Takes a hold; waits for it for `timeout`, where that is `None` for ever, and not at all where it is zero. `None` where it
    /// was not to be had. Needs `key_prefix:write` and `session:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn take(
        &self,
        hold: &Hold,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Taken>, Error> {
        hold.validate()?;
        let mut pairs = self.read()?;
        if let Some(holder) = self.kept(&pairs, hold)? {
            return Ok(Some(Taken::Already(holder)));
        }
        // A hold's own session may never end, so it is made when there is something to be had. In line waits another one, which
        // ends soon where this process is killed.
        let waiting = if hold.fair && !hold.force { Some(self.waiting()?) } else { None };
        let turn = waiting.as_ref().map(|session| Turn::join(session, &self.key())).transpose()?;
        let limits = Limits::new(waiting.as_ref(), timeout, cancel);
        if let Some(turn) = &turn {
            // Without time to wait it is tried once, as the first in line alone.
            if !turn.is_first()? && !turn.wait(&limits)? {
                return Ok(None);
            }
            pairs = self.read()?;
        }
        let mut waiter = None;
        loop {
            if let Some(holder) = self.kept(&pairs, hold)? {
                return Ok(Some(Taken::Already(holder)));
            }
            let (tried, over_limit) = self.try_with(&mut pairs, hold, &limits)?;
            match tried {
                Try::Held(token) => return Ok(Some(Taken::New { token, over_limit })),
                Try::Barred if limits.rest(wait::PAUSE)? => continue,
                Try::Barred => return Ok(None),
                Try::Moved if waiter.is_none() => {
                    pairs = self.read()?;
                    continue;
                }
                Try::Busy | Try::Moved => {}
            }
            if waiter.is_none() {
                waiter = Some(Waiter::start(self.client.kv().watch_prefix(&self.folder, &self.query)?));
            }
            let next = waiter.as_ref().map(|waiter| limits.next(waiter)).transpose()?.flatten();
            let Some(next) = next else { return Ok(None) };
            pairs = next;
        }
    }

    /// A session to wait in line with.
    fn waiting(&self) -> Result<Session, Error> {
        let options = SessionOptions {
            name: format!("lictor wait {}", self.folder.trim_end_matches('/')),
            lock_delay: Duration::ZERO,
            delete_keys: true,
            ..SessionOptions::default()
        };
        Session::start(&self.client, &self.query, &options)
    }

    /// The persistent hold that the identifier has, renewed; `None` where it has none, or that has just ended.
    fn kept(&self, pairs: &[KvPair], hold: &Hold) -> Result<Option<Holder>, Error> {
        let Some(holder) = self.already(pairs, hold)? else { return Ok(None) };
        Ok(renewed(&self.client, &self.query, &holder.session, hold.ttl.is_some())?.then_some(holder))
    }

    /// One try, and whether it goes over the limit. There is a session for it only where there is something to be had.
    fn try_with(&self, pairs: &mut Vec<KvPair>, hold: &Hold, limits: &Limits<'_>) -> Result<(Try, bool), Error> {
        let over_limit = self.is_full(pairs, hold)?;
        if over_limit && !hold.force {
            return Ok((Try::Busy, false));
        }
        let request = hold.session(self.folder.trim_end_matches('/'));
        let session = Session::create(&self.client, &self.query, &request, hold.ttl)?;
        let tried = match self.try_as(&session, pairs, hold) {
            Ok(tried) => tried,
            Err(error) => {
                limits.outlast(error)?;
                *pairs = limits.outlasting(|| self.read())?;
                // Where it was done and only the answer was lost, it is held. Else it is tried anew, after a pause.
                let mut holders = self.holders_of(pairs)?.holders.into_iter();
                let own = holders.find(|holder| holder.session == session.id());
                own.map_or(Try::Barred, |holder| Try::Held(holder.token))
            }
        };
        if matches!(tried, Try::Held(_)) {
            session.leave();
        }
        Ok((tried, over_limit))
    }

    /// Whether others hold all that there is.
    fn is_full(&self, pairs: &[KvPair], hold: &Hold) -> Result<bool, Error> {
        let held = self.holders_of(pairs)?.holders.len();
        Ok(held >= hold.limit.map_or(1, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    fn try_as(&self, session: &Session, pairs: &[KvPair], hold: &Hold) -> Result<Try, Error> {
        let value = hold.value();
        match hold.limit {
            None => {
                let key = self.key();
                let lock = Lock::new(session, &key)?.with_value(&value)?.stamped();
                lock.try_with(pairs.iter().find(|pair| pair.key == key))
            }
            Some(limit) => {
                let semaphore = Semaphore::new(session, &self.folder, limit)?.with_value(&value)?;
                let semaphore = if hold.force { semaphore.force() } else { semaphore };
                semaphore.try_with(&Table::read(&self.folder, pairs)?)
            }
        }
    }

    /// What taking a hold would come to now; `None` where one would have to wait. Nothing is written.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn foresee(&self, hold: &Hold) -> Result<Option<Taken>, Error> {
        hold.validate()?;
        let pairs = self.read()?;
        if let Some(holder) = self.already(&pairs, hold)? {
            return Ok(Some(Taken::Already(holder)));
        }
        let full = self.is_full(&pairs, hold)?;
        Ok((!full || hold.force).then_some(Taken::New { token: 0, over_limit: full }))
    }

    /// The persistent hold that the identifier has. An error where what is there is not what is wanted.
    fn already(&self, pairs: &[KvPair], hold: &Hold) -> Result<Option<Holder>, Error> {
        let found = self.holders_of(pairs)?;
        let pair = pairs.iter().find(|pair| pair.key == self.key());
        match (hold.limit, found.layout, pair) {
            (None, Layout::Semaphore, Some(pair)) => return Err(LOCK.conflict(pair)),
            (Some(_), Layout::Lock, Some(pair)) => return Err(SEMAPHORE.conflict(pair)),
            _ => {}
        }
        match (hold.limit, found.limit) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                return Err(Error::Limit { path: self.folder.clone(), ours, theirs });
            }
            _ => {}
        }
        Ok(found.holders.into_iter().find(|holder| holder.persistent && holder.is(&hold.identifier)))
    }

    /// Changes how many permits there are, and gives how many there were; `None` where there is no semaphore. Nobody loses one:
    /// where there are fewer than holders, the next one is given when there is room again.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is a lock; or see [`Error`].
    pub fn resize(&self, limit: u32) -> Result<Option<u32>, Error> {
        if limit == 0 {
            return Err(Error::Options("limit is 0: nobody could have a permit; give 1 or more".to_owned()));
        }
        loop {
            let table = Table::read(&self.folder, &self.read()?)?;
            let Some(before) = table.limit else { return Ok(None) };
            if before == limit {
                return Ok(Some(before));
            }
            let write = table.write(&self.folder, limit, table.listed.clone());
            match self.client.txn().once(&[write], &self.query) {
                Ok(_) => return Ok(Some(before)),
                Err(error) if error.is_denied() => {
                    return Err(Error::Denied { key: self.key(), what: error.reason() });
                }
                Err(TxnError::Failed { source, .. }) => return Err(source.into()),
                Err(TxnError::Refused { .. }) => {} // it has changed meanwhile
            }
        }
    }
}
