//! The flow for keys: observe, plan, apply.
//!
//! # Guarantees
//! - A key is written or deleted only if it is still as it was when the plan was made: each write carries the index
//!   that it was planned against. Where the key has moved, the plan is made anew, unless a `cas` was asked for.
//! - A key that another session holds is not touched unless forced, and never acquired.
//! - A tree is deleted in transactions of compare-and-set deletes: a key that somebody changed meanwhile stays.
//!
//! # Not guaranteed
//! A value of more than about 384 KiB is too long for the transaction that locks a key only if it is as it was: a write
//! that comes between the look and such a lock is lost.
//!
//! Where the token may read only a part of a tree, Consul before 1.11 does not say so, and the hidden part stays.

use std::time::{Duration, Instant};

use crate::consul::{Client, Condition, KvPair, Operation, PutOptions, Query, SessionEntry, TxnError, check_tree};
use crate::object::{Key, ObservedKey};
use crate::plan::key::{DesiredKey, KeyChange, KeyPolicy, UnsafeKey, plan_key};

use super::{Error, ROUNDS, observe};

/// The longest pause before a key that nobody holds, but that Consul does not give, is asked for again. Lock-delay is
/// at most 60 s, and no answer shows it.
const LOCK_DELAY_PAUSE: Duration = Duration::from_millis(500);

/// One agent, one place, one policy, for keys.
#[derive(Debug)]
pub struct KeyReconciler<'a> {
    /// The agent.
    pub client: &'a Client,
    /// Datacenter, namespace, partition.
    pub query: &'a Query,
    /// What may be done.
    pub policy: &'a KeyPolicy,
}

/// What a run did to a key, or would do.
#[derive(Clone, Debug)]
pub struct KeyReport {
    /// What was done; `None` where there was nothing to do.
    pub change: Option<KeyChange>,
    /// The key as Consul has it now; before the change, where it was only foreseen.
    pub pair: Option<KvPair>,
}

impl From<KvPair> for ObservedKey {
    fn from(pair: KvPair) -> Self {
        Self {
            key: Key { key: pair.key, value: pair.value, flags: pair.flags },
            modify_index: pair.modify_index,
            holder: pair.session,
        }
    }
}

