//! What has to be done so that Consul agrees with what is desired. Pure: no input or output, no clock, no log.

mod change;
mod desired;
pub mod doctor;
pub mod key;
mod policy;
mod safety;
pub mod service;
pub mod state;

use std::sync::Arc;

use crate::object::{HeldLocks, ObservedSession, Properties, Session};

pub use change::{Change, DeleteReason, SpareReason, Spared};
pub use desired::Desired;
pub use policy::{OnDrift, Policy};
pub use safety::UnsafePlan;
pub(crate) use safety::{NAMED_KEYS, describe, name_keys};

/// The difference between desired and observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it was made for.
    pub desired: Desired,
    /// The session that stands for what is desired, and stays. One with a TTL is to be renewed.
    pub keep: Option<ObservedSession>,
    /// What to do, in this order.
    pub changes: Vec<Change>,
    /// Sessions that are not as desired, and stay all the same.
    pub spared: Vec<Spared>,
}

impl Plan {
    /// Compares. `observed` holds every session of the desired identity, and no other.
    ///
    /// | desired | observed | `on_drift` | plan |
    /// |---|---|---|---|
    /// | present | none | any | create |
    /// | present | one or more equal | any | keep the oldest equal one |
    /// | present | none equal | replace, fail | replace the oldest (under fail, `check` refuses) |
    /// | present | none equal | keep | keep the oldest, and say that it differs |
    /// | anonymous | (not looked) | any | create |
    /// | existing, by id | none | any | nothing (`check` refuses) |
    /// | existing, by id | equal in what was mentioned | any | keep |
    /// | existing, by id | different | keep | keep, and say that it differs |
    /// | existing, by id | different | replace, fail | replace (`check` refuses: the id would change) |
    /// | absent, by name or id | none | any | nothing |
    /// | absent, by name or id | any number | any | delete each |
    ///
    /// And of the other sessions of an identity that is to be present:
    ///
    /// | the other one | `on_drift`, `unique` | plan |
    /// |---|---|---|
    /// | differs, an earlier run was replacing it, holds no lock or `force` | replace, any | delete: finish that replacement |
    /// | holds no lock | any, unique | delete |
    /// | holds locks, or the token does not show whether | any, unique | spare, for its locks |
    /// | any | any, not unique | spare, as a duplicate |
    pub fn between(desired: &Desired, observed: &[ObservedSession], policy: &Policy) -> Self {
        let mut plan = Self { desired: desired.clone(), keep: None, changes: Vec::new(), spared: Vec::new() };
        match desired {
            Desired::Present { session } => plan.settle(session, observed, policy),
            Desired::Anonymous { session } => plan.changes.push(Change::Create { after: session.clone() }),
            Desired::Existing { given, .. } => plan.expect(given, observed, policy),
            Desired::Absent { .. } | Desired::Gone { .. } => {
                plan.changes.extend(observed.iter().map(|before| Change::delete(before, DeleteReason::Absent)));
            }
        }
        plan
    }

    fn settle(&mut self, session: &Arc<Session>, observed: &[ObservedSession], policy: &Policy) {
        let mut oldest_first: Vec<&ObservedSession> = observed.iter().collect();
        crate::sort::by(&mut oldest_first, |a, b| a.create_index.cmp(&b.create_index));
        let equal = oldest_first.iter().find(|observed| observed.session == *session);
        let Some(chosen) = equal.or(oldest_first.first()).copied() else {
            self.changes.push(Change::Create { after: session.clone() });
            return;
        };
        self.keep_or_replace(chosen, session.clone(), policy);
        for other in oldest_first.into_iter().filter(|other| other.id != chosen.id) {
            let hidden = other.locks == HeldLocks::Hidden;
            let held = hidden || !other.locks.keys().is_empty();
            let left_over = !other.replacement_notes.is_empty() && other.session != *session;
            if left_over && policy.on_drift == OnDrift::Replace && (!held || policy.force) {
                self.changes.push(Change::delete(other, DeleteReason::Replaced));
            } else if !policy.unique {
                self.spared.push(Spared { session: other.clone(), reason: SpareReason::Duplicate });
            } else if held {
                self.spared.push(Spared { session: other.clone(), reason: SpareReason::HoldsLocks });
            } else {
                self.changes.push(Change::delete(other, DeleteReason::Duplicate));
            }
        }
    }

    fn expect(&mut self, given: &Properties, observed: &[ObservedSession], policy: &Policy) {
        if let Some(existing) = observed.first() {
            self.keep_or_replace(existing, given.clone().over(Session::clone(&existing.session)).into(), policy);
        }
    }

    fn keep_or_replace(&mut self, before: &ObservedSession, after: Arc<Session>, policy: &Policy) {
        if before.session == after {
            self.keep = Some(before.clone());
        } else if policy.on_drift == OnDrift::Keep {
            let differences = before.session.differences(&after);
            self.keep = Some(before.clone());
            self.spared.push(Spared { session: before.clone(), reason: SpareReason::Drifted(differences) });
        } else {
            self.changes.push(Change::Replace { before: Box::new(before.clone()), after });
        }
    }

    /// True where the plan ends a session that somebody may rely on, so that it matters whether it holds locks.
    pub fn depends_on_locks(&self) -> bool {
        self.changes.iter().any(|change| match change {
            Change::Create { .. } | Change::Delete { reason: DeleteReason::Absent, .. } => false,
            Change::Replace { .. } | Change::Delete { .. } => true,
        })
    }
}

#[cfg(test)]
mod tests;
