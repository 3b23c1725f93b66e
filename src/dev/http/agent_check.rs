//! `/v1/agent/checks` and `/v1/agent/check/`; and checks where a service is registered.

use std::time::Duration;

use serde_json::{Map, Value};

use super::agent::{done, must_write_service};
use super::call::Call;
use super::catalog::no_filter;
use super::decode::{self, Fields};
use super::read::{decode_fault, duration};
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{CRITICAL, CheckRequest, PASSING, Probe, Resource, Service, State, WARNING};

/// A check as somebody writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Definition {
    id: String,
    name: String,
    notes: String,
    status: String,
    service_id: String,
    script: bool,
    http: String,
    method: String,
    body: String,
    headers: Vec<(String, String)>,
    tcp: String,
    grpc: String,
    alias_service: String,
    alias_node: String,
    interval: Duration,
    timeout: Duration,
    ttl: Duration,
    reap_after: Duration,
}

const NAMES: [&str; 31] = [
    "CheckID",
    "Name",
    "Status",
    "Notes",
    "ScriptArgs",
    "Args",
    "script_args",
    "HTTP",
    "Header",
    "Method",
    "Body",
    "TCP",
    "Interval",
    "AliasNode",
    "AliasService",
    "DockerContainerID",
    "docker_container_id",
    "Shell",
    "GRPC",
    "GRPCUseTLS",
    "TLSSkipVerify",
    "tls_skip_verify",
    "Timeout",
    "TTL",
    "SuccessBeforePassing",
    "FailuresBeforeCritical",
    "ProxyHTTP",
    "ProxyGRPC",
    "DeregisterCriticalServiceAfter",
    "deregister_critical_service_after",
    "OutputMaxSize",
];

/// A check in a service; one that says nothing is none.
pub(super) fn parsed_check(fields: Fields<'_>) -> Result<Option<Definition>, String> {
    let fields = fields.only(&NAMES)?;
    if NAMES.iter().all(|name| fields.get(name).is_none()) {
        return Ok(None);
    }
    parsed(&fields, "CheckID").map(Some)
}

fn parsed(fields: &Fields<'_>, id: &str) -> Result<Definition, String> {
    let nanos = |name: &str| duration(fields, name).map(Duration::from_nanos);
    let listed = |name: &str| Ok::<_, String>(fields.texts(name)?.is_some_and(|texts| !texts.is_empty()));
    let first = |one: Duration, other: Duration| if one.is_zero() { other } else { one };
    let script = listed("ScriptArgs")? | listed("Args")? | listed("script_args")?;
    let header = fields.get("Header").and_then(Value::as_object).into_iter().flatten();
    let headers = header.flat_map(|(name, values)| {
        let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        values.map(|value| (name.clone(), value.to_owned()))
    });
    Ok(Definition {
        id: fields.text(id)?,
        name: fields.text("Name")?,
        notes: fields.text("Notes")?,
        status: fields.text("Status")?,
        service_id: String::new(),
        script,
        http: fields.text("HTTP")?,
        method: fields.text("Method")?,
        body: fields.text("Body")?,
        headers: headers.collect(),
        tcp: fields.text("TCP")?,
        grpc: fields.text("GRPC")?,
        alias_service: fields.text("AliasService")?,
        alias_node: fields.text("AliasNode")?,
        interval: nanos("Interval")?,
        timeout: nanos("Timeout")?,
        ttl: nanos("TTL")?,
        reap_after: first(nanos("DeregisterCriticalServiceAfter")?, nanos("deregister_critical_service_after")?),
    })
}

impl Definition {
    fn fault(&self) -> Option<&'static str> {
        let made = self.script || [&self.http, &self.tcp, &self.grpc].iter().any(|text| !text.is_empty());
        let alias = !self.alias_service.is_empty() || !self.alias_node.is_empty();
        let (interval, ttl) = (!self.interval.is_zero(), !self.ttl.is_zero());
        match () {
            () if interval && ttl => Some("Interval and TTL cannot both be specified"),
            () if made && !interval => Some("Interval must be > 0 for Script, HTTP, or TCP checks"),
            () if made && alias => Some("Interval cannot be set for Alias checks"),
            () if alias && ttl => Some("TTL must be not be set for Alias checks"),
            () if !made && !alias && !ttl => Some("TTL must be > 0 for TTL checks"),
            () => None,
        }
    }

    /// What the agent is to do. `bad_status` is what it says of a status that there is not.
    fn request(self, bad_status: &str) -> Result<CheckRequest, Refusal> {
        if !matches!(self.status.as_str(), "" | PASSING | WARNING | CRITICAL) {
            return Err(Refusal::bad(bad_status));
        }
        if self.script {
            return Err(Refusal::error(
                "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
            ));
        }
        let probe = match () {
            () if !self.alias_node.is_empty() => Probe::AliasOfNode,
            () if !self.alias_service.is_empty() => Probe::Alias(self.alias_service),
            () if !self.ttl.is_zero() => Probe::Ttl(self.ttl),
            () if !self.http.is_empty() => {
                Probe::Http { url: self.http, method: self.method, headers: self.headers, body: self.body }
            }
            () if !self.tcp.is_empty() => Probe::Tcp(self.tcp),
            () => Probe::Grpc,
        };
        Ok(CheckRequest {
            id: self.id,
            name: self.name,
            notes: self.notes,
            status: self.status,
            service_id: self.service_id,
            probe,
            interval: self.interval,
            timeout: self.timeout,
            reap_after: (!self.reap_after.is_zero()).then_some(self.reap_after),
        })
    }
}

