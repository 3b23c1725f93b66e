//! Why Consul does not agree with what is desired.

use crate::consul;
use crate::object::{FieldDifference, Refused, SessionId};
use crate::plan::key::UnsafeKey;
use crate::plan::service::UnsafeService;
use crate::plan::{UnsafePlan, describe};

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
    /// A session that is to hold a key does not exist.
    #[error("there is no session {session}: it has ended, or it never was")]
    NoSession {
        /// Its id, or its name.
        session: String,
    },
    /// A write of many operations stopped on the way.
    #[error("{done} of {of} were done, the rest was not: {source}")]
    Partly {
        /// How many were done.
        done: usize,
        /// How many there were to do.
        of: usize,
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
    /// True where something was written before it failed, and is still there (or still gone).
    pub fn wrote(&self) -> bool {
        matches!(self, Self::Interrupted { .. } | Self::HalfDone { .. } | Self::Partly { done: 1.., .. })
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
            Self::HalfDone { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
