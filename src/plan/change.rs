//! One step of a plan.

use std::sync::Arc;

use crate::object::{FieldDifference, ObservedSession, Session};

/// One thing to do. Sessions cannot be updated: Consul has no call for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create a session.
    Create {
        /// What it is to be.
        after: Arc<Session>,
    },
    /// Create a session, then destroy the one whose place it takes: a create that fails loses nothing.
    Replace {
        /// The one to destroy.
        before: Box<ObservedSession>,
        /// The one to create.
        after: Arc<Session>,
    },
    /// Destroy a session.
    Delete {
        /// The one to destroy.
        before: Box<ObservedSession>,
        /// Why.
        reason: DeleteReason,
    },
}

/// Why a session is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteReason {
    /// It was asked for.
    Absent,
    /// It is one more of an identity that is to be unique.
    Duplicate,
    /// An earlier run created its replacement and did not come to destroy it.
    Replaced,
}

/// A session that is not as desired, and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spared {
    /// The session.
    pub session: ObservedSession,
    /// Why it stays.
    pub reason: SpareReason,
}

/// Why a session stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpareReason {
    /// It is one more of the identity, and nobody asked for it to be unique.
    Duplicate,
    /// It is one more of the identity, but holds locks.
    HoldsLocks,
    /// It differs, and the policy is to keep it.
    Drifted(Vec<FieldDifference>),
}

impl Change {
    pub(super) fn delete(before: &ObservedSession, reason: DeleteReason) -> Self {
        Self::Delete { before: Box::new(before.clone()), reason }
    }
}
