//! A semaphore: so many holders at a time, in HashiCorp's own layout, so that `consul lock -n` and Go programs count us, and
//! we them.
//!
//! Below the path, `.lock` says how many permits there are and which sessions have them, and changes by compare-and-set
//! alone. Each holder also holds a key of its own, `PATH/SESSION`, which tells that it lives.
//!
//! # Guarantees
//! - No more than `limit` holders at a time, but for those that [`force`](Semaphore::force) let in.
//! - A holder that is dead, by its session, counts for nothing: whoever comes next takes it out.
//! - The fencing token is the index of the one transaction that gave the permit: of two permits, the later one has the higher
//!   token.
//! - The stored limit counts. Who comes with another one is refused ([`Error::Limit`]) until all agree again: by
//!   [`Holds::resize`](super::Holds::resize), or once the semaphore is gone.
//! - Waiting sends one blocking query at a time.
//!
//! # Caveats
//! - A permit has no lock-delay, for each holder's key is its own. Of a session that is destroyed by hand the permit is free at
//!   once, while its holder learns of it a moment later.
//! - What a [`Lock`](super::Lock) says of advice, of pauses and of restored snapshots holds here too.
//! - It is not fair, unless all who wait ask for that ([`fair`](Semaphore::fair)).
//! - With fewer permits than holders, after a resize, nobody loses one: the next are given when there is room again.
//!
//! # Errors
//! [`Error::Conflict`] where the key is something else, such as a lock; [`Error::Limit`]; [`Error::Damaged`] where `.lock`
//! cannot be read; [`Error::SessionLost`] where the session ends while it waits; [`Error::Claimed`] where the same session has a
//! permit, or waits for one, elsewhere in this program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::consul::{KvPair, Operation, TxnError, check_value};

use super::kind::Kind;
use super::lease::{Lost, Why};
use super::line::Turn;
use super::lock::{Try, failed};
use super::membership::folder;
use super::{Cancel, Error, Limits, Session, Waiter, stamped, wait};

/// The flags of HashiCorp's semaphores: what tells their keys from any other.
pub const SEMAPHORE_FLAGS: u64 = 0xe0f6_9a2b_aa41_4de0;

pub(super) const SEMAPHORE: Kind =
    Kind { flags: SEMAPHORE_FLAGS, what: "a semaphore", or_plain: false, again: false, stamp: stamped };

/// A semaphore below a path.
#[derive(Debug)]
pub struct Semaphore<'s> {
    session: &'s Session,
    /// Ends in a slash.
    folder: String,
    limit: u32,
    value: Vec<u8>,
    force: bool,
    fair: bool,
}

/// A permit, held. Dropping it gives it back, as far as that can be done then; [`release`](Self::release) says whether it
/// was.
#[derive(Debug)]
pub struct Permit<'l> {
    semaphore: &'l Semaphore<'l>,
    token: u64,
    over_limit: bool,
    lost: Lost,
    held: bool,
}

impl<'s> Semaphore<'s> {
    /// The semaphore below `path` with `limit` permits, one of them to be held by `session`. Nothing is sent yet. Give the
    /// session `delete_keys`, or the keys of holders that died stay behind.
    ///
    /// # Errors
    /// Where Consul would take the path for another, or the limit is 0.
    pub fn new(session: &'s Session, path: &str, limit: u32) -> Result<Self, Error> {
        if limit == 0 {
            return Err(Error::Options("limit is 0: nobody could have a permit; give 1 or more".to_owned()));
        }
        Ok(Self { session, folder: folder(path)?, limit, value: b"{}".to_vec(), force: false, fair: false })
    }

    /// With a value, a JSON object, for people to read in the holder's own key; the time is added.
    ///
    /// # Errors
    /// Where the value is longer than Consul takes.
    pub fn with_value(mut self, value: &[u8]) -> Result<Self, Error> {
        check_value(&self.key(), value)?;
        self.value = value.to_vec();
        Ok(self)
    }

    /// Takes a permit though there is none left, past those in line: [`Permit::is_over_limit`] tells whether that was so.
    #[must_use]
    pub fn force(self) -> Self {
        Self { force: true, ..self }
    }

