//! A plan for many objects while it is made: what all kinds of objects share.

use std::collections::{BTreeMap, HashMap};

use crate::object::{Claims, Declared, HeldLocks, Object, ObjectId, ObservedSession, ObservedState, SessionId};

use super::sight::{Existing, Sight};
use super::{Claim, Refusal, SpareReason, Spared, StateChange, StatePlan, StatePolicy, Step, UnsafeState};

/// A plan while it is made.
pub(super) struct Planner<'a> {
    pub(super) owner: &'a str,
    /// What is to be there.
    pub(super) declared: &'a BTreeMap<ObjectId, Declared>,
    pub(super) observed: &'a ObservedState,
    pub(super) claims: &'a Claims,
    pub(super) policy: &'a StatePolicy,
    pub(super) plan: StatePlan,
    /// Deletes, in the order opposite to that in which they are done.
    pub(super) deletes: Vec<StateChange>,
    /// What is to be deleted because it is declared no more, sorted.
    pub(super) doomed: Vec<(&'a ObjectId, Existing<'a>)>,
    /// The sessions that stand for declared ones, and stay; in the order of ids.
    pub(super) standing: Vec<(&'a ObjectId, &'a SessionId)>,
    /// The sessions that the plan destroys, by their ids.
    pub(super) leaving: HashMap<&'a str, &'a ObjectId>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        owner: &'a str,
        declared: &'a BTreeMap<ObjectId, Declared>,
        observed: &'a ObservedState,
        claims: &'a Claims,
        policy: &'a StatePolicy,
    ) -> Self {
        Self {
            owner,
            declared,
            observed,
            claims,
            policy,
            plan: StatePlan::default(),
            deletes: Vec::new(),
            doomed: Vec::new(),
            standing: Vec::new(),
            leaving: HashMap::new(),
        }
    }

    /// The session, with those of its keys only that are lost with it.
    pub(super) fn with_lost_keys(&self, id: &ObjectId, session: &ObservedSession) -> ObservedSession {
        let mut session = session.clone();
        if let HeldLocks::Keys(keys) = &mut session.locks {
            keys.retain(|key| {
                let key = ObjectId::Key(key.clone());
                let moves = matches!(
                    self.declared.get(&key).map(|declared| &declared.object),
                    Some(Object::Key { holder: Some(holder), .. }) if holder == id
                );
                !moves && self.doomed.binary_search_by_key(&&key, |(id, _)| id).is_err()
            });
            keys.sort();
        }
        session
    }

    /// Why a session is not to be destroyed for what it holds.
    pub(super) fn refuse_lost_keys(&self, session: &ObservedSession) -> Option<UnsafeState> {
        match &session.locks {
            _ if self.policy.force => None,
            HeldLocks::Hidden => Some(UnsafeState::LocksHidden),
            HeldLocks::Keys(keys) if !keys.is_empty() => Some(UnsafeState::LocksHeld(keys.clone())),
            HeldLocks::Keys(_) | HeldLocks::NotLooked => None,
        }
    }

    pub(super) fn change(&mut self, id: &ObjectId, claim: Claim, step: Step, secret: bool) {
        self.plan.changes.push(StateChange { id: id.clone(), claim, step, secret });
    }

    /// Notes that an object is as declared.
    pub(super) fn as_declared(&mut self, id: &ObjectId, claim: Claim) {
        match claim {
            Claim::Adopted { .. } => self.plan.adopted.push(id.clone()),
            _ => self.plan.unchanged += 1,
        }
    }

    /// Notes that an object is ours although the record is not sure.
    pub(super) fn confirm(&mut self, id: &ObjectId, claim: &Claim, sight: &Sight<'_>) {
        if *claim == Claim::Ours && !sight.in_record {
            self.plan.confirmed.insert(id.clone());
        }
    }

    /// Notes that the record is to lose an object.
    pub(super) fn forget(&mut self, id: &ObjectId) {
        if self.claims.ours.objects.contains(id) || self.claims.ours.pending.contains_key(id) {
            self.plan.forgotten.insert(id.clone());
        }
    }

    /// What is nobody's is left alone where it is as declared, else refused.
    pub(super) fn leave_unowned(&mut self, id: &ObjectId, equal: bool) {
        if equal {
            self.forget(id);
            self.spare(id, SpareReason::NotOurs);
        } else {
            self.refuse(id, UnsafeState::Unowned);
        }
    }

    pub(super) fn spare(&mut self, id: &ObjectId, reason: SpareReason) {
        self.plan.spared.push(Spared { id: id.clone(), reason });
    }

    pub(super) fn refuse(&mut self, id: &ObjectId, reason: UnsafeState) {
        self.plan.refusals.push(Refusal { id: Some(id.clone()), reason });
    }

    /// The plan, when all objects have been gone through.
    pub(super) fn finish(mut self) -> StatePlan {
        self.deletes.reverse();
        if self.plan.changes.is_empty() {
            self.plan.changes = self.deletes;
        } else {
            self.plan.changes.append(&mut self.deletes);
        }
        self.plan.spared.sort_by(|a, b| a.id.cmp(&b.id));
        self.plan.refusals.sort_by(|a, b| a.id.cmp(&b.id));
        self.plan
    }
}
