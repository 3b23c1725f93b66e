//! The module `consul_catalog_info`: reads the catalog and the health checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consul::{CatalogService, Client, HealthCheck, Node, NodeServices, Query, QueryMeta, ServiceEntry};
use crate::object::validate_path_name;

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Common, Failure, Variables};

/// The module's name.
pub const NAME: &str = "consul_catalog_info";

/// What to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Info {
    /// The datacenters.
    Datacenters,
    /// All nodes.
    #[default]
    Nodes,
    /// One node and its services.
    Node,
    /// The names of all services.
    Services,
    /// The instances of a service.
    Service,
    /// The instances of a service with their checks, or the checks of a node.
    Health,
}

/// The options of the module `consul_catalog_info`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_catalog_info", extend("additionalProperties" = false))]
pub struct CatalogOptions {
    /// What to read. `datacenters`, `nodes` and `services` read all; `node` reads the node `name` and its services,
    /// `service` the instances of the service `name`. `health` reads the instances of the service `name` with their
    /// checks, or, without a `name`, the checks of the `node`.
    info: Info,
    /// The node's name for `node`, the service's name for `service` and `health`.
    name: Option<String>,
    /// For `health`: the checks of this node; together with `name`, the service's instances on this node.
    node: Option<String>,
    /// For `service`, and for `health` of a service: only instances that have every one of these tags.
    tags: Option<Vec<String>>,
    /// For `health`: only instances of which every check passes, or only checks that pass.
    passing: bool,
    /// The datacenter. The default is the agent's own.
    datacenter: Option<String>,
}

/// The result of the module `consul_catalog_info`: one key beside those of every module, named for what was read. Where
/// `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_catalog_info")]
pub struct CatalogResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// For `datacenters`: their names, the nearest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    datacenters: Option<Vec<String>>,
    /// For `nodes`: the nodes, as Consul has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<Node>>,
    /// For `node`: the node and its services by id, as Consul has them; null where there is no such node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NodeServices>")]
    node: Option<Option<NodeServices>>,
    /// For `services`: the tags of the services by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<BTreeMap<String, Vec<String>>>,
    /// For `service`: the instances as the catalog has them. For `health` of a service: the instances, each a dict of
    /// Node, Service and Checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Instances>,
    /// For `health` of a node: its checks, as Consul has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<HealthCheck>>,
}

/// Instances of a service.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Instances {
    /// As the catalog has them.
    Catalog(Vec<CatalogService>),
    /// With their checks.
    Health(Vec<ServiceEntry>),
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_catalog_info")]
pub enum CatalogAnswer {
    /// Done.
    Done(Box<CatalogResult>),
    /// Failed.
    Failed(Box<Failure>),
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_catalog_info.json"))
}

/// Runs the module.
pub(super) fn run(
    mut options: CatalogOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<CatalogResult, Failure> {
    let wish = options.wish()?;
    let (settings, query) = connection.settle(options.datacenter.take(), variable)?;
    let client = call.connect(settings, &query)?;
    wish.read(&client, &query)
}

/// What to read, with what it takes.
#[derive(Debug)]
enum Wish {
    Datacenters,
    Nodes,
    Node(String),
    Services,
    Service { name: String, tags: Vec<String> },
    ServiceHealth { name: String, node: Option<String>, tags: Vec<String>, passing: bool },
    NodeHealth { node: String, passing: bool },
}

impl CatalogOptions {
    /// Checks the options before anything is sent.
    fn wish(&mut self) -> Result<Wish, Failure> {
        let (name, node, tags) = (self.name.take(), self.node.take(), self.tags.take());
        for (option, value) in [("name", &name), ("node", &node)] {
            if let Some(value) = value {
                validate_path_name(option, value)?;
            }
        }
        let missing = |info: &str, quantity: &str, options: &str| {
            Failure::arguments(format!("info is {info} but {quantity} of the following are missing: {options}"))
        };
        // An option that would do nothing is refused: a list that is longer than was meant would be believed.
        let unused = |options: &[(&str, bool)]| match options.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Failure::arguments(format!(
                "{option} does nothing for info {}: leave it out, or read something else",
                self.info.name()
            ))),
            None => Ok(()),
        };
        let (has_name, has_node) = (("name", name.is_some()), ("node", node.is_some()));
        let (has_tags, has_passing) = (("tags", tags.is_some()), ("passing", self.passing));
        let tags = tags.unwrap_or_default();
        match (self.info, name, node) {
            (Info::Node, None, _) => Err(missing("node", "all", "name")),
            (Info::Service, None, _) => Err(missing("service", "all", "name")),
            (Info::Health, None, None) => Err(missing("health", "any", "name, node")),
            (Info::Datacenters, ..) => unused(&[has_name, has_node, has_tags, has_passing]).map(|()| Wish::Datacenters),
            (Info::Nodes, ..) => unused(&[has_name, has_node, has_tags, has_passing]).map(|()| Wish::Nodes),
            (Info::Services, ..) => unused(&[has_name, has_node, has_tags, has_passing]).map(|()| Wish::Services),
            (Info::Node, Some(name), _) => unused(&[has_node, has_tags, has_passing]).map(|()| Wish::Node(name)),
            (Info::Service, Some(name), _) => unused(&[has_node, has_passing]).map(|()| Wish::Service { name, tags }),
            (Info::Health, Some(name), node) => Ok(Wish::ServiceHealth { name, node, tags, passing: self.passing }),
            (Info::Health, None, Some(node)) => {
                unused(&[has_tags]).map(|()| Wish::NodeHealth { node, passing: self.passing })
            }
        }
    }
}

