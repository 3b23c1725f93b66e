//! `/v1/catalog/`: the nodes that the cluster knows.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::Error;
use super::query::Query;
use super::request::Request;

/// The cluster's catalog.
#[derive(Clone, Copy, Debug)]
pub struct Catalog<'a>(pub(super) &'a Client);

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Its datacenter.
    pub datacenter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeAnswer {
    node: Node,
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
        self.0.read(&Request::get(&["catalog", "nodes"]).with(query)).map(|(nodes, _)| nodes)
    }

    /// One node; `None` where there is none of that name, or the token may not see it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn node(&self, name: &str, query: &Query) -> Result<Option<Node>, Error> {
        let (answer, _) = self.0.read::<Option<NodeAnswer>>(&Request::get(&["catalog", "node", name]).with(query))?;
        Ok(answer.map(|answer| answer.node))
    }
}
