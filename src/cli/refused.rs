//! What to do about a plan that was refused.

use std::collections::BTreeSet;

use crate::plan::state::{Refusal, UnsafeState};
use crate::reconcile;

/// Says on standard error which flag, or what else, lifts each kind of refusal.
pub(super) fn print_hints(refusals: &[Refusal]) {
    let hints: BTreeSet<String> = refusals.iter().filter_map(|refusal| hint(&refusal.reason)).collect();
    hints.iter().for_each(|hint| eprintln!("hint: {hint}"));
}

fn hint(reason: &UnsafeState) -> Option<String> {
    let hint = match reason {
        UnsafeState::Foreign { .. } => {
            "`--adopt all`, and `lictor adopt --from-others`, take over what another owner has"
        }
        UnsafeState::Unowned => "`--adopt unowned` takes over what nobody owns",
        UnsafeState::Protected => "declare it without `prevent_destroy`, and apply that first",
        UnsafeState::LocksHeld(_) | UnsafeState::LocksHidden => {
            "`--force` destroys sessions all the same, and with them the locks that they hold"
        }
        UnsafeState::SeveralSessions(_) => {
            "destroy those that are not the owner's (`lictor session destroy ID`); `--force` counts them all for the owner's"
        }
        UnsafeState::Held(_) => {
            "wait until the key is free; `--force` writes keys that are held, where they are declared without a session"
        }
        UnsafeState::NoNode(_) => "`lictor catalog nodes` lists the nodes that there are",
        UnsafeState::TooManyDeletes { .. } => "`--max-delete` says how many may be deleted: a number, or a share",
        UnsafeState::Empty(_) => "`--allow-empty` deletes all that the owner has",
        UnsafeState::Service(reason) => return reconcile::Error::from(reason.clone()).hint(),
        _ => return None,
    };
    Some(hint.to_owned())
}
