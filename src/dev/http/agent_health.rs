//! `/v1/agent/health/service/`: what the agent itself knows of its services' health.

use axum::http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use super::agent::view;
use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Check, Resource, Service, State, worst};

const REASON: HeaderName = HeaderName::from_static("x-consul-reason");

/// One service by its id.
pub(super) fn by_id(state: &State, call: &Call) -> Answer {
    let id = call.rest("/v1/agent/health/service/id/");
    if id.is_empty() {
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Bad request: Missing serviceID"));
    }
    let rights = call.rights()?;
    match state.local.service(id) {
        Some(service) if !rights.read(Resource::Service, &service.name) => Err(Refusal::denied()),
        Some(service) => Ok(answer(call, worst(state.local.health_of(id)), &of(state, service))),
        None => {
            let none = json!({"AggregatedStatus": "critical", "Service": null, "Checks": null});
            Ok(unknown(call, &format!("ServiceId {id} not found"), &none))
        }
    }
}

/// All services of a name: the worst of them counts.
pub(super) fn by_name(state: &State, call: &Call) -> Answer {
    let name = call.rest("/v1/agent/health/service/name/");
    if name.is_empty() {
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Bad request: Missing service Name"));
    }
    call.must_read(Resource::Service, name)?;
    let named: Vec<&Service> = state.local.services().filter(|service| service.name == name).collect();
    if named.is_empty() {
        return Ok(unknown(call, &format!("ServiceName {name} Not Found"), &json!([])));
    }
    let worst = worst(named.iter().flat_map(|service| state.local.health_of(&service.id)));
    let all: Value = named.into_iter().map(|service| of(state, service)).collect();
    Ok(answer(call, worst, &all))
}

fn answer(call: &Call, status: &'static str, body: &Value) -> Reply {
    let code = match status {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let reply = match call.text("format") {
        "text" => Reply::new(code, "text/plain", status),
        _ => Reply::json_with(code, body),
    };
    reply.with(REASON, status)
}

fn unknown(call: &Call, reason: &str, body: &Value) -> Reply {
    let body = if call.text("format") == "text" { &json!(reason) } else { body };
    Reply::json_with(StatusCode::NOT_FOUND, body).with(REASON, reason)
}

fn of(state: &State, service: &Service) -> Value {
    let checks: Vec<Value> = state.local.health_of(&service.id).map(check).collect();
    json!({
        "AggregatedStatus": worst(state.local.health_of(&service.id)),
        "Service": view(service),
        "Checks": checks,
    })
}

/// A check, in the shape of this path alone.
fn check(check: &Check) -> Value {
    let tags = if check.service_tags.is_empty() { Value::Null } else { json!(check.service_tags) };
    json!({
        "Node": check.node,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": tags,
        "Type": "",
        "Definition": {
            "Interval": "0s",
            "Timeout": "0s",
            "DeregisterCriticalServiceAfter": "0s",
            "HTTP": "",
            "Header": null,
            "Method": "",
            "Body": "",
            "TLSSkipVerify": false,
            "TCP": "",
        },
        "CreateIndex": 0,
        "ModifyIndex": 0,
    })
}