impl KeyReconciler<'_> {
    /// Makes Consul agree, and says what that took.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn apply(&self, key: &str, desired: &DesiredKey) -> Result<KeyReport, Error> {
        for _ in 0..ROUNDS {
            let report = self.foresee(key, desired)?;
            let Some(change) = &report.change else { return Ok(report) };
            if self.write(change)? {
                let pair = self.client.kv().get(key, &self.query.consistent())?;
                return Ok(KeyReport { pair, ..report });
            }
        }
        Err(Error::Stale { what: format!("key {key:?} was changed by somebody else, {ROUNDS} times") })
    }

    /// Says what [`apply`](Self::apply) would do, and writes nothing.
    ///
    /// # Errors
    /// What `apply` would fail with too.
    pub fn foresee(&self, key: &str, desired: &DesiredKey) -> Result<KeyReport, Error> {
        let pair = self.client.kv().get(key, &self.query.consistent())?;
        let observed = pair.clone().map(ObservedKey::from);
        let change = plan_key(key, desired, observed.as_ref(), self.policy).map_err(|error| self.named(error))?;
        Ok(KeyReport { change, pair })
    }

    /// [`apply`](Self::apply), and where another session holds the key, or its lock-delay runs, again until `timeout`
    /// has passed. It waits on blocking queries, without polling; for a lock-delay, which no answer shows, by time.
    ///
    /// # Errors
    /// As `apply`; the last refusal where the time is over.
    pub fn apply_waiting(&self, key: &str, desired: &DesiredKey, timeout: Duration) -> Result<KeyReport, Error> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            let error = match self.apply(key, desired) {
                Err(error @ (Error::Held { .. } | Error::LockDelay { .. })) if !left.is_zero() => error,
                result => return result,
            };
            match error {
                Error::Held { .. } => self.wait_for_change(key, left)?,
                _ => std::thread::sleep(left.min(LOCK_DELAY_PAUSE.mul_f64(0.5 + fastrand::f64() / 2.0))),
            }
        }
    }

    /// The error, with the name of the session that is in the way.
    pub(super) fn named(&self, error: UnsafeKey) -> Error {
        let UnsafeKey::Held { key, holder } = error else { return error.into() };
        // Only a name is at stake: where it cannot be read, the id has to do.
        let entry = self.client.session().read(&holder, self.query).ok().and_then(|(entry, _)| entry);
        let who = entry.map(|SessionEntry { name, node, .. }| match name.as_str() {
            "" => format!(" (on node '{node}')"),
            name => format!(" ('{name}' on node '{node}')"),
        });
        Error::Held { key, holder, who }
    }

    fn wait_for_change(&self, key: &str, left: Duration) -> Result<(), Error> {
        let watch = self.client.kv().watch(key, self.query)?.wait(left);
        let start = Instant::now();
        let holder = |pairs: Vec<KvPair>| pairs.into_iter().next().and_then(|pair| pair.session);
        for answer in watch {
            if holder(answer?.0).is_none() || start.elapsed() >= left {
                break;
            }
        }
        Ok(())
    }

    /// Writes a change. False where the key had moved.
    pub(super) fn write(&self, change: &KeyChange) -> Result<bool, Error> {
        let kv = self.client.kv();
        let put = |after: &Key, condition| {
            kv.put(&after.key, &after.value, &PutOptions { flags: after.flags, condition }, self.query)
        };
        match change {
            KeyChange::Create { after } => Ok(put(after, Condition::Cas(0))?),
            KeyChange::Update { before, after } => Ok(put(after, Condition::Cas(before.modify_index))?),
            KeyChange::Delete { before } => Ok(kv.delete(&before.key.key, Some(before.modify_index), self.query)?),
            KeyChange::Release { after, session, .. } => Ok(put(after, Condition::Release(session.clone()))?),
            KeyChange::Acquire { before, after, session } => self.acquire(before.as_ref(), after, session),
        }
    }

    /// Locks a key if it is still as it was: the value that goes with the lock must not undo another's write.
    fn acquire(&self, before: Option<&ObservedKey>, after: &Key, session: &str) -> Result<bool, Error> {
        let unmoved = match before {
            None => Operation::check_not_exists(&after.key),
            Some(before) => Operation::check_index(&after.key, before.modify_index),
        };
        let lock = Operation::lock(&after.key, &after.value, after.flags, session);
        match self.client.txn().apply(&[unmoved, lock], self.query) {
            Ok(_) => Ok(true),
            Err(TxnError::Failed { source, .. }) if source.status() == Some(413) => self.acquire_alone(after, session),
            Err(TxnError::Failed { source, .. }) => Err(source.into()),
            Err(error @ TxnError::Refused { .. }) if error.is_denied() => {
                Err(Error::NotAllowed { key: after.key.clone(), what: "Permission denied".to_owned() })
            }
            Err(TxnError::Refused { failed, .. }) if failed.iter().any(|failed| failed.index == 0) => Ok(false),
            Err(TxnError::Refused { failed, .. }) => {
                let what = failed.into_iter().map(|failed| failed.what).collect::<Vec<_>>().join("; ");
                if what.contains("invalid session") {
                    return Err(Error::NoSession { session: session.to_owned() });
                }
                // The key is free (else the plan had been refused), and Consul does not give it.
                Err(Error::LockDelay { key: after.key.clone(), what })
            }
        }
    }

    /// Locks a key whose value is too long for a transaction, where it travels as base64.
    fn acquire_alone(&self, after: &Key, session: &str) -> Result<bool, Error> {
        let options = PutOptions { flags: after.flags, condition: Condition::Acquire(session.to_owned()) };
        match self.client.kv().put(&after.key, &after.value, &options, self.query) {
            Ok(true) => Ok(true),
            Ok(false) => {
                let what = "a lock-delay runs, or another session was faster".to_owned();
                Err(Error::LockDelay { key: after.key.clone(), what })
            }
            Err(error) if error.body().is_some_and(|body| body.contains("invalid session")) => {
                Err(Error::NoSession { session: session.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the token may not read below `prefix`, so that an empty list proves nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn is_blind(&self, prefix: &str) -> Result<bool, Error> {
        match observe::readable(self.client, self.query, prefix) {
            Err(Error::Blind { .. }) => Ok(true),
            result => result.map(|()| false),
        }
    }

    /// The keys of a tree, all of them or none: proves first that the token may read there.
    ///
    /// # Errors
    /// [`Error::Blind`] where it may not.
    pub fn tree(&self, prefix: &str) -> Result<Vec<KvPair>, Error> {
        check_tree(prefix).map_err(crate::consul::Error::from)?;
        observe::readable(self.client, self.query, prefix)?;
        let (pairs, meta) = self.client.kv().recurse(prefix, &self.query.consistent())?;
        if meta.filtered_by_acls {
            return Err(observe::blind_below(prefix));
        }
        Ok(pairs)
    }

    /// The deletes that would leave nothing of a tree.
    ///
    /// # Errors
    /// As [`tree`](Self::tree); [`Error::Key`] where another session holds one of the keys, and it is not forced.
    pub fn foresee_tree_absent(&self, prefix: &str) -> Result<Vec<ObservedKey>, Error> {
        let observed: Vec<ObservedKey> = self.tree(prefix)?.into_iter().map(ObservedKey::from).collect();
        for key in &observed {
            plan_key(&key.key.key, &DesiredKey::Absent, Some(key), self.policy).map_err(|error| self.named(error))?;
        }
        Ok(observed)
    }

    /// Deletes the keys of a tree, each only if it is still as it was.
    ///
    /// # Errors
    /// As [`foresee_tree_absent`](Self::foresee_tree_absent); [`Error::Partly`] says which were deleted before it
    /// stopped.
    pub fn apply_tree_absent(&self, prefix: &str) -> Result<Vec<ObservedKey>, Error> {
        let observed = self.foresee_tree_absent(prefix)?;
        let deletes: Vec<KeyChange> = observed.iter().map(|key| KeyChange::Delete { before: key.clone() }).collect();
        self.apply_all(&deletes)?;
        Ok(observed)
    }
}
