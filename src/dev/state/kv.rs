//! Keys: set, compare and set, acquire, release, delete, and the tombstones that deletions leave for those who wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::by_id::ById;
use super::{Fault, State, Table, check_uuid};

/// No lock-delay is longer, whatever a session says.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// A key and its value, as it goes over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::dev) struct Entry {
    pub lock_index: u64,
    pub key: String,
    pub flags: u64,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub value: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    pub create_index: u64,
    pub modify_index: u64,
}

/// All keys.
#[derive(Debug, Default)]
pub(in crate::dev) struct Keys {
    entries: ById<String, Entry>,
    /// The keys that each session holds, by its id in lower case.
    held: HashMap<String, BTreeSet<String>>,
    /// When a key, or a whole tree, was deleted.
    tombstones: BTreeMap<String, u64>,
    /// Until when a key that is free cannot be acquired: in memory alone, as Consul has it.
    delays: HashMap<String, Duration>,
    /// What was there before each change of the transaction that is under way.
    before: Option<Vec<Before>>,
    /// The delays before that.
    delays_before: HashMap<String, Duration>,
}

/// A key, and a tombstone, as they were.
#[derive(Debug)]
struct Before {
    key: String,
    entry: Option<Entry>,
    tombstone: Option<u64>,
}

/// What to write: a key with its value and flags.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct Write {
    pub key: String,
    pub value: Vec<u8>,
    pub flags: u64,
}

impl Keys {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The keys that begin with this.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        let from = self.entries.from(prefix.to_owned());
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(_, entry)| entry)
    }

    /// From here on, changes can be taken back.
    pub(super) fn begin(&mut self) {
        self.before = Some(Vec::new());
        self.delays_before.clone_from(&self.delays);
    }

    /// They stay.
    pub(super) fn commit(&mut self) {
        self.before = None;
    }

    /// They are taken back.
    pub(super) fn roll_back(&mut self) {
        std::mem::swap(&mut self.delays, &mut self.delays_before);
        for Before { key, entry, tombstone } in self.before.take().unwrap_or_default().into_iter().rev() {
            match tombstone {
                Some(index) => self.tombstones.insert(key.clone(), index),
                None => self.tombstones.remove(&key),
            };
            match entry {
                Some(entry) => self.insert(entry),
                None => drop(self.take(&key)),
            }
        }
    }

    fn remember(&mut self, key: &str) {
        if let Some(before) = &mut self.before {
            let (entry, tombstone) = (self.entries.get(key).cloned(), self.tombstones.get(key).copied());
            before.push(Before { key: key.to_owned(), entry, tombstone });
        }
    }

    fn put(&mut self, entry: Entry) {
        self.remember(&entry.key);
        self.insert(entry);
    }

    fn remove(&mut self, key: &str) -> bool {
        self.remember(key);
        self.take(key).is_some()
    }

    fn insert(&mut self, entry: Entry) {
        self.take(&entry.key);
        if let Some(session) = &entry.session {
            self.held.entry(session.to_ascii_lowercase()).or_default().insert(entry.key.clone());
        }
        self.entries.insert(entry.key.clone(), entry);
    }

    fn take(&mut self, key: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(key)?;
        let session = entry.session.as_ref().map(|session| session.to_ascii_lowercase());
        if let Some(session) = session
            && let Some(keys) = self.held.get_mut(&session)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.held.remove(&session);
            }
        }
        Some(entry)
    }

    fn bury(&mut self, key: &str, index: u64) {
        self.remember(key);
        self.tombstones.insert(key.to_owned(), index);
    }

    /// Those that a session holds.
    pub(super) fn held_by(&self, session: &str) -> Vec<String> {
        self.held.get(session).into_iter().flatten().cloned().collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.all()
    }

    pub(super) fn tombstones(&self) -> &BTreeMap<String, u64> {
        &self.tombstones
    }

    /// Takes up what was kept.
    pub(super) fn restore(&mut self, entries: Vec<Entry>, tombstones: BTreeMap<String, u64>) {
        entries.into_iter().for_each(|entry| self.insert(entry));
        self.tombstones = tombstones;
    }
}

impl State {
    /// The index of a key's answer, and the key.
    pub fn key(&self, key: &str) -> (u64, Option<&Entry>) {
        let entry = self.keys.get(key);
        (entry.map_or_else(|| self.keys_index(), |entry| entry.modify_index), entry)
    }

    /// The index of the answer to a prefix: of the last change below it where something is, or was, there.
    pub fn prefix_index(&self, prefix: &str) -> u64 {
        if prefix.is_empty() {
            return self.keys_index();
        }
        let last = self.keys.below(prefix).map(|entry| entry.modify_index).max().unwrap_or(0);
        let tombstones = self.keys.tombstones.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let last = tombstones.map(|(_, index)| *index).max().unwrap_or(0).max(last);
        if last == 0 { self.keys_index() } else { last }
    }

    fn keys_index(&self) -> u64 {
        self.tables.last(&[Table::Keys, Table::Tombstones])
    }

    /// Sets a key. Who holds it stays; its `LockIndex` does not.
    pub(super) fn set(&mut self, index: u64, write: Write) {
        let session = self.keys.get(&write.key).and_then(|entry| entry.session.clone());
        self.store(index, write, session, 0);
    }

    /// Sets a key that was last changed at `expected`; at 0, one that is not there.
    pub(super) fn cas(&mut self, index: u64, write: Write, expected: u64) -> bool {
        if self.keys.get(&write.key).map_or(0, |entry| entry.modify_index) != expected {
            return false;
        }
        self.set(index, write);
        true
    }

