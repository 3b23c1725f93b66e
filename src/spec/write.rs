//! A state as the document that declares it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::document::VERSION;
use crate::object::{
    Behavior, DEFAULT_CHECK, Declared, DesiredState, ExternalNode, KeyContent, Object, ObjectId, Secret, Service,
    ServiceSpec, Session, Weights,
};

/// The document that declares `state`: reading it gives the same state. What is as it would be anyway is left out, and a
/// value that is not to be shown is named by where it comes from.
pub fn document(state: &DesiredState) -> Value {
    let (mut sessions, mut keys, mut services) = (Vec::new(), Vec::new(), Vec::new());
    for (id, Declared { object, prevent_destroy, .. }) in &state.objects {
        let (list, mut entry) = match (object, id) {
            (Object::Session(session), _) => (&mut sessions, of_session(session)),
            (Object::Service { node, spec }, _) => (&mut services, of_service(node, spec)),
            (Object::Key { content, holder, secret }, ObjectId::Key(key)) => {
                (&mut keys, of_key(key, content, holder.as_ref(), secret.as_ref()))
            }
            (Object::Key { .. }, _) => continue, // a key's id is a key
        };
        entry.put("prevent_destroy", prevent_destroy.then_some(true));
        list.push(Value::Object(entry.0));
    }
    let mut document = Entry::default();
    document.put("version", Some(VERSION));
    document.put("owner", Some(&state.owner));
    document.put("datacenter", state.place.datacenter.as_ref());
    document.put("namespace", state.place.namespace.as_ref());
    document.put("partition", state.place.partition.as_ref());
    for (name, list) in [("sessions", sessions), ("keys", keys), ("services", services)] {
        document.put(name, Some(list).filter(|list| !list.is_empty()));
    }
    Value::Object(document.0)
}

/// A map that leaves out what is not there.
#[derive(Default)]
struct Entry(Map<String, Value>);

impl Entry {
    fn put(&mut self, name: &str, value: Option<impl serde::Serialize>) {
        if let Some(Ok(value)) = value.map(serde_json::to_value) {
            self.0.insert(name.to_owned(), value);
        }
    }
}

fn of_session(session: &Session) -> Entry {
    let Session { name, node, checks, service_checks, lock_delay, ttl, behavior } = session;
    let mut entry = Entry::default();
    entry.put("name", name.as_ref());
    entry.put("node", Some(node));
    entry.put("ttl", ttl.map(|ttl| ttl.to_string()));
    entry.put("delay", (*lock_delay != Session::LOCK_DELAY_DEFAULT).then(|| lock_delay.to_string()));
    entry.put("behavior", (*behavior != Behavior::default()).then_some(behavior));
    let usual = **checks == [DEFAULT_CHECK];
    entry.put("checks", (!usual).then_some(checks));
    let service_checks: Vec<Value> = service_checks
        .iter()
        .map(|check| match &check.namespace {
            None => json!(check.id),
            Some(namespace) => json!({"id": check.id, "namespace": namespace}),
        })
        .collect();
    entry.put("service_checks", Some(service_checks).filter(|checks| !checks.is_empty()));
    entry
}

fn of_key(key: &str, content: &KeyContent, holder: Option<&ObjectId>, secret: Option<&Secret>) -> Entry {
    let mut entry = Entry::default();
    entry.put("key", Some(key));
    let value = content.value.as_ref().map(|value| match (secret, std::str::from_utf8(value)) {
        (Some(Secret::Variable(name)), _) => json!({"env": name}),
        (Some(Secret::File(path)), _) => json!({"file": path}),
        (None, Ok(text)) => json!(text),
        (None, Err(_)) => json!({"base64": STANDARD.encode(value)}),
    });
    entry.put("value", value);
    entry.put("flags", content.flags);
    if let Some(ObjectId::Session { node, name }) = holder {
        entry.put("session", Some(json!({"name": name, "node": node})));
    }
    entry
}

fn of_service(node: &ExternalNode, spec: &ServiceSpec) -> Entry {
    let Service { id, name, tags, address, port, meta, enable_tag_override, weights } = spec.service();
    let mut entry = Entry::default();
    entry.put("name", Some(name));
    entry.put("id", (id != name).then_some(id));
    entry.put("node", Some(&node.name));
    entry.put("address", Some(address).filter(|address| !address.is_empty()));
    entry.put("port", Some(port).filter(|port| **port != 0));
    entry.put("tags", Some(tags).filter(|tags| !tags.is_empty()));
    entry.put("meta", Some(meta).filter(|meta| !meta.is_empty()));
    entry.put("enable_tag_override", enable_tag_override.then_some(true));
    entry.put("weights", (*weights != Weights::default()).then_some(weights));
    entry.put("checks", spec.checks());
    entry.put("node_address", node.address.as_ref());
    entry.put("node_meta", node.meta.as_ref());
    entry
}
