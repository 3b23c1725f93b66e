//! The sessions of a plan for many objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{Declared, HeldLocks, ObjectId, ObservedSession, Session, SessionId};
use crate::plan::{Change, DeleteReason, Desired, Plan, Policy};

use super::planner::Planner;
use super::service::NodeWish;
use super::{Claim, SpareReason, StateChange, Step, UnsafeState};

impl<'a> Planner<'a> {
    pub(super) fn session(
        &mut self,
        id: &'a ObjectId,
        declared: &Declared,
        wish: &Arc<Session>,
        nodes: &BTreeMap<&str, NodeWish<'a>>,
        claim: Claim,
        seen: &'a [ObservedSession],
    ) {
        let equal = seen.iter().filter(|seen| seen.session == *wish).min_by_key(|seen| seen.create_index);
        if let Some(equal) = equal {
            self.standing.push((id, &equal.id));
        }
        match claim {
            Claim::Foreign { owner } => self.refuse(id, UnsafeState::Foreign { owner }),
            Claim::Unowned => self.leave_unowned(id, equal.is_some()),
            _ if seen.is_empty() && self.has_no_node(wish, nodes) => {
                self.refuse(id, UnsafeState::NoNode(wish.node.clone()));
            }
            // The two plain cases, of which there may be many.
            claim if seen.is_empty() => {
                self.change(id, claim, Step::Session(Change::Create { after: wish.clone() }), false);
            }
            claim if equal.is_some() && seen.len() == 1 => self.as_declared(id, claim),
            claim => self.settle_session(id, declared, wish, claim, seen),
        }
    }

    /// Whether there will be no node when the session is made: services, and the nodes that they declare, come before.
    fn has_no_node(&self, wish: &Session, nodes: &BTreeMap<&str, NodeWish<'a>>) -> bool {
        self.observed.missing_nodes.contains(&wish.node)
            && !nodes.keys().any(|name| name.eq_ignore_ascii_case(&wish.node))
    }

    /// As [`Plan::between`] says.
    fn settle_session(
        &mut self,
        id: &'a ObjectId,
        declared: &Declared,
        wish: &Arc<Session>,
        claim: Claim,
        sessions: &'a [ObservedSession],
    ) {
        let seen: Vec<ObservedSession> = sessions.iter().map(|session| self.with_lost_keys(id, session)).collect();
        // What an earlier run was replacing is certainly the owner's.
        let mut candidates: Vec<ObservedSession> =
            seen.iter().filter(|session| self.is_leaving(session) || session.session == *wish).cloned().collect();
        if candidates.is_empty() {
            candidates.clone_from(&seen);
        }
        let policy = Policy { force: self.policy.force, ..Policy::default() };
        let mut plan = Plan::between(&Desired::Present { session: wish.clone() }, &candidates, &policy);
        if declared.prevent_destroy {
            plan.changes.retain(|change| !matches!(change, Change::Delete { .. }));
        }
        let mut deletes: Vec<ObservedSession> = Vec::new();
        let mut step = None;
        for change in plan.changes {
            match change {
                Change::Delete { before, .. } => deletes.push(*before),
                change => step = Some(change),
            }
        }
        for other in seen {
            let stays = plan.keep.as_ref().is_some_and(|keep| keep.id == other.id);
            let replaced = matches!(&step, Some(Change::Replace { before, .. }) if before.id == other.id);
            if stays || replaced || deletes.iter().any(|delete| delete.id == other.id) {
                continue;
            }
            if !declared.prevent_destroy && self.was_replaced(&other, wish) {
                deletes.push(other);
            } else {
                self.spare(id, SpareReason::Duplicate(other.id));
            }
        }
        deletes.sort_unstable_by_key(|session| session.create_index);
        match step {
            Some(Change::Replace { before, after }) => {
                self.leave(id, &before, sessions);
                let protected = declared.prevent_destroy.then_some(UnsafeState::Protected);
                let several = || self.refuse_several(&candidates);
                match protected.or_else(several).or_else(|| self.refuse_lost_keys(&before)) {
                    Some(reason) => self.refuse(id, reason),
                    None => self.change(id, claim.clone(), Step::Session(Change::Replace { before, after }), false),
                }
            }
            Some(step) => self.change(id, claim.clone(), Step::Session(step), false),
            None if deletes.is_empty() => self.as_declared(id, claim.clone()),
            None => {}
        }
        for before in deletes {
            self.delete_session(id, &claim, before, DeleteReason::Replaced, sessions);
        }
    }

    /// Whether an earlier run was replacing it.
    fn is_leaving(&self, session: &ObservedSession) -> bool {
        self.claims.ours.replacing.contains(&session.id)
    }

    /// Why none of several sessions of a name is to be destroyed: Consul does not keep names apart, and records do not
    /// hold ids.
    fn refuse_several(&self, sessions: &[ObservedSession]) -> Option<UnsafeState> {
        let several = sessions.iter().filter(|session| !self.is_leaving(session)).map(|session| session.id.clone());
        let mut several: Vec<SessionId> = several.collect();
        several.sort();
        (several.len() > 1 && !self.policy.force).then_some(UnsafeState::SeveralSessions(several))
    }

    /// Whether an earlier run was replacing it, and nothing is lost when that is finished.
    fn was_replaced(&self, session: &ObservedSession, wish: &Arc<Session>) -> bool {
        let held = session.locks == HeldLocks::Hidden || !session.locks.keys().is_empty();
        self.is_leaving(session) && session.session != *wish && (!held || self.policy.force)
    }

    /// Every session of a name that is declared no more.
    pub(super) fn end_sessions(&mut self, id: &'a ObjectId, sessions: &'a [ObservedSession]) {
        let mut seen: Vec<ObservedSession> = sessions.iter().map(|session| self.with_lost_keys(id, session)).collect();
        seen.sort_unstable_by_key(|session| session.create_index);
        let refusal = seen.iter().find_map(|session| self.refuse_lost_keys(session));
        let refusal = self.refuse_several(&seen).or(refusal);
        match refusal {
            Some(reason) => {
                seen.iter().for_each(|session| self.leave(id, session, sessions));
                self.refuse(id, reason);
            }
            None => {
                for before in seen {
                    self.delete_session(id, &Claim::Ours, before, DeleteReason::Absent, sessions);
                }
            }
        }
    }

    fn delete_session(
        &mut self,
        id: &'a ObjectId,
        claim: &Claim,
        before: ObservedSession,
        reason: DeleteReason,
        sessions: &'a [ObservedSession],
    ) {
        self.leave(id, &before, sessions);
        let step = Step::Session(Change::Delete { before: Box::new(before), reason });
        self.deletes.push(StateChange { id: id.clone(), claim: claim.clone(), step, secret: false });
    }

    /// Notes that one of `sessions` is to be destroyed.
    fn leave(&mut self, id: &'a ObjectId, session: &ObservedSession, sessions: &'a [ObservedSession]) {
        if let Some(seen) = sessions.iter().find(|seen| seen.id == session.id) {
            self.leaving.insert(seen.id.as_str(), id);
        }
    }
}
