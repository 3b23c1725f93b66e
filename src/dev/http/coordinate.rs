//! `/v1/coordinate/node/`: where a node is in the network. The agent's own is in the middle, and others are nowhere.

use axum::http::StatusCode;
use serde_json::json;

use super::call::Call;
use super::catalog::named;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Resource, State};

pub(super) fn node(state: &State, call: &Call) -> Answer {
    let name = named(call, "/v1/coordinate/node/", "node name")?;
    if !call.reads(Resource::Node, name)? {
        return Err(Refusal::denied_by_server());
    }
    if !name.eq_ignore_ascii_case(&state.identity.node) {
        return Ok(Reply::empty(StatusCode::NOT_FOUND));
    }
    let coordinate = json!({"Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 0.00001});
    Ok(Reply::json(&[json!({"Node": state.identity.node, "Segment": "", "Coord": coordinate})]).at(1))
}
