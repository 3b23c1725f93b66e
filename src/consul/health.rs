//! `/v1/health/`: the checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalog::{Node, NodeService};
use super::client::Client;
use super::error::Error;
use super::query::{Query, QueryMeta};
use super::request::Request;
use super::watch::Watch;

/// The cluster's health checks.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a>(pub(super) &'a Client);

/// A check and its status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Its node.
    pub node: String,
    /// Its id on its node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// Its name.
    pub name: String,
    /// `passing`, `warning`, `critical` or `maintenance`.
    pub status: String,
    /// A note for people.
    pub notes: String,
    /// What it last had to say.
    pub output: String,
    /// The service that it is of; empty for the node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// That service's name.
    pub service_name: String,
    /// Its kind: `http`, `tcp`, `grpc`, `ttl`, `script`, `alias`. Empty before Consul 1.7, and for checks of nodes.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// An instance of a service, its node and its checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceEntry {
    /// The node.
    pub node: Node,
    /// The instance.
    pub service: NodeService,
    /// The checks of both.
    pub checks: Vec<HealthCheck>,
}

impl ServiceEntry {
    /// True where the instance has every one of `tags`.
    pub fn has_tags(&self, tags: &[String]) -> bool {
        tags.iter().all(|tag| self.service.tags.contains(tag))
    }
}

impl Health<'_> {
    /// The checks of a node, its services' included, as far as the token may see them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn node(&self, node: &str, query: &Query) -> Result<Vec<HealthCheck>, Error> {
        self.node_with_meta(node, query).map(|(answer, _)| answer)
    }

    /// [`node`](Self::node), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn node_with_meta(&self, node: &str, query: &Query) -> Result<(Vec<HealthCheck>, QueryMeta), Error> {
        self.0.read(&Request::get(&["health", "node", node]).with(query))
    }

    /// The checks of a service, on all nodes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn checks(&self, service: &str, query: &Query) -> Result<Vec<HealthCheck>, Error> {
        self.0.read(&Request::get(&["health", "checks", service]).with(query)).map(|(checks, _)| checks)
    }

    /// The instances of a service: all, or those of which every check passes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service(&self, name: &str, only_passing: bool, query: &Query) -> Result<Vec<ServiceEntry>, Error> {
        self.service_with_meta(name, only_passing, query).map(|(answer, _)| answer)
    }

    /// [`service`](Self::service), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service_with_meta(
        &self,
        name: &str,
        only_passing: bool,
        query: &Query,
    ) -> Result<(Vec<ServiceEntry>, QueryMeta), Error> {
        self.0.read(&Self::service_request(name, only_passing, query))
    }

    /// Follows the instances of a service.
    pub fn watch_service(&self, name: &str, only_passing: bool, query: &Query) -> Watch<Vec<ServiceEntry>> {
        Watch::new(self.0.clone(), Self::service_request(name, only_passing, query))
    }

    fn service_request(name: &str, only_passing: bool, query: &Query) -> Request {
        let request = Request::get(&["health", "service", name]).with(query);
        if only_passing { request.parameter("passing", "1") } else { request }
    }

    /// The checks of the cluster in a state: `passing`, `warning`, `critical`, or `any`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn state(&self, state: &str, query: &Query) -> Result<Vec<HealthCheck>, Error> {
        self.0.read(&Request::get(&["health", "state", state]).with(query)).map(|(checks, _)| checks)
    }
}
