//! The keys of a plan for many objects.

use crate::object::{Key, KeyContent, Object, ObjectId, ObservedKey, SessionId};
use crate::plan::key::{DesiredKey, KeyChange, KeyPolicy, UnsafeKey, plan_key};

use super::planner::Planner;
use super::{Claim, KeyStep, SpareReason, StateChange, Step, UnsafeState};

/// What is declared of a key.
#[derive(Clone, Copy)]
pub(super) struct KeyWish<'a> {
    pub(super) content: &'a KeyContent,
    pub(super) holder: Option<&'a ObjectId>,
    pub(super) secret: bool,
}

impl<'a> Planner<'a> {
    pub(super) fn key(
        &mut self,
        id: &'a ObjectId,
        name: &str,
        wish: KeyWish<'_>,
        claim: Claim,
        before: Option<&ObservedKey>,
    ) {
        let step = match wish.holder {
            None => self.write(name, wish.content, before),
            Some(holder) => self.hold(name, wish.content, holder, before),
        };
        match (claim, step) {
            (Claim::Foreign { owner }, _) => self.refuse(id, UnsafeState::Foreign { owner }),
            (Claim::Unowned, step) => self.leave_unowned(id, step == Ok(None)),
            (_, Err(reason)) => self.refuse(id, reason),
            (claim, Ok(None)) => self.as_declared(id, claim),
            (claim, Ok(Some(step))) => self.change(id, claim, Step::Key(step), wish.secret),
        }
    }

    fn write(
        &self,
        name: &str,
        content: &KeyContent,
        before: Option<&ObservedKey>,
    ) -> Result<Option<KeyStep>, UnsafeState> {
        let holder = before.and_then(|before| before.holder.as_ref());
        let leaves = holder.is_some_and(|holder| self.leaving.contains_key(holder.as_str()));
        if !leaves && before.is_some_and(|before| content.is_of(&before.key)) {
            return Ok(None);
        }
        let desired = match holder {
            // Its end would bar the key, or delete it.
            Some(session) if leaves => DesiredKey::Released { session: session.clone(), content: content.clone() },
            _ => DesiredKey::Present(content.clone()),
        };
        let policy = KeyPolicy { force: self.policy.force, ..KeyPolicy::default() };
        plan_key(name, &desired, before, &policy).map(|change| change.map(KeyStep::Write)).map_err(held)
    }

    fn hold(
        &self,
        name: &str,
        content: &KeyContent,
        holder: &ObjectId,
        before: Option<&ObservedKey>,
    ) -> Result<Option<KeyStep>, UnsafeState> {
        if !matches!(self.declared.get(holder).map(|declared| &declared.object), Some(Object::Session(_))) {
            return Err(UnsafeState::NoHolder(holder.clone()));
        }
        let holds = before.and_then(|before| before.holder.as_deref());
        let standing = self.standing.binary_search_by_key(&holder, |(id, _)| *id).ok();
        let session = standing.and_then(|place| self.standing.get(place)).map(|(_, session)| *session);
        let moves = holds.filter(|id| self.leaving.get(id).is_some_and(|leaving| *leaving == holder));
        let hold = |before: Option<ObservedKey>, after: Key, from: Option<SessionId>| KeyStep::Hold {
            before,
            after,
            holder: holder.clone(),
            session: session.cloned(),
            from,
        };
        if moves.is_some() || session.is_none() {
            let from = moves.and_then(|id| SessionId::parse(id).ok());
            if let Some(other) = holds.filter(|_| from.is_none()) {
                return Err(UnsafeState::Held(other.to_owned()));
            }
            let base =
                before.map_or_else(|| Key { key: name.to_owned(), value: Vec::new(), flags: 0 }, |b| b.key.clone());
            return Ok(Some(hold(before.cloned(), content.over(base), from)));
        }
        let id = session.map(SessionId::as_str).unwrap_or_default();
        if holds == Some(id) && before.is_some_and(|before| content.is_of(&before.key)) {
            return Ok(None);
        }
        let desired = DesiredKey::Acquired { session: id.to_owned(), content: content.clone() };
        let change = plan_key(name, &desired, before, &KeyPolicy::default()).map_err(held)?;
        Ok(change.and_then(|change| match change {
            KeyChange::Acquire { before, after, .. } => Some(hold(before, after, None)),
            _ => None,
        }))
    }

    /// A key that is declared no more. One that a session holds stays, unless that session is destroyed as well.
    pub(super) fn end_key(&mut self, id: &ObjectId, before: &ObservedKey) {
        match &before.holder {
            Some(holder) if !self.leaving.contains_key(holder.as_str()) => {
                self.spare(id, SpareReason::Held(holder.clone()));
            }
            _ => {
                let step = Step::Key(KeyStep::Write(KeyChange::Delete { before: before.clone() }));
                // Whether its value was a secret, nobody knows any more.
                self.deletes.push(StateChange { id: id.clone(), claim: Claim::Ours, step, secret: true });
            }
        }
    }
}

fn held(error: UnsafeKey) -> UnsafeState {
    match error {
        UnsafeKey::Held { holder, .. } => UnsafeState::Held(holder),
        UnsafeKey::Stale { .. } => UnsafeState::Held(String::new()),
    }
}
