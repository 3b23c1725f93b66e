//! Transactions: operations that are all done, or none.

use serde::Serialize;

use super::{CatalogOperation, Check, Entry, Fault, Node, Service, State, Write};

/// An operation on a key.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct KvOperation {
    pub verb: String,
    pub key: String,
    pub value: Vec<u8>,
    pub flags: u64,
    pub index: u64,
    pub session: String,
}

/// A step of a transaction.
#[derive(Clone, Debug)]
pub(in crate::dev) enum Operation {
    Key(KvOperation),
    Catalog(Box<CatalogOperation>),
}

impl Operation {
    /// Whether it may change anything.
    pub fn writes(&self) -> bool {
        match self {
            Self::Key(operation) => operation.writes(),
            Self::Catalog(operation) => operation.writes(),
        }
    }

    fn check(&self, state: &State) -> Result<(), Fault> {
        match self {
            Self::Key(operation) => operation.check(state),
            Self::Catalog(operation) => operation.check(),
        }
    }
}

/// What an operation gives.
#[derive(Clone, Debug)]
pub(in crate::dev) enum TxnResult {
    /// A key; its value only where it was asked for.
    Key(Entry),
    Node(Node),
    Service(Service),
    Check(Check),
}

/// Why an operation, and with it all of them, was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dev) struct TxnFailure {
    #[serde(rename = "OpIndex")]
    pub index: usize,
    #[serde(rename = "What")]
    pub what: Fault,
}

impl KvOperation {
    /// Whether it may change anything.
    pub fn writes(&self) -> bool {
        matches!(self.verb.as_str(), "set" | "cas" | "lock" | "unlock" | "delete" | "delete-cas" | "delete-tree")
    }

    /// What is looked at before anything is done.
    fn check(&self, state: &State) -> Result<(), Fault> {
        if self.key.is_empty() && self.verb != "delete-tree" {
            return Err(Fault::new("Must provide key"));
        }
        if self.verb == "lock" && state.is_barred(&self.key) {
            return Err(Fault(format!("failed to lock key {:?} due to lock delay", self.key)));
        }
        Ok(())
    }
}

impl State {
    /// Does all of these, or nothing and says which ones cannot be done, or are not admitted.
    pub fn transact(
        &mut self,
        operations: &[Operation],
        admit: impl Fn(&Self, &Operation) -> Result<(), Fault>,
    ) -> Result<Vec<TxnResult>, Vec<TxnFailure>> {
        let failures = |checked: Vec<Result<Vec<TxnResult>, Fault>>| -> Vec<TxnFailure> {
            let failed = checked.into_iter().enumerate().filter_map(|(index, done)| Some((index, done.err()?)));
            failed.map(|(index, what)| TxnFailure { index, what }).collect()
        };
        let unready = failures(
            (operations.iter())
                .map(|one| one.check(self).and_then(|()| admit(self, one)).map(|()| Vec::new()))
                .collect(),
        );
        if !unready.is_empty() {
            return Err(unready);
        }
        let index = if operations.iter().any(Operation::writes) { self.next_index() } else { self.index() };
        let tables = self.tables.clone();
        let beyond_keys =
            operations.iter().any(|operation| matches!(operation, Operation::Catalog(one) if one.writes()));
        let before = beyond_keys.then(|| (self.catalog.clone(), self.sessions.clone(), self.deadlines.clone()));
        self.keys.begin();
        let done: Vec<_> = (operations.iter())
            .map(|operation| match operation {
                Operation::Key(operation) => self.operate(index, operation),
                Operation::Catalog(operation) => self.operate_catalog(index, operation),
            })
            .collect();
        if done.iter().all(Result::is_ok) {
            self.keys.commit();
            return Ok(done.into_iter().flatten().flatten().collect());
        }
        self.keys.roll_back();
        self.tables = tables;
        if let Some(before) = before {
            (self.catalog, self.sessions, self.deadlines) = before;
        }
        Err(failures(done))
    }

    fn operate(&mut self, index: u64, operation: &KvOperation) -> Result<Vec<TxnResult>, Fault> {
        let KvOperation { verb, key, value, flags, index: expected, session, .. } = operation;
        let write = || Write { key: key.clone(), value: value.clone(), flags: *flags };
        let fault = |done: bool, text: String| if done { Ok(()) } else { Err(Fault(text)) };
        let stale = |what: &str| format!("failed to {what} key {key:?}, index is stale");
        match verb.as_str() {
            "set" => self.set(index, write()),
            "cas" => fault(self.cas(index, write(), *expected), stale("set"))?,
            "lock" => {
                let done = self.acquire(index, write(), session)?;
                fault(done, format!("failed to lock key {key:?}, lock is already held"))?;
            }
            "unlock" => {
                let done = self.release(index, write(), session)?;
                fault(done, format!("failed to unlock key {key:?}, lock isn't held, or is held by another session"))?;
            }
            "delete" => {
                self.delete(index, key);
                return Ok(Vec::new());
            }
            "delete-cas" => {
                fault(self.delete_cas(index, key, *expected), stale("delete"))?;
                return Ok(Vec::new());
            }
            "delete-tree" => {
                self.delete_tree(index, key);
                return Ok(Vec::new());
            }
            "get" => {
                let entry = self.keys.get(key).ok_or_else(|| Fault(format!("key {key:?} doesn't exist")))?;
                return Ok(vec![TxnResult::Key(entry.clone())]);
            }
            "get-tree" => return Ok(self.keys.below(key).cloned().map(TxnResult::Key).collect()),
            "check-session" => {
                let missing = || Fault(format!("failed to check session, key {key:?} doesn't exist"));
                let holder = self.keys.get(key).ok_or_else(missing)?.session.clone().unwrap_or_default();
                let text = format!("failed session check for key {key:?}, current session {holder:?} != {session:?}");
                fault(holder == *session, text)?;
            }
            "check-index" => {
                let missing = || Fault(format!("failed to check index, key {key:?} doesn't exist"));
                let modified = self.keys.get(key).ok_or_else(missing)?.modify_index;
                let text = format!("failed index check for key {key:?}, current modify index {modified} != {expected}");
                fault(modified == *expected, text)?;
            }
            "check-not-exists" => {
                fault(self.keys.get(key).is_none(), format!("key {key:?} exists"))?;
                return Ok(Vec::new());
            }
            verb => return Err(Fault(format!("unknown KV verb {verb:?}"))),
        }
        let entry = self.keys.get(key).map(|entry| Entry { value: Vec::new(), ..entry.clone() });
        Ok(entry.map(TxnResult::Key).into_iter().collect())
    }
}
