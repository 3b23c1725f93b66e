//! `/v1/txn`: several operations on keys, all or none.

use serde::{Deserialize, Serialize, Serializer};

use super::client::Client;
use super::error::Error;
use super::key::{check_key, check_value};
use super::kv::{KvPair, to_base64};
use super::query::Query;
use super::request::Request;

/// Transactions.
#[derive(Clone, Copy, Debug)]
pub struct Txn<'a>(pub(super) &'a Client);

/// One operation on a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Operation {
    verb: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_to_base64")]
    value: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

impl Operation {
    fn new(verb: &'static str, key: &str) -> Self {
        Self { verb, key: key.to_owned(), value: None, flags: None, index: None, session: None }
    }

    fn writing(self, value: &[u8], flags: u64) -> Self {
        Self { value: Some(value.to_vec()), flags: Some(flags), ..self }
    }

    fn at(self, index: u64) -> Self {
        Self { index: Some(index), ..self }
    }

    fn of(self, session: &str) -> Self {
        Self { session: Some(session.to_owned()), ..self }
    }

    /// Writes the key.
    pub fn set(key: &str, value: &[u8], flags: u64) -> Self {
        Self::new("set", key).writing(value, flags)
    }

    /// Writes the key if it is as it was at `index`, a `ModifyIndex`; 0: if it does not exist.
    pub fn cas(key: &str, value: &[u8], flags: u64, index: u64) -> Self {
        Self::new("cas", key).writing(value, flags).at(index)
    }

    /// Locks the key for a session, and writes it.
    pub fn lock(key: &str, value: &[u8], flags: u64, session: &str) -> Self {
        Self::new("lock", key).writing(value, flags).of(session)
    }

    /// Unlocks the key of a session, and writes it.
    pub fn unlock(key: &str, value: &[u8], flags: u64, session: &str) -> Self {
        Self::new("unlock", key).writing(value, flags).of(session)
    }

    /// Reads the key; fails where it does not exist.
    pub fn get(key: &str) -> Self {
        Self::new("get", key)
    }

    /// Deletes the key.
    pub fn delete(key: &str) -> Self {
        Self::new("delete", key)
    }

    /// Deletes the key if it is as it was at `index`.
    pub fn delete_cas(key: &str, index: u64) -> Self {
        Self::new("delete-cas", key).at(index)
    }

    /// Fails unless the key is as it was at `index`.
    pub fn check_index(key: &str, index: u64) -> Self {
        Self::new("check-index", key).at(index)
    }

    /// Fails unless the session holds the key.
    pub fn check_session(key: &str, session: &str) -> Self {
        Self::new("check-session", key).of(session)
    }

    /// Fails if the key exists.
    pub fn check_not_exists(key: &str) -> Self {
        Self::new("check-not-exists", key)
    }

    /// The key that it is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How many bytes it takes in a transaction's body, about: for whoever packs operations that must stay together.
    pub fn size(&self) -> usize {
        let value = self.value.as_ref().map_or(0, |value| value.len().div_ceil(3) * 4);
        // A character of a key takes six in JSON at most; the names of the fields, the numbers and a session's id less
        // than 200.
        value + self.key.len() * 6 + 200
    }
}

/// An operation that failed, and with it its whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// Which one: its place among all that were given.
    pub index: usize,
    /// Its key; empty where Consul names no operation.
    pub key: String,
    /// Consul's reason.
    pub what: String,
}

/// Why not everything was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxnError {
    /// An operation failed, so nothing of its batch was done.
    #[error("after {applied} operations: {}", self.reason())]
    Refused {
        /// How many operations were done before: the batches before this one, which stay.
        applied: usize,
        /// What failed.
        failed: Vec<OperationError>,
    },
    /// A batch was not carried out, or not answered.
    #[error("after {applied} operations: {}", self.reason())]
    Failed {
        /// How many operations were certainly done before.
        applied: usize,
        /// How many after those are of a batch whose answer was lost: all of them were done, or none.
        open: usize,
        /// What went wrong.
        source: Error,
    },
}

impl TxnError {
    /// True where the token does not allow it.
    pub fn is_denied(&self) -> bool {
        match self {
            // The status is 409 then, as for every operation that fails.
            Self::Refused { failed, .. } => failed.iter().any(|failed| failed.what.contains("Permission denied")),
            Self::Failed { source, .. } => source.is_denied(),
        }
    }

