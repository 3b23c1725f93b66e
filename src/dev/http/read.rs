//! What somebody registers, read from a body.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::decode::{self, Fields};
use super::reply::Refusal;
use crate::dev::state::{
    Check, Node, Registration, Service, ServiceAddress, Weights, go_duration_fault, node_id_fault,
};
use crate::duration::ConsulDuration;

/// What this agent has not of a service, and Consul has.
const LEFT_OUT: [&str; 2] = ["Proxy", "Connect"];

pub(super) fn decode_fault(text: String) -> Refusal {
    Refusal::bad(format!("Request decode failed: {text}"))
}

/// The body of `/v1/catalog/register`.
pub(super) fn registration(call: &Call, datacenter: &str) -> Result<Registration, Refusal> {
    let map = decode::object(call, "structs.RegisterRequest")?;
    if let Some(left_out) = map.get("Service").and_then(Value::as_object).and_then(left_out) {
        return Err(left_out);
    }
    let (dc, mut registration) = Fields::new("RegisterRequest", &map)
        .only(&[
            "Datacenter",
            "ID",
            "Node",
            "Address",
            "TaggedAddresses",
            "NodeMeta",
            "Service",
            "Check",
            "Checks",
            "SkipNodeUpdate",
            "CreateIndex",
            "ModifyIndex",
            "Token",
            "Namespace",
        ])
        .and_then(|fields| {
            let single = fields.nested("Check", "structs.HealthCheck", check)?;
            let several = fields.list("Checks", "structs.HealthCheck", check)?;
            let registration = Registration {
                node: node_fields(&fields, "NodeMeta")?,
                skip_node: fields.flag("SkipNodeUpdate")?,
                service: fields.nested("Service", "structs.NodeService", service)?,
                checks: several.into_iter().chain(single).collect(),
            };
            Ok((fields.text("Datacenter")?, registration))
        })
        .map_err(decode_fault)?;
    here(&dc, datacenter)?;
    datacenter.clone_into(&mut registration.node.datacenter);
    let Registration { node, skip_node, service, checks } = &mut registration;
    let fault = |text: &str| Err(Refusal::error(text));
    if node.node.is_empty() {
        return fault("Must provide node");
    }
    if node.address.is_empty() && !*skip_node {
        return fault("Must provide address if SkipNodeUpdate is not set");
    }
    if let Some(text) = node_id_fault(&node.id) {
        return fault(&text);
    }
    if let Some(service) = service {
        if !service.id.is_empty() && service.name.is_empty() {
            return fault("Must provide service name with ID");
        }
        if service.id.is_empty() {
            service.id.clone_from(&service.name);
        }
        // What cannot be is as nothing.
        if service.weights.fault().is_some() {
            service.weights = Weights::default();
        }
    }
    for check in checks {
        if check.id.is_empty() {
            check.id.clone_from(&check.name);
        }
    }
    Ok(registration)
}

/// What has a datacenter of its own has to name this one.
pub(super) fn here(named: &str, datacenter: &str) -> Result<(), Refusal> {
    if named.is_empty() || named == datacenter { Ok(()) } else { Err(Refusal::error("No path to datacenter")) }
}

/// The body of `/v1/catalog/deregister`: a node, a service of it, a check of it.
pub(super) fn deregistration(call: &Call, datacenter: &str) -> Result<[String; 3], Refusal> {
    let map = decode::object(call, "struct { Address string; *structs.Alias }")?;
    let fields = Fields::new("", &map);
    let read = || -> Result<_, String> {
        Ok((fields.text("Datacenter")?, [fields.text("Node")?, fields.text("ServiceID")?, fields.text("CheckID")?]))
    };
    let (dc, names) = read().map_err(decode_fault)?;
    here(&dc, datacenter)?;
    if names[0].is_empty() {
        return Err(Refusal::error("Must provide node"));
    }
    Ok(names)
}

