//! What is too dangerous to do, decided before anything is written.

use super::{Change, Desired, OnDrift, Plan, Policy};
use crate::object::{Behavior, FieldDifference, Properties, Session, SessionId};

/// A plan that is not to be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafePlan {
    /// A session that has to exist does not.
    #[error(
        "there is no session {id}: it has ended, or it is in another datacenter or namespace, or the token may not see it"
    )]
    NotFound {
        /// Its id.
        id: SessionId,
    },
    /// The policy is to fail where properties differ.
    #[error("session {id} exists with other properties: {}", describe(.differences))]
    Drifted {
        /// The session.
        id: SessionId,
        /// In what it differs.
        differences: Vec<FieldDifference>,
    },
    /// The session holds locks, which would be lost.
    #[error(
        "session {id} has to be replaced ({}), but holds {}: destroying it would {}",
        describe(.differences), name_keys(.keys), if *.deletes { "delete them" } else { "release them" }
    )]
    LocksHeld {
        /// The session.
        id: SessionId,
        /// In what it differs from what is desired.
        differences: Vec<FieldDifference>,
        /// The keys that it holds.
        keys: Vec<String>,
        /// True where its behavior is to delete its keys.
        deletes: bool,
    },
    /// The session is known by its id, and a replacement would have another.
    #[error("session {id} is not as asked for: {}", describe(.differences))]
    NotAsGiven {
        /// The session.
        id: SessionId,
        /// In what it differs.
        differences: Vec<FieldDifference>,
    },
}

/// How many keys a message names.
pub(crate) const NAMED_KEYS: usize = 10;

/// `delay is 15s, not 20s; ttl is none, not 30s`
pub(crate) fn describe(differences: &[FieldDifference]) -> String {
    let parts: Vec<String> =
        differences.iter().map(|d| format!("{} is {}, not {}", d.field, d.before, d.after)).collect();
    parts.join("; ")
}

/// `the keys a, b` or `12 keys, among them a, b`
pub(crate) fn name_keys(keys: &[String]) -> String {
    let named = keys.iter().take(NAMED_KEYS).map(String::as_str).collect::<Vec<_>>().join(", ");
    match keys.len() {
        1 => format!("the key {named}"),
        2..=NAMED_KEYS => format!("the keys {named}"),
        count => format!("{count} keys, among them {named}"),
    }
}

impl Plan {
    /// Refuses what is too dangerous.
    ///
    /// # Errors
    /// The first reason not to apply the plan.
    pub fn check(&self, policy: &Policy) -> Result<(), UnsafePlan> {
        match &self.desired {
            Desired::Existing { id, .. } if self.keep.is_none() && self.changes.is_empty() => {
                return Err(UnsafePlan::NotFound { id: id.clone() });
            }
            Desired::Gone { id, given } => self.check_meant(id, given)?,
            _ => {}
        }
        for change in &self.changes {
            let Change::Replace { before, after } = change else { continue };
            let id = before.id.clone();
            let differences = before.session.differences(after);
            if matches!(self.desired, Desired::Existing { .. }) {
                return Err(UnsafePlan::NotAsGiven { id, differences });
            }
            if policy.on_drift == OnDrift::Fail {
                return Err(UnsafePlan::Drifted { id, differences });
            }
            if !policy.force && !before.locks.keys().is_empty() {
                let deletes = before.session.behavior == Behavior::Delete;
                return Err(UnsafePlan::LocksHeld { id, differences, keys: before.locks.keys().to_vec(), deletes });
            }
        }
        Ok(())
    }

    fn check_meant(&self, id: &SessionId, given: &Properties) -> Result<(), UnsafePlan> {
        for change in &self.changes {
            let Change::Delete { before, .. } = change else { continue };
            let differences = before.session.differences(&given.clone().over(Session::clone(&before.session)));
            if !differences.is_empty() {
                return Err(UnsafePlan::NotAsGiven { id: id.clone(), differences });
            }
        }
        Ok(())
    }
}
