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

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::consul::{Client, KvPair, Operation, Query, SessionRequest, TxnError, check_key};
use crate::duration::ConsulDuration;

use super::kind::LOCK;
use super::line::{LINE, Turn};
use super::lock::{Lock, Try};
use super::membership::folder;
use super::semaphore::{self, SEMAPHORE, Semaphore, Table};
use super::session::{TTL_MAX, TTL_MIN};
use super::{Cancel, Error, Limits, Session, SessionOptions, Waiter, wait};

/// How long a hold that ended by itself bars its lock. Consul's own default.
pub(super) const LOCK_DELAY: Duration = Duration::from_secs(15);

/// The longest lock-delay that Consul keeps to.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);

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
    client: Client,
    query: Query,
    /// Ends in a slash.
    folder: String,
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

/// Somebody who holds a lock or a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Under which identifier; `None` where another program holds it.
    pub identifier: Option<String>,
    /// On which host, as it said.
    pub host: Option<String>,
    /// The node of its session; `None` where the token may not read that.
    pub node: Option<String>,
    /// Since when, by its own clock, as RFC 3339 has it.
    pub since: Option<String>,
    /// Why, as it said.
    pub reason: Option<String>,
    /// Whether it outlasts the process that took it.
    pub persistent: bool,
    /// The ttl of its session; `None` where it has none, or the token may not read that.
    pub ttl: Option<String>,
    /// The id of its session. Whoever knows it can acquire keys in its name.
    pub session: String,
    /// Its fencing token.
    pub token: u64,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Nothing yet: who comes first decides.
    #[default]
    None,
    /// A lock.
    Lock,
    /// A semaphore.
    Semaphore,
}

/// Who holds what is at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holders {
    /// What it is.
    pub layout: Layout,
    /// How many permits there are; `None` where it is no semaphore.
    pub limit: Option<u32>,
    /// Who has one, in the order in which they got it.
    pub holders: Vec<Holder>,
    /// How many wait in line, of those who wait fairly.
    pub waiting: usize,
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

/// What came of releasing a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// It is free now.
    Done(Holder),
    /// The identifier did not hold it.
    NotHeld,
    /// Somebody else holds it, or a living process, and was left alone.
    Other(Holder),
}

