//! `/v1/lictor/`: the agent's own, which Consul does not have.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::ParseFaultError;
use crate::dev::agent::Agent;
use crate::dev::fault::Faults;
use crate::duration::ConsulDuration;

/// When it is, since the agent's start.
pub(super) fn clock(agent: &Agent, _: &Call) -> Answer {
    Ok(line(&json!({"Now": ConsulDuration::from(agent.now()).to_string()})))
}

/// `?advance=20s` moves the clock ahead.
pub(super) fn move_clock(agent: &Agent, call: &Call) -> Answer {
    let by = call.text("advance").parse::<ConsulDuration>();
    let by: Duration = by.map_err(|error| Refusal::bad(format!("advance: {error}")))?.into();
    agent.advance(by);
    clock(agent, call)
}

/// What goes wrong on purpose.
pub(super) fn faults(agent: &Agent, _: &Call) -> Answer {
    Ok(line(&json!({"Faults": agent.faults().to_string()})))
}

/// The body says what goes wrong from now on, as `--fault` does.
pub(super) fn set_faults(agent: &Agent, call: &Call) -> Answer {
    let text = std::str::from_utf8(&call.body).map_err(|error| Refusal::bad(error.to_string()))?;
    agent.set_faults(text.parse().map_err(|error: ParseFaultError| Refusal::bad(error.to_string()))?);
    faults(agent, call)
}

/// From now on, nothing goes wrong.
pub(super) fn no_faults(agent: &Agent, call: &Call) -> Answer {
    agent.set_faults(Faults::default());
    faults(agent, call)
}

/// An answer for people who type `curl`.
fn line(value: &Value) -> Reply {
    Reply::new(StatusCode::OK, "application/json", format!("{value}\n"))
}