    /// First come, first served, among those who ask for it. Each of them has a key below `PATH/.lock.line/` while it waits.
    #[must_use]
    pub fn fair(self) -> Self {
        Self { fair: true, ..self }
    }

    /// The key that a permit is: what its token belongs to.
    pub fn key(&self) -> String {
        format!("{}{}", self.folder, self.session.id())
    }

    fn table_key(&self) -> String {
        format!("{}.lock", self.folder)
    }

    /// Takes a permit if there is one; `None` where there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn try_acquire(&self) -> Result<Option<Permit<'_>>, Error> {
        self.session.check()?;
        let claim = self.session.claim(&self.key())?;
        let turn = if self.fair && !self.force { Some(Turn::join(self.session, &self.table_key())?) } else { None };
        if turn.as_ref().map_or(Ok(true), Turn::is_first)? {
            loop {
                let (pairs, _) =
                    self.session.client().kv().recurse(&self.folder, &self.session.query().consistent())?;
                let table = Table::read(&self.folder, &pairs)?;
                match self.try_with(&table)? {
                    Try::Held(token) => {
                        claim.keep();
                        return Ok(Some(self.permit(token, &table)));
                    }
                    Try::Busy | Try::Barred => return Ok(None),
                    Try::Moved => {}
                }
            }
        }
        Ok(None)
    }

    /// Waits for a permit, for ever.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire(&self) -> Result<Permit<'_>, Error> {
        loop {
            if let Some(permit) = self.acquire_or(None, None)? {
                return Ok(permit);
            }
        }
    }

    /// Waits for a permit until `timeout` is over, or `cancel` says to stop; `None` then.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire_or(&self, timeout: Option<Duration>, cancel: Option<&Cancel>) -> Result<Option<Permit<'_>>, Error> {
        let limits = Limits::new(Some(self.session), timeout, cancel);
        self.session.check()?;
        let claim = self.session.claim(&self.key())?;
        let turn = if self.fair && !self.force { Some(Turn::join(self.session, &self.table_key())?) } else { None };
        if !turn.as_ref().map_or(Ok(true), |turn| turn.wait(&limits))? {
            return Ok(None);
        }
        let waiter = Waiter::start(self.session.client().kv().watch_prefix(&self.folder, self.session.query())?);
        while let Some(pairs) = limits.next(&waiter)? {
            let table = Table::read(&self.folder, &pairs)?;
            loop {
                match self.try_with(&table) {
                    Ok(Try::Held(token)) => {
                        claim.keep();
                        return Ok(Some(self.permit(token, &table)));
                    }
                    Ok(Try::Busy | Try::Moved | Try::Barred) => break,
                    // Where it was done after all, the table has moved, which the next try finds.
                    Err(error) => limits.outlast(error)?,
                }
            }
        }
        Ok(None)
    }

    /// Takes a permit of the table as it was read, if there is one.
    pub(super) fn try_with(&self, table: &Table) -> Result<Try, Error> {
        let id = self.session.id();
        if let Some(own) = table.live.get(id).filter(|_| table.holders.contains(id)) {
            return Ok(Try::Held(own.modify_index)); // the answer to an earlier try was lost
        }
        if let Some(theirs) = table.limit.filter(|theirs| *theirs != self.limit) {
            return Err(Error::Limit { path: self.folder.clone(), ours: self.limit, theirs });
        }
        if self.is_full(table) && !self.force {
            return Ok(Try::Busy);
        }
        let holders = table.holders.iter().cloned().chain([id.to_owned()]).collect();
        let value = (SEMAPHORE.stamp)(&self.value);
        // Both or none: nobody ever sees a holder without the key that tells that it lives.
        let operations =
            [Operation::lock(&self.key(), &value, SEMAPHORE_FLAGS, id), table.write(&self.folder, self.limit, holders)];
        match self.session.client().txn().once(&operations, self.session.query()) {
            Ok(pairs) => Ok(pairs.first().map_or(Try::Moved, |pair| Try::Held(pair.modify_index))),
            Err(error) => failed(self.session, &self.key(), error).map(|_| Try::Moved),
        }
    }

    /// Whether there is no permit left.
    pub(super) fn is_full(&self, table: &Table) -> bool {
        table.holders.len() >= usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn permit(&self, token: u64, table: &Table) -> Permit<'_> {
        Permit { semaphore: self, token, over_limit: self.is_full(table), lost: self.session.lost(), held: true }
    }

    fn give_up(&self, lost: &Lost, delete: bool) -> Result<(), Error> {
        let before = lost.why();
        lost.end(Why::Released);
        self.session.unclaim(&self.key());
        let over = |why| Error::SessionLost { session: self.session.id().to_owned(), why };
        let (client, query) = (self.session.client(), self.session.query());
        match give_up(client, query, &self.folder, self.session.id(), delete)? {
            true => Ok(()),
            false => Err(over(before.unwrap_or(Why::KeyLost))),
        }
    }
}