/// What stands in the way of who comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// Nothing.
    Free,
    /// Who holds it.
    Held,
    /// Nobody holds it, but the lock-delay of one who lost it runs.
    Barred {
        /// For so many seconds, at most.
        seconds: u64,
    },
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

    /// Who holds it. Nothing is written. Needs `key_prefix:read`, and `session:read` to see nodes and ttls.
    ///
    /// # Errors
    /// [`Error::Denied`] where the token may not see whether there are any; or see [`Error`].
    pub fn holders(&self) -> Result<Holders, Error> {
        let pairs = self.read()?;
        let mut holders = self.holders_of(&pairs)?;
        for holder in &mut holders.holders {
            if let (Some(session), _) = self.client.session().read(&holder.session, &self.query)? {
                holder.node = Some(session.node);
                holder.ttl = Some(session.ttl).filter(|ttl| !ttl.is_empty());
            }
        }
        Ok(holders)
    }

    fn read(&self) -> Result<Vec<KvPair>, Error> {
        let kv = self.client.kv();
        let (pairs, meta) = kv.recurse(&self.folder, &self.query.consistent())?;
        // Consul leaves out what the token may not read, and before 1.11 does not say so: a holder would be taken for dead.
        let unseen = Table::read(&self.folder, &pairs).ok().and_then(|table| {
            let keys = table.listed.difference(&table.holders).map(|id| format!("{}{id}", self.folder));
            keys.into_iter().find(|key| check_key(key).is_ok())
        });
        let doubtful = if pairs.is_empty() { Some(self.key()) } else { unseen };
        let hidden = doubtful.map_or(Ok(false), |key| kv.may_read(&key, &self.query).map(|may| !may))?;
        if meta.filtered_by_acls || hidden {
            let what = "it may not read all that is there".to_owned();
            return Err(Error::Denied { key: self.folder.clone(), what });
        }
        Ok(pairs)
    }

    fn holders_of(&self, pairs: &[KvPair]) -> Result<Holders, Error> {
        let line = format!("{}.lock.line/", self.folder);
        let waits = |pair: &&KvPair| pair.key.starts_with(&line) && LINE.has(pair) && pair.session.is_some();
        let waiting = pairs.iter().filter(waits).count();
        let found = match pairs.iter().find(|pair| pair.key == self.key()) {
            None => Holders::default(),
            Some(pair) if LOCK.has(pair) => {
                Holders { layout: Layout::Lock, holders: holder(pair).into_iter().collect(), ..Holders::default() }
            }
            Some(pair) if SEMAPHORE.has(pair) => {
                let table = Table::read(&self.folder, pairs)?;
                let held = table.live.iter().filter(|(id, _)| table.holders.contains(*id));
                let mut holders: Vec<_> = held.filter_map(|(_, pair)| holder(pair)).collect();
                holders.sort_by_key(|holder| holder.token);
                Holders { layout: Layout::Semaphore, limit: table.limit, holders, waiting: 0 }
            }
            Some(pair) => return Err(LOCK.conflict(pair)),
        };
        Ok(Holders { waiting, ..found })
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
            let (tried, over_limit) = self.try_with(&pairs, hold)?;
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
    fn try_with(&self, pairs: &[KvPair], hold: &Hold) -> Result<(Try, bool), Error> {
        let over_limit = self.is_full(pairs, hold)?;
        if over_limit && !hold.force {
            return Ok((Try::Busy, false));
        }
        let request = hold.session(self.folder.trim_end_matches('/'));
        let session = Session::create(&self.client, &self.query, &request, hold.ttl)?;
        let tried = self.try_as(&session, pairs, hold)?;
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

    /// Releases the persistent hold of `identifier`, whichever process took it. Needs `key_prefix:write` and `session:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn release(&self, identifier: &str) -> Result<Released, Error> {
        loop {
            let (released, stray) = self.find(&self.read()?, identifier)?;
            match &released {
                Released::Done(holder) if !self.give_up(holder)? && !stray => {} // it has changed meanwhile
                _ => return Ok(released),
            }
        }
    }

    /// What [`release`](Self::release) would come to now. Nothing is written.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn foresee_release(&self, identifier: &str) -> Result<Released, Error> {
        self.find(&self.read()?, identifier).map(|(released, _)| released)
    }

    /// What there is to be released, and whether that is a stray: a permit's key that lives on, though somebody took it out of the
    /// table.
    fn find(&self, pairs: &[KvPair], identifier: &str) -> Result<(Released, bool), Error> {
        let Holders { layout, mut holders, .. } = self.holders_of(pairs)?;
        let own = |holder: &Holder| holder.persistent && holder.is(identifier);
        if let Some(place) = holders.iter().position(own) {
            return Ok((Released::Done(holders.swap_remove(place)), false));
        }
        let permits = pairs.iter().filter(|pair| pair.key.strip_prefix(&self.folder) == pair.session.as_deref());
        if let Some(stray) = permits.filter(|pair| SEMAPHORE.has(pair)).filter_map(holder).find(own) {
            return Ok((Released::Done(stray), true));
        }
        // A permit of others is none of ours; the one holder of a lock is in the way.
        let other = holders.into_iter().find(|holder| layout == Layout::Lock || holder.is(identifier));
        Ok((other.map_or(Released::NotHeld, Released::Other), false))
    }

    /// Gives up what `holder` holds, then ends its session: in this order there is no lock-delay. False where it does not hold
    /// it any more.
    fn give_up(&self, holder: &Holder) -> Result<bool, Error> {
        let done = match self.give_up_key(&holder.session) {
            Err(error) if error.is_denied() || self.has(&holder.session)? => return Err(error),
            Err(_) => true, // only the answer was lost
            Ok(done) => done,
        };
        // Also where the key was taken away: nobody else would end such a session.
        self.client.session().destroy(&holder.session, &self.query)?;
        Ok(done)
    }

    fn has(&self, session: &str) -> Result<bool, Error> {
        Ok(self.holders_of(&self.read()?)?.holders.iter().any(|holder| holder.session == session))
    }

    fn give_up_key(&self, session: &str) -> Result<bool, Error> {
        let key = self.key();
        let pair = self.client.kv().get(&key, &self.query.consistent())?;
        if pair.is_some_and(|pair| SEMAPHORE.has(&pair)) {
            return semaphore::give_up(&self.client, &self.query, &self.folder, session, true);
        }
        let mark = Operation::check_session(&key, session);
        match self.client.txn().once(&[mark, Operation::delete(&key)], &self.query) {
            Ok(_) => Ok(true),
            Err(error) if error.is_denied() => Err(Error::Denied { key, what: error.reason() }),
            Err(TxnError::Failed { source, .. }) => Err(source.into()),
            Err(TxnError::Refused { .. }) => Ok(false),
        }
    }

    /// Ends the hold of `holder`, whoever it is. A persistent one is released; of a living process the session is destroyed, so
    /// that the lock-delay keeps the next one out while that process learns of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn force_unlock(&self, holder: &Holder) -> Result<(), Error> {
        if !holder.persistent || !self.give_up(holder)? {
            self.client.session().destroy(&holder.session, &self.query)?;
        }
        Ok(())
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

    /// What stands in the way of who comes next, and who holds it. Whether a lock-delay runs no answer of Consul shows: it is
    /// found by a transaction that takes the lock and then fails on purpose, so that nothing is written; its session is
    /// destroyed again. Needs `session:write` and `key:write` for that.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn why(&self) -> Result<(Standing, Holders), Error> {
        loop {
            let found = self.holders()?;
            let held = u32::try_from(found.holders.len()).unwrap_or(u32::MAX);
            let standing = match found.layout {
                _ if held >= found.limit.unwrap_or(1) => Some(Standing::Held),
                Layout::Semaphore => Some(Standing::Free),
                Layout::Lock | Layout::None => self.probe()?,
            };
            if let Some(standing) = standing {
                return Ok((standing, found));
            }
        }
    }

    /// `None` where somebody has come meanwhile.
    fn probe(&self) -> Result<Option<Standing>, Error> {
        let options = SessionOptions {
            name: format!("lictor lock why {}", self.folder),
            ttl: TTL_MIN,
            lock_delay: Duration::ZERO,
            ..SessionOptions::default()
        };
        let (key, session) = (self.key(), Session::start(&self.client, &self.query, &options)?);
        let operations = [
            Operation::lock(&key, b"", LOCK.flags, session.id()),
            Operation::check_not_exists(&key), // it does by now: so all of it is undone
        ];
        let failed = match self.client.txn().once(&operations, &self.query) {
            Err(TxnError::Refused { failed, .. }) => failed,
            Err(TxnError::Failed { source, .. }) => return Err(source.into()),
            Ok(_) => return Ok(Some(Standing::Free)), // never
        };
        session.release()?;
        let Some(refused) = failed.iter().find(|one| one.index == 0) else { return Ok(Some(Standing::Free)) };
        if refused.what.contains("Permission denied") {
            return Err(Error::Denied { key, what: refused.what.clone() });
        }
        let pair = self.client.kv().get(&key, &self.query.consistent())?;
        if pair.as_ref().is_some_and(|pair| pair.session.is_some()) {
            return Ok(None);
        }
        let said = pair.and_then(|pair| pair.json::<Said>().ok());
        let delay = said.and_then(|said| said.lock_delay?.parse::<ConsulDuration>().ok());
        let longest = delay.map_or(LOCK_DELAY_MAX, |delay| Duration::from(delay).min(LOCK_DELAY_MAX));
        Ok(Some(Standing::Barred { seconds: longest.as_secs_f64().ceil() as u64 }))
    }
}

