//! `/v1/agent/`: the agent that we talk to.

use serde::Deserialize;

use super::client::Client;
use super::error::Error;
use super::request::Request;

/// The agent that the client talks to.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a>(pub(super) &'a Client);

/// What an agent says of itself; the few parts that this crate uses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentSelf {
    /// Its configuration.
    pub config: AgentConfig,
}

/// An agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentConfig {
    /// Its datacenter.
    pub datacenter: String,
    /// Its node.
    pub node_name: String,
    /// Its version, such as `1.8.7`, or `1.16.2+ent` for Consul Enterprise.
    pub version: String,
}

impl AgentConfig {
    /// True for Consul Enterprise, which alone has namespaces and partitions.
    pub fn is_enterprise(&self) -> bool {
        self.version.contains("+ent")
    }
}

impl Agent<'_> {
    /// What the agent says of itself. Needs `agent:read`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read_self(&self) -> Result<AgentSelf, Error> {
        self.0.read(&Request::get(&["agent", "self"])).map(|(agent, _)| agent)
    }
}
