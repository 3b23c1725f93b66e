//! `/v1/catalog/`: the nodes and services that the cluster knows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::CheckDefinition;
use super::client::{Client, found};
use super::error::Error;
use super::query::{Query, QueryMeta, null_is_default};
use super::request::Request;
use super::watch::Watch;

/// The cluster's catalog.
#[derive(Clone, Copy, Debug)]
pub struct Catalog<'a>(pub(super) &'a Client);

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its addresses by network: `lan`, `wan`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Its metadata.
    #[serde(default, deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
}

/// A node and its services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NodeServices {
    /// The node.
    pub node: Node,
    /// Its services, by id.
    #[serde(default, deserialize_with = "null_is_default")]
    pub services: BTreeMap<String, NodeService>,
}

/// How much of the traffic an instance gets, by its health, as DNS SRV answers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(inline)]
pub struct Weights {
    /// While its checks pass.
    pub passing: u16,
    /// While one of them warns.
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// A service of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeService {
    /// Its id on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub service: String,
    /// Its tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Its address; empty for the node's.
    pub address: String,
    /// Its port; 0 for none.
    pub port: u16,
    /// Its metadata.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
    /// Whether another agent may change its tags in the catalog.
    pub enable_tag_override: bool,
    /// Its weights.
    pub weights: Weights,
}

/// An instance of a service, and its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogService {
    /// The node's id; empty for a node without an agent.
    #[serde(rename = "ID", default)]
    pub id: String,
    /// The node's name.
    pub node: String,
    /// The node's address.
    pub address: String,
    /// The node's addresses by network.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// The service's id on the node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// The service's name.
    pub service_name: String,
    /// Its tags.
    #[serde(default, deserialize_with = "null_is_default")]
    pub service_tags: Vec<String>,
    /// Its address; empty for the node's.
    #[serde(default)]
    pub service_address: String,
    /// Its port; 0 for none.
    #[serde(default)]
    pub service_port: u16,
    /// Its metadata.
    #[serde(default, deserialize_with = "null_is_default")]
    pub service_meta: BTreeMap<String, String>,
}

/// A node without an agent, to register in the catalog, with a service or with checks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    /// The node's name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Its metadata.
    #[serde(rename = "NodeMeta", skip_serializing_if = "BTreeMap::is_empty")]
    pub node_meta: BTreeMap<String, String>,
    /// A service on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<NodeService>,
    /// Checks of the node, or of the service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CatalogCheck>,
    /// Leave the node itself as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_node_update: bool,
}

/// A check in the catalog. Consul does not run it: its status is what was last registered. `consul-esm` runs those
/// that have a definition, http or tcp.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogCheck {
    /// The node.
    pub node: String,
    /// Its id on the node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// Its name.
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// The service that it is of; empty for the node.
    #[serde(rename = "ServiceID", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    /// A note for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// What to run, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<CheckDefinition>,
}

/// What to take out of the catalog: the node with all that is on it, or one service, or one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Deregistration {
    /// The node.
    pub node: String,
    /// Only this service.
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// Only this check.
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
}

impl Catalog<'_> {
    /// The datacenters that the agent knows, the nearest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn datacenters(&self) -> Result<Vec<String>, Error> {
        self.0.read(&Request::get(&["catalog", "datacenters"])).map(|(names, _)| names)
    }

    /// All nodes that the token may see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn nodes(&self, query: &Query) -> Result<Vec<Node>, Error> {
        self.nodes_with_meta(query).map(|(answer, _)| answer)
    }

    /// [`nodes`](Self::nodes), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn nodes_with_meta(&self, query: &Query) -> Result<(Vec<Node>, QueryMeta), Error> {
        self.0.read(&Request::get(&["catalog", "nodes"]).with(query))
    }

    /// One node and its services; `None` where there is none of that name, or the token may not see it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn node(&self, name: &str, query: &Query) -> Result<Option<NodeServices>, Error> {
        self.node_with_meta(name, query).map(|(answer, _)| answer)
    }

    /// [`node`](Self::node), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn node_with_meta(&self, name: &str, query: &Query) -> Result<(Option<NodeServices>, QueryMeta), Error> {
        self.0.read(&Request::get(&["catalog", "node", name]).with(query))
    }

    /// Follows a node and its services; `None` while it does not exist.
    pub fn watch_node(&self, name: &str, query: &Query) -> Watch<Option<NodeServices>> {
        Watch::new(self.0.clone(), Request::get(&["catalog", "node", name]).with(query))
    }

    /// Whether the token may read this node; where it may not, lists leave it out without a word.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn may_read_node(&self, name: &str, query: &Query) -> Result<bool, Error> {
        // This one endpoint about a node refuses, where all others filter.
        let request = Request::get(&["coordinate", "node", name]).with(query);
        match found(self.0.send(&request)) {
            Err(error) if error.is_denied() && !error.is_unknown_token() => Ok(false),
            Err(error) => Err(error),
            Ok(_) => Ok(true),
        }
    }

    /// Whether there is a node of that name which the token may see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn has_node(&self, name: &str, query: &Query) -> Result<bool, Error> {
        // Not taken apart: that there is an answer is all that counts.
        let request = Request::get(&["catalog", "node", name]).with(query);
        self.0.read::<Option<serde::de::IgnoredAny>>(&request).map(|(node, _)| node.is_some())
    }

    /// The names of all services that the token may see, with the tags that their instances have.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn services(&self, query: &Query) -> Result<BTreeMap<String, Vec<String>>, Error> {
        self.services_with_meta(query).map(|(answer, _)| answer)
    }

    /// [`services`](Self::services), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn services_with_meta(&self, query: &Query) -> Result<(BTreeMap<String, Vec<String>>, QueryMeta), Error> {
        self.0.read(&Request::get(&["catalog", "services"]).with(query))
    }

    /// The instances of a service that have all of `tags`, whatever their health.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service(&self, name: &str, tags: &[&str], query: &Query) -> Result<Vec<CatalogService>, Error> {
        self.service_with_meta(name, tags, query).map(|(instances, _)| instances)
    }

    /// [`service`](Self::service), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service_with_meta(
        &self,
        name: &str,
        tags: &[&str],
        query: &Query,
    ) -> Result<(Vec<CatalogService>, QueryMeta), Error> {
        let request = Request::get(&["catalog", "service", name]).with(query);
        let request = tags.iter().fold(request, |request, tag| request.parameter("tag", tag));
        let (mut instances, meta) = self.0.read::<Vec<CatalogService>>(&request)?;
        // Consul before 1.3 looks at one tag only.
        instances.retain(|instance| tags.iter().all(|tag| instance.service_tags.iter().any(|has| has == tag)));
        Ok((instances, meta))
    }

    /// Puts an external node into the catalog, or changes it. For a node with an agent, register with the agent: it
    /// would undo this. Needs `node:write`, and `service:write` for a service.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register(&self, registration: &Registration, query: &Query) -> Result<(), Error> {
        let body = serde_json::to_vec(registration).unwrap_or_default();
        self.0.send(&Request::put(&["catalog", "register"]).with(query).body(body).repeatable()).map(drop)
    }

    /// Takes an external node, or a part of it, out of the catalog.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn deregister(&self, deregistration: &Deregistration, query: &Query) -> Result<(), Error> {
        let body = serde_json::to_vec(deregistration).unwrap_or_default();
        self.0.send(&Request::put(&["catalog", "deregister"]).with(query).body(body).repeatable()).map(drop)
    }
}
