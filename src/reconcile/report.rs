//! What a run did, or would do.

use crate::consul::SessionEntry;
use crate::object::{HeldLocks, SessionId};
use crate::plan::{Change, DeleteReason, Desired, Plan, SpareReason, Spared, describe, name_keys};

/// What a run did, or would do.
#[derive(Clone, Debug)]
pub struct Report {
    /// The plan that it followed.
    pub plan: Plan,
    /// What came of it.
    pub action: Action,
    /// The session that stands for what is desired, as Consul has it now.
    pub session: Option<SessionEntry>,
    /// The session that was created, and stays.
    pub created: Option<SessionId>,
    /// Sessions that were destroyed, or would be.
    pub destroyed: Vec<SessionId>,
    /// Sessions that are not as desired, and stay.
    pub spared: Vec<Spared>,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Everything was as desired.
    Unchanged,
    /// A session was created.
    Created,
    /// A session was created, and the one that it replaces was destroyed.
    Replaced,
    /// Only duplicates were destroyed.
    Pruned,
    /// What was to be absent was destroyed.
    Destroyed,
}

impl Report {
    /// A report of `plan`, of which nothing is done yet.
    pub(super) fn of(plan: Plan) -> Self {
        Self {
            action: Action::Unchanged,
            session: None,
            created: None,
            destroyed: Vec::new(),
            spared: plan.spared.clone(),
            warnings: Vec::new(),
            plan,
        }
    }

    /// What was done, going by what was in fact created and destroyed.
    pub(super) fn outcome(&self) -> Action {
        let replaced = |change: &Change| match change {
            Change::Replace { before, .. } | Change::Delete { before, reason: DeleteReason::Replaced } => {
                self.destroyed.contains(&before.id)
            }
            Change::Create { .. } | Change::Delete { .. } => false,
        };
        match &self.plan.desired {
            _ if self.created.is_none() && self.destroyed.is_empty() => Action::Unchanged,
            Desired::Absent { .. } | Desired::Gone { .. } => Action::Destroyed,
            _ if self.plan.changes.iter().any(replaced) => Action::Replaced,
            _ if self.created.is_some() => Action::Created,
            _ => Action::Pruned,
        }
    }

    /// What the plan comes to, if nothing gets in its way.
    pub(super) fn foreseen(&self) -> Action {
        let rank = |change: &Change| match change {
            Change::Create { .. } => Action::Created,
            Change::Replace { .. } | Change::Delete { reason: DeleteReason::Replaced, .. } => Action::Replaced,
            Change::Delete { reason: DeleteReason::Duplicate, .. } => Action::Pruned,
            Change::Delete { reason: DeleteReason::Absent, .. } => Action::Destroyed,
        };
        let first = |action: &Action| {
            [Action::Created, Action::Replaced, Action::Pruned, Action::Destroyed].iter().position(|a| a == action)
        };
        self.plan.changes.iter().map(rank).min_by_key(first).unwrap_or(Action::Unchanged)
    }

    /// What somebody should know although it is no error, one sentence each.
    pub fn advice(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        let wanted = match &self.plan.desired {
            Desired::Present { session } | Desired::Anonymous { session } => Some(session),
            Desired::Existing { .. } | Desired::Absent { .. } | Desired::Gone { .. } => None,
        };
        if let Desired::Anonymous { .. } = self.plan.desired {
            warnings.push("without a name every run creates another session: give it a `name`".to_owned());
        }
        if wanted.is_some_and(|session| session.never_ends()) {
            warnings.push(
                "the session has neither a ttl nor checks, so nothing ends it but destroying it: give it one of them"
                    .to_owned(),
            );
        }
        let ids = |reason: &SpareReason| -> Vec<&str> {
            self.spared
                .iter()
                .filter(|spared| spared.reason == *reason)
                .map(|spared| spared.session.id.as_str())
                .collect()
        };
        let duplicates = ids(&SpareReason::Duplicate);
        if !duplicates.is_empty() {
            warnings.push(format!(
                "{} more of that name on that node: {}; `unique` destroys those that hold no lock",
                if duplicates.len() == 1 {
                    "there is 1 session".to_owned()
                } else {
                    format!("there are {} sessions", duplicates.len())
                },
                first_of(&duplicates)
            ));
        }
        for spared in &self.spared {
            let id = &spared.session.id;
            match &spared.reason {
                SpareReason::Duplicate => {}
                SpareReason::HoldsLocks => warnings.push(format!(
                    "session {id}, one more of that name on that node, stays: {}",
                    match &spared.session.locks {
                        HeldLocks::Keys(keys) => format!("it holds {}", name_keys(keys)),
                        HeldLocks::Hidden | HeldLocks::NotLooked => {
                            "the token does not show whether it holds locks".to_owned()
                        }
                    }
                )),
                SpareReason::Drifted(differences) => {
                    warnings
                        .push(format!("session {id} stays, as `on_drift` is keep, although {}", describe(differences)));
                }
            }
        }
        let left_over = |change: &Change| matches!(change, Change::Delete { reason: DeleteReason::Replaced, .. });
        if self.plan.changes.iter().any(left_over) {
            warnings
                .push("an earlier run was cut short while it replaced this session; this one finishes it".to_owned());
        }
        warnings
    }
}

/// How many ids a warning names.
const NAMED_IDS: usize = 10;

fn first_of(ids: &[&str]) -> String {
    let named = ids.iter().take(NAMED_IDS).copied().collect::<Vec<_>>().join(", ");
    if ids.len() > NAMED_IDS { format!("{named}, ...") } else { named }
}
