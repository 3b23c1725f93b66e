//! What is too dangerous to do to many objects.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{ObjectId, Refused, SessionId};

use super::{StateChange, StatePlan, StatePolicy};

/// How much may be deleted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Limit {
    /// This many objects.
    Count(usize),
    /// This share of what the owner has, in percent, or [`Limit::FEW`] objects if that is more. 0: none at all.
    Percent(u8),
}

impl Limit {
    /// So many may always be deleted: a fifth of a handful would forbid to delete one.
    pub const FEW: usize = 5;

    /// How many of `of` objects may be deleted.
    pub fn most(self, of: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (of.saturating_mul(percent.into()) / 100).max(Self::FEW),
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::Percent(20)
    }
}

impl FromStr for Limit {
    type Err = Refused;

    /// Reads `5` or `20%`.
    fn from_str(text: &str) -> Result<Self, Refused> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| Refused::new("write a number of objects such as 5, or a share such as 20%".to_owned()))
    }
}

/// One reason not to apply a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The object that it is about; `None` for the plan as a whole.
    pub id: Option<ObjectId>,
    /// The reason.
    pub reason: UnsafeState,
}

/// Why a plan is not to be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeState {
    /// It is another owner's.
    #[error("it is {owner:?}'s")]
    Foreign {
        /// The owner.
        owner: String,
    },
    /// It exists, differs from what is declared, and is nobody's.
    #[error("it exists, is not as declared, and nobody's")]
    Unowned,
    /// It would be destroyed, and is not to be.
    #[error("it would be destroyed, and prevent_destroy forbids that")]
    Protected,
    /// A session would be destroyed that holds these keys, which neither move along to its successor nor are deleted
    /// with it.
    #[error("it would be destroyed, but holds {}", crate::plan::name_keys(.0))]
    LocksHeld(Vec<String>),
    /// A session would be destroyed, and the token does not show what it holds.
    #[error("it would be destroyed, and the token does not show which keys it holds")]
    LocksHidden,
    /// One of these sessions, or each, would be destroyed; which of them is the owner's, nobody can tell.
    #[error("one of several sessions of this name would be destroyed, and nothing tells which is the owner's: {}", ids(.0))]
    SeveralSessions(Vec<SessionId>),
    /// The session that is to hold a key is not declared.
    #[error("it is to be held by {0}, which is not declared")]
    NoHolder(ObjectId),
    /// A session would be made on a node that does not exist.
    #[error("there is no node {0:?}, and no service declares one of that name with an address")]
    NoNode(String),
    /// Two services say different things of their node.
    #[error("{first} and {other} say different things of their node")]
    NodeAtOdds {
        /// The first one.
        first: ObjectId,
        /// The other one.
        other: ObjectId,
    },
    /// A key is held by a session that is not the declared one.
    #[error("session {0} holds it")]
    Held(String),
    /// The service or its node is not to be touched.
    #[error(transparent)]
    Service(#[from] crate::plan::service::UnsafeService),
    /// Too much would be deleted.
    #[error("{deletes} of the owner's {of} objects would be deleted, and {most} is the most")]
    TooManyDeletes {
        /// How many would be.
        deletes: usize,
        /// How many the owner has.
        of: usize,
        /// How many may be.
        most: usize,
    },
    /// Nothing is declared, and all that the owner has would be deleted.
    #[error("nothing is declared, so that all {0} objects of the owner would be deleted")]
    Empty(usize),
}

fn ids(sessions: &[SessionId]) -> String {
    sessions.iter().map(SessionId::as_str).collect::<Vec<_>>().join(", ")
}

impl StatePlan {
    /// Refuses what is too dangerous.
    ///
    /// # Errors
    /// Every reason not to apply the plan.
    pub fn check(&self) -> Result<(), &[Refusal]> {
        if self.is_safe() { Ok(()) } else { Err(&self.refusals) }
    }

    /// True where nothing forbids to apply the plan.
    pub fn is_safe(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Refuses to delete too much of the `of` objects that the owner has.
    pub(super) fn limit_deletes(&mut self, of: usize, policy: &StatePolicy) {
        let mut ended: Vec<&ObjectId> =
            self.changes.iter().filter(|change| change.ends_object()).map(|change| &change.id).collect();
        // Several sessions of one name are one object; they stand side by side.
        ended.dedup();
        let (deletes, most) = (ended.len(), policy.max_delete.most(of));
        if deletes > most {
            self.refuse_whole(UnsafeState::TooManyDeletes { deletes, of, most });
        }
    }

    /// Refuses to delete everything because nothing is declared.
    pub(super) fn refuse_empty(&mut self, of: usize, policy: &StatePolicy) {
        if !policy.allow_empty && self.changes.iter().any(StateChange::ends_object) {
            self.refuse_whole(UnsafeState::Empty(of));
        }
    }

    fn refuse_whole(&mut self, reason: UnsafeState) {
        self.refusals.insert(0, Refusal { id: None, reason });
    }
}