    /// Whether a session can hold anything.
    pub(super) fn check_holder(&self, session: &str) -> Result<(), Fault> {
        if session.is_empty() {
            return Err(Fault::new("missing session"));
        }
        check_uuid(session).map_err(|Fault(text)| Fault(format!("failed session lookup: {text}")))?;
        match self.sessions.get(session) {
            Some(_) => Ok(()),
            None => Err(Fault(format!("invalid session {session:?}"))),
        }
    }

    /// Whether a key that was lost is barred for a while yet.
    pub(super) fn is_barred(&self, key: &str) -> bool {
        self.keys.delays.get(key).is_some_and(|until| self.now() < *until)
    }

    /// Has a session hold a key, unless another one does.
    pub(super) fn acquire(&mut self, index: u64, write: Write, session: &str) -> Result<bool, Fault> {
        self.check_holder(session)?;
        let lock_index = match self.keys.get(&write.key) {
            Some(Entry { session: Some(holder), .. }) if holder != session => return Ok(false),
            Some(Entry { session: Some(_), lock_index, .. }) => *lock_index,
            Some(Entry { lock_index, .. }) => lock_index + 1,
            None => 1,
        };
        self.store(index, write, Some(session.to_owned()), lock_index);
        Ok(true)
    }

    /// Sets a key, and nobody holds it; only by who does.
    pub(super) fn release(&mut self, index: u64, write: Write, session: &str) -> Result<bool, Fault> {
        if session.is_empty() {
            return Err(Fault::new("missing session"));
        }
        let Some(entry) = self.keys.get(&write.key).filter(|entry| entry.session.as_deref() == Some(session)) else {
            return Ok(false);
        };
        let lock_index = entry.lock_index;
        self.store(index, write, None, lock_index);
        Ok(true)
    }

    pub(super) fn delete(&mut self, index: u64, key: &str) {
        if self.keys.remove(key) {
            self.keys.bury(key, index);
            self.tables.touch(Table::Keys, index);
            self.tables.touch(Table::Tombstones, index);
        }
    }

    /// Deletes a key that was last changed at `expected`. One that is not there is deleted already.
    pub(super) fn delete_cas(&mut self, index: u64, key: &str, expected: u64) -> bool {
        match self.keys.get(key) {
            None => true,
            Some(entry) if entry.modify_index != expected => false,
            Some(_) => {
                self.delete(index, key);
                true
            }
        }
    }

    pub(super) fn delete_tree(&mut self, index: u64, prefix: &str) {
        let below: Vec<String> = self.keys.below(prefix).map(|entry| entry.key.clone()).collect();
        if below.is_empty() {
            return;
        }
        for key in below {
            self.keys.remove(&key);
        }
        self.tables.touch(Table::Keys, index);
        if !prefix.is_empty() {
            self.keys.bury(prefix, index);
            self.tables.touch(Table::Tombstones, index);
        }
    }

    /// Takes a key from a session that has ended, and bars it for a while.
    pub(super) fn lose(&mut self, index: u64, key: &str, delete: bool, delay: Duration) {
        if delete {
            self.delete(index, key);
        } else if let Some(Entry { key, value, flags, lock_index, .. }) = self.keys.get(key).cloned() {
            self.store(index, Write { key, value, flags }, None, lock_index);
        }
        if !delay.is_zero() {
            let (now, until) = (self.now(), self.now() + delay.min(LONGEST_DELAY));
            self.keys.delays.retain(|_, until| now < *until);
            self.keys.delays.insert(key.to_owned(), until);
        }
    }

    /// The last step of each write: what is as it was is not changed.
    fn store(&mut self, index: u64, write: Write, session: Option<String>, lock_index: u64) {
        let Write { key, value, flags } = write;
        let before = self.keys.get(&key);
        let create_index = before.map_or(index, |entry| entry.create_index);
        let modify_index = before.map_or(index, |entry| entry.modify_index);
        let mut entry = Entry { lock_index, key, flags, value, session, create_index, modify_index };
        if before == Some(&entry) {
            return;
        }
        entry.modify_index = index;
        self.keys.put(entry);
        self.tables.touch(Table::Keys, index);
    }

    /// [`set`](Self::set), as a write of its own.
    pub fn set_now(&mut self, write: Write) {
        let index = self.next_index();
        self.set(index, write);
    }

    /// [`cas`](Self::cas), as a write of its own.
    pub fn cas_now(&mut self, write: Write, expected: u64) -> bool {
        let index = self.next_index();
        self.cas(index, write, expected)
    }

    /// [`acquire`](Self::acquire), as a write of its own, unless the key is barred.
    pub fn acquire_now(&mut self, write: Write, session: &str) -> Result<bool, Fault> {
        // Before anybody looks whether there is such a session.
        if self.is_barred(&write.key) {
            return Ok(false);
        }
        let index = self.next_index();
        self.acquire(index, write, session)
    }

    /// [`release`](Self::release), as a write of its own.
    pub fn release_now(&mut self, write: Write, session: &str) -> Result<bool, Fault> {
        let index = self.next_index();
        self.release(index, write, session)
    }

    /// Deletes a key; only if it was last changed at `expected`, where that is given.
    pub fn delete_now(&mut self, key: &str, expected: Option<u64>) -> bool {
        let index = self.next_index();
        match expected {
            Some(expected) => self.delete_cas(index, key, expected),
            None => {
                self.delete(index, key);
                true
            }
        }
    }

    /// [`delete_tree`](Self::delete_tree), as a write of its own.
    pub fn delete_tree_now(&mut self, prefix: &str) {
        let index = self.next_index();
        self.delete_tree(index, prefix);
    }
}

fn to_base64<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_empty() { serializer.serialize_none() } else { serializer.serialize_str(&BASE64.encode(value)) }
}

/// Null is nothing, too.
pub(in crate::dev) fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    BASE64.decode(text).map_err(serde::de::Error::custom)
}
