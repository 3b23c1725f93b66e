//! The result of the module `consul_kv`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::ansible::call::Call;
use crate::ansible::consul_kv::State;
use crate::ansible::{Common, Diff};
use crate::consul::KvPair;
use crate::object::{Key, ObservedKey};
use crate::plan::key::KeyChange;
use crate::reconcile::{Error, KeyReport};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// Everything was as desired.
    Unchanged,
    /// A key was created.
    Created,
    /// A key was written.
    Updated,
    /// A key, or a tree, was deleted.
    Deleted,
    /// The session got the key, or wrote it while it held it.
    Acquired,
    /// The session gave the key up.
    Released,
    /// Another session holds the key, and the task was skipped.
    Skipped,
    /// Something was read.
    Read,
}

/// The result of the module `consul_kv`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_kv")]
pub struct KvResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// What was done; in check mode, what would be done.
    action: Action,
    /// The key, or the prefix of the tree.
    key: String,
    /// The key as Consul now has it; null where it does not exist.
    data: Option<Record>,
    /// The key's `ModifyIndex`, which `cas` takes; null where it does not exist.
    index: Option<u64>,
    /// With `recurse`: the keys that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<Vec<Record>>,
    /// With `recurse`: the keys that were deleted; in check mode, that would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<Vec<String>>,
    /// What differs, in diff mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Vec<Diff>>,
    /// True where the task was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<bool>,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<String>,
}

/// A key, under Consul's names.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The key.
    key: String,
    /// The value, where it is text; null where it is empty, or no UTF-8.
    value: Option<String>,
    /// The value as base64, whatever it is.
    value_base64: String,
    /// The number that goes with it.
    flags: u64,
    /// The id of the session that holds it; null where none does.
    session: Option<String>,
    /// How often it was acquired since the last plain write.
    lock_index: u64,
    /// The Raft index at which it was made.
    create_index: u64,
    /// The Raft index at which it was last changed.
    modify_index: u64,
}

impl From<&KvPair> for Record {
    fn from(pair: &KvPair) -> Self {
        Self {
            key: pair.key.clone(),
            value: text_of(&pair.value),
            value_base64: BASE64.encode(&pair.value),
            flags: pair.flags,
            session: pair.session.clone(),
            lock_index: pair.lock_index,
            create_index: pair.create_index,
            modify_index: pair.modify_index,
        }
    }
}

fn text_of(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

impl KvResult {
    fn new(action: Action, key: &str) -> Self {
        Self {
            common: Common::default(),
            action,
            key: key.to_owned(),
            data: None,
            index: None,
            pairs: None,
            deleted: None,
            diff: None,
            skipped: None,
            msg: None,
        }
    }

    pub(super) fn of_read(key: &str, pair: Option<KvPair>) -> Self {
        let index = pair.as_ref().map(|pair| pair.modify_index);
        Self { data: pair.as_ref().map(Record::from), index, ..Self::new(Action::Read, key) }
    }

    pub(super) fn of_tree(key: &str, pairs: &[KvPair], hidden: bool) -> Self {
        let mut result = Self { pairs: Some(pairs.iter().map(Record::from).collect()), ..Self::new(Action::Read, key) };
        if hidden {
            result.common.warnings.push(format!("the token may not read every key below {key:?}: there may be more"));
        }
        result
    }

    pub(super) fn of_tree_absent(key: &str, deleted: &[ObservedKey], call: &Call) -> Self {
        let action = if deleted.is_empty() { Action::Unchanged } else { Action::Deleted };
        let mut result = Self::new(action, key);
        result.common.changed = !deleted.is_empty();
        result.deleted = Some(deleted.iter().map(|key| key.key.key.clone()).collect());
        result.diff =
            call.diff_mode.then(|| deleted.iter().map(|key| diff(&key.key.key, Some(&key.key), None)).collect());
        result
    }

    pub(super) fn of_report(key: &str, report: KeyReport, retrieve: bool, call: &Call) -> Self {
        let (action, change) = match &report.change {
            None => (Action::Unchanged, None),
            Some(KeyChange::Create { after }) => (Action::Created, Some(diff(key, None, Some(after)))),
            Some(KeyChange::Update { before, after }) => {
                (Action::Updated, Some(diff(key, Some(&before.key), Some(after))))
            }
            Some(KeyChange::Delete { before }) => (Action::Deleted, Some(diff(key, Some(&before.key), None))),
            Some(KeyChange::Acquire { before, after, .. }) => {
                (Action::Acquired, Some(diff(key, before.as_ref().map(|before| &before.key), Some(after))))
            }
            Some(KeyChange::Release { before, after, .. }) => {
                (Action::Released, Some(diff(key, Some(&before.key), Some(after))))
            }
        };
        let pair = report.pair.as_ref();
        let mut result = Self::new(action, key);
        result.common.changed = change.is_some();
        result.index = pair.map(|pair| pair.modify_index);
        result.data = pair.filter(|_| retrieve || change.is_none()).map(Record::from);
        result.diff = call.diff_mode.then(|| change.into_iter().collect());
        result
    }

    pub(super) fn of_skip(key: &str, busy: &Error) -> Self {
        Self { skipped: Some(true), msg: Some(busy.to_string()), ..Self::new(Action::Skipped, key) }
    }

    pub(super) fn warning(mut self, warning: Option<String>) -> Self {
        self.common.warnings.extend(warning);
        self
    }

    /// In check mode, of a run that would wait.
    pub(super) fn of_wait(key: &str, state: State, busy: &Error) -> Self {
        let action = match state {
            State::Acquired => Action::Acquired,
            State::Absent => Action::Deleted,
            State::Present | State::Released | State::Info => Action::Updated,
        };
        let mut result = Self::new(action, key);
        result.common.changed = true;
        result.common.warnings.push(format!("{busy}: the run would wait for it"));
        result
    }
}

impl AsMut<Common> for KvResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}

fn diff(name: &str, before: Option<&Key>, after: Option<&Key>) -> Diff {
    let header = format!("key {name}");
    Diff { before_header: header.clone(), after_header: header, before: fields(before), after: fields(after) }
}

fn fields(key: Option<&Key>) -> Value {
    match key {
        None => json!({}),
        Some(key) => match text_of(&key.value) {
            Some(text) => json!({"value": text, "flags": key.flags}),
            None => json!({"value_base64": BASE64.encode(&key.value), "flags": key.flags}),
        },
    }
}
