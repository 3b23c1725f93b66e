//! A change, for people to read.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::object::{
    Behavior, FieldDifference, HeldLocks, Key, ObservedKey, ObservedNode, ObservedSession, Service, ServiceSpec,
    Session,
};
use crate::plan::Change;
use crate::plan::key::KeyChange;
use crate::plan::service::ServiceChange;

use super::{KeyStep, NodeChange, StateChange, Step};

/// What stands where there is nothing.
const NONE: &str = "none";

/// How many characters of a value are shown.
const SHOWN: usize = 200;

impl StateChange {
    /// What is lost by the change besides the object itself.
    pub fn fallout(&self) -> Vec<String> {
        match &self.step {
            Step::Session(Change::Replace { before, .. } | Change::Delete { before, .. }) => vec![end_of(before)],
            Step::Service { change: Some(ServiceChange::Deregister { before }), .. } if !before.checks.is_empty() => {
                let checks: Vec<&str> = before.checks.iter().map(String::as_str).collect();
                vec![format!("takes off its {}: {}", count(checks.len(), "check"), checks.join(", "))]
            }
            Step::Key(KeyStep::Write(
                KeyChange::Update { before: ObservedKey { holder: Some(holder), .. }, .. }
                | KeyChange::Delete { before: ObservedKey { holder: Some(holder), .. } },
            )) => vec![format!("session {holder} holds it")],
            Step::Session(Change::Create { .. }) | Step::Service { .. } | Step::Key(_) => Vec::new(),
        }
    }

    /// In what the object differs, field by field; of one that is made or deleted, whatever is not as Consul would have
    /// it. Values of keys are shown as a short hash where they are secret, or may be: those of deleted keys. Long ones are
    /// cut, and what is no letter is escaped.
    pub fn differences(&self) -> Vec<FieldDifference> {
        self.compare(Some(SHOWN))
    }

    /// The same with values whole and as they are, for whoever shows them line by line. What is in them may steer a
    /// terminal.
    pub fn whole_differences(&self) -> Vec<FieldDifference> {
        self.compare(None)
    }

    fn compare(&self, most: Option<usize>) -> Vec<FieldDifference> {
        match &self.step {
            Step::Session(Change::Create { after }) => from_nothing(plain(after).differences(after)),
            Step::Session(Change::Replace { before, after }) => before.session.differences(after),
            Step::Session(Change::Delete { before, .. }) => {
                to_nothing(before.session.differences(&plain(&before.session)))
            }
            Step::Service { node, change } => {
                let mut differences = change.as_ref().map(of_service).unwrap_or_default();
                differences.extend(node.iter().flat_map(|node| of_node(node)));
                differences
            }
            Step::Key(step) => of_key(step, self.secret, most),
        }
    }
}

/// `destroys session X: releases 3 keys: a, b, c`
fn end_of(session: &ObservedSession) -> String {
    let what = format!("destroys session {}", session.id);
    let verb = match session.session.behavior {
        Behavior::Release => "releases",
        Behavior::Delete => "deletes",
    };
    match &session.locks {
        HeldLocks::NotLooked => what,
        HeldLocks::Hidden => format!("{what}: {verb} the keys that it holds, which the token does not show"),
        HeldLocks::Keys(keys) if keys.is_empty() => what,
        HeldLocks::Keys(keys) => {
            let named: Vec<&str> = keys.iter().take(crate::plan::NAMED_KEYS).map(String::as_str).collect();
            let more = if named.len() < keys.len() { ", ..." } else { "" };
            format!("{what}: {verb} {}: {}{more}", count(keys.len(), "key"), named.join(", "))
        }
    }
}

fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A session of the same name and node, with everything else as Consul would have it.
fn plain(session: &Session) -> Session {
    Session { name: session.name.clone(), ..Session::on(session.node.clone()) }
}

fn from_nothing(mut differences: Vec<FieldDifference>) -> Vec<FieldDifference> {
    differences.iter_mut().for_each(|difference| difference.before = NONE.to_owned());
    differences
}

fn to_nothing(mut differences: Vec<FieldDifference>) -> Vec<FieldDifference> {
    differences.iter_mut().for_each(|difference| difference.after = NONE.to_owned());
    differences
}

