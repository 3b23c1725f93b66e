//! What is declared no more.

use crate::object::ObjectId;

use super::planner::Planner;
use super::sight::{Existing, Look};
use super::{Adopt, Claim, SpareReason, UnsafeState};

/// For whose sake objects are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Our record has them, and nobody declares them any more.
    Prune,
    /// Somebody asked for just these to be destroyed.
    Destroy,
}

impl<'a> Planner<'a> {
    /// Decides which of `candidates`, in the order of their ids, are to be deleted. To be called first: what becomes of a session depends on which
    /// of its keys go with it.
    ///
    /// | whose | exists | protected | `prune`, or asked for | verdict |
    /// |---|---|---|---|---|
    /// | any | no | any | any | forget it |
    /// | another owner's, ours or not | yes | any | any | spare, and forget it |
    /// | nobody's, or pending and not as it was to be made | yes | any | pruned | forget it |
    /// | the same | yes | any | asked for | spare, and forget it |
    /// | ours | yes | any | neither | spare |
    /// | ours | yes | yes | yes | refuse |
    /// | ours | yes | no | yes | delete |
    pub(super) fn doom(
        &mut self,
        candidates: impl Iterator<Item = &'a ObjectId>,
        ending: Ending,
        is_protected: impl Fn(&ObjectId) -> bool,
    ) {
        let mut look = Look::new(self.owner, self.observed, self.claims);
        for id in candidates {
            let sight = look.at(id);
            if !sight.exists() {
                self.forget(id);
                continue;
            }
            if let Some(owner) = sight.foreign {
                self.forget(id);
                self.spare(id, SpareReason::Foreign(owner.to_owned()));
                continue;
            }
            let claim = sight.claim(Adopt::Ours);
            if claim != Claim::Ours {
                self.forget(id);
                if ending == Ending::Destroy {
                    self.spare(id, SpareReason::Unowned);
                }
                continue;
            }
            self.confirm(id, &claim, &sight);
            if ending == Ending::Prune && !self.policy.prune {
                self.spare(id, SpareReason::NotPruned);
            } else if is_protected(id) {
                self.refuse(id, UnsafeState::Protected);
            } else {
                self.doomed.push((id, sight.existing));
            }
        }
    }

    /// Plans the end of the sessions that are doomed. To be called before any key is planned.
    pub(super) fn end_doomed_sessions(&mut self) {
        for (id, existing) in self.doomed.clone() {
            if let Existing::Sessions(sessions) = existing {
                self.end_sessions(id, sessions);
            }
        }
    }

    /// Plans the end of everything else that is doomed.
    pub(super) fn end_the_rest(&mut self) {
        for (id, existing) in std::mem::take(&mut self.doomed) {
            match existing {
                Existing::Service(Some(service)) => self.end_service(id, service),
                Existing::Key(Some(key)) => self.end_key(id, key),
                Existing::Sessions(_) | Existing::Service(None) | Existing::Key(None) => {}
            }
        }
    }
}
