//! A session: what it should be, and one that is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Names;
use crate::duration::ConsulDuration;

/// The check that Consul gives a session that names none: the node is alive in the gossip pool.
pub const DEFAULT_CHECK: &str = "serfHealth";

/// What becomes of the keys that a session holds when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Behavior {
    /// The keys stay, unlocked.
    #[default]
    Release,
    /// The keys are deleted.
    Delete,
}

/// A service's check that a session depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceCheck {
    /// The check's id on the session's node.
    pub id: String,
    /// The namespace of the service (Consul Enterprise).
    pub namespace: Option<String>,
}

/// A session's properties, defaults settled, in canonical form: two of these are equal exactly when Consul would
/// treat the sessions alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name. Consul itself does not ask for one, and does not keep names apart.
    pub name: Option<String>,
    /// The node that it lives and dies with.
    pub node: String,
    /// The ids of the node's checks that it depends on. Empty: none, not even the node's health.
    pub checks: Names,
    /// The service checks that it depends on.
    pub service_checks: BTreeSet<ServiceCheck>,
    /// How long its keys stay barred after it was lost.
    pub lock_delay: ConsulDuration,
    /// How long it lives without a renewal, at least. `None`: for ever.
    pub ttl: Option<ConsulDuration>,
    /// What becomes of its keys when it ends.
    pub behavior: Behavior,
}

/// The id that Consul gave a session: a UUID, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(String);

/// A session that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSession {
    /// Its id.
    pub id: SessionId,
    /// The Raft index of its creation: of two sessions, the one with the lower index is the older one.
    pub create_index: u64,
    /// What it is. Where it is as declared, this is what is declared: of many there is one text of each name.
    pub session: Arc<Session>,
    /// The keys that it holds, as far as somebody looked.
    pub locks: HeldLocks,
    /// Notes that an earlier run left: it was replacing this session and may not have come to destroy it.
    pub replacement_notes: Vec<SessionId>,
}

/// The keys that a session holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeldLocks {
    /// Nobody looked: it did not matter for the plan.
    #[default]
    NotLooked,
    /// Somebody looked, and the token does not show them.
    Hidden,
    /// These keys; none if it is empty.
    Keys(Vec<String>),
}

/// One property in which two sessions differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// The option's name.
    pub field: &'static str,
    /// As it is.
    pub before: String,
    /// As it should be.
    pub after: String,
}

/// Why a session cannot be what was asked for: what Consul would refuse, or worse, take for something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    pub(crate) fn new(problem: String) -> Self {
        Self(problem)
    }
}

impl Session {
    /// The shortest TTL, 10 s: Consul's default `session_ttl_min`, below which the server answers 500.
    pub const TTL_MIN: ConsulDuration = ConsulDuration::from_secs(10);
    /// The longest TTL, a day: Consul's `SessionTTLMax`.
    pub const TTL_MAX: ConsulDuration = ConsulDuration::from_secs(86_400);
    /// Consul's lock-delay where none is given: 15 s.
    pub const LOCK_DELAY_DEFAULT: ConsulDuration = ConsulDuration::from_secs(15);
    /// The longest lock-delay, 60 s: Consul accepts longer ones, echoes them, and then cuts them to this.
    pub const LOCK_DELAY_MAX: ConsulDuration = ConsulDuration::from_secs(60);
    /// The shortest lock-delay that is not zero, 1 µs: Consul reads a lower number as *seconds*.
    pub const LOCK_DELAY_MIN: ConsulDuration = ConsulDuration::from_nanos(1_000);
    /// How the names of sessions begin that Lictor makes for itself.
    pub const OWN_PREFIX: &str = "lictor: ";
    /// How the name of a note begins that a replacement leaves while it is under way: see `reconcile`.
    pub const NOTE_PREFIX: &str = "lictor: replacing ";
    /// The longest name, in bytes. Consul has no limit; a name that long is a mistake, such as a file's content.
    pub const NAME_MAX: usize = 1_024;

    /// A session on `node` with everything else as Consul would have it.
    pub fn on(node: impl Into<String>) -> Self {
        Self {
            name: None,
            node: node.into(),
            checks: Names::default_check(),
            service_checks: BTreeSet::new(),
            lock_delay: Self::LOCK_DELAY_DEFAULT,
            ttl: None,
            behavior: Behavior::default(),
        }
    }

    /// Checks every bound that Consul leaves unchecked or answers badly.
    ///
    /// # Errors
    /// The first fault, in words that say what to write instead.
    pub fn validate(&self) -> Result<(), Refused> {
        if let Some(name) = &self.name {
            validate_name("name", name)?;
            if name.starts_with(Self::NOTE_PREFIX) {
                return Err(Refused::new(format!(
                    "name begins with {:?}, as the notes of replacements do: take another name",
                    Self::NOTE_PREFIX
                )));
            }
        }
        validate_path_name("node", &self.node)?;
        let delay = self.lock_delay;
        if delay > Self::LOCK_DELAY_MAX {
            return Err(Refused::new(format!(
                "delay is {delay}, but Consul holds a lock-delay for 60s at most: write 0 to 60s"
            )));
        }
        if !delay.is_zero() && delay < Self::LOCK_DELAY_MIN {
            return Err(Refused::new(format!(
                "delay is {delay}, which Consul would take for {} seconds: write 0, or 1us to 60s",
                delay.as_nanos()
            )));
        }
        if let Some(ttl) = self.ttl.filter(|ttl| !(Self::TTL_MIN..=Self::TTL_MAX).contains(ttl)) {
            return Err(Refused::new(format!(
                "ttl is {ttl}, but Consul takes 10s to 24h (86400s): leave ttl out for a session that needs no renewal"
            )));
        }
        for check in &self.checks {
            validate_name("checks", check)?;
        }
        for check in &self.service_checks {
            validate_name("service_checks", &check.id)?;
        }
        Ok(())
    }

