//! `/v1/agent/`: the agent itself, its services, and maintenance.

use std::net::IpAddr;

use axum::http::{HeaderName, StatusCode};
use serde_json::{Map, Value, json};

use super::agent_check::{self, parsed_check};
use super::call::Call;
use super::catalog::no_filter;
use super::decode::{self, Fields};
use super::health::go_bool;
use super::read::{addresses, decode_fault, left_out, service_fields};
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Resource, Service, ServiceAddress, State};

const VERSION: &str = "1.8.7";

/// An answer without a body.
pub(super) fn done() -> Answer {
    Ok(Reply::empty(StatusCode::OK))
}

pub(super) fn myself(state: &State, call: &Call) -> Answer {
    call.must_read(Resource::Agent, &state.identity.node)?;
    let identity = &state.identity;
    let index = state.index().to_string();
    let (checks, services) = (state.local.checks().count(), state.local.services().count());
    Ok(Reply::json(&json!({
        "Config": {
            "Datacenter": identity.datacenter,
            "NodeName": identity.node,
            "NodeID": identity.node_id,
            "Revision": "",
            "Server": true,
            "Version": VERSION,
        },
        "DebugConfig": {
            "ACLDatacenter": identity.datacenter,
            "ACLDefaultPolicy": if state.acls.allows() { "allow" } else { "deny" },
            "ACLsEnabled": state.acls.enabled(),
            "BindAddr": identity.address,
            "Datacenter": identity.datacenter,
            "DevMode": true,
            "NodeID": identity.node_id,
            "NodeName": identity.node,
            "ServerMode": true,
            "SessionTTLMin": "0s",
            "Version": VERSION,
        },
        "Coord": {"Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 0.00001},
        "Member": member(state, false),
        "Stats": {
            "agent": {
                "check_monitors": "0",
                "check_ttls": "0",
                "checks": checks.to_string(),
                "services": services.to_string(),
            },
            "build": {"prerelease": "", "revision": "", "version": VERSION},
            "consul": {
                "acl": if state.acls.enabled() { "enabled" } else { "disabled" },
                "bootstrap": "false",
                "known_datacenters": "1",
                "leader": "true",
                "leader_addr": identity.server(),
                "server": "true",
            },
            "raft": {
                "applied_index": index,
                "commit_index": index,
                "last_contact": "0",
                "last_log_index": index,
                "last_log_term": "2",
                "num_peers": "0",
                "protocol_version": "3",
                "state": "Leader",
                "term": "2",
            },
        },
        "Meta": {"consul-network-segment": ""},
    })))
}

fn member(state: &State, wan: bool) -> Value {
    let identity = &state.identity;
    let name = if wan { format!("{}.{}", identity.node, identity.datacenter) } else { identity.node.clone() };
    json!({
        "Name": name,
        "Addr": identity.address,
        "Port": identity.port,
        "Tags": {
            "acls": if state.acls.enabled() { "1" } else { "0" },
            "build": format!("{VERSION}:"),
            "dc": identity.datacenter,
            "ft_fs": "1",
            "id": identity.node_id,
            "port": identity.port.to_string(),
            "raft_vsn": "3",
            "role": "consul",
            "segment": "",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2",
        },
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

pub(super) fn members(state: &State, call: &Call) -> Answer {
    let visible = call.reads(Resource::Node, &state.identity.node)?;
    let members: Vec<Value> = visible.then(|| member(state, !call.text("wan").is_empty())).into_iter().collect();
    Ok(Reply::json(&members))
}

pub(super) fn metrics(state: &State, call: &Call) -> Answer {
    call.must_read(Resource::Agent, &state.identity.node)?;
    if call.text("format") == "prometheus" {
        let text = "Prometheus is not enabled since its retention time is not positive";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let now = now.replace('T', " ").replace('Z', " +0000 UTC");
    let active = state.sessions.all().filter(|session| !session.ttl.is_empty()).count();
    Ok(Reply::json(&json!({
        "Timestamp": now,
        "Gauges": [
            {"Name": "consul.raft.applied_index", "Value": state.index(), "Labels": {}},
            {"Name": "consul.session_ttl.active", "Value": active, "Labels": {}},
        ],
        "Points": [],
        "Counters": [],
        "Samples": [],
    })))
}

/// The agent's own tokens are left out.
pub(super) fn set_token(state: &mut State, call: &Call) -> Answer {
    if state.acls.enabled() { Err(Refusal::missing(&call.path)) } else { Err(Refusal::no_acls()) }
}

pub(super) fn reload(state: &mut State, call: &Call) -> Answer {
    call.must_write(Resource::Agent, &state.identity.node)?;
    state.reload();
    done()
}

/// `?enable=` of both kinds of maintenance.
fn enable(call: &Call) -> Result<bool, Refusal> {
    match call.get("enable") {
        None => Err(Refusal::bad("Missing value for enable")),
        Some(text) => go_bool(text).ok_or_else(|| Refusal::bad(format!("Invalid value for enable: {text:?}"))),
    }
}

pub(super) fn maintenance(state: &mut State, call: &Call) -> Answer {
    let enable = enable(call)?;
    call.must_write(Resource::Node, &state.identity.node)?;
    state.maintain(None, enable, call.text("reason"));
    done()
}

pub(super) fn service_maintenance(state: &mut State, call: &Call) -> Answer {
    let id = call.rest("/v1/agent/service/maintenance/");
    if id.is_empty() {
        return Err(Refusal::bad("Missing service ID"));
    }
    let enable = enable(call)?;
    admit_service(state, call, id)?;
    if state.local.service(id).is_none() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("No service registered with ID {id:?}")));
    }
    state.maintain(Some(id), enable, call.text("reason"));
    done()
}

/// Refuses what may not write a service of this name.
pub(super) fn must_write_service(call: &Call, name: &str) -> Result<(), Refusal> {
    if call.rights()?.write(Resource::Service, name) { Ok(()) } else { Err(Refusal::lacks("service:write", name)) }
}

/// Refuses what may not write this service of the agent.
fn admit_service(state: &State, call: &Call, id: &str) -> Result<(), Refusal> {
    if call.rights()?.unlimited {
        return Ok(());
    }
    let unknown = || Refusal::error(&format!("Unknown service {{{id:?} {{}}}}"));
    must_write_service(call, &state.local.service(id).ok_or_else(unknown)?.name)
}

/// A service as the agent tells of it.
pub(super) fn view(service: &Service) -> Map<String, Value> {
    let mut view = Map::new();
    if !service.kind.is_empty() {
        view.insert("Kind".to_owned(), json!(service.kind));
    }
    view.insert("ID".to_owned(), json!(service.id));
    view.insert("Service".to_owned(), json!(service.name));
    view.insert("Tags".to_owned(), json!(service.tags));
    view.insert("Meta".to_owned(), json!(service.meta.clone().unwrap_or_default()));
    view.insert("Port".to_owned(), json!(service.port));
    view.insert("Address".to_owned(), json!(service.address));
    if let Some(addresses) = &service.tagged_addresses {
        view.insert("TaggedAddresses".to_owned(), json!(addresses));
    }
    view.insert("Weights".to_owned(), json!(service.weights));
    view.insert("EnableTagOverride".to_owned(), json!(service.enable_tag_override));
    view
}

pub(super) fn services(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let rights = call.rights()?;
    let visible = state.local.services().filter(|service| rights.read(Resource::Service, &service.name));
    let all: Map<String, Value> = visible.map(|service| (service.id.clone(), Value::Object(view(service)))).collect();
    Ok(Reply::json(&all))
}

/// One service, with a digest of what it is. It is not waited for (`?hash=`).
pub(super) fn service(state: &State, call: &Call) -> Answer {
    let id = call.rest("/v1/agent/service/");
    let rights = call.rights()?;
    let Some(service) = state.local.service(id) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("unknown service ID: {id}")));
    };
    if !rights.read(Resource::Service, &service.name) {
        return Err(Refusal::denied());
    }
    let mut view = view(service);
    let digest = ring::digest::digest(&ring::digest::SHA256, json!(view).to_string().as_bytes());
    let hash: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    view.insert("ContentHash".to_owned(), json!(hash));
    Ok(Reply::json(&view).with(HeaderName::from_static("x-consul-contenthash"), &hash))
}

