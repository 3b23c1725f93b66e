//! The owners' records in Consul: who has what.
//!
//! The head of a record stands in `lictor/owners/OWNER`, its parts, where it needs any, in
//! `lictor/owners/OWNER@DIGEST/NUMBER`; an owner's name has no `@`. New parts are written first, then the head, as a
//! compare-and-set, then old parts are deleted. A run that is killed between leaves parts that no head names, which the
//! next write takes away. Every write is a transaction that fails once the owner's lock is lost.

use std::collections::BTreeMap;

use crate::consul::{Client, KvPair, Operation, Query, TxnError};
use crate::object::{DesiredState, ObjectId, Record};

use super::observe::spelled_as_declared;
use super::record::{self, RecordError};
use super::{Error, OwnerLock, parallel};
use crate::reconcile::observe;

/// Below it are the records of all owners.
pub(super) const OWNERS: &str = "lictor/owners/";

/// How many parts of a record are written at once: each is as large a request as Consul takes.
const PARTS_AT_ONCE: usize = 4;

/// All records, as they stand.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The heads and the parts, by their keys.
    pairs: BTreeMap<String, KvPair>,
    /// What was made of them already, by owner.
    parsed: BTreeMap<String, Result<(Record, Standing), RecordError>>,
}

/// How one owner's record stands in Consul.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The index of the head; 0 where there is none.
    pub index: u64,
    /// What tells the record from every other.
    digest: Option<String>,
    /// The keys of parts, also of those that no head names.
    parts: Vec<String>,
}

impl Inventory {
    /// Reads them, proving first that the token may see them all.
    pub fn read(client: &Client, query: &Query) -> Result<Self, Error> {
        observe::readable(client, query, OWNERS)?;
        let (pairs, meta) = client.kv().recurse(OWNERS, &query.consistent())?;
        if meta.filtered_by_acls {
            return Err(observe::blind_below(OWNERS));
        }
        Ok(Self { pairs: pairs.into_iter().map(|pair| (pair.key.clone(), pair)).collect(), parsed: BTreeMap::new() })
    }

    /// Reads them where others than `owner` have any. It has just written its own, which may be long.
    pub fn read_beside(owner: &str, client: &Client, query: &Query) -> Result<Self, Error> {
        observe::readable(client, query, OWNERS)?;
        let (keys, meta) = client.kv().keys_with_meta(OWNERS, None, &query.consistent())?;
        let is_own = |key: &String| {
            let rest = key.strip_prefix(OWNERS).and_then(|name| name.strip_prefix(owner));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        };
        if keys.iter().all(is_own) && !meta.filtered_by_acls {
            return Ok(Self::default());
        }
        Self::read(client, query)
    }

    /// The same, with all records made ready, for another thread than the one that needs them.
    pub fn parsed(mut self) -> Self {
        self.parsed = self.owners().map(|owner| (owner.to_owned(), self.of(owner))).collect();
        self
    }

    /// As [`of`](Self::of), for the last time.
    pub fn take(&mut self, owner: &str) -> Result<(Record, Standing), RecordError> {
        self.parsed.remove(owner).unwrap_or_else(|| self.of(owner))
    }

    /// The owners that have a record.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        let names = self.pairs.keys().filter_map(|key| key.strip_prefix(OWNERS));
        names.filter(|name| !name.contains('@') && !name.is_empty() && !name.ends_with('/'))
    }

    /// The record of `owner`, and how it stands; an empty one where there is none.
    pub fn of(&self, owner: &str) -> Result<(Record, Standing), RecordError> {
        let key = format!("{OWNERS}{owner}");
        let below = format!("{key}@");
        let parts: Vec<String> = self
            .pairs
            .range(below.clone()..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&below))
            .cloned()
            .collect();
        let Some(head) = self.pairs.get(&key) else {
            return Ok((Record::default(), Standing { parts, ..Standing::default() }));
        };
        let part =
            |digest: &str, number: usize| Some(self.pairs.get(&part_key(owner, digest, number))?.value.as_slice());
        let (record, digest) = record::read(&key, owner, &head.value, part)?;
        Ok((record, Standing { index: head.modify_index, digest, parts }))
    }

    /// Which of those that are mentioned other owners have, or set out to make.
    pub fn others(
        mut self,
        desired: &DesiredState,
        is_mentioned: impl Fn(&ObjectId) -> bool,
    ) -> Result<BTreeMap<ObjectId, String>, RecordError> {
        let mut others = BTreeMap::new();
        let owners: Vec<String> = self.owners().filter(|other| *other != desired.owner).map(str::to_owned).collect();
        for other in owners {
            let Record { objects, pending, .. } = spelled_as_declared(desired, self.take(&other)?.0).0;
            let theirs = objects.into_iter().chain(pending.into_keys()).filter(|id| is_mentioned(id));
            others.extend(theirs.map(|id| (id, other.clone())));
        }
        Ok(others)
    }
}

