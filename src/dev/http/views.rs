//! Services as they go over the wire: as a part of their node, or flat beside it.

use serde_json::{Map, Value, json};

use crate::dev::state::{Node, Service, State};

/// A service as its node tells of it.
pub(super) fn of_node(service: &Service) -> Value {
    let mut view = Map::new();
    if !service.kind.is_empty() {
        view.insert("Kind".to_owned(), json!(service.kind));
    }
    view.insert("ID".to_owned(), json!(service.id));
    view.insert("Service".to_owned(), json!(service.name));
    view.insert("Tags".to_owned(), json!(service.tags));
    view.insert("Address".to_owned(), json!(service.address));
    if let Some(addresses) = &service.tagged_addresses {
        view.insert("TaggedAddresses".to_owned(), json!(addresses));
    }
    view.insert("Meta".to_owned(), json!(service.meta));
    view.insert("Port".to_owned(), json!(service.port));
    view.insert("Weights".to_owned(), json!(service.weights));
    view.insert("EnableTagOverride".to_owned(), json!(service.enable_tag_override));
    view.insert("Proxy".to_owned(), no_proxy());
    view.insert("Connect".to_owned(), json!({}));
    view.insert("CreateIndex".to_owned(), json!(service.create_index));
    view.insert("ModifyIndex".to_owned(), json!(service.modify_index));
    Value::Object(view)
}

/// A service with its node's fields beside its own.
pub(super) fn flat(node: &Node, service: &Service) -> Value {
    let mut view = json!({
        "ID": node.id,
        "Node": node.node,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses,
        "NodeMeta": node.meta,
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": service.tags,
        "ServiceAddress": service.address,
        "ServiceTaggedAddresses": service.tagged_addresses,
        "ServiceWeights": service.weights,
        "ServiceMeta": service.meta.clone().unwrap_or_default(),
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": no_proxy(),
        "ServiceConnect": {},
        "CreateIndex": service.create_index,
        "ModifyIndex": service.modify_index,
    });
    if service.tagged_addresses.is_none()
        && let Some(view) = view.as_object_mut()
    {
        view.shift_remove("ServiceTaggedAddresses");
    }
    view
}

/// A service with its node, and the checks that tell of its health.
pub(super) fn with_health(state: &State, node: &Node, service: &Service) -> Value {
    json!({"Node": node, "Service": of_node(service), "Checks": state.catalog.health_of(service)})
}

/// What a service has that is no proxy.
pub(super) fn no_proxy() -> Value {
    json!({"MeshGateway": {}, "Expose": {}})
}