    /// The properties in which `after` differs from this session, in the order of the options.
    pub fn differences(&self, after: &Self) -> Vec<FieldDifference> {
        // Without `..`, so that a new property does not compile until somebody decides what it means here.
        let Self { name, node, checks, service_checks, lock_delay, ttl, behavior } = self;
        [
            difference("name", name, &after.name, optional),
            difference("node", node, &after.node, String::clone),
            difference("checks", checks, &after.checks, |checks| list(checks)),
            difference("service_checks", service_checks, &after.service_checks, |checks| list(checks)),
            difference("delay", lock_delay, &after.lock_delay, ConsulDuration::to_string),
            difference("ttl", ttl, &after.ttl, optional),
            difference("behavior", behavior, &after.behavior, Behavior::to_string),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// This session with the node and the checks spelled as `wish` spells them. Consul does not tell upper from lower
    /// case there, and keeps what it was given.
    #[must_use]
    pub fn spelled_as(mut self, wish: &Self) -> Self {
        if self.node.eq_ignore_ascii_case(&wish.node) {
            self.node.clone_from(&wish.node);
        }
        if self.checks == wish.checks {
            return self;
        }
        let spelled =
            |check: String| wish.checks.iter().find(|w| w.eq_ignore_ascii_case(&check)).cloned().unwrap_or(check);
        self.checks = self.checks.into_iter().map(spelled).collect();
        self
    }

    /// True where nothing ever ends it but somebody who destroys it: no TTL, and no check whatever.
    pub fn never_ends(&self) -> bool {
        self.ttl.is_none() && self.checks.is_empty() && self.service_checks.is_empty()
    }
}

/// Checks a name (of a session, a node, a check) before it goes to Consul.
///
/// # Errors
/// Where it is empty, longer than [`Session::NAME_MAX`], or holds a control character such as a newline.
pub fn validate_name(option: &str, name: &str) -> Result<(), Refused> {
    if name.is_empty() {
        return Err(Refused::new(format!("{option} is empty, or holds an empty name: give one, or leave it out")));
    }
    if name.len() > Session::NAME_MAX {
        return Err(Refused::new(format!(
            "{option} is {} bytes long, and {} is the most: is it the content of a file?",
            name.len(),
            Session::NAME_MAX
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Refused::new(format!(
            "{option} holds a newline or another control character: {name:?}; use printable characters only"
        )));
    }
    Ok(())
}

/// Checks a name that stands in a path of Consul's API, which redirects to another one where a part between slashes is
/// empty, `.` or `..`.
///
/// # Errors
/// As for [`validate_name`], and where it has such a part.
pub fn validate_path_name(option: &str, name: &str) -> Result<(), Refused> {
    validate_name(option, name)?;
    let parts = name.strip_suffix('/').unwrap_or(name).split('/');
    if parts.into_iter().any(|part| matches!(part, "" | "." | "..")) {
        return Err(Refused::new(format!(
            "{option} is {name:?}, which no path to Consul can hold: leave out `.`, `..`, and a slash at its start or \
             behind another"
        )));
    }
    Ok(())
}

fn difference<T: PartialEq>(
    field: &'static str,
    before: &T,
    after: &T,
    show: fn(&T) -> String,
) -> Option<FieldDifference> {
    (before != after).then(|| FieldDifference { field, before: show(before), after: show(after) })
}

fn optional<T: fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), T::to_string)
}

fn list<'v, T: fmt::Display + 'v>(values: impl IntoIterator<Item = &'v T>) -> String {
    let values: Vec<String> = values.into_iter().map(T::to_string).collect();
    format!("[{}]", values.join(", "))
}

impl SessionId {
    /// Reads a UUID as Consul writes it: 36 characters, hexadecimal digits in groups of 8-4-4-4-12.
    ///
    /// # Errors
    /// Where the text is anything else; Consul would answer 500.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let well_formed = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if well_formed {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(Refused::new(format!(
                "id {text:?} is not a session's id: write a UUID such as 8f3c7a3e-1d2b-4c5d-8e9f-0a1b2c3d4e5f"
            )))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HeldLocks {
    /// The keys that are known to be held.
    pub fn keys(&self) -> &[String] {
        match self {
            Self::NotLooked | Self::Hidden => &[],
            Self::Keys(keys) => keys,
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for ServiceCheck {
    /// The id, and behind an `@` the namespace where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            None => f.write_str(&self.id),
            Some(namespace) => write!(f, "{}@{namespace}", self.id),
        }
    }
}