fn of_service(change: &ServiceChange) -> Vec<FieldDifference> {
    match change {
        ServiceChange::Register { after } => {
            let mut differences = Service::default().differences(after.service());
            differences.extend(checks_of(after));
            from_nothing(differences)
        }
        ServiceChange::Update { differences, .. } => differences.clone(),
        ServiceChange::Deregister { before } => to_nothing(before.service.differences(&Service::default())),
    }
}

fn checks_of(spec: &ServiceSpec) -> Option<FieldDifference> {
    let checks: Vec<&str> = spec.checks()?.iter().filter_map(|check| check.id.as_deref()).collect();
    Some(FieldDifference { field: "checks", before: NONE.to_owned(), after: format!("[{}]", checks.join(", ")) })
}

fn of_node(NodeChange { before, after }: &NodeChange) -> Vec<FieldDifference> {
    fn show<T: Debug + PartialEq>(
        field: &'static str,
        change: &NodeChange,
        part: fn(&ObservedNode) -> &T,
    ) -> Option<FieldDifference> {
        let (before, after) = (change.before.as_ref().map(part), part(&change.after));
        (before != Some(after)).then(|| FieldDifference {
            field,
            before: before.map_or_else(|| NONE.to_owned(), |before| format!("{before:?}")),
            after: format!("{after:?}"),
        })
    }
    let change = NodeChange { before: before.clone(), after: after.clone() };
    [show("node_address", &change, |node| &node.address), show("node_meta", &change, |node| &node.meta)]
        .into_iter()
        .flatten()
        .collect()
}

fn of_key(step: &KeyStep, secret: bool, most: Option<usize>) -> Vec<FieldDifference> {
    let session = |id: &String| format!("session {id}");
    let (before, after, holder) = match step {
        KeyStep::Write(KeyChange::Create { after }) => (None, Some(after), None),
        KeyStep::Write(KeyChange::Update { before, after }) => {
            (Some(before), Some(after), before.holder.as_ref().map(session))
        }
        KeyStep::Write(KeyChange::Delete { before }) => (Some(before), None, None),
        KeyStep::Write(KeyChange::Acquire { before, after, session: id }) => {
            (before.as_ref(), Some(after), Some(session(id)))
        }
        KeyStep::Write(KeyChange::Release { before, after, .. }) => (Some(before), Some(after), None),
        KeyStep::Hold { before, after, holder, session: id, .. } => {
            let held = before.as_ref().and_then(|before| before.holder.as_deref());
            let stays = held.is_some() && held == id.as_ref().map(|id| id.as_str());
            let after_holder = if stays { held.map(|id| format!("session {id}")) } else { Some(holder.to_string()) };
            (before.as_ref(), Some(after), after_holder)
        }
    };
    let value = |key: &Key| shown(&key.value, secret, most);
    let field = |field, before: Option<String>, after: Option<String>| {
        (before != after).then(|| FieldDifference {
            field,
            before: before.unwrap_or_else(|| NONE.to_owned()),
            after: after.unwrap_or_else(|| NONE.to_owned()),
        })
    };
    let flags = |key: &Key| Some(key.flags).filter(|flags| *flags != 0).map(|flags| flags.to_string());
    let held_before = before.and_then(|before| before.holder.as_ref()).map(session);
    let values_differ = before.map(|before| &before.key.value) != after.map(|after| &after.value);
    let values = values_differ.then(|| field("value", before.map(|before| value(&before.key)), after.map(value)));
    [
        values.flatten(),
        field("flags", before.and_then(|before| flags(&before.key)), after.and_then(flags)),
        field("session", held_before, holder),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A value: as text, or as base64. With `most`, its control characters are escaped, and what is longer is cut. A secret
/// one as its hash.
fn shown(value: &[u8], secret: bool, most: Option<usize>) -> String {
    let hash = || crate::object::short_hash(value);
    if secret {
        return format!("hash {}, {}", hash(), count(value.len(), "byte"));
    }
    let text = match (std::str::from_utf8(value), most) {
        (Ok(text), Some(most)) => text.chars().take(most + 1).flat_map(escaped).collect(),
        (Ok(text), None) => text.to_owned(),
        (Err(_), _) => format!("base64 {}", BASE64.encode(value)),
    };
    match most.and_then(|most| text.char_indices().nth(most)) {
        None => text,
        Some((end, _)) => {
            let start = text.get(..end).unwrap_or_default();
            format!("{start}... ({}, hash {})", count(value.len(), "byte"), hash())
        }
    }
}

/// What is printed must not steer a terminal.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let (plain, escape) = if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escape.into_iter().flatten())
}