    /// What went wrong, without how much had been done before.
    pub fn reason(&self) -> String {
        match self {
            Self::Failed { source, .. } => source.to_string(),
            Self::Refused { failed, .. } => {
                let one = |error: &OperationError| format!("on {:?}: {}", error.key, error.what);
                failed.iter().map(one).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// How many operations were certainly done.
    pub fn applied(&self) -> usize {
        let (Self::Refused { applied, .. } | Self::Failed { applied, .. }) = self;
        *applied
    }

    /// How many operations after those were all done or none, for the answer was lost.
    pub fn open(&self) -> usize {
        if let Self::Failed { open, .. } = self { *open } else { 0 }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    results: Option<Vec<Outcome>>,
    #[serde(default)]
    errors: Option<Vec<Failure>>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "KV")]
    kv: KvPair,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    op_index: usize,
    what: String,
}

impl Txn<'_> {
    /// How many operations a later Consul takes in one transaction.
    pub const MANY: usize = 128;

    /// How many an earlier one takes. No server says which it is; it answers 413 to more.
    pub const FEW: usize = 64;

    /// The longest body that a server takes by default (`txn_max_req_len`): 512 KiB. A single operation with a value of
    /// the longest kind does not fit, for its value travels as base64; write such a value by itself.
    pub const MAX_BODY: usize = 512 * 1024;

    /// Does `operations` as one transaction: all of them, or none. Gives what they leave behind, as
    /// [`apply`](Self::apply) does.
    ///
    /// # Errors
    /// [`TxnError`]; a status 413 where the server takes fewer at once: [`Txn::MANY`] for a later Consul, [`Txn::FEW`]
    /// for an earlier one, and [`Txn::MAX_BODY`] for all.
    pub fn once(&self, operations: &[Operation], query: &Query) -> Result<Vec<KvPair>, TxnError> {
        check(operations, 0)?;
        let (_, body) = batch(operations, usize::MAX, usize::MAX);
        let request = Request::put(&["txn"]).with(query).body(body.into_bytes());
        match self.0.read::<Answer>(&request) {
            Ok((answer, _)) => Ok(answer.results.unwrap_or_default().into_iter().map(|outcome| outcome.kv).collect()),
            Err(error) => Err(refusal(error, 0, operations, operations.len())),
        }
    }

    /// Does `operations` in their order, packed into as few transactions as the server takes. Gives what they leave
    /// behind: a pair for each operation that writes or reads, with its value only for one that reads.
    ///
    /// # Guarantees
    /// Each transaction is done as a whole or not at all. They are sent one after another, each once, and none after
    /// one that failed.
    ///
    /// # Errors
    /// [`TxnError`] says how much had been done before, and which operation failed and why.
    pub fn apply(&self, operations: &[Operation], query: &Query) -> Result<Vec<KvPair>, TxnError> {
        let mut applied = 0;
        let mut pairs = Vec::new();
        let mut limit = Self::MANY;
        check(operations, applied)?;
        while let Some(rest) = operations.get(applied..).filter(|rest| !rest.is_empty()) {
            let (count, body) = batch(rest, limit, Self::MAX_BODY);
            let request = Request::put(&["txn"]).with(query).body(body.into_bytes());
            match self.0.read::<Answer>(&request) {
                Ok((answer, _)) => {
                    pairs.extend(answer.results.unwrap_or_default().into_iter().map(|outcome| outcome.kv));
                    applied += count;
                }
                Err(Error::Status { status: 413, .. }) if count > Self::FEW => limit = Self::FEW,
                Err(error) => return Err(refusal(error, applied, rest, count)),
            }
        }
        Ok(pairs)
    }
}

/// Refuses keys and values that Consul would refuse, or take for others.
fn check(operations: &[Operation], applied: usize) -> Result<(), TxnError> {
    for operation in operations {
        let value = operation.value.as_deref().unwrap_or_default();
        check_key(&operation.key)
            .and_then(|()| check_value(&operation.key, value))
            .map_err(|error| TxnError::Failed { applied, open: 0, source: error.into() })?;
    }
    Ok(())
}

/// As many of `operations` as fit into one transaction of so many operations and bytes, at least one, and its body.
fn batch(operations: &[Operation], limit: usize, bytes: usize) -> (usize, String) {
    let mut body = String::from("[");
    let mut count = 0;
    for operation in operations.iter().take(limit) {
        let one = format!("{{\"KV\":{}}}", serde_json::to_string(operation).unwrap_or_default());
        if count > 0 && body.len() + one.len() > bytes.saturating_sub(2) {
            break;
        }
        if count > 0 {
            body.push(',');
        }
        body.push_str(&one);
        count += 1;
    }
    body.push(']');
    (count, body)
}

/// Reads a 409 as what it says: which operation failed, and why. `count` operations had been sent.
fn refusal(error: Error, applied: usize, rest: &[Operation], count: usize) -> TxnError {
    // From bytes, as all answers are read: from a text it would be the same code once more.
    let answer = error.body().filter(|_| error.is_conflict()).map(|body| crate::json::read::<Answer>(body.as_bytes()));
    let Some(Ok(Answer { errors: Some(failures), .. })) = answer else {
        let open = if error.leaves_open() { count } else { 0 };
        return TxnError::Failed { applied, open, source: error };
    };
    let name = |failure: Failure| OperationError {
        index: applied + failure.op_index,
        key: rest.get(failure.op_index).map_or_else(String::new, |operation| operation.key.clone()),
        what: failure.what,
    };
    TxnError::Refused { applied, failed: failures.into_iter().map(name).collect() }
}

fn some_to_base64<S: Serializer>(value: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    to_base64(value.as_deref().unwrap_or_default(), serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_both_limits() {
        let small: Vec<Operation> = (0..200).map(|n| Operation::set(&format!("k{n}"), b"v", 0)).collect();
        assert_eq!(batch(&small, Txn::MANY, Txn::MAX_BODY).0, 128);
        assert_eq!(batch(&small, Txn::FEW, Txn::MAX_BODY).0, 64);
        let large: Vec<Operation> = (0..10).map(|n| Operation::set(&format!("k{n}"), &[0; 100_000], 0)).collect();
        let (count, body) = batch(&large, Txn::MANY, Txn::MAX_BODY);
        assert_eq!(count, 3, "100,000 bytes are 133,336 as base64");
        assert!(body.len() <= Txn::MAX_BODY);
        assert_eq!(batch(&[Operation::set("k", &[0; 500_000], 0)], Txn::MANY, Txn::MAX_BODY).0, 1, "one at least");
    }

    #[test]
    fn an_operation_is_written_as_consul_reads_it() {
        let (_, body) =
            batch(&[Operation::cas("a", b"x", 7, 3), Operation::check_session("b", "id")], Txn::MANY, Txn::MAX_BODY);
        assert_eq!(
            body,
            r#"[{"KV":{"Verb":"cas","Key":"a","Value":"eA==","Flags":7,"Index":3}},{"KV":{"Verb":"check-session","Key":"b","Session":"id"}}]"#
        );
    }
}