/// Proxies and the mesh are left out.
pub(super) fn left_out(service: &Map<String, Value>) -> Option<Refusal> {
    let given = |name: &&&str| {
        let value = service.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        value.is_some_and(|value| value.as_object().is_none_or(|object| !says_nothing(object)) && !value.is_null())
    };
    LEFT_OUT.iter().find(given).map(|name| Refusal::missing(&format!("a service's {name}")))
}

/// Whether nothing in this says anything, however deep.
fn says_nothing(object: &Map<String, Value>) -> bool {
    object.values().all(|value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => says_nothing(object),
        _ => false,
    })
}

/// A node, with its meta under this name.
pub(super) fn node_fields(fields: &Fields<'_>, meta: &str) -> Result<Node, String> {
    Ok(Node {
        id: fields.text("ID")?,
        node: fields.text("Node")?,
        address: fields.text("Address")?,
        tagged_addresses: fields.map("TaggedAddresses")?,
        meta: fields.map(meta)?,
        ..Node::default()
    })
}

/// A service of a node.
pub(super) fn service(fields: Fields<'_>) -> Result<Service, String> {
    let fields = fields.only(&[
        "Kind",
        "ID",
        "Service",
        "Tags",
        "Address",
        "TaggedAddresses",
        "Meta",
        "Port",
        "Weights",
        "EnableTagOverride",
        "Proxy",
        "Connect",
        "CreateIndex",
        "ModifyIndex",
        "Namespace",
        "LocallyRegisteredAsSidecar",
        "ProxyDestination",
    ])?;
    Ok(Service {
        name: fields.text("Service")?,
        enable_tag_override: fields.flag("EnableTagOverride")?,
        ..service_fields(&fields)?
    })
}

/// What both kinds of registrations name alike.
pub(super) fn service_fields(fields: &Fields<'_>) -> Result<Service, String> {
    Ok(Service {
        kind: fields.text("Kind")?,
        id: fields.text("ID")?,
        tags: fields.texts("Tags")?.unwrap_or_default(),
        address: fields.text("Address")?,
        tagged_addresses: addresses(fields, "TaggedAddresses")?,
        meta: fields.map("Meta")?,
        port: fields.int("Port")?,
        weights: fields.nested("Weights", "structs.Weights", weights)?.unwrap_or_default(),
        modify_index: fields.index("ModifyIndex")?,
        ..Service::default()
    })
}

fn weights(fields: Fields<'_>) -> Result<Weights, String> {
    let fields = fields.only(&["Passing", "Warning"])?;
    Ok(Weights { passing: fields.int("Passing")?, warning: fields.int("Warning")? })
}

pub(super) fn addresses(fields: &Fields<'_>, name: &str) -> Result<Option<BTreeMap<String, ServiceAddress>>, String> {
    let Some(names) = fields.get(name).and_then(Value::as_object) else {
        return fields.map(name).map(|_| None);
    };
    let read = |map: Fields<'_>| {
        let mut addresses = BTreeMap::new();
        for name in names.keys() {
            let read =
                |fields: Fields<'_>| Ok(ServiceAddress { address: fields.text("Address")?, port: fields.int("Port")? });
            let address = map.nested(name, "structs.ServiceAddress", read)?;
            addresses.insert(name.clone(), address.unwrap_or(ServiceAddress { address: String::new(), port: 0 }));
        }
        Ok(addresses)
    };
    let addresses: Option<BTreeMap<_, _>> = fields.nested(name, "map[string]structs.ServiceAddress", read)?;
    Ok(addresses.filter(|addresses| !addresses.is_empty()))
}

/// A check of a node.
pub(super) fn check(fields: Fields<'_>) -> Result<Check, String> {
    let fields = fields.only(&[
        "Node",
        "CheckID",
        "Name",
        "Status",
        "Notes",
        "Output",
        "ServiceID",
        "ServiceName",
        "ServiceTags",
        "Type",
        "Definition",
        "CreateIndex",
        "ModifyIndex",
        "Namespace",
    ])?;
    let definition = fields.nested("Definition", "structs.HealthCheckDefinition", definition)?.unwrap_or_default();
    Ok(Check {
        node: fields.text("Node")?,
        id: fields.text("CheckID")?,
        name: fields.text("Name")?,
        status: fields.text("Status")?,
        notes: fields.text("Notes")?,
        output: fields.text("Output")?,
        service_id: fields.text("ServiceID")?,
        service_name: fields.text("ServiceName")?,
        service_tags: fields.texts("ServiceTags")?.unwrap_or_default(),
        kind: kind(&definition).to_owned(),
        definition,
        modify_index: fields.index("ModifyIndex")?,
        ..Check::default()
    })
}