impl Info {
    /// As the option has it.
    fn name(self) -> &'static str {
        match self {
            Self::Datacenters => "datacenters",
            Self::Nodes => "nodes",
            Self::Node => "node",
            Self::Services => "services",
            Self::Service => "service",
            Self::Health => "health",
        }
    }
}

impl Wish {
    fn read(self, client: &Client, query: &Query) -> Result<CatalogResult, Failure> {
        let (catalog, health) = (client.catalog(), client.health());
        let mut result = CatalogResult::default();
        // What Consul says of its answer, and whether there was nothing in it.
        let (meta, empty, rule) = match self {
            Self::Datacenters => {
                result.datacenters = Some(catalog.datacenters()?); // any token may see them
                return Ok(result);
            }
            Self::Nodes => {
                let (nodes, meta) = catalog.nodes_with_meta(query)?;
                let empty = nodes.is_empty();
                result.nodes = Some(nodes);
                (meta, empty, "node:read")
            }
            Self::Node(name) => {
                let (node, meta) = catalog.node_with_meta(&name, query)?;
                let empty = node.is_none();
                result.node = Some(node);
                (meta, empty, "node:read, and service:read for its services")
            }
            Self::Services => {
                let (services, meta) = catalog.services_with_meta(query)?;
                let empty = services.is_empty();
                result.services = Some(services);
                (meta, empty, "service:read")
            }
            Self::Service { name, tags } => {
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                let (instances, meta) = catalog.service_with_meta(&name, &tags, query)?;
                let empty = instances.is_empty();
                result.instances = Some(Instances::Catalog(instances));
                (meta, empty, "service:read and node:read")
            }
            Self::ServiceHealth { name, node, tags, passing } => {
                let (mut instances, meta) = health.service_with_meta(&name, passing, query)?;
                let empty = instances.is_empty();
                instances.retain(|instance| {
                    instance.has_tags(&tags) && node.as_ref().is_none_or(|node| instance.node.node == *node)
                });
                result.instances = Some(Instances::Health(instances));
                (meta, empty, "service:read and node:read")
            }
            Self::NodeHealth { node, passing } => {
                let (mut checks, meta) = health.node_with_meta(&node, query)?;
                let empty = checks.is_empty();
                checks.retain(|check| !passing || check.status == "passing");
                result.checks = Some(checks);
                (meta, empty, "node:read, and service:read for its services")
            }
        };
        result.common.warnings.extend(cut(client, &meta, empty, rule)?);
        Ok(result)
    }
}

/// A warning where the token may not see everything: Consul leaves out of a list what it may not, and since 1.11 says
/// so. Before that, nothing at all is what makes it likely.
fn cut(client: &Client, meta: &QueryMeta, empty: bool, rule: &str) -> Result<Option<String>, Failure> {
    Ok(if meta.filtered_by_acls {
        Some(format!("the token may not see everything: Consul left something out (it takes {rule})"))
    } else if empty && client.acl().is_enabled()? {
        Some(format!("nothing was found, or the token may not see it (it takes {rule})"))
    } else {
        None
    })
}

impl AsMut<Common> for CatalogResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