pub(super) fn register(state: &mut State, call: &Call) -> Answer {
    const STRUCT: &str = "struct { EnableTagOverrideSnake bool \"json:\\\"enable_tag_override\\\"\"; \
                          TaggedAddressesSnake map[string]structs.ServiceAddress \"json:\\\"tagged_addresses\\\"\"; \
                          *structs.Alias }";
    let map = decode::object(call, STRUCT)?;
    if let Some(left_out) = left_out(&map) {
        return Err(left_out);
    }
    let fields = Fields::new("", &map);
    let (mut service, checks) = definition(&fields).map_err(decode_fault)?;
    if service.name.is_empty() {
        return Err(Refusal::bad("Missing service name"));
    }
    if matches!(service.address.as_str(), "0.0.0.0" | "::" | "[::]") {
        return Err(Refusal::bad("Invalid service address"));
    }
    if service.kind.starts_with("connect-") || service.kind.ends_with("-gateway") {
        return Err(Refusal::missing("a service of a kind of its own"));
    }
    for (key, value) in service.meta.iter().flatten() {
        meta_fault(key, value).map_or(Ok(()), |text| {
            let text = format!("Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {text}");
            Err(Refusal::bad(text))
        })?;
    }
    if let Some(fault) = service.weights.fault() {
        return Err(Refusal::bad(format!("Invalid Weights: {fault}")));
    }
    if service.id.is_empty() {
        service.id.clone_from(&service.name);
    }
    let checks = agent_check::of_service(&service, checks)?;
    must_write_service(call, &service.name)?;
    if let Some(there) = state.local.service(&service.id) {
        must_write_service(call, &there.name)?;
    }
    tag_addresses(&mut service);
    let replace = matches!(call.get("replace-existing-checks"), Some("" | "true"));
    state.register_local_service(service, checks, replace);
    done()
}

