//! What the owner's record is to say, before and after a plan is applied.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{Claims, DesiredState, ObjectId, Record, SessionId};
use crate::plan::{Change, DeleteReason};

use super::sight::Along;
use super::{Claim, SpareReason, StateChange, StatePlan, Step};

impl StatePlan {
    /// True where [`settled`](Self::settled) is the record as it is, which is quick to see where the plan is empty.
    pub fn keeps_record(&self, desired: &DesiredState, claims: &Claims) -> bool {
        let Record { objects: _, pending, protected, replacing } = &claims.ours;
        let nothing_moves = self.is_empty() && self.confirmed.is_empty() && self.forgotten.is_empty();
        let nothing_else = pending.is_empty() && protected.is_empty() && replacing.is_empty();
        if nothing_moves && nothing_else && protected_ids(desired).next().is_none() {
            return true;
        }
        self.settled(desired, claims, |_| false) == claims.ours
    }

    /// The record to write before anything is touched: what the owner has, and what it sets out to make. After a run
    /// that was killed, it tells what that run made from what others made meanwhile.
    pub fn ahead(&self, desired: &DesiredState, claims: &Claims) -> Record {
        self.ahead_of(desired, claims, |_| true)
    }

    /// The same, but for what is made already: hashes of very many objects take their time.
    fn ahead_of(&self, desired: &DesiredState, claims: &Claims, is_open: impl Fn(&ObjectId) -> bool) -> Record {
        let mut record = claims.ours.clone();
        for id in &self.confirmed {
            record.pending.remove(id);
            record.objects.insert(id.clone());
        }
        let made = self.changes.iter().filter(|change| change.claim != Claim::Ours).map(|change| &change.id);
        let mut made: Vec<&ObjectId> = made.chain(&self.adopted).filter(|id| is_open(id)).collect();
        made.sort(); // it mostly is
        made.dedup();
        let mut objects = Along::new(desired.objects.iter());
        let declared = made.iter().filter_map(|id| Some((*id, objects.get(id)?)));
        let mut pending: BTreeMap<ObjectId, String> =
            declared.map(|(id, declared)| (id.clone(), declared.object.hash())).collect();
        // A service that our record names, but which names another owner itself.
        for id in pending.keys() {
            record.objects.remove(id);
        }
        record.pending.append(&mut pending);
        record.protected.extend(protected_ids(desired).cloned());
        record.replacing.extend(self.changes.iter().filter_map(predecessor).cloned());
        record
    }

    /// The record to write when everything was done that could be; `done` says of which objects every change was.
    ///
    /// What was not done stays as it was in [`ahead`](Self::ahead). What was deleted goes, and so does what is gone. What
    /// is protected stays so until it is declared without that.
    pub fn settled(&self, desired: &DesiredState, claims: &Claims, done: impl Fn(&ObjectId) -> bool) -> Record {
        let mut record = self.ahead_of(desired, claims, |id| !done(id));
        let mut replacing = BTreeSet::new();
        let mut ended = BTreeSet::new();
        let mut made: Vec<&ObjectId> = Vec::new();
        for change in &self.changes {
            if !done(&change.id) {
                replacing.extend(predecessor(change).cloned());
            } else if change.ends_object() {
                ended.insert(&change.id);
            } else {
                made.push(&change.id);
            }
        }
        made.extend(&self.adopted);
        // Put in all at once: one by one, each would be searched for.
        let mut made: BTreeSet<ObjectId> = made.into_iter().cloned().collect();
        record.pending.retain(|id, _| !made.contains(id));
        record.objects.append(&mut made);
        for id in ended.into_iter().chain(&self.forgotten) {
            record.pending.remove(id);
            record.objects.remove(id);
        }
        // One that could not be destroyed yet, for what it holds.
        replacing.extend(self.spared.iter().filter_map(|spared| match &spared.reason {
            SpareReason::Duplicate(id) if claims.ours.replacing.contains(id) => Some(id.clone()),
            _ => None,
        }));
        record.replacing = replacing;
        let Record { objects, pending, .. } = &mut record;
        pending.retain(|id, _| !objects.contains(id));
        record.protected.retain(|id| match desired.objects.get(id) {
            Some(declared) => declared.prevent_destroy,
            None => record.objects.contains(id) || record.pending.contains_key(id),
        });
        record
    }
}

fn protected_ids(desired: &DesiredState) -> impl Iterator<Item = &ObjectId> {
    desired.objects.iter().filter(|(_, declared)| declared.prevent_destroy).map(|(id, _)| id)
}

/// The session that a change replaces.
fn predecessor(change: &StateChange) -> Option<&SessionId> {
    match &change.step {
        Step::Session(Change::Replace { before, .. } | Change::Delete { before, reason: DeleteReason::Replaced }) => {
            Some(&before.id)
        }
        _ => None,
    }
}
