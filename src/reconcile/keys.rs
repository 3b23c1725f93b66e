//! The flow for many keys: observe, plan, apply in transactions.
//!
//! # Guarantees
//! - Each write carries the index that was observed: a key that somebody changed meanwhile is not overwritten. Its
//!   transaction is refused as a whole, and nothing after it is sent.
//! - A key that is as desired is not written.
//! - Whatever stops the run, the error says which keys were written, and of which it is not known.
//!
//! # Not guaranteed
//! The whole is no transaction: what was written before it stopped stays. The next run writes the rest.

use std::fmt;

use crate::consul::{Operation, OperationError, Txn, TxnError};
use crate::object::{Key, ObservedKey};
use crate::plan::key::{DesiredKey, KeyChange, KeysPlan, Look, Read, looks, reads};

use super::{Error, KeyReconciler};

/// How far a run over many keys came. Changes are made in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many changes were made.
    pub done: usize,
    /// How many after them were all made, or none: the answer was lost.
    pub open: usize,
    /// How many there were to make.
    pub of: usize,
    /// The key of the last change that was made.
    pub last_done: Option<String>,
    /// The key of the last change of which it is not known.
    pub last_open: Option<String>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, open, of, last_done, last_open } = self;
        if done + open == 0 {
            return f.write_str("no key was changed");
        }
        write!(f, "{done} of {of} keys were changed")?;
        if let Some(last) = last_done {
            write!(f, ", in their order up to {last:?}")?;
        }
        if let Some(last) = last_open {
            write!(f, "; of the next {open}, up to {last:?}, all were or none: the answer was lost")?;
        }
        match of - done - open {
            0 => Ok(()),
            1 => write!(f, "; the last one was not"),
            rest => write!(f, "; the last {rest} were not"),
        }
    }
}