fn definition(fields: &Fields<'_>) -> Result<(Service, Vec<agent_check::Definition>), String> {
    let fields = fields.only(&[
        "Kind",
        "ID",
        "Name",
        "Tags",
        "Address",
        "TaggedAddresses",
        "tagged_addresses",
        "Meta",
        "Port",
        "Check",
        "Checks",
        "Weights",
        "Token",
        "EnableTagOverride",
        "enable_tag_override",
        "Proxy",
        "Connect",
        "Namespace",
    ])?;
    let mut service = service_fields(&fields)?;
    service.name = fields.text("Name")?;
    service.modify_index = 0;
    service.enable_tag_override = fields.flag("EnableTagOverride")? || fields.flag("enable_tag_override")?;
    service.tagged_addresses = match service.tagged_addresses {
        None => addresses(&fields, "tagged_addresses")?,
        given => given,
    };
    let single = fields.nested("Check", "structs.CheckType", parsed_check)?.flatten();
    let several = fields.list("Checks", "structs.CheckType", parsed_check)?;
    Ok((service, single.into_iter().chain(several.into_iter().flatten()).collect()))
}

fn meta_fault(key: &str, value: &str) -> Option<String> {
    const LONGEST: (usize, usize) = (128, 512);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    Some(match key {
        "" => "Key cannot be blank".to_owned(),
        key if !key.chars().all(fits) => "Key contains invalid characters".to_owned(),
        key if key.len() > LONGEST.0 => format!("Key is too long (limit: {} characters)", LONGEST.0),
        key if key.starts_with("consul-") => "Key prefix 'consul-' is reserved for internal use".to_owned(),
        _ if value.len() > LONGEST.1 => format!("Value is too long (limit: {} characters)", LONGEST.1),
        _ => return None,
    })
}

/// An address is also tagged with what it is.
fn tag_addresses(service: &mut Service) {
    let names = match service.address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => ["lan_ipv4", "wan_ipv4"],
        Ok(IpAddr::V6(_)) => ["lan_ipv6", "wan_ipv6"],
        Err(_) => return,
    };
    let (address, port) = (&service.address, service.port);
    let tagged = service.tagged_addresses.get_or_insert_default();
    for name in names {
        let own = || ServiceAddress { address: address.clone(), port };
        tagged.entry(name.to_owned()).or_insert_with(own);
    }
}

pub(super) fn deregister(state: &mut State, call: &Call) -> Answer {
    match call.rest("/v1/agent/service/deregister/") {
        "" => Err(Refusal::error("ServiceID missing")),
        id => {
            admit_service(state, call, id)?;
            state.deregister_local_service(id);
            done()
        }
    }
}
