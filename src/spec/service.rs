//! A service of a spec.

use std::collections::BTreeMap;

use super::document::{ServiceEntry, ServiceFields};
use super::gather::Ready;
use super::page::{Page, place};
use super::shape::Shape;
use super::tree::{Node, Span};
use crate::duration::ConsulDuration;
use crate::object::{Check, Declared, ExternalNode, Object, ObjectId, Refused, Service, ServiceSpec, validate_name};

type Meta = BTreeMap<String, String>;

/// Reads a service. `None` where it has faults, which are noted.
pub(super) fn read(
    node: &Node<'_>,
    shape: &Shape,
    defaults: &Ready,
    page: &mut Page<'_>,
) -> Option<(ObjectId, Declared)> {
    let entry = page.parse("a service", node, shape, ServiceEntry::of)?;
    let own = entry.fields;
    own.note_two_ports(node, page);
    let all = own.clone().or(&defaults.of.service);
    let Some(on) = all.node.clone() else {
        if !defaults.broken {
            page.fault(node.span, format!("service {:?} has no node", entry.name), Some(NO_NODE));
        }
        return None;
    };
    let id = entry.id.clone().unwrap_or_else(|| entry.name.clone());
    let made = all.made(&entry.name, &id).and_then(|spec| all.external().map(|node| (spec, node)));
    let (spec, external) = match made {
        Ok(made) => made,
        Err(refused) => {
            let own = ServiceEntry { name: entry.name, id: entry.id, fields: own };
            let before = page.faults.len();
            own.note(node, page);
            if page.faults.len() == before && !defaults.broken {
                page.fault(node.span, refused.to_string(), None);
            }
            return None;
        }
    };
    let object = Object::Service { node: external, spec };
    let prevent_destroy = all.prevent_destroy.unwrap_or_default();
    Some((ObjectId::Service { node: on, id }, Declared { object, prevent_destroy, at: page.at(node.span) }))
}

const NO_NODE: &str = "write node: NAME, here or in the defaults, so that a spec means the same to every agent";

/// Checks the defaults by themselves, so that a fault in them is one fault.
pub(super) fn check_defaults(fields: &ServiceFields, root: &Node<'_>, page: &mut Page<'_>) {
    if let Some(node) = root.get("defaults").and_then(|defaults| defaults.get("service")) {
        fields.note_two_ports(node, page);
        fields.note("service", node, page);
    }
}

/// `own`, and the pairs of `given` whose keys it does not have.
fn joined(own: Option<Meta>, given: Option<&Meta>) -> Option<Meta> {
    match (own, given.cloned()) {
        (Some(own), Some(mut all)) => {
            all.extend(own);
            Some(all)
        }
        (own, given) => own.or(given),
    }
}

impl ServiceEntry {
    /// Notes what is refused of each field by itself.
    fn note(&self, node: &Node<'_>, page: &mut Page<'_>) {
        for (field, value) in [("name", Some(&self.name)), ("id", self.id.as_ref())] {
            if let Some(Err(refused)) = value.map(|value| validate_name(field, value)) {
                page.fault(place(node, field), refused.to_string(), None);
            }
        }
        let id = self.id.as_ref().unwrap_or(&self.name);
        self.fields.note(validate_name("id", id).map_or("service", |()| id), node, page);
    }
}

impl ServiceFields {
    /// These, and what they lack of `given`.
    fn or(self, given: &Self) -> Self {
        let port = self.port.or(self.service_port);
        Self {
            node: self.node.or_else(|| given.node.clone()),
            address: self.address.or_else(|| given.address.clone()),
            port: port.or(given.port).or(given.service_port),
            service_port: None,
            tags: self.tags.or_else(|| given.tags.clone()),
            meta: joined(self.meta, given.meta.as_ref()),
            enable_tag_override: self.enable_tag_override.or(given.enable_tag_override),
            weights: self.weights.or(given.weights),
            checks: self.checks.or_else(|| given.checks.clone()),
            node_address: self.node_address.or_else(|| given.node_address.clone()),
            node_meta: joined(self.node_meta, given.node_meta.as_ref()),
            prevent_destroy: self.prevent_destroy.or(given.prevent_destroy),
        }
    }

    fn service(&self, name: &str, id: &str) -> Service {
        Service {
            id: id.to_owned(),
            name: name.to_owned(),
            tags: self.tags.iter().flatten().cloned().collect(),
            address: self.address.clone().unwrap_or_default(),
            port: self.port.or(self.service_port).unwrap_or_default(),
            meta: self.meta.clone().unwrap_or_default(),
            enable_tag_override: self.enable_tag_override.unwrap_or_default(),
            weights: self.weights.unwrap_or_default(),
        }
    }

    fn is_external(&self) -> bool {
        self.node_address.is_some() || self.node_meta.is_some()
    }

    fn made(&self, name: &str, id: &str) -> Result<ServiceSpec, Refused> {
        let spec = ServiceSpec::new(self.service(name, id), self.checks.clone())?;
        if self.is_external() { spec.on_external_node() } else { Ok(spec) }
    }

    fn external(&self) -> Result<ExternalNode, Refused> {
        let node = ExternalNode {
            name: self.node.clone().unwrap_or_else(|| "node".to_owned()),
            address: self.node_address.clone(),
            meta: self.node_meta.clone(),
        };
        node.validate().map(|()| node)
    }

    fn note_two_ports(&self, node: &Node<'_>, page: &mut Page<'_>) {
        if self.port.is_some() && self.service_port.is_some() {
            page.fault(place(node, "service_port"), "port and service_port are one field", Some("write port"));
        }
    }

    /// Notes what is refused of each field by itself, in a service of this id.
    fn note(&self, id: &str, node: &Node<'_>, page: &mut Page<'_>) {
        let of = self.clone();
        let none = Self::default;
        for (field, one) in [
            ("node", Self { node: of.node, ..none() }),
            ("address", Self { address: of.address, ..none() }),
            ("meta", Self { meta: of.meta, ..none() }),
            ("weights", Self { weights: of.weights, ..none() }),
            ("node_address", Self { node_address: of.node_address, ..none() }),
            ("node_meta", Self { node_meta: of.node_meta, ..none() }),
        ] {
            if let Err(refused) = one.made(id, id).and(one.external().map(drop)) {
                page.fault(place(node, field), refused.to_string(), None);
            }
        }
        let items = node.get("checks").map(Node::items).unwrap_or_default();
        let mut sound: Vec<Check> = Vec::new();
        for (position, check) in self.checks.iter().flatten().enumerate() {
            sound.push(check.clone());
            let one = Self { checks: Some(sound.clone()), node_address: self.node_address.clone(), ..none() };
            if let Err(refused) = one.made(id, id) {
                let span: Span = items.get(position).unwrap_or(node).span;
                page.fault(span, refused.to_string(), None);
                // In its place one that is fine, so that the others keep their positions.
                sound.pop();
                sound.push(Check {
                    id: Some(format!("lictor:sound:{position}")),
                    tcp: Some("lictor:1".to_owned()),
                    interval: Some(ConsulDuration::from_secs(10)),
                    ..Check::default()
                });
            }
        }
    }
}
