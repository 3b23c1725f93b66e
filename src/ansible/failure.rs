//! What a module answers where it fails.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::consul::{self, ConfigError, TxnError};
use crate::coordinate;
use crate::object::Refused;
use crate::plan::UnsafePlan;
use crate::plan::key::UnsafeKey;
use crate::plan::service::UnsafeService;
use crate::reconcile;

use super::call::Call;

/// The answer of a module that failed. In a box, for it is handed up from very many places.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Failure(pub(super) Box<Answer>);

// Derived, it would be a schema beside the answer's.
impl JsonSchema for Failure {
    fn schema_name() -> Cow<'static, str> {
        Answer::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Answer::json_schema(generator)
    }
}

/// The answer of a module that failed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Failure", title = "Result of a module that failed")]
pub(super) struct Answer {
    /// Always true.
    failed: bool,
    /// Whether anything was changed before it failed.
    changed: bool,
    /// What was being done, to what, what Consul said, and what to try.
    pub(super) msg: String,
    /// The kind of failure, for programs.
    reason: Reason,
    /// The options as they were understood. Secret ones are not shown.
    #[serde(skip_serializing_if = "Value::is_null")]
    invocation: Value,
    /// What only one module tells.
    #[serde(flatten)]
    #[schemars(skip)]
    details: Option<Box<Map<String, Value>>>,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Reason {
    /// The arguments make no sense. Nothing was sent.
    Arguments,
    /// No answer from the agent.
    Unreachable,
    /// The token does not allow it, or does not show enough.
    Denied,
    /// Consul answered with an error.
    Consul,
    /// What has to exist does not.
    NotFound,
    /// A session exists with other properties.
    Drifted,
    /// A session holds locks.
    LocksHeld,
    /// The node has an agent of its own, so that its services are not for the catalog.
    HasAgent,
    /// The id of a check is another service's.
    CheckTaken,
    /// Another session holds the key, or another run the lock of the owner.
    Busy,
    /// Fewer members were there than had to be.
    TooFew,
    /// The key is something else than what it was to be.
    Conflict,
    /// The plan is too dangerous. Nothing was written.
    Refused,
    /// The record of what the owner has is damaged.
    Record,
    /// The world moved meanwhile.
    Stale,
    /// This program has a fault.
    Internal,
}

impl Failure {
    /// A fault in the arguments.
    pub(super) fn arguments(msg: impl Into<String>) -> Self {
        Self::new(Reason::Arguments, msg)
    }

    /// A fault in this program.
    pub(super) fn internal(msg: impl Into<String>) -> Self {
        Self::new(Reason::Internal, msg)
    }

    /// Somebody else has it.
    pub(super) fn busy(msg: impl Into<String>) -> Self {
        Self::new(Reason::Busy, msg)
    }

    /// Too few were there in time.
    pub(super) fn too_few(msg: impl Into<String>) -> Self {
        Self::new(Reason::TooFew, msg)
    }

    fn new(reason: Reason, msg: impl Into<String>) -> Self {
        let msg = msg.into();
        Self(Box::new(Answer { failed: true, changed: false, msg, reason, invocation: Value::Null, details: None }))
    }

    /// The same, and what to try.
    #[cfg(feature = "spec")]
    pub(super) fn followed_by(mut self, hints: &str) -> Self {
        self.0.msg += hints;
        self
    }

    /// The same, behind what had happened until then.
    #[cfg(feature = "spec")]
    pub(super) fn preceded_by(mut self, before: &str) -> Self {
        self.0.msg = format!("{before}: {}", self.0.msg);
        self
    }

    /// The same, with what only one module tells, and with whether anything was changed.
    #[cfg(feature = "spec")]
    pub(super) fn with(mut self, changed: bool, details: impl Serialize) -> Self {
        self.0.changed |= changed;
        self.0.details = match serde_json::to_value(details) {
            Ok(Value::Object(details)) => Some(Box::new(details)),
            _ => None,
        };
        self
    }

