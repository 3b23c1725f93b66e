//! What has to be done so that everything an owner declares is as declared, and nothing of anybody else's is touched.
//! Pure.

mod adopt;
mod change;
mod claim;
mod key;
mod planner;
mod prune;
mod record;
mod safety;
mod service;
mod session;
mod show;
mod sight;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Claims, Declared, DesiredState, Object, ObjectId, ObservedState, Record};
use crate::plan::Change;

use key::KeyWish;
use planner::Planner;
use prune::Ending;
use sight::{Along, Existing, Look};

pub use change::{Action, KeyStep, NodeChange, SpareReason, Spared, StateChange, Step};
pub use claim::{Adopt, Claim, Recorded, claim};
pub use safety::{Limit, Refusal, UnsafeState};

/// What a plan may do. The default makes and changes, but deletes nothing, and takes nothing over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct StatePolicy {
    /// Delete what the owner once made and declares no more.
    pub prune: bool,
    /// What may be taken over.
    pub adopt: Adopt,
    /// How much may be deleted at once.
    pub max_delete: Limit,
    /// Delete everything where nothing at all is declared.
    pub allow_empty: bool,
    /// Write keys that other sessions hold, and destroy sessions that hold keys which are lost with them.
    pub force: bool,
}

/// The difference between what an owner declares and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePlan {
    /// What to do, in the order in which it is to be done: sessions, services, keys; then deletes, the other way round.
    /// There may be several of one session's id: besides its own, one for each predecessor that an earlier run left.
    pub changes: Vec<StateChange>,
    /// What stays as it is although it is not as declared, or is declared no more.
    pub spared: Vec<Spared>,
    /// Why the plan is not to be applied; none for one that may be. What is refused is in no change.
    pub refusals: Vec<Refusal>,
    /// What is as declared, and belongs to the owner from now on: only the record changes.
    pub adopted: Vec<ObjectId>,
    /// What is the owner's although its record is not sure, or does not say so: an earlier run was killed.
    pub confirmed: BTreeSet<ObjectId>,
    /// What the record is to lose: it is gone, or was never the owner's.
    pub forgotten: BTreeSet<ObjectId>,
    /// How many objects are as declared, and the owner's already.
    pub unchanged: usize,
}

/// What our record has, or is to have, and nobody declares, in the order of ids.
pub(crate) fn recorded_and_undeclared<'a>(desired: &'a DesiredState, ours: &'a Record) -> Vec<&'a ObjectId> {
    let undeclared = |ids: &mut dyn Iterator<Item = &'a ObjectId>| {
        let mut declared = Along::new(desired.objects.iter());
        ids.filter(|id| declared.get(id).is_none()).collect::<Vec<_>>()
    };
    let mut ids = undeclared(&mut ours.objects.iter());
    ids.extend(undeclared(&mut ours.pending.keys()));
    ids.sort();
    ids.dedup();
    ids
}

/// Where nothing is to be kept.
static NOTHING: BTreeMap<ObjectId, Declared> = BTreeMap::new();