impl KeyReconciler<'_> {
    /// Reads those of `keys` that exist, and gives them in order. What else is in Consul is read as little as possible: of
    /// keys that nobody asked for the names, and the values only in a tree that consists of wanted keys to a good part.
    ///
    /// # Errors
    /// See [`Error`]; where the token may not read one of the keys, Consul's refusal.
    pub fn observe(&self, keys: &[&str]) -> Result<Vec<ObservedKey>, Error> {
        let mut keys = keys.to_vec();
        keys.sort();
        keys.dedup();
        let mut observed: Vec<ObservedKey> = Vec::new();
        let mut next = 0;
        self.look(&keys, &mut |key| {
            let name = key.key.key.as_str();
            // Mostly they come in order.
            let is_next = keys.get(next).is_some_and(|next| *next == name);
            if let Ok(place) = if is_next { Ok(next) } else { keys.binary_search(&name) } {
                next = place + 1;
                observed.push(key);
            }
        })?;
        ObservedKey::sort(&mut observed);
        observed.dedup_by(|a, b| a.key.key == b.key.key);
        Ok(observed)
    }

    /// Reads those of `keys`, which are in order, that exist, and gives them to `see`: some others too, and one that was
    /// read twice, twice.
    fn look(&self, keys: &[&str], see: &mut dyn FnMut(ObservedKey)) -> Result<(), Error> {
        for look in looks(keys) {
            let keys = match look {
                Look::Below(folder, keys) if self.look_below(folder, keys, see)? => continue,
                Look::Below(_, keys) | Look::Each(keys) => keys,
            };
            for key in keys {
                if let Some(pair) = self.client.kv().get(key, &self.query.consistent())? {
                    see(pair.into());
                }
            }
        }
        Ok(())
    }

    /// [`look`](Self::look) in a folder. False where the token may not see all of it: a list then lacks what it may not
    /// see, while a direct read is answered or refused.
    fn look_below(&self, folder: &str, keys: &[&str], see: &mut dyn FnMut(ObservedKey)) -> Result<bool, Error> {
        let (kv, query) = (self.client.kv(), &self.query.consistent());
        if !kv.may_read(folder, query)? {
            return Ok(false);
        }
        let mut names = match kv.keys_with_meta(folder, None, query) {
            Ok((names, meta)) if !meta.filtered_by_acls => names,
            Err(error) if !error.is_denied() => return Err(error.into()),
            _ => return Ok(false),
        };
        names.sort();
        let there = among(keys, &names);
        let reads = if there.is_empty() { Vec::new() } else { reads(folder, &names, &there) };
        drop(names); // what follows is larger
        for read in reads {
            match read {
                Read::Key(key) => {
                    if let Some(pair) = kv.get(key, query)? {
                        see(pair.into());
                    }
                }
                Read::Tree(folder) => {
                    if kv.each(folder, query, &mut |pair| see(pair.into()))?.filtered_by_acls {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Says what has to be changed so that all keys are as desired, and writes nothing. It is what
    /// [`apply_all`](Self::apply_all) takes. `desired` is in the order of the keys, with each key once.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Held`] where another session holds a key that differs, and it is not forced.
    pub fn foresee_all(&self, desired: &[(String, DesiredKey)]) -> Result<Vec<KeyChange>, Error> {
        let keys: Vec<&str> = desired.iter().map(|(key, _)| key.as_str()).collect();
        let mut plan = KeysPlan::new(desired, self.policy);
        self.look(&keys, &mut |key| plan.see(key))?;
        plan.finish().map_err(|error| self.named(error))
    }

    /// Makes `changes`, in their order, in as few transactions as the server takes. A value that is too long for one is
    /// written by itself, and so is a lock.
    ///
    /// One after another, so that what was written is known where it stops. Four at once took 0.8 to 1.0 times as long on
    /// a single server (1.8.7; 10,000 keys), for it has one log.
    ///
    /// # Errors
    /// [`Error::Partly`] says how far it came; any other where certainly nothing was written.
    pub fn apply_all(&self, changes: &[KeyChange]) -> Result<(), Error> {
        let mut done = 0;
        while let Some(rest) = changes.get(done..).filter(|rest| !rest.is_empty()) {
            let together: Vec<Operation> = rest.iter().map_while(operation).collect();
            let outcome = match rest.first() {
                Some(change) if together.is_empty() => self.write_alone(change),
                _ => self.client.txn().apply(&together, self.query).map(drop),
            };
            match outcome {
                Ok(()) => done += together.len().max(1),
                Err(TxnError::Failed { applied: 0, open: 0, source }) if done == 0 => return Err(source.into()),
                Err(error) => {
                    let (done, open) = (done + error.applied(), error.open());
                    let key = |place: usize| changes.get(place).map(|change| change.key().to_owned());
                    let last_done = done.checked_sub(1).and_then(key);
                    let last_open = (done + open).checked_sub(1).filter(|_| open > 0).and_then(key);
                    let progress = Progress { done, open, of: changes.len(), last_done, last_open };
                    return Err(Error::Partly { progress: Box::new(progress), source: Box::new(error) });
                }
            }
        }
        Ok(())
    }

    /// Makes one change, and says what went wrong as a transaction of it would.
    fn write_alone(&self, change: &KeyChange) -> Result<(), TxnError> {
        match self.write(change) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let what = format!("key {:?} was changed meanwhile", change.key());
                let failed = vec![OperationError { index: 0, key: change.key().to_owned(), what }];
                Err(TxnError::Refused { applied: 0, failed })
            }
            Err(Error::Consul(source)) => {
                Err(TxnError::Failed { applied: 0, open: usize::from(source.leaves_open()), source })
            }
            Err(error) => {
                let failed = vec![OperationError { index: 0, key: change.key().to_owned(), what: error.to_string() }];
                Err(TxnError::Refused { applied: 0, failed })
            }
        }
    }
}

/// The operation of a transaction that makes a change; `None` where it does not fit into one, or takes two.
fn operation(change: &KeyChange) -> Option<Operation> {
    let write = |after: &Key, index| Operation::cas(&after.key, &after.value, after.flags, index);
    let operation = match change {
        KeyChange::Create { after } => write(after, 0),
        KeyChange::Update { before, after } => write(after, before.modify_index),
        KeyChange::Delete { before } => Operation::delete_cas(&before.key.key, before.modify_index),
        KeyChange::Acquire { .. } | KeyChange::Release { .. } => return None,
    };
    (operation.size() < Txn::MAX_BODY).then_some(operation)
}

/// Those of `keys` that are among `names`. Both are in order: one walk over both, for to search for each of many costs more.
fn among<'a>(keys: &[&'a str], names: &[String]) -> Vec<&'a str> {
    let mut names = names.iter().peekable();
    let is_there = |key: &&str| {
        while names.next_if(|name| name.as_str() < *key).is_some() {}
        names.next_if(|name| name.as_str() == *key).is_some()
    };
    keys.iter().copied().filter(is_there).collect()
}
