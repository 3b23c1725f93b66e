//! The result of the module `consul_spec`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ansible::call::Call;
use crate::ansible::{Common, Diff, Failure};
use crate::object::{DesiredState, ObjectId};
use crate::plan::state::{Action, StatePlan, UnsafeState};
use crate::reconcile::{Error, StateError};
use crate::render::{ChangeDocument, Difference, NotDone, PlanDocument, Summary};

/// The result of the module `consul_spec`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_spec")]
pub struct SpecResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// Whose objects these are.
    owner: String,
    /// The datacenter that they are in.
    datacenter: String,
    /// How many objects it is about: to `create`, `update`, `replace`, `delete`, `adopt`, and `unchanged`; none is
    /// `refused`.
    summary: Summary,
    /// What was done, in this order; in check mode, what would be done. Each: `action`, `object`, `differences` (`field`,
    /// `before`, `after`), `fallout`, what else comes of it. Secret values are shown as a short hash.
    changes: Vec<ChangeDocument>,
    /// Objects that were as declared, and belong to the owner from now on.
    adopted: Vec<String>,
    /// Objects that stay although they are not as declared, or declared no more; each with the `reason`.
    spared: Vec<NotDone>,
    /// What differs, object by object, in diff mode. Values are whole there; in `changes`, long ones are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Vec<Diff>>,
}

/// The answer of `consul_spec` where it failed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Failure", title = "Result of consul_spec that failed")]
pub struct SpecFailure {
    /// What every module gives.
    #[serde(flatten)]
    pub failure: Failure,
    /// What this one gives besides.
    #[serde(flatten)]
    pub details: Details,
}

/// What a failure of many objects tells besides.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Details {
    /// Every fault of the specs, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Everything that was refused: the `object`, where it is about one, and the `reason`. Nothing was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<NotDone>,
    /// Where a run stopped: the objects of which everything was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// Where a run stopped: the objects of which something, or everything, was not done, or of which that is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_done: Vec<String>,
}

impl SpecResult {
    /// Of a plan. `in_files`: whether the specs are in files, so that it says something where an object is declared.
    pub(super) fn of_plan(
        plan: &StatePlan,
        desired: &DesiredState,
        datacenter: &str,
        in_files: bool,
        call: &Call,
    ) -> Self {
        let document = PlanDocument::new(plan, desired, datacenter);
        let PlanDocument { owner, datacenter, summary, mut changes, adopted, mut spared, .. } = document;
        if !in_files {
            changes.iter_mut().for_each(|change| change.at = None);
            spared.iter_mut().for_each(|spared| spared.at = None);
        }
        Self {
            common: Common { changed: !plan.is_empty(), ..Common::default() },
            owner,
            datacenter,
            summary,
            diff: call.diff_mode.then(|| PlanDocument::whole(plan, desired, "").changes.iter().map(diff).collect()),
            changes,
            adopted,
            spared,
        }
    }

    pub(super) fn warning(mut self, warning: String) -> Self {
        self.common.warnings.push(warning);
        self
    }
}

impl AsMut<Common> for SpecResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// What differs in one object. One that is made or deleted shows that by its `state`, for it may have nothing else to say.
fn diff(change: &ChangeDocument) -> Diff {
    let side = |exists: bool, value: fn(&Difference) -> &String| {
        let mut fields = Map::new();
        if matches!(change.action, Action::Create | Action::Delete) {
            fields.insert("state".to_owned(), Value::from(if exists { "present" } else { "absent" }));
        }
        if exists {
            let differences = change.differences.iter();
            fields.extend(differences.map(|each| (each.field.clone(), Value::from(value(each).as_str()))));
        }
        Value::Object(fields)
    };
    Diff {
        before_header: change.object.clone(),
        after_header: change.object.clone(),
        before: side(change.action != Action::Create, |each| &each.before),
        after: side(change.action != Action::Delete, |each| &each.after),
    }
}

/// The failure of specs with these faults.
pub(super) fn faults(faults: impl Iterator<Item = String>) -> Failure {
    let faults: Vec<String> = faults.collect();
    let first = faults.first().map_or("", String::as_str);
    let msg = match faults.len().saturating_sub(1) {
        0 => format!("{first}; nothing was done"),
        more => format!("{first}; and {more} more: see 'faults'; nothing was done"),
    };
    Failure::arguments(msg).with(false, Details { faults, ..Details::default() })
}

/// The failure of a plan that is not to be applied.
pub(super) fn refused(plan: &StatePlan, desired: &DesiredState, in_files: bool) -> Failure {
    let mut refused = PlanDocument::new(plan, desired, "").refused;
    if !in_files {
        refused.iter_mut().for_each(|refused| refused.at = None);
    }
    let hints: BTreeSet<String> = plan.refusals.iter().filter_map(|refusal| hint(&refusal.reason)).collect();
    let hints: String = hints.into_iter().map(|hint| format!(". {hint}")).collect();
    let failure = Failure::from(Error::UnsafeState(plan.refusals.clone()));
    failure.followed_by(&hints).with(false, Details { refused, ..Details::default() })
}

/// Which option, or what else, lifts a refusal.
fn hint(reason: &UnsafeState) -> Option<String> {
    let hint = match reason {
        UnsafeState::Foreign { .. } => "With `adopt: all`, what another owner has is taken over",
        UnsafeState::Unowned => "With `adopt: unowned`, what nobody owns is taken over",
        UnsafeState::Protected => "Declare it without `prevent_destroy`, and apply that first",
        UnsafeState::LocksHeld(_) | UnsafeState::LocksHidden => {
            "With `force: true`, sessions are destroyed all the same, and with them the locks that they hold"
        }
        UnsafeState::SeveralSessions(_) => {
            "Destroy those that are not the owner's; with `force: true`, they all count for the owner's"
        }
        UnsafeState::Held(_) => {
            "Wait until the key is free; `force: true` writes keys that are held, where they are declared without a session"
        }
        UnsafeState::TooManyDeletes { .. } => "`max_delete` says how many may be deleted: a number, or a share",
        UnsafeState::Empty(_) => "With `allow_empty: true`, all that the owner has is deleted",
        UnsafeState::Service(reason) => return Error::from(reason.clone()).hint(),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The failure of a run that stopped on the way.
pub(super) fn stopped(error: StateError) -> Failure {
    let names = |ids: &[ObjectId]| ids.iter().map(ToString::to_string).collect();
    let details = Details { done: names(&error.done), not_done: names(&error.not_done), ..Details::default() };
    let how_far = error.how_far();
    let changed = error.wrote();
    Failure::from(*error.source).preceded_by(&how_far).with(changed, details)
}
