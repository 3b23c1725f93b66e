//! A plan as a document: what every other form is made of, and what a saved plan is compared with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{At, DesiredState, FieldDifference, ObjectId};
use crate::plan::Change;
use crate::plan::key::KeyChange;
use crate::plan::service::ServiceChange;
use crate::plan::state::{Action, Claim, KeyStep, StateChange, StatePlan, Step};

/// What a plan would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanDocument {
    /// Whose objects these are.
    pub owner: String,
    /// The datacenter that it was made for.
    pub datacenter: String,
    /// How much of each there is.
    pub summary: Summary,
    /// What would be done, in this order.
    pub changes: Vec<ChangeDocument>,
    /// Objects that are as declared, and belong to the owner from now on.
    pub adopted: Vec<String>,
    /// Objects that stay although they are not as declared, or declared no more.
    pub spared: Vec<NotDone>,
    /// Why the plan is not to be applied.
    pub refused: Vec<NotDone>,
}

/// How much of each there is in a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Objects to create.
    pub create: usize,
    /// Objects to update.
    pub update: usize,
    /// Objects to replace by new ones.
    pub replace: usize,
    /// Objects to delete.
    pub delete: usize,
    /// Objects to take over as they are.
    pub adopt: usize,
    /// Objects that are as declared.
    pub unchanged: usize,
    /// Reasons not to apply the plan.
    pub refused: usize,
}

/// One object, and what would be done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeDocument {
    /// What would be done.
    pub action: Action,
    /// The object: `session NODE/NAME`, `service NODE/ID` or `key KEY`.
    pub object: String,
    /// Where it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// The owner that it is taken over from; empty where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_from: Option<String>,
    /// What it was planned against: `absent`, an index, a session's id, the hash of a service's definition.
    pub against: String,
    /// In what it differs.
    pub differences: Vec<Difference>,
    /// What else comes of it.
    pub fallout: Vec<String>,
}

/// One property that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The property.
    pub field: String,
    /// As it is.
    pub before: String,
    /// As it is to be.
    pub after: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

/// An object to which nothing is done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotDone {
    /// The object; absent for the plan as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Where it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// The reason.
    pub reason: String,
}

impl PlanDocument {
    /// The document of `plan`, which was made for `desired` in `datacenter`. Long values are cut.
    pub fn new(plan: &StatePlan, desired: &DesiredState, datacenter: &str) -> Self {
        Self::with(plan, desired, datacenter, StateChange::differences)
    }

    /// The same with whole values, for [`diff`](super::diff()).
    pub fn whole(plan: &StatePlan, desired: &DesiredState, datacenter: &str) -> Self {
        Self::with(plan, desired, datacenter, StateChange::whole_differences)
    }

    fn with(
        plan: &StatePlan,
        desired: &DesiredState,
        datacenter: &str,
        differences: fn(&StateChange) -> Vec<FieldDifference>,
    ) -> Self {
        let at = |id: &ObjectId| desired.objects.get(id).map(|declared| Position::from(&declared.at));
        let changes: Vec<_> = plan
            .changes
            .iter()
            .map(|change| ChangeDocument::new(change, at(&change.id), differences(change)))
            .collect();
        let count = |action| changes.iter().filter(|change| change.action == action).count();
        let spared = plan.spared.iter().map(|spared| NotDone {
            object: Some(spared.id.to_string()),
            at: at(&spared.id),
            reason: spared.reason.to_string(),
        });
        let refused = plan.refusals.iter().map(|refusal| NotDone {
            object: refusal.id.as_ref().map(ToString::to_string),
            at: refusal.id.as_ref().and_then(at),
            reason: refusal.reason.to_string(),
        });
        Self {
            owner: desired.owner.clone(),
            datacenter: datacenter.to_owned(),
            summary: Summary {
                create: count(Action::Create),
                update: count(Action::Update),
                replace: count(Action::Replace),
                delete: count(Action::Delete),
                adopt: plan.adopted.len(),
                unchanged: plan.unchanged,
                refused: plan.refusals.len(),
            },
            adopted: plan.adopted.iter().map(ToString::to_string).collect(),
            spared: spared.collect(),
            refused: refused.collect(),
            changes,
        }
    }

    /// True where there is nothing to do, and nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.adopted.is_empty() && self.refused.is_empty()
    }
}

impl ChangeDocument {
    fn new(change: &StateChange, at: Option<Position>, differences: Vec<FieldDifference>) -> Self {
        let adopted_from = match &change.claim {
            Claim::Adopted { from } => Some(from.clone().unwrap_or_default()),
            _ => None,
        };
        Self {
            action: change.action(),
            object: change.id.to_string(),
            at,
            adopted_from,
            against: against(&change.step),
            differences: differences.into_iter().map(Difference::from).collect(),
            fallout: change.fallout(),
        }
    }
}

/// What a step was planned against.
fn against(step: &Step) -> String {
    let absent = || "absent".to_owned();
    let index = |before: &crate::object::ObservedKey| format!("index {}", before.modify_index);
    match step {
        Step::Session(Change::Create { .. }) => absent(),
        Step::Session(Change::Replace { before, .. } | Change::Delete { before, .. }) => {
            format!("session {}", before.id)
        }
        Step::Service { change, .. } => match change {
            Some(ServiceChange::Update { before, .. } | ServiceChange::Deregister { before }) => {
                format!("definition {}", before.hash.as_deref().unwrap_or("unknown"))
            }
            Some(ServiceChange::Register { .. }) => absent(),
            None => "the same service".to_owned(),
        },
        Step::Key(KeyStep::Hold { before, .. }) => before.as_ref().map_or_else(absent, index),
        Step::Key(KeyStep::Write(change)) => match change {
            KeyChange::Create { .. } | KeyChange::Acquire { before: None, .. } => absent(),
            KeyChange::Acquire { before: Some(before), .. }
            | KeyChange::Update { before, .. }
            | KeyChange::Delete { before }
            | KeyChange::Release { before, .. } => index(before),
        },
    }
}

impl From<FieldDifference> for Difference {
    fn from(difference: FieldDifference) -> Self {
        let FieldDifference { field, before, after } = difference;
        Self { field: field.to_owned(), before, after }
    }
}

impl From<&At> for Position {
    fn from(at: &At) -> Self {
        Self { file: at.file.to_string(), line: at.line, column: at.column }
    }
}
