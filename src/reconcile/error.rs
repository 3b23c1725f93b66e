//! Why Consul does not agree with what is desired.

use std::time::Duration;

use crate::consul;
use crate::object::{FieldDifference, ObjectId, Refused, SessionId};
use crate::plan::key::UnsafeKey;
use crate::plan::service::UnsafeService;
use crate::plan::state::Refusal;
use crate::plan::{UnsafePlan, describe};

use super::{Progress, RecordError};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Consul did not answer, or refused.
    #[error(transparent)]
    Consul(#[from] consul::Error),
    /// The plan is too dangerous. Nothing was written.
    #[error(transparent)]
    Unsafe(#[from] UnsafePlan),
    /// A key is not to be touched. Nothing was written.
    #[error(transparent)]
    Key(#[from] UnsafeKey),
    /// A service is not to be touched. Nothing was written.
    #[error(transparent)]
    Service(#[from] UnsafeService),
    /// A service was changed in part, but what follows was not done.
    #[error("{done}; then: {source}; the next run finishes this")]
    HalfDone {
        /// What was done.
        done: String,
        /// What went wrong.
        source: Box<consul::Error>,
    },
    /// Another session holds a key. Nothing was written.
    #[error("key {key:?} is held by session {holder}{}", .who.as_deref().unwrap_or_default())]
    Held {
        /// The key.
        key: String,
        /// The id of the session that holds it.
        holder: String,
        /// Its name and node, where the token may see it: ` ('NAME' on node 'NODE')`.
        who: Option<String>,
    },
    /// Several sessions have the name that was to name one.
    #[error("there are {} sessions named '{name}' on the agent's node, so that the name tells none of them: {}", .ids.len(), .ids.join(", "))]
    ManySessions {
        /// The name.
        name: String,
        /// Their ids.
        ids: Vec<String>,
    },
    /// A key that nobody holds is not given: the lock-delay of a session that was lost still runs.
    #[error("key {key:?} is free, but cannot be locked yet: {what}")]
    LockDelay {
        /// The key.
        key: String,
        /// Consul's reason.
        what: String,
    },
    /// The token may not write a key.
    #[error("key {key:?} cannot be written: {what}")]
    NotAllowed {
        /// The key.
        key: String,
        /// Consul's reason.
        what: String,
    },
    /// A session that is to hold a key does not exist.
    #[error("there is no session {session}: it has ended, or it never was")]
    NoSession {
        /// Its id, or its name.
        session: String,
    },
    /// A change of many keys stopped on the way.
    #[error("{progress}: {}", .source.reason())]
    Partly {
        /// How far it came.
        progress: Box<Progress>,
        /// Why it stopped.
        source: Box<consul::TxnError>,
    },
    /// What was asked for, Consul would refuse or take for something else. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A session that Consul has makes no sense.
    #[error("session {id} as Consul has it cannot be understood: {problem}")]
    Odd {
        /// Its id.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The token does not show everything, so that what is not seen may exist all the same.
    #[error("the token may not see {what}, so that what is missing from the answer proves nothing; it needs {rule}")]
    Blind {
        /// What is hidden.
        what: String,
        /// The ACL rule that shows it.
        rule: String,
    },
    /// No node was named, and the agent's own is in another datacenter.
    #[error(
        "the agent is in datacenter '{own}', so that its own node is none of '{wanted}'{}",
        if .known.contains(.wanted) { ": name a node there".to_owned() } else { format!("; the datacenters are: {}", .known.join(", ")) }
    )]
    NeedsNode {
        /// The agent's datacenter.
        own: String,
        /// The datacenter that was asked for.
        wanted: String,
        /// The datacenters that the agent knows.
        known: Vec<String>,
    },
    /// A partition was named, and this Consul would ignore it.
    #[error(
        "the agent is Consul {version}, which has no admin partitions (Consul Enterprise has) and would ignore '{partition}'"
    )]
    NeedsEnterprise {
        /// The agent's version.
        version: String,
        /// The partition that was asked for.
        partition: String,
    },
    /// The node does not exist.
    #[error("there is no node '{node}' in this datacenter")]
    NoNode {
        /// Its name.
        node: String,
    },
    /// The agent has no such service.
    #[error(
        "the agent has no service with the id '{id}'; the ids of its services that the token may see are: {}",
        list(.known)
    )]
    NoService {
        /// The id.
        id: String,
        /// The ids that there are.
        known: Vec<String>,
    },
    /// A check that the session is to depend on does not exist.
    #[error("node '{node}' has no check '{check}'; its checks are: {}", .known.join(", "))]
    NoCheck {
        /// The node.
        node: String,
        /// The check that is missing.
        check: String,
        /// The checks that there are.
        known: Vec<String>,
    },
    /// A check that the session is to depend on is critical: Consul refuses such a session.
    #[error("check '{check}' of node '{node}' is critical: {output}")]
    CriticalCheck {
        /// The node.
        node: String,
        /// The check.
        check: String,
        /// What it last had to say.
        output: String,
    },
    /// The world moved while the plan was being applied. Another run may succeed.
    #[error("{what} while this run was at work; run it again")]
    Stale {
        /// What happened.
        what: String,
    },
    /// Consul made another session than it was asked for. The session has been withdrawn.
    #[error(
        "Consul made another session than it was asked for ({}), and it was destroyed again; \
         Consul before 1.7 does not know every option",
        describe(.differences)
    )]
    NotAsAsked {
        /// In what it differs.
        differences: Vec<FieldDifference>,
    },
    /// A plan for many objects is too dangerous. Nothing was written.
    #[error("{}", refusals(.0))]
    UnsafeState(Vec<Refusal>),
    /// The record of an owner is not to be relied on. Nothing was written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Another run for the same owner is at work. Nothing was written.
    #[error("another run for owner {owner:?} is at work: {holder}; waited {} s for it", .waited.as_secs())]
    OwnerLocked {
        /// The owner.
        owner: String,
        /// Who holds the lock.
        holder: String,
        /// How long this run waited.
        waited: Duration,
    },
    /// The lock of the owner was lost. Nothing is written from then on.
    #[error("the lock of owner {owner:?} was lost: its session ended, or Consul could not be reached to renew it")]
    LockLost {
        /// The owner.
        owner: String,
    },
    /// What went wrong with one of many objects.
    #[error("{id}: {source}")]
    Object {
        /// The object.
        id: ObjectId,
        /// What went wrong.
        source: Box<Error>,
    },
    /// What went wrong with several keys that were to be written at once: all were, or none.
    #[error("{first} and {} more keys: {source}", .count - 1)]
    Batch {
        /// The first of them.
        first: ObjectId,
        /// How many they are.
        count: usize,
        /// What went wrong.
        source: Box<consul::Error>,
    },
    /// The token may not write a key, which was to be written in a transaction.
    #[error("key {key:?} is not written: {what}")]
    Denied {
        /// The key.
        key: String,
        /// Consul's reason.
        what: String,
    },
    /// At the address of a node, another node's agent answers.
    #[error("the agent at {address}, where node '{node}' is to be, is that of node '{found}'")]
    OtherAgent {
        /// The node.
        node: String,
        /// Its address.
        address: String,
        /// The node whose agent answered.
        found: String,
    },
    /// Somebody asked to stop.
    #[error("it was asked to stop; the next run finishes this")]
    Stopped,
    /// An object is to be handed on, and is not the owner's.
    #[error("{id} is not {owner:?}'s")]
    NotOwned {
        /// The object.
        id: ObjectId,
        /// The owner.
        owner: String,
    },
    /// It failed after something had been written.
    #[error("{done}; then: {source}; {next}")]
    Interrupted {
        /// What was done, and what was not.
        done: String,
        /// What comes next.
        next: &'static str,
        /// The session that was created, and exists.
        created: Option<SessionId>,
        /// What went wrong.
        source: Box<Error>,
    },
}

impl Error {
    /// True where something was written before it failed, and is still there (or still gone), or may have been.
    pub fn wrote(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::HalfDone { .. } => true,
            Self::Partly { progress, .. } => progress.done + progress.open > 0,
            _ => false,
        }
    }

    /// True where a write may have been carried out although it failed.
    pub(super) fn leaves_open(&self) -> bool {
        matches!(self, Self::Consul(error) if error.leaves_open())
    }

    /// The failed exchange with Consul, if that is what it was.
    pub fn consul(&self) -> Option<&consul::Error> {
        match self {
            Self::Consul(error) => Some(error),
            Self::Interrupted { source, .. } => source.consul(),
            Self::HalfDone { source, .. } | Self::Batch { source, .. } => Some(source),
            Self::Object { source, .. } => source.consul(),
            _ => None,
        }
    }
}

/// The first few reasons, and how many there are.
fn refusals(refusals: &[Refusal]) -> String {
    const NAMED: usize = 10;
    let one = |refusal: &Refusal| match &refusal.id {
        Some(id) => format!("{id}: {}", refusal.reason),
        None => refusal.reason.to_string(),
    };
    let named = refusals.iter().take(NAMED).map(one).collect::<Vec<_>>().join("; ");
    match refusals.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