/// What a check does, in Consul's order; what says nothing is left away.
fn definition(fields: Fields<'_>) -> Result<Map<String, Value>, String> {
    const DURATIONS: [&str; 3] = ["Interval", "Timeout", "DeregisterCriticalServiceAfter"];
    const OTHERS: [&str; 14] = [
        "HTTP",
        "TLSSkipVerify",
        "Header",
        "Method",
        "Body",
        "TCP",
        "OutputMaxSize",
        "ScriptArgs",
        "DockerContainerID",
        "Shell",
        "GRPC",
        "GRPCUseTLS",
        "AliasNode",
        "AliasService",
    ];
    let mut definition = Map::new();
    for name in DURATIONS {
        let nanos = duration(&fields, name)?;
        if nanos != 0 {
            definition.insert(name.to_owned(), json!(go_duration(nanos)));
        }
    }
    for name in OTHERS {
        let value = fields.get(name).cloned().unwrap_or_default();
        let empty =
            matches!(&value, Value::Null | Value::Bool(false)) || value == "" || value == 0 || value == json!({});
        if !empty {
            definition.insert(name.to_owned(), value);
        }
    }
    let ttl = duration(&fields, "TTL")?;
    if ttl != 0 {
        definition.insert("TTL".to_owned(), json!(go_duration(ttl)));
    }
    Ok(definition)
}

/// A text with a unit, or a number of nanoseconds.
pub(super) fn duration(fields: &Fields<'_>, name: &str) -> Result<u64, String> {
    match fields.get(name) {
        None => Ok(0),
        Some(Value::String(text)) => parse_duration(text),
        Some(Value::Number(number)) => Ok(number.as_u64().unwrap_or(0)),
        Some(_) => Ok(0),
    }
}

/// What Go reads from a text: a number has a unit.
pub(super) fn parse_duration(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    // What is below zero is not above it: nobody asks for more.
    if let Some(positive) = text.strip_prefix('-') {
        return parse_duration(positive).map(|_| 0);
    }
    let unit = text == "0" || !text.ends_with(|last: char| last.is_ascii_digit());
    match text.parse::<ConsulDuration>() {
        Ok(parsed) if unit => Ok(parsed.as_nanos()),
        _ => Err(go_duration_fault(text)),
    }
}

/// As Go prints it: with parts that are zero behind one that is not.
pub(super) fn go_duration(nanos: u64) -> String {
    const MINUTE: u64 = 60_000_000_000;
    if nanos < MINUTE {
        return ConsulDuration::from_nanos(nanos).to_string();
    }
    let (minutes, rest) = (nanos / MINUTE, ConsulDuration::from_nanos(nanos % MINUTE));
    let seconds = match rest.as_nanos() {
        below @ 1..1_000_000_000 => format!("0.{}s", format!("{below:09}").trim_end_matches('0')),
        _ => rest.to_string(),
    };
    match minutes / 60 {
        0 => format!("{minutes}m{seconds}"),
        hours => format!("{hours}h{}m{seconds}", minutes % 60),
    }
}

/// What kind of a check this is.
pub(super) fn kind(definition: &Map<String, Value>) -> &'static str {
    const KINDS: [(&str, &str); 7] = [
        ("AliasNode", "alias"),
        ("AliasService", "alias"),
        ("TTL", "ttl"),
        ("HTTP", "http"),
        ("TCP", "tcp"),
        ("GRPC", "grpc"),
        ("DockerContainerID", "docker"),
    ];
    KINDS.iter().find(|(name, _)| definition.contains_key(*name)).map_or("", |(_, kind)| kind)
}
