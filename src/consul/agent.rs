//! `/v1/agent/`: the agent that we talk to, and what is registered with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalog::Weights;
use super::client::{Client, found};
use super::error::Error;
use super::health::HealthCheck;
use super::query::null_is_default;
use super::request::Request;

/// The agent that the client talks to. For the agent of another host, see [`Client::at`].
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a>(pub(super) &'a Client);

/// What an agent says of itself; the few parts that are the same in every version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentSelf {
    /// Its configuration.
    pub config: AgentConfig,
}

/// An agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AgentConfig {
    /// Its datacenter.
    pub datacenter: String,
    /// Its node.
    pub node_name: String,
    /// Whether it is a server.
    pub server: bool,
    /// Its version, such as `1.8.7`, or `1.16.2+ent` for Consul Enterprise.
    pub version: String,
}

impl AgentConfig {
    /// True for Consul Enterprise, which alone has namespaces and partitions.
    pub fn is_enterprise(&self) -> bool {
        self.version.contains("+ent")
    }
}

/// A member of the gossip pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Member {
    /// Its node's name; in the WAN pool, with `.DATACENTER` behind it.
    pub name: String,
    /// Its address.
    #[serde(rename = "Addr")]
    pub address: String,
    /// Its gossip port.
    pub port: u16,
    /// What it says of itself: `role`, `dc`, `build`, ...
    #[serde(default, deserialize_with = "null_is_default")]
    pub tags: BTreeMap<String, String>,
    /// Serf's status: 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: u8,
}

/// Which gossip pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// The nodes of the agent's datacenter.
    #[default]
    Lan,
    /// The servers of all datacenters. Only a server knows them.
    Wan,
}

/// A service to register with an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceDefinition {
    /// The service's name.
    pub name: String,
    /// Its id on the node; the name where it is `None`.
    #[serde(rename = "ID", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its address; the node's where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// Whether another agent may change its tags in the catalog.
    #[serde(default)]
    pub enable_tag_override: bool,
    /// Its weights; 1 and 1 where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Its checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckDefinition>,
}

/// A check to register. What makes it one of its kind is the one of `http`, `tcp`, `grpc`, `ttl`, `args`,
/// `alias_service` and `alias_node` that it has; all but a ttl and an alias need an `interval`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckDefinition {
    /// Its id; Consul makes one from the service's id.
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A note for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Its status until it first runs: `passing`, `warning` or `critical`, which is Consul's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How often it runs, such as `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How long one run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// A URL that has to answer with a status of 2xx; 429 is a warning.
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The method for `http`; GET where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The headers for `http`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, Vec<String>>,
    /// Whether `http` and `grpc` take any certificate.
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "std::ops::Not::not")]
    pub tls_skip_verify: bool,
    /// An `address:port` that has to accept a connection.
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// An `address:port/service` that speaks gRPC's health protocol.
    #[serde(rename = "GRPC", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// Whether `grpc` speaks TLS.
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "std::ops::Not::not")]
    pub grpc_use_tls: bool,
    /// How long it stays as somebody last reported it; then it is critical.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// A command and its arguments. Agents run none unless `enable_local_script_checks` or
    /// `enable_script_checks` is set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The id of a service whose health it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_service: Option<String>,
    /// The node of that service, or the node whose health it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_node: Option<String>,
    /// How long it may be critical before its service is deregistered; a minute at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_service_after: Option<String>,
}

/// A service as its agent knows it. The definitions of its checks are not given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AgentService {
    /// Its id on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub service: String,
    /// Its tags.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Its metadata.
    #[serde(default, deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
    /// Its port; 0 for none.
    #[serde(default)]
    pub port: u16,
    /// Its address; empty for the node's.
    #[serde(default)]
    pub address: String,
    /// Whether another agent may change its tags in the catalog.
    #[serde(default)]
    pub enable_tag_override: bool,
    /// Its weights.
    #[serde(default)]
    pub weights: Weights,
}

/// How a ttl check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// All is well.
    Passing,
    /// Something is not.
    Warning,
    /// Nothing should be sent there.
    Critical,
}

