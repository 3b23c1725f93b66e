//! `/v1/status/`: a cluster of one.

use super::call::Call;
use super::reply::{Answer, Reply};
use crate::dev::state::State;

pub(super) fn leader(state: &State, _: &Call) -> Answer {
    Ok(Reply::json(&state.identity.server()))
}

pub(super) fn peers(state: &State, _: &Call) -> Answer {
    Ok(Reply::json(&[state.identity.server()]))
}
