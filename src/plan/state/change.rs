//! One step of a plan for many objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Key, ObjectId, ObservedKey, ObservedNode, SessionId};
use crate::plan::key::KeyChange;
use crate::plan::service::ServiceChange;
use crate::plan::{Change, DeleteReason};

use super::Claim;

/// One object, and what is to be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The object.
    pub id: ObjectId,
    /// On what ground.
    pub claim: Claim,
    /// What to do.
    pub step: Step,
    /// The value of the key is not to be shown: it is declared as a secret.
    pub secret: bool,
}

/// What is to be done to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To a session. The keys of the one that goes are those that would be lost: neither those that move along to its
    /// successor nor those that the same plan deletes are among them.
    ///
    /// A replacement is created where it stands in the order. Its predecessor is destroyed among the deletes of
    /// sessions, when its keys have moved: else its lock-delay would bar them, or its end would delete them.
    Session(Change),
    /// To a service, or to the node without an agent that it is on; one of them at least.
    Service {
        /// What is to be done to the node. Each service that declares the node says so; to do it twice is harmless.
        node: Option<Box<NodeChange>>,
        /// What is to be done to the service.
        change: Option<ServiceChange>,
    },
    /// To a key.
    Key(KeyStep),
}

/// What is to be done to a node without an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// What it was, if it existed.
    pub before: Option<ObservedNode>,
    /// What it is to be.
    pub after: ObservedNode,
}

/// What is to be done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// Create, update or delete it; or release it, where the session that holds it is destroyed later on.
    Write(KeyChange),
    /// Have a declared session hold it, and write it.
    Hold {
        /// What it was, if it existed.
        before: Option<ObservedKey>,
        /// What it is to be.
        after: Key,
        /// The session: it may be one that the same plan creates.
        holder: ObjectId,
        /// The session's id; `None` for one that the same plan creates.
        session: Option<SessionId>,
        /// The session that holds it now, which the same plan replaces: it lets go in the same transaction.
        from: Option<SessionId>,
    },
}

/// What becomes of an object, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// Another takes its place, and it is destroyed.
    Replace,
    /// It is destroyed.
    Delete,
}

/// An object that is not as declared, or declared no more, and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spared {
    /// The object.
    pub id: ObjectId,
    /// Why.
    pub reason: SpareReason,
}

/// Why an object stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpareReason {
    /// It is the owner's, declared no more, and nobody asked to prune.
    #[error("declared no more; `--prune` deletes it")]
    NotPruned,
    /// It is a key that a session holds, and would be deleted.
    #[error("it would be deleted, but session {0} holds it")]
    Held(String),
    /// It is as declared, but not the owner's, and may not be taken over.
    #[error("as declared, but not ours; `lictor adopt` takes it over")]
    NotOurs,
    /// It would be deleted, but is nobody's.
    #[error("nobody's: only what is ours is deleted")]
    Unowned,
    /// It would be deleted, but another owner has it.
    #[error("it is {0:?}'s: only what is ours is deleted")]
    Foreign(String),
    /// There are more sessions of this name.
    #[error("one more session of this name: {0}")]
    Duplicate(SessionId),
}

impl StateChange {
    /// What becomes of the object.
    pub fn action(&self) -> Action {
        match &self.step {
            Step::Session(Change::Create { .. })
            | Step::Service { change: Some(ServiceChange::Register { .. }), .. }
            | Step::Key(KeyStep::Write(KeyChange::Create { .. }) | KeyStep::Hold { before: None, .. })
            | Step::Key(KeyStep::Write(KeyChange::Acquire { before: None, .. })) => Action::Create,
            Step::Session(Change::Replace { .. }) => Action::Replace,
            Step::Session(Change::Delete { .. })
            | Step::Service { change: Some(ServiceChange::Deregister { .. }), .. }
            | Step::Key(KeyStep::Write(KeyChange::Delete { .. })) => Action::Delete,
            Step::Service { .. } | Step::Key(_) => Action::Update,
        }
    }

    /// True where the owner has the object no more when this is done. Not so where only the predecessor of a session
    /// is destroyed.
    pub fn ends_object(&self) -> bool {
        let predecessor = matches!(&self.step, Step::Session(Change::Delete { reason: DeleteReason::Replaced, .. }));
        self.action() == Action::Delete && !predecessor
    }
}
