//! Nodes, their services and their checks: what is registered, by whom ever, as Consul's server keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::by_id::ById;
use super::check_uuid;
use super::keep::KeptCatalog;

/// Texts by their names; Consul tells none from an empty one.
pub(in crate::dev) type Texts = Option<BTreeMap<String, String>>;

/// A node, as it goes over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::dev) struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub node: String,
    pub address: String,
    pub datacenter: String,
    pub tagged_addresses: Texts,
    pub meta: Texts,
    pub create_index: u64,
    pub modify_index: u64,
}

/// A service on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dev) struct Service {
    pub node: String,
    pub kind: String,
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    pub address: String,
    pub tagged_addresses: Option<BTreeMap<String, ServiceAddress>>,
    pub meta: Texts,
    pub port: i64,
    pub weights: Weights,
    pub enable_tag_override: bool,
    pub create_index: u64,
    pub modify_index: u64,
}

/// Where a service is, seen from somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::dev) struct ServiceAddress {
    pub address: String,
    pub port: i64,
}

/// How much a service counts in DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::dev) struct Weights {
    pub passing: i64,
    pub warning: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

impl Weights {
    /// What is wrong with these.
    pub fn fault(self) -> Option<&'static str> {
        const MOST: i64 = 65_535;
        match self {
            Self { passing: ..1, .. } => Some("Passing must be greater than 0"),
            Self { warning: ..0, .. } => Some("Warning must be greater or equal than 0"),
            Self { passing, warning } if passing > MOST || warning > MOST => {
                Some("DNS Weight must be between 0 and 65535")
            }
            _ => None,
        }
    }
}

/// A check of a node, or of a service on it, as it goes over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::dev) struct Check {
    pub node: String,
    #[serde(rename = "CheckID")]
    pub id: String,
    pub name: String,
    pub status: String,
    pub notes: String,
    pub output: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    pub service_name: String,
    pub service_tags: Vec<String>,
    #[serde(rename = "Type")]
    pub kind: String,
    pub definition: Map<String, Value>,
    pub create_index: u64,
    pub modify_index: u64,
}

pub(in crate::dev) const PASSING: &str = "passing";
pub(in crate::dev) const WARNING: &str = "warning";
pub(in crate::dev) const CRITICAL: &str = "critical";

/// What somebody registers at once.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct Registration {
    pub node: Node,
    /// The node stays as it is, where it is there.
    pub skip_node: bool,
    pub service: Option<Service>,
    pub checks: Vec<Check>,
}

/// All nodes, services and checks, in the order of their names, whose case does not count.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct Catalog {
    pub(super) nodes: ById<String, Node>,
    pub(super) services: ById<(String, String), Service>,
    pub(super) checks: ById<(String, String), Check>,
    /// When something about a service, by its name, was last changed.
    pub(super) named: BTreeMap<String, u64>,
    /// When the last instance of any service was removed.
    pub(super) extinction: Option<u64>,
}

pub(super) fn key(node: &str, id: &str) -> (String, String) {
    (node.to_lowercase(), id.to_lowercase())
}

/// Those below a node.
fn of_node<'a, T: Clone>(
    things: &'a ById<(String, String), T>,
    node: &str,
) -> impl Iterator<Item = &'a T> + use<'a, T> {
    let node = node.to_lowercase();
    things.from((node.clone(), String::new())).take_while(move |((of, _), _)| *of == node).map(|(_, thing)| thing)
}

impl Catalog {
    /// What is to be kept of it.
    pub(super) fn keep(&self) -> KeptCatalog {
        KeptCatalog {
            nodes: self.nodes.all().cloned().collect(),
            services: self.services.all().cloned().collect(),
            checks: self.checks.all().cloned().collect(),
            named: self.named.clone(),
            extinction: self.extinction,
        }
    }

    /// What was kept.
    pub(super) fn of(kept: KeptCatalog) -> Self {
        let KeptCatalog { nodes, services, checks, named, extinction } = kept;
        let mut catalog = Self { named, extinction, ..Self::default() };
        for node in nodes {
            catalog.nodes.insert(node.node.to_lowercase(), node);
        }
        for service in services {
            catalog.services.insert(key(&service.node, &service.id), service);
        }
        for check in checks {
            catalog.checks.insert(key(&check.node, &check.id), check);
        }
        catalog
    }

    /// A node by its name, by its id, or by a beginning of its id that is of no other.
    pub fn find_node(&self, name: &str) -> Option<&Node> {
        let by_id = || {
            let fits =
                |node: &&Node| name.len() >= 2 && !node.id.is_empty() && node.id.starts_with(&name.to_lowercase());
            let mut fitting = self.nodes.all().filter(fits);
            fitting.next().filter(|_| fitting.next().is_none())
        };
        self.node(name).or_else(by_id)
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(&name.to_lowercase())
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.all()
    }

    pub fn service(&self, node: &str, id: &str) -> Option<&Service> {
        self.services.get(&key(node, id))
    }

    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.all()
    }

    /// The instances of a service, with their nodes.
    pub fn instances(&self, name: &str) -> Vec<(&Node, &Service)> {
        let name = name.to_lowercase();
        let named = self.services().filter(|service| service.name.to_lowercase() == name);
        named.filter_map(|service| Some((self.node(&service.node)?, service))).collect()
    }

    pub fn services_of<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Service> + use<'a> {
        of_node(&self.services, node)
    }

    pub fn check(&self, node: &str, id: &str) -> Option<&Check> {
        self.checks.get(&key(node, id))
    }

    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.all()
    }

    pub fn checks_of<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Check> + use<'a> {
        of_node(&self.checks, node)
    }

    /// What tells of a service's health: the checks of its node, then its own.
    pub fn health_of(&self, service: &Service) -> Vec<&Check> {
        let of_node = self.checks_of(&service.node).filter(|check| check.service_id.is_empty());
        let own = self.checks_of(&service.node).filter(|check| check.service_id == service.id);
        of_node.chain(own.filter(|check| !check.service_id.is_empty())).collect()
    }
}

/// What is wrong with a node's id.
pub(in crate::dev) fn node_id_fault(id: &str) -> Option<String> {
    (!id.is_empty() && check_uuid(id).is_err()).then(|| match id.len() {
        36 => "Bad node ID: uuid is improperly formatted".to_owned(),
        _ => "Bad node ID: uuid string is wrong length".to_owned(),
    })
}