impl CheckStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
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

    /// The members of a gossip pool that the token may see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn members(&self, pool: Pool) -> Result<Vec<Member>, Error> {
        let request = Request::get(&["agent", "members"]);
        let request = if pool == Pool::Wan { request.parameter("wan", "1") } else { request };
        self.0.read(&request).map(|(members, _)| members)
    }

    /// Makes the agent read its configuration files again. What was registered by API and is not persisted (as with
    /// `-dev`) is gone after it. Needs `agent:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn reload(&self) -> Result<(), Error> {
        self.0.send(&Request::put(&["agent", "reload"]).repeatable()).map(drop)
    }

    /// Marks the node as under maintenance, for a reason, or as back: its services leave DNS and the health queries
    /// for passing ones. Where the node is under maintenance already, Consul keeps the earlier reason. Needs
    /// `node:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn maintenance(&self, enable: bool, reason: &str) -> Result<(), Error> {
        let request = Request::put(&["agent", "maintenance"]).parameter("enable", &enable.to_string());
        let request = if reason.is_empty() { request } else { request.parameter("reason", reason) };
        self.0.send(&request.repeatable()).map(drop)
    }

    /// The same for one service of the node. Needs `service:write`.
    ///
    /// # Errors
    /// See [`Error`]; 404 where the agent has no such service.
    pub fn service_maintenance(&self, service_id: &str, enable: bool, reason: &str) -> Result<(), Error> {
        let request =
            Request::put(&["agent", "service", "maintenance", service_id]).parameter("enable", &enable.to_string());
        let request = if reason.is_empty() { request } else { request.parameter("reason", reason) };
        self.0.send(&request.repeatable()).map(drop)
    }

    /// The agent's metrics, as it gives them. Needs `agent:read`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn metrics(&self) -> Result<Value, Error> {
        self.0.read(&Request::get(&["agent", "metrics"])).map(|(metrics, _)| metrics)
    }

    /// The agent's version. Needs `agent:read`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn version(&self) -> Result<String, Error> {
        self.read_self().map(|agent| agent.config.version)
    }

    /// The services that are registered with the agent, by id.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn services(&self) -> Result<BTreeMap<String, AgentService>, Error> {
        self.0.read(&Request::get(&["agent", "services"])).map(|(services, _)| services)
    }

    /// One service of the agent.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service(&self, id: &str) -> Result<Option<AgentService>, Error> {
        Ok(found(self.0.read(&Request::get(&["agent", "service", id])))?.map(|(service, _)| service))
    }

    /// The checks that are registered with the agent, by id.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn checks(&self) -> Result<BTreeMap<String, HealthCheck>, Error> {
        self.0.read(&Request::get(&["agent", "checks"])).map(|(checks, _)| checks)
    }

    /// Registers a service, with its checks: whatever it was before, and its checks are not listed here, is replaced.
    /// A check that is registered again keeps its status (seen on 1.8.7). Needs `service:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register_service(&self, service: &ServiceDefinition) -> Result<(), Error> {
        let body = serde_json::to_vec(service).unwrap_or_default();
        // Without the parameter, checks of an earlier definition stay behind.
        let request = Request::put(&["agent", "service", "register"]).parameter("replace-existing-checks", "true");
        self.0.send(&request.body(body).repeatable()).map(drop)
    }

    /// Registers a service like [`register_service`](Self::register_service), but checks of it that are not listed
    /// stay, and so does the service's maintenance, which is one of them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn update_service(&self, service: &ServiceDefinition) -> Result<(), Error> {
        let body = serde_json::to_vec(service).unwrap_or_default();
        self.0.send(&Request::put(&["agent", "service", "register"]).body(body).repeatable()).map(drop)
    }

    /// Whether the token may read services of this name; where it may not, lists leave them out without a word.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn may_read_service(&self, name: &str) -> Result<bool, Error> {
        // By its status it tells the health of this agent's instances, 503 for a critical one: all but 403 is a yes.
        let request = Request::get(&["agent", "health", "service", "name", name]);
        match self.0.try_once(&request, self.0.timeout()) {
            Err(error) if error.status().is_none() || error.is_unknown_token() => Err(error),
            Err(error) if error.is_denied() => Ok(false),
            _ => Ok(true),
        }
    }

    /// Takes a service and its checks off the agent. Needs `service:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn deregister_service(&self, id: &str) -> Result<(), Error> {
        self.0.send(&Request::put(&["agent", "service", "deregister", id]).repeatable()).map(drop)
    }

    /// Registers a check of the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register_check(&self, check: &CheckDefinition) -> Result<(), Error> {
        let mut body = serde_json::to_value(check).unwrap_or_default();
        // This one endpoint calls the id ID, and refuses CheckID.
        if let Some(fields) = body.as_object_mut()
            && let Some(id) = fields.remove("CheckID")
        {
            fields.insert("ID".to_owned(), id);
        }
        let request = Request::put(&["agent", "check", "register"]).body(body.to_string().into_bytes());
        self.0.send(&request.repeatable()).map(drop)
    }

    /// Takes a check off the agent.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn deregister_check(&self, id: &str) -> Result<(), Error> {
        self.0.send(&Request::put(&["agent", "check", "deregister", id]).repeatable()).map(drop)
    }

    /// Reports how a ttl check stands, and starts its time anew.
    ///
    /// # Errors
    /// See [`Error`]; an unknown check, or one that has no ttl, is an error of Consul's.
    pub fn update_check(&self, id: &str, status: CheckStatus, output: &str) -> Result<(), Error> {
        let body = serde_json::json!({"Status": status.as_str(), "Output": output}).to_string();
        let request = Request::put(&["agent", "check", "update", id]).body(body.into_bytes());
        self.0.send(&request.repeatable()).map(drop)
    }
}