impl Permit<'_> {
    /// The fencing token: of two permits, the later one has the higher one. It belongs to [`Semaphore::key`].
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether there was none left, and it was taken by force.
    pub fn is_over_limit(&self) -> bool {
        self.over_limit
    }

    /// Until when the permit is certain. It moves with each renewal of the session.
    pub fn deadline(&self) -> Instant {
        self.semaphore.session.deadline()
    }

    /// Tells when the permit is lost with its session. [`watch`](Self::watch) makes it hear of one that is taken away, too.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// From now on the keys are watched, so that [`lost`](Self::lost) also tells when somebody takes the permit away: one
    /// blocking query.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn watch(&self) -> Result<(), Error> {
        let (session, folder) = (self.semaphore.session, self.semaphore.folder.clone());
        let watch = session.client().kv().watch_prefix(&folder, session.query())?.wait(wait::WAIT);
        let (lost, id) = (self.lost.clone(), session.id().to_owned());
        std::thread::spawn(move || {
            for answer in watch {
                if lost.why().is_some() {
                    return;
                }
                // While the agent does not answer, the lease decides.
                let Ok((pairs, _)) = answer else { continue };
                if !Table::read(&folder, &pairs).is_ok_and(|table| table.holders.contains(&id)) {
                    return lost.end(Why::KeyLost);
                }
            }
        });
        Ok(())
    }

    /// What makes a transaction of yours fail once the permit is lost: put it first.
    pub fn guard(&self) -> Operation {
        Operation::check_session(&self.semaphore.key(), self.semaphore.session.id())
    }

    /// Gives the permit back. The semaphore stays, and its limit.
    ///
    /// # Errors
    /// [`Error::SessionLost`] where it was not held any more; or what Consul answered.
    pub fn release(mut self) -> Result<(), Error> {
        self.give_back(false)
    }

    /// Gives the permit back; where it was the last one, the semaphore goes too, and with it the limit.
    ///
    /// # Errors
    /// As for [`release`](Self::release).
    pub fn release_and_delete(mut self) -> Result<(), Error> {
        self.give_back(true)
    }

    fn give_back(&mut self, delete: bool) -> Result<(), Error> {
        if !std::mem::replace(&mut self.held, false) {
            return Ok(());
        }
        self.semaphore.give_up(&self.lost, delete)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let _ = self.give_back(false);
    }
}

/// Gives back the permit of `session`: its own key goes, and where `delete` says so, the semaphore with its last permit. False
/// where the session did not have it.
pub(super) fn give_up(
    client: &crate::consul::Client,
    query: &crate::consul::Query,
    folder: &str,
    session: &str,
    delete: bool,
) -> Result<bool, Error> {
    let key = format!("{folder}{session}");
    loop {
        let (pairs, _) = client.kv().recurse(folder, &query.consistent())?;
        let table = Table::read(folder, &pairs)?;
        let mut holders = table.holders.clone();
        if !holders.remove(session) {
            return Ok(false);
        }
        let table = match (delete && holders.is_empty(), &table.pair) {
            (true, Some(pair)) => Operation::delete_cas(&pair.key, pair.modify_index),
            _ => table.write(folder, table.limit.unwrap_or(1), holders),
        };
        match client.txn().once(&[Operation::check_session(&key, session), table, Operation::delete(&key)], query) {
            Ok(_) => return Ok(true),
            Err(error) if error.is_denied() => return Err(Error::Denied { key, what: error.reason() }),
            Err(TxnError::Failed { source, .. }) => return Err(source.into()),
            Err(TxnError::Refused { .. }) => {} // others came or went meanwhile; or it is lost, which the next look tells
        }
    }
}