/// What a holder's value says. `lictor lock run` writes the same, and its lock-delay.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    identifier: Option<String>,
    host: Option<String>,
    since: Option<String>,
    reason: Option<String>,
    persistent: bool,
    lock_delay: Option<String>,
}

/// Who holds `pair`, if somebody does.
fn holder(pair: &KvPair) -> Option<Holder> {
    let session = pair.session.clone()?;
    let Said { identifier, host, since, reason, persistent, .. } = pair.json().unwrap_or_default();
    let reason = reason.filter(|reason| !reason.is_empty());
    let token = pair.modify_index;
    Some(Holder { identifier, host, node: None, since, reason, persistent, ttl: None, session, token })
}

impl Holder {
    fn is(&self, identifier: &str) -> bool {
        self.identifier.as_deref() == Some(identifier)
    }
}

impl fmt::Display for Holder {
    /// One line, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identifier {
            Some(identifier) => write!(f, "{identifier:?}")?,
            None => f.write_str("another program")?,
        }
        if let Some(host) = self.host.as_ref().filter(|host| Some(*host) != self.identifier.as_ref()) {
            write!(f, " of host {}", printable(host))?;
        }
        if let Some(node) = &self.node {
            write!(f, " on node {node}")?;
        }
        if let Some(since) = &self.since {
            write!(f, " since {}", printable(since))?;
        }
        write!(f, ", session {}", self.session)?;
        match &self.ttl {
            Some(ttl) => write!(f, " with a ttl of {ttl}")?,
            None => f.write_str(" without a ttl")?,
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {}", printable(reason)))
    }
}

/// `text` without what would break the line, or speak to a terminal: it is anybody's.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
