//! `/v1/catalog/`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use super::{read, views};
use crate::dev::state::{Node, State, Table};

/// The names in the path that must not be empty.
pub(super) fn named<'a>(call: &'a Call, prefix: &str, what: &str) -> Result<&'a str, Refusal> {
    match call.rest(prefix) {
        "" => Err(Refusal::bad(format!("Missing {what}"))),
        name => Ok(name),
    }
}

/// Expressions are left out.
pub(super) fn no_filter(call: &Call) -> Result<(), Refusal> {
    if call.text("filter").is_empty() { Ok(()) } else { Err(Refusal::missing("the parameter filter")) }
}

/// `?node-meta=name:value`, as often as somebody likes: all must be so.
pub(super) fn has_meta(call: &Call, node: &Node) -> bool {
    call.all("node-meta").all(|pair| {
        let (name, value) = pair.split_once(':').unwrap_or((pair, ""));
        node.meta.as_ref().and_then(|meta| meta.get(name)).is_some_and(|there| there == value)
    })
}

/// `?tag=`, as often as somebody likes: all must be there, in any case.
pub(super) fn has_tags(call: &Call, tags: &[String]) -> bool {
    call.all("tag").all(|tag| tags.iter().any(|there| there.eq_ignore_ascii_case(tag)))
}

/// `?near=`: that node's come first. The network between nodes is nothing here.
pub(super) fn nearest_first<T>(state: &State, call: &Call, items: &mut [T], node: impl Fn(&T) -> &str) {
    let near = match call.text("near") {
        "" => return,
        "_agent" => state.identity.node.as_str(),
        near => near,
    };
    items.sort_by_key(|item| !node(item).eq_ignore_ascii_case(near));
}

pub(super) fn register(state: &mut State, call: &Call) -> Answer {
    let registration = read::registration(call, &state.identity.datacenter)?;
    state.register_now(registration)?;
    Ok(Reply::json(&true))
}

pub(super) fn deregister(state: &mut State, call: &Call) -> Answer {
    let [node, service, check] = read::deregistration(call, &state.identity.datacenter)?;
    state.deregister_now(&node, &service, &check);
    Ok(Reply::json(&true))
}

pub(super) fn datacenters(state: &State, _: &Call) -> Answer {
    Ok(Reply::json(&[&state.identity.datacenter]))
}

pub(super) fn nodes(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let mut nodes: Vec<&Node> = state.catalog.nodes().filter(|node| has_meta(call, node)).collect();
    nearest_first(state, call, &mut nodes, |node| &node.node);
    Ok(Reply::json(&nodes).at(state.tables.last(&[Table::Nodes])))
}

/// The names of all services, each with all tags of its instances.
pub(super) fn services(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in state.catalog.services() {
        if !state.catalog.node(&service.node).is_some_and(|node| has_meta(call, node)) {
            continue;
        }
        let tags = services.entry(&service.name).or_default();
        for tag in &service.tags {
            if !tags.contains(&tag.as_str()) {
                tags.push(tag);
            }
        }
    }
    let tables: &[Table] = if call.has("node-meta") { &[Table::Nodes, Table::Services] } else { &[Table::Services] };
    Ok(Reply::json(&services).at(state.tables.last(tables)))
}

pub(super) fn service(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let name = named(call, "/v1/catalog/service/", "service name")?;
    let mut instances = state.catalog.instances(name);
    instances.retain(|(node, service)| has_meta(call, node) && has_tags(call, &service.tags));
    nearest_first(state, call, &mut instances, |(node, _)| &node.node);
    let views: Vec<Value> = instances.into_iter().map(|(node, service)| views::flat(node, service)).collect();
    Ok(Reply::json(&views).at(state.service_index(name, false)))
}

/// A node with its services, by their ids.
pub(super) fn node(state: &State, call: &Call) -> Answer {
    of_node(state, call, "/v1/catalog/node/", |services| Value::Object(services.collect()))
}

/// A node with its services, in a list.
pub(super) fn node_services(state: &State, call: &Call) -> Answer {
    of_node(state, call, "/v1/catalog/node-services/", |services| services.map(|(_, view)| view).collect())
}

fn of_node(
    state: &State,
    call: &Call,
    prefix: &str,
    gather: fn(&mut dyn Iterator<Item = (String, Value)>) -> Value,
) -> Answer {
    no_filter(call)?;
    let name = named(call, prefix, "node name")?;
    let Some(node) = state.catalog.find_node(name) else { return Ok(Reply::json(&Value::Null).at(0)) };
    let services = state.catalog.services_of(&node.node);
    let mut views = services.map(|service| (service.id.clone(), views::of_node(service)));
    let services = gather(&mut views);
    Ok(Reply::json(&json!({"Node": node, "Services": services}))
        .at(state.tables.last(&[Table::Nodes, Table::Services])))
}
