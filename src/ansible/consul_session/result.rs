//! The result of the module `consul_session`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::ansible::call::Call;
use crate::ansible::{Common, Deprecation, Diff};
use crate::consul::SessionEntry;
use crate::object::{ObservedSession, Session, SessionId};
use crate::plan::{Change, Desired};
use crate::reconcile::{Action as Outcome, Report};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// Everything was as desired. A TTL was renewed.
    Unchanged,
    /// A session was created.
    Created,
    /// A session was created, and the one that it replaces was destroyed.
    Replaced,
    /// Only duplicates were destroyed.
    Pruned,
    /// The sessions that were to be absent were destroyed.
    Destroyed,
    /// Sessions were read.
    Read,
}

/// The result of the module `consul_session`. Where `failed` is true, there are `msg` and `reason` in place of the
/// rest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_session")]
pub struct SessionResult {
    /// What every module gives.
    #[serde(flatten)]
    pub(crate) common: Common,
    /// What was done; in check mode, what would be done.
    pub(crate) action: Action,
    /// For `present` and `absent`: the session.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) one: Option<OneSession>,
    /// For `info`, `node` and `list`: the sessions, as Consul has them, in its order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<SessionEntry>>")]
    pub(crate) sessions: Option<Sessions>,
    /// What differs, in diff mode: an entry a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<Vec<Diff>>,
    /// Old ways of writing that will not be understood for ever.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) deprecations: Vec<Deprecation>,
}

/// The session that a `present` or an `absent` is about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct OneSession {
    /// The id of the session that is present, or of the (first) one that was destroyed. Null where there is none;
    /// in check mode, where it would be created.
    session_id: Option<String>,
    /// Its name.
    name: Option<String>,
    /// Its node.
    node: Option<String>,
    /// Its lock-delay, such as `15s`.
    delay: Option<String>,
    /// Its TTL, such as `1m30s`; null for none.
    ttl: Option<String>,
    /// `release` or `delete`.
    behavior: Option<String>,
    /// The option `checks` as it was given.
    checks: Option<Vec<String>>,
    /// The session as Consul now has it. Null where there is none.
    session: Option<SessionEntry>,
    /// The ids of the sessions that were destroyed; in check mode, that would be.
    destroyed: Vec<String>,
}

/// Sessions that were read.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Sessions {
    /// Taken apart.
    Entries(Vec<SessionEntry>),
    /// As JSON text.
    Text(Box<RawValue>),
}

impl SessionResult {
    pub(super) fn of_read(sessions: Vec<SessionEntry>) -> Self {
        Self::of_sessions(Sessions::Entries(sessions))
    }

    pub(super) fn of_list(sessions: Box<RawValue>) -> Self {
        Self::of_sessions(Sessions::Text(sessions))
    }

    /// True where nothing was read.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.sessions, Some(Sessions::Entries(sessions)) if sessions.is_empty())
    }

    fn of_sessions(sessions: Sessions) -> Self {
        Self {
            common: Common::default(),
            action: Action::Read,
            one: None,
            sessions: Some(sessions),
            diff: None,
            deprecations: Vec::new(),
        }
    }

    pub(super) fn of_report(report: Report, checks: Option<Vec<String>>, call: &Call) -> Self {
        let diff = call.diff_mode.then(|| report.plan.changes.iter().flat_map(diffs).collect());
        let warnings = report.advice();
        let shown = shown(&report.plan.desired, &report.plan.changes, report.session.as_ref());
        let destroyed: Vec<String> = report.destroyed.iter().map(SessionId::to_string).collect();
        let session_id = report.session.as_ref().map(|entry| entry.id.clone());
        let session_id =
            session_id.or_else(|| destroyed.first().filter(|_| report.action == Outcome::Destroyed).cloned());
        let one = OneSession {
            session_id,
            name: shown.as_ref().and_then(|session| session.name.clone()),
            node: shown.as_ref().map(|session| session.node.clone()),
            delay: shown.as_ref().map(|session| session.lock_delay.to_string()),
            ttl: shown.as_ref().and_then(|session| session.ttl).map(|ttl| ttl.to_string()),
            behavior: shown.as_ref().map(|session| session.behavior.to_string()),
            checks,
            session: report.session,
            destroyed,
        };
        Self {
            common: Common { changed: report.action != Outcome::Unchanged, warnings, ..Common::default() },
            action: report.action.into(),
            one: Some(one),
            sessions: None,
            diff,
            deprecations: Vec::new(),
        }
    }
}

impl AsMut<Common> for SessionResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl From<Outcome> for Action {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Unchanged => Self::Unchanged,
            Outcome::Created => Self::Created,
            Outcome::Replaced => Self::Replaced,
            Outcome::Pruned => Self::Pruned,
            Outcome::Destroyed => Self::Destroyed,
        }
    }
}

/// The properties to show: of the session that is there, else of the one that was wanted or destroyed.
fn shown(desired: &Desired, changes: &[Change], now: Option<&SessionEntry>) -> Option<Arc<Session>> {
    if let Some(observed) = now.and_then(|entry| ObservedSession::try_from(entry).ok()) {
        return Some(observed.session);
    }
    match (desired, changes.first()) {
        (Desired::Present { session } | Desired::Anonymous { session }, _) => Some(session.clone()),
        (_, Some(Change::Delete { before, .. })) => Some(before.session.clone()),
        _ => None,
    }
}

fn diffs(change: &Change) -> Vec<Diff> {
    let diff = |header: String, before: Value, after: Value| Diff {
        before_header: header.clone(),
        after_header: header,
        before,
        after,
    };
    let gone = |before: &ObservedSession| diff(format!("session {}", before.id), fields(&before.session), json!({}));
    match change {
        Change::Create { after } => vec![diff("new session".to_owned(), json!({}), fields(after))],
        Change::Replace { before, after } => {
            vec![diff(format!("session {}, replaced", before.id), fields(&before.session), fields(after))]
        }
        Change::Delete { before, .. } => vec![gone(before)],
    }
}

fn fields(session: &Session) -> Value {
    let Session { name, node, checks, service_checks, lock_delay, ttl, behavior } = session;
    json!({
        "name": name,
        "node": node,
        "checks": checks,
        "service_checks": service_checks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "delay": lock_delay,
        "ttl": ttl,
        "behavior": behavior,
    })
}
