//! Taking over what exists.

use crate::object::{Claims, DesiredState, ObservedState};

use super::planner::Planner;
use super::sight::Look;
use super::{Claim, SpareReason, StatePlan, StatePolicy, UnsafeState};

impl StatePlan {
    /// Takes over what is declared and exists, whatever it is like: only records change. `policy` says from whom.
    ///
    /// | claim | plan |
    /// |---|---|
    /// | free | nothing |
    /// | ours | nothing |
    /// | adopted | take it over |
    /// | foreign, and a service whose metadata names another owner | refuse |
    /// | unowned | spare |
    pub fn adopt(desired: &DesiredState, observed: &ObservedState, claims: &Claims, policy: &StatePolicy) -> Self {
        let mut planner = Planner::new(&desired.owner, &desired.objects, observed, claims, policy);
        let mut look = Look::new(&desired.owner, observed, claims);
        for id in desired.objects.keys() {
            let sight = look.at(id);
            let claim = sight.claim(policy.adopt);
            planner.confirm(id, &claim, &sight);
            // The record of a service is its metadata, and that is written when it is registered.
            let in_meta = sight.foreign.filter(|_| !claims.others.contains_key(id)).map(ToOwned::to_owned);
            match (claim, in_meta) {
                (Claim::Free, _) => {}
                (Claim::Adopted { .. }, Some(owner)) | (Claim::Foreign { owner }, _) => {
                    planner.refuse(id, UnsafeState::Foreign { owner });
                }
                (Claim::Unowned, _) => planner.spare(id, SpareReason::NotOurs),
                (claim, _) => planner.as_declared(id, claim),
            }
        }
        planner.finish()
    }
}