/// The checks of a service that is registered.
pub(super) fn of_service(service: &Service, checks: Vec<Definition>) -> Result<Vec<CheckRequest>, Refusal> {
    if let Some(fault) = checks.iter().find_map(Definition::fault) {
        return Err(Refusal::bad(format!("Invalid check: {fault}")));
    }
    let several = checks.len() > 1;
    let numbered = checks.into_iter().enumerate().map(|(index, mut check)| {
        if check.id.is_empty() {
            check.id = format!("service:{}", service.id);
            if several {
                check.id.push_str(&format!(":{}", index + 1));
            }
        }
        if check.name.is_empty() {
            check.name = format!("Service '{}' check", service.name);
        }
        check.service_id.clone_from(&service.id);
        check.request("Status for checks must 'passing', 'warning', 'critical'")
    });
    numbered.collect()
}

pub(super) fn list(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let rights = call.rights()?;
    let visible = state.local.checks().filter(|check| match check.service_name.as_str() {
        "" => rights.read(Resource::Node, &check.node),
        name => rights.read(Resource::Service, name),
    });
    let all: Map<String, Value> = visible.map(|check| (check.id.clone(), serde_json::json!(check))).collect();
    Ok(Reply::json(&all))
}

pub(super) fn register(state: &mut State, call: &Call) -> Answer {
    let map = decode::object(call, STRUCT)?;
    let fields = Fields::new("", &map);
    let read = || {
        let own = ["ID", "ServiceID", "service_id", "Token", "Namespace"];
        let names: Vec<&str> = NAMES.into_iter().filter(|name| *name != "CheckID").chain(own).collect();
        let fields = fields.only(&names)?;
        let service_id = match fields.text("ServiceID")? {
            empty if empty.is_empty() => fields.text("service_id")?,
            id => id,
        };
        Ok(Definition { service_id, ..parsed(&fields, "ID")? })
    };
    let mut check: Definition = read().map_err(decode_fault)?;
    if check.name.is_empty() {
        return Err(Refusal::bad("Missing check name"));
    }
    if !matches!(check.status.as_str(), "" | PASSING | WARNING | CRITICAL) {
        return Err(Refusal::bad("Bad check status"));
    }
    if let Some(fault) = check.fault() {
        return Err(Refusal::bad(format!("Invalid check: {fault}")));
    }
    if check.id.is_empty() {
        check.id.clone_from(&check.name);
    }
    match state.local.service(&check.service_id) {
        Some(service) => must_write_service(call, &service.name)?,
        None if check.service_id.is_empty() => must_write_node(state, call)?,
        None => drop(call.rights()?),
    }
    if state.local.check(&check.id).is_some() {
        admit(state, call, &check.id)?;
    }
    state.register_local_check(check.request("Bad check status")?)?;
    done()
}

const STRUCT: &str = "struct { Interval interface {}; Timeout interface {}; TTL interface {}; \
                      DeregisterCriticalServiceAfter interface {}; Args []string \"json:\\\"args\\\"\"; \
                      ScriptArgsSnake []string \"json:\\\"script_args\\\"\"; DeregisterCriticalServiceAfterSnake \
                      interface {} \"json:\\\"deregister_critical_service_after\\\"\"; DockerContainerIDSnake string \
                      \"json:\\\"docker_container_id\\\"\"; TLSSkipVerifySnake bool \"json:\\\"tls_skip_verify\\\"\"; \
                      ServiceIDSnake string \"json:\\\"service_id\\\"\"; *structs.Alias }";

fn must_write_node(state: &State, call: &Call) -> Result<(), Refusal> {
    let node = &state.identity.node;
    if call.rights()?.write(Resource::Node, node) { Ok(()) } else { Err(Refusal::lacks("node:write", node)) }
}

/// Refuses what may not write this check of the agent.
fn admit(state: &State, call: &Call, id: &str) -> Result<(), Refusal> {
    if call.rights()?.unlimited {
        return Ok(());
    }
    let unknown = || Refusal::error(&format!("Unknown check {id:?}"));
    match state.local.check(id).ok_or_else(unknown)?.service_name.as_str() {
        "" => must_write_node(state, call),
        name => must_write_service(call, name),
    }
}

pub(super) fn deregister(state: &mut State, call: &Call) -> Answer {
    match call.rest("/v1/agent/check/deregister/") {
        "" => Err(Refusal::error("CheckID missing")),
        id => {
            admit(state, call, id)?;
            state.deregister_local_check(id);
            done()
        }
    }
}

pub(super) fn pass(state: &mut State, call: &Call) -> Answer {
    tell(state, call, "/v1/agent/check/pass/", PASSING)
}

pub(super) fn warn(state: &mut State, call: &Call) -> Answer {
    tell(state, call, "/v1/agent/check/warn/", WARNING)
}

pub(super) fn fail(state: &mut State, call: &Call) -> Answer {
    tell(state, call, "/v1/agent/check/fail/", CRITICAL)
}

fn tell(state: &mut State, call: &Call, prefix: &str, status: &str) -> Answer {
    let id = call.rest(prefix);
    admit(state, call, id)?;
    state.tell_check(id, status, call.text("note"))?;
    done()
}

pub(super) fn update(state: &mut State, call: &Call) -> Answer {
    let map = decode::object(call, "agent.checkUpdate")?;
    let read = || {
        let fields = Fields::new("checkUpdate", &map).only(&["Status", "Output"])?;
        Ok((fields.text("Status")?, fields.text("Output")?))
    };
    let (status, output) = read().map_err(decode_fault)?;
    if !matches!(status.as_str(), PASSING | WARNING | CRITICAL) {
        return Err(Refusal::bad(format!("Invalid check status: '{status}'")));
    }
    let id = call.rest("/v1/agent/check/update/");
    admit(state, call, id)?;
    state.tell_check(id, &status, &output)?;
    done()
}
