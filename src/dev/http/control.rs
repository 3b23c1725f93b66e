//! `/v1/lictor/`: the agent's own, which Consul does not have.

use std::time::Duration;

use serde_json::json;

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::agent::Agent;
use crate::duration::ConsulDuration;

/// When it is, since the agent's start.
pub(super) fn clock(agent: &Agent, _: &Call) -> Answer {
    Ok(Reply::json(&json!({"Now": ConsulDuration::from(agent.now()).to_string()})))
}

/// `?advance=20s` moves the clock ahead.
pub(super) fn move_clock(agent: &Agent, call: &Call) -> Answer {
    let by = call.text("advance").parse::<ConsulDuration>();
    let by: Duration = by.map_err(|error| Refusal::bad(format!("advance: {error}")))?.into();
    agent.advance(by);
    clock(agent, call)
}