/// What stands below a semaphore's path.
#[derive(Debug)]
pub(super) struct Table {
    /// `.lock`.
    pub pair: Option<KvPair>,
    /// How many permits there are; `None` where there is no semaphore yet.
    pub limit: Option<u32>,
    /// The sessions that have one, and live.
    pub holders: BTreeSet<String>,
    /// The sessions that have one as `.lock` has it: of those that are no holders the keys are gone, or not to be seen.
    pub listed: BTreeSet<String>,
    /// The keys of the sessions that live, by their ids.
    pub live: BTreeMap<String, KvPair>,
}

/// What `.lock` says. Go writes a map that is empty as null.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    limit: u32,
    holders: Option<BTreeMap<String, bool>>,
}

impl Table {
    /// Reads what is below `folder`. Holders that do not live are left out.
    pub fn read(folder: &str, pairs: &[KvPair]) -> Result<Self, Error> {
        let own = |pair: &KvPair| {
            let session = pair.session.clone()?;
            (pair.key.strip_prefix(folder)? == session).then(|| (session, pair.clone()))
        };
        let mut live = BTreeMap::new();
        live.extend(pairs.iter().filter_map(own));
        let Some(pair) = pairs.iter().find(|pair| pair.key.strip_prefix(folder) == Some(".lock")) else {
            return Ok(Self { pair: None, limit: None, holders: BTreeSet::new(), listed: BTreeSet::new(), live });
        };
        if !SEMAPHORE.has(pair) {
            return Err(SEMAPHORE.conflict(pair));
        }
        let Document { limit, holders } = pair.json().map_err(|error| Error::Damaged {
            key: pair.key.clone(),
            what: SEMAPHORE.what,
            problem: error.to_string(),
        })?;
        let listed: BTreeSet<_> = holders.unwrap_or_default().into_keys().collect();
        let holders = listed.iter().filter(|id| live.contains_key(*id)).cloned().collect();
        Ok(Self { pair: Some(pair.clone()), limit: Some(limit), holders, listed, live })
    }

    /// Writes it anew, if it is as it was read.
    pub fn write(&self, folder: &str, limit: u32, holders: BTreeSet<String>) -> Operation {
        let mut all = BTreeMap::new();
        all.extend(holders.into_iter().map(|id| (id, true)));
        let document = serde_json::to_vec(&Document { limit, holders: Some(all) }).unwrap_or_default();
        let index = self.pair.as_ref().map_or(0, |pair| pair.modify_index);
        Operation::cas(&format!("{folder}.lock"), &document, SEMAPHORE_FLAGS, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str, session: Option<&str>) -> KvPair {
        KvPair {
            key: key.to_owned(),
            flags: SEMAPHORE_FLAGS,
            value: value.as_bytes().to_vec(),
            session: session.map(ToOwned::to_owned),
            lock_index: 1,
            create_index: 1,
            modify_index: 7,
        }
    }

    #[test]
    fn a_holder_counts_while_its_own_key_is_held() {
        let table = r#"{"Limit":3,"Holders":{"a":true,"b":true,"c":true}}"#;
        let pairs = [pair("p/.lock", table, None), pair("p/a", "", Some("a")), pair("p/b", "", None)];
        let read = Table::read("p/", &pairs).unwrap();
        assert_eq!((read.limit, read.holders), (Some(3), BTreeSet::from(["a".to_owned()])));
    }

    #[test]
    fn an_empty_semaphore_of_gos_is_read_and_what_is_none_is_not() {
        let empty = Table::read("p/", &[pair("p/.lock", r#"{"Limit":2,"Holders":null}"#, None)]).unwrap();
        assert!(empty.holders.is_empty());
        assert!(matches!(Table::read("p/", &[pair("p/.lock", "{", None)]), Err(Error::Damaged { .. })));
        let lock = KvPair { flags: super::super::LOCK_FLAGS, ..pair("p/.lock", "", None) };
        assert!(matches!(Table::read("p/", &[lock]), Err(Error::Conflict { .. })));
    }
}