/// The keys of the parts of a record.
fn part_key(owner: &str, digest: &str, number: usize) -> String {
    format!("{OWNERS}{owner}@{digest}/{number:05}")
}

/// Writes `record` in the place of `standing`, and says how it stands then. One that has nothing is deleted.
pub(super) fn write(
    client: &Client,
    lock: &OwnerLock,
    standing: &Standing,
    record: &Record,
) -> Result<Standing, Error> {
    let owner = lock.owner();
    let key = format!("{OWNERS}{owner}");
    let stale = || Error::Stale { what: format!("the record of owner {owner:?} was changed by somebody else") };
    let guarded = |operations: &[Operation]| {
        lock.check()?;
        let all: Vec<Operation> = std::iter::once(lock.operation()).chain(operations.iter().cloned()).collect();
        client.txn().once(&all, lock.query()).map_err(|error| match error {
            TxnError::Failed { source, .. } => Error::Consul(source),
            TxnError::Refused { failed, .. } => match failed.first() {
                Some(first) if first.index == 0 => lock.lost(),
                Some(first) if first.what.contains("Permission denied") => {
                    Error::Denied { key: first.key.clone(), what: first.what.clone() }
                }
                _ => stale(),
            },
        })
    };
    if *record == Record::default() {
        if standing.index > 0 {
            guarded(&[Operation::delete_cas(&key, standing.index)])?;
        }
        sweep(&guarded, &standing.parts)?;
        return Ok(Standing::default());
    }
    let written = record::write(owner, record);
    if standing.digest.as_ref() == Some(&written.digest) {
        return Ok(standing.clone());
    }
    let parts: Vec<String> =
        (1..).zip(&written.parts).map(|(number, _)| part_key(owner, &written.digest, number)).collect();
    let texts: Vec<(&String, &String)> = parts.iter().zip(&written.parts).collect();
    parallel::all(&texts, PARTS_AT_ONCE, |(key, part)| guarded(&[Operation::set(key, part.as_bytes(), 0)]))?;
    let pairs = guarded(&[Operation::cas(&key, written.head.as_bytes(), 0, standing.index)])?;
    let index = pairs.iter().find(|pair| pair.key == key && pair.modify_index > 0).map(|pair| pair.modify_index);
    let old: Vec<String> = standing.parts.iter().filter(|key| !parts.contains(key)).cloned().collect();
    sweep(&guarded, &old)?;
    let index = index.ok_or_else(stale)?;
    Ok(Standing { index, digest: Some(written.digest), parts })
}

/// Takes `ids` out of the record of the owner whose lock this is: another one takes them over.
pub(super) fn disown(
    client: &Client,
    lock: &OwnerLock,
    desired: &DesiredState,
    ids: &[&ObjectId],
) -> Result<(), Error> {
    let (record, standing) = Inventory::read(client, lock.query())?.of(lock.owner())?;
    let (mut record, _) = spelled_as_declared(desired, record);
    for id in ids {
        record.objects.remove(*id);
        record.pending.remove(*id);
        record.protected.remove(*id);
    }
    write(client, lock, &standing, &record).map(drop)
}

/// Carries out a transaction, unless the lock is lost.
type Guarded<'g> = dyn Fn(&[Operation]) -> Result<Vec<KvPair>, Error> + 'g;

/// Deletes parts that no head names.
fn sweep(guarded: &Guarded<'_>, parts: &[String]) -> Result<(), Error> {
    let deletes: Vec<Operation> = parts.iter().map(|key| Operation::delete(key)).collect();
    for deletes in deletes.chunks(crate::consul::Txn::FEW - 1) {
        guarded(deletes)?;
    }
    Ok(())
}