    /// The same, with the options and without secrets.
    pub(super) fn masked(mut self, call: &Call, invocation: Value) -> Self {
        self.0.msg = call.mask(&self.0.msg);
        self.0.invocation = invocation;
        self
    }
}

impl From<Refused> for Failure {
    fn from(error: Refused) -> Self {
        Self::arguments(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::arguments(error.to_string())
    }
}

impl From<consul::Error> for Failure {
    fn from(error: consul::Error) -> Self {
        reconcile::Error::from(error).into()
    }
}

impl From<reconcile::Error> for Failure {
    fn from(error: reconcile::Error) -> Self {
        let hint = error.hint().map_or_else(String::new, |hint| format!(". {}", capitalized(&hint)));
        let mut failure = Self::new(reason(&error), format!("{error}{hint}"));
        failure.0.changed = error.wrote();
        failure
    }
}

impl From<coordinate::Error> for Failure {
    fn from(error: coordinate::Error) -> Self {
        use coordinate::Error as E;
        match error {
            E::Consul(error) => error.into(),
            E::Options(problem) => Self::arguments(problem),
            error if error.is_denied() => Self::new(Reason::Denied, error.to_string()),
            error @ (E::Conflict { .. } | E::Limit { .. } | E::Damaged { .. }) => {
                Self::new(Reason::Conflict, error.to_string())
            }
            error @ E::Taken { .. } => Self::busy(error.to_string()),
            error => Self::new(Reason::Consul, error.to_string()),
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Consul's words for a node or a check that does not exist.
fn is_missing(body: &str) -> bool {
    body.starts_with("Missing node registration") || body.starts_with("Missing check")
}

fn reason(error: &reconcile::Error) -> Reason {
    use reconcile::Error as E;
    match error {
        E::Consul(error) if error.is_denied() => Reason::Denied,
        E::Consul(consul::Error::Config(_) | consul::Error::Key(_)) | E::Refused(_) => Reason::Arguments,
        E::NeedsNode { .. } | E::NeedsEnterprise { .. } => Reason::Arguments,
        E::Consul(error) if error.status().is_none() => Reason::Unreachable,
        E::Consul(error) if error.body().is_some_and(is_missing) => Reason::NotFound,
        E::Unsafe(UnsafePlan::NotFound { .. }) | E::NoNode { .. } | E::NoCheck { .. } | E::NoService { .. } => {
            Reason::NotFound
        }
        E::Unsafe(UnsafePlan::LocksHeld { .. }) => Reason::LocksHeld,
        E::Unsafe(_) => Reason::Drifted,
        E::Blind { .. } | E::NotAllowed { .. } => Reason::Denied,
        E::Partly { source, .. } if source.is_denied() => Reason::Denied,
        E::Partly { source, .. } => match source.as_ref() {
            TxnError::Refused { .. } => Reason::Stale,
            TxnError::Failed { source, .. } if source.status().is_none() => Reason::Unreachable,
            TxnError::Failed { .. } => Reason::Consul,
        },
        E::Service(UnsafeService::HasAgent { .. }) => Reason::HasAgent,
        E::Service(UnsafeService::IdTaken { .. }) => Reason::Refused,
        E::Service(UnsafeService::CheckTaken { .. }) => Reason::CheckTaken,
        E::Service(UnsafeService::NeedsAddress { .. }) => Reason::NotFound,
        E::Held { .. } | E::LockDelay { .. } => Reason::Busy,
        E::Key(UnsafeKey::Stale { .. }) => Reason::Stale,
        E::NoSession { .. } | E::ManySessions { .. } => Reason::NotFound,
        E::Stale { .. } | E::LockLost { .. } => Reason::Stale,
        E::UnsafeState(_) => Reason::Refused,
        E::Record(_) => Reason::Record,
        E::OwnerLocked { .. } => Reason::Busy,
        E::Denied { .. } => Reason::Denied,
        E::Interrupted { source, .. } | E::Object { source, .. } => reason(source),
        E::HalfDone { source, .. } | E::Batch { source, .. } if source.is_denied() => Reason::Denied,
        E::HalfDone { source, .. } | E::Batch { source, .. } if source.status().is_none() => Reason::Unreachable,
        _ => Reason::Consul,
    }
}
