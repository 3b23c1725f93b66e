//! `/v1/catalog/`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use super::{read, views};
use crate::dev::state::{Node, Registration, Resource, Rights, State, Table};

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
pub(super) fn nearest_first<T>(state: &State, call: &Call, items: &mut Vec<T>, node: fn(&T) -> &str) {
    let near = match call.text("near") {
        "" => return,
        "_agent" => state.identity.node.as_str(),
        near => near,
    };
    let (near, others): (Vec<T>, Vec<T>) = items.drain(..).partition(|item| node(item).eq_ignore_ascii_case(near));
    items.extend(near.into_iter().chain(others));
}

pub(super) fn register(state: &mut State, call: &Call) -> Answer {
    let registration = read::registration(call, &state.identity.datacenter)?;
    admit(state, call, &registration)?;
    state.register_now(registration)?;
    Ok(Reply::json(&true))
}

pub(super) fn deregister(state: &mut State, call: &Call) -> Answer {
    let [node, service, check] = read::deregistration(call, &state.identity.datacenter)?;
    admit_removal(state, call, [&node, &service, &check])?;
    state.deregister_now(&node, &service, &check);
    Ok(Reply::json(&true))
}

/// Whether somebody may see a service, or a check of it, on a node. What is of no service is of the node alone.
pub(super) fn sees(rights: &Rights, node: &str, service: &str) -> bool {
    rights.read(Resource::Node, node) && (service.is_empty() || rights.read(Resource::Service, service))
}

/// Refuses what may not register this.
fn admit(state: &State, call: &Call, registration: &Registration) -> Result<(), Refusal> {
    let Registration { node, service, checks, .. } = registration;
    if call.rights()?.unlimited {
        return Ok(());
    }
    if state.changes_node(registration) {
        call.must_write(Resource::Node, &node.node)?;
    }
    if let Some(service) = service {
        call.must_write(Resource::Service, &service.name)?;
        if let Some(there) = state.catalog.service(&node.node, &service.id) {
            call.must_write(Resource::Service, &there.name)?;
        }
    }
    for check in checks {
        if check.service_id.is_empty() {
            call.must_write(Resource::Node, &node.node)?;
            continue;
        }
        let own = service.as_ref().filter(|service| service.id == check.service_id);
        let of = own.or_else(|| state.catalog.service(&node.node, &check.service_id));
        let unknown = || format!("Unknown service '{}' for check '{}'", check.service_id, check.id);
        call.must_write(Resource::Service, &of.ok_or_else(|| Refusal::error(&unknown()))?.name)?;
    }
    Ok(())
}

/// Refuses what may not remove this.
fn admit_removal(state: &State, call: &Call, [node, service, check]: [&str; 3]) -> Result<(), Refusal> {
    let rights = call.rights()?;
    if rights.unlimited || rights.write(Resource::Node, node) {
        return Ok(());
    }
    match (service, check) {
        ("", "") => Err(Refusal::denied()),
        ("", id) => {
            let check = state.catalog.check(node, id);
            let check = check.ok_or_else(|| Refusal::error(&format!("Unknown check '{id}'")))?;
            if check.service_id.is_empty() {
                return Err(Refusal::denied());
            }
            call.must_write(Resource::Service, &check.service_name)
        }
        (id, _) => {
            let service = state.catalog.service(node, id);
            let service = service.ok_or_else(|| Refusal::error(&format!("Unknown service '{id}'")))?;
            call.must_write(Resource::Service, &service.name)
        }
    }
}

pub(super) fn datacenters(state: &State, _: &Call) -> Answer {
    Ok(Reply::json(&[&state.identity.datacenter]))
}

pub(super) fn nodes(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let mut nodes: Vec<&Node> = state.catalog.nodes().filter(|node| has_meta(call, node)).collect();
    let rights = call.rights()?;
    nodes.retain(|node| rights.read(Resource::Node, &node.node));
    nearest_first(state, call, &mut nodes, |node| &node.node);
    Ok(Reply::json(&nodes).at(state.tables.last(&[Table::Nodes])))
}

/// The names of all services, each with all tags of its instances.
pub(super) fn services(state: &State, call: &Call) -> Answer {
    no_filter(call)?;
    let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let rights = call.rights()?;
    for service in state.catalog.services().filter(|service| rights.read(Resource::Service, &service.name)) {
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
    let rights = call.rights()?;
    instances.retain(|(node, service)| sees(rights, &node.node, &service.name));
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
    call.rights()?;
    let Some(node) = state.catalog.find_node(name) else { return Ok(Reply::json(&Value::Null).at(0)) };
    let (rights, index) = (call.rights()?, state.tables.last(&[Table::Nodes, Table::Services]));
    if !rights.read(Resource::Node, &node.node) {
        return Ok(Reply::json(&Value::Null).at(index));
    }
    let services = state.catalog.services_of(&node.node);
    let services = services.filter(|service| rights.read(Resource::Service, &service.name));
    let mut views = services.map(|service| (service.id.clone(), views::of_node(service)));
    let services = gather(&mut views);
    Ok(Reply::json(&json!({"Node": node, "Services": services})).at(index))
}