impl StatePlan {
    /// Compares. `observed` has whatever exists of what `desired` and our record mention.
    ///
    /// What is declared, by whose it is (see [`claim()`]):
    ///
    /// | claim | observed | plan |
    /// |---|---|---|
    /// | foreign | any | refuse |
    /// | unowned | as declared | spare |
    /// | unowned | differs | refuse |
    /// | free | none | create |
    /// | ours | none | create |
    /// | ours | as declared | nothing |
    /// | ours | differs | update, or replace |
    /// | adopted | as declared | only the record changes |
    /// | adopted | differs | update, or replace |
    ///
    /// A session, where it is free, ours or adopted, besides what stands above [`Plan::between`](super::Plan::between):
    ///
    /// | observed | policy | plan |
    /// |---|---|---|
    /// | none, and no node, which no service declares with an address either | any | refuse |
    /// | differs, to be protected | any | refuse: a replacement destroys it |
    /// | differs, and there are more that differ, besides those that our record was replacing | no `force` | refuse |
    /// | differs, its keys all move along to its successor or are deleted | any | replace |
    /// | differs, other keys would be lost, or nobody knows | no `force` | refuse |
    /// | differs, other keys would be lost, or nobody knows | `force` | replace |
    /// | as declared, and one that our record was replacing, which holds nothing else, or `force` | any | delete that one |
    /// | as declared, and any other one | any | spare that one |
    ///
    /// A service:
    ///
    /// | observed | plan |
    /// |---|---|
    /// | its metadata names another owner | foreign, whatever our record says |
    /// | its metadata names us | ours, whatever our record says |
    /// | as declared, ours or adopted, but its metadata names nobody | update |
    /// | none, and its node has one whose id differs in upper and lower case only | refuse |
    /// | on a node without an agent, which differs | change the node |
    /// | on a node that does not exist, and no service gives its address | refuse |
    /// | two services say different things of its node | refuse |
    ///
    /// A key, which differs from what is declared as this says:
    ///
    /// | declared | held by | content | plan |
    /// |---|---|---|---|
    /// | by itself | nobody | as declared, differs | nothing, write |
    /// | by itself | a session | as declared | nothing |
    /// | by itself | a session | differs | refuse; with `force` write: it stays held |
    /// | by itself | a session that the plan destroys | any | release, and write |
    /// | held by a session | that session | as declared, differs | nothing, hold |
    /// | held by a session | nobody | any | hold |
    /// | held by a session | a predecessor of it that the plan destroys | any | hold, from that one |
    /// | held by a session | any other session | any | refuse, `force` or not |
    /// | held by a session that is not declared | any | any | refuse |
    ///
    /// What is declared no more, and is to be deleted (see `Planner::doom` for whether it is):
    ///
    /// | object | plan |
    /// |---|---|
    /// | several sessions of one name, besides those that our record was replacing | refuse; with `force` delete |
    /// | a session that holds keys which are not deleted, or nobody knows | refuse; with `force` delete |
    /// | any other session; a service | delete |
    /// | a key that a session holds, and the plan does not destroy that | spare |
    /// | any other key | delete |
    ///
    /// And of the whole: more deletes than [`StatePolicy::max_delete`] are refused, and so are any where nothing is
    /// declared, without `allow_empty`.
    pub fn between(desired: &DesiredState, observed: &ObservedState, claims: &Claims, policy: &StatePolicy) -> Self {
        let mut planner = Planner::new(&desired.owner, &desired.objects, observed, claims, policy);
        let undeclared = recorded_and_undeclared(desired, &claims.ours);
        planner.doom(undeclared.into_iter(), Ending::Prune, |id| claims.ours.protected.contains(id));
        let nodes = service::wished_nodes(desired);
        let mut look = Look::new(&desired.owner, observed, claims);
        // What is not there will mostly be made: a list that grows is copied, and there may be very many.
        let there = observed.sessions.len() + observed.services.len() + observed.keys.len();
        planner.plan.changes.reserve(desired.objects.len().saturating_sub(there));
        let mut sessions_are_done = false;
        // In the order of ids, sessions come first.
        for (id, declared) in &desired.objects {
            if !matches!(id, ObjectId::Session { .. }) && !std::mem::replace(&mut sessions_are_done, true) {
                planner.end_doomed_sessions();
            }
            let sight = look.at(id);
            let claim = sight.claim(policy.adopt);
            planner.confirm(id, &claim, &sight);
            match (&declared.object, sight.existing) {
                (Object::Session(wish), Existing::Sessions(seen)) => {
                    planner.session(id, declared, wish, &nodes, claim, seen);
                }
                (Object::Service { node, spec }, Existing::Service(seen)) => {
                    planner.service(id, node, spec, &nodes, claim, seen);
                }
                (Object::Key { content, holder, secret }, Existing::Key(seen)) => {
                    let ObjectId::Key(name) = id else { continue };
                    let wish = KeyWish { content, holder: holder.as_ref(), secret: secret.is_some() };
                    planner.key(id, name, wish, claim, seen);
                }
                // An object stands under an id of its own kind.
                (Object::Session(_) | Object::Service { .. } | Object::Key { .. }, _) => {}
            }
        }
        if !sessions_are_done {
            planner.end_doomed_sessions();
        }
        planner.end_the_rest();
        let mut plan = planner.finish();
        let has = plan.count_owned(claims);
        plan.limit_deletes(has, policy);
        if desired.objects.is_empty() {
            plan.refuse_empty(has, policy);
        }
        plan
    }

    /// Deletes just the objects that are declared, as far as they are ours; what they are to be does not matter. What is
    /// another owner's or nobody's is spared, and what is protected is refused: where it is declared so as well as where
    /// our record says so. The limit on deletes counts here, too.
    pub fn destroy(desired: &DesiredState, observed: &ObservedState, claims: &Claims, policy: &StatePolicy) -> Self {
        let mut planner = Planner::new(&desired.owner, &NOTHING, observed, claims, policy);
        let is_protected = |id: &ObjectId| {
            desired.objects.get(id).is_some_and(|declared| declared.prevent_destroy)
                || claims.ours.protected.contains(id)
        };
        planner.doom(desired.objects.keys(), Ending::Destroy, is_protected);
        planner.end_doomed_sessions();
        planner.end_the_rest();
        let mut plan = planner.finish();
        let has = plan.count_owned(claims);
        plan.limit_deletes(has, policy);
        plan
    }

    /// True where there is nothing to do, not even to take anything over. What the record knows may change all the same:
    /// see [`settled`](Self::settled).
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.adopted.is_empty()
    }

    /// True where the plan ends sessions, so that it matters which keys they hold: where nobody has looked, it is to be
    /// made anew with those.
    pub fn depends_on_locks(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change.step, Step::Session(Change::Replace { .. } | Change::Delete { .. })))
    }

    /// How many objects the owner has.
    fn count_owned(&self, claims: &Claims) -> usize {
        let lost = self.forgotten.iter().filter(|id| claims.ours.objects.contains(*id)).count();
        claims.ours.objects.len() + self.confirmed.len() - lost
    }
}

#[cfg(test)]
mod tests;
