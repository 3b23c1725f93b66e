//! The module `consul_service`: its options, and what its states do.

mod result;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::consul::Query;
use crate::object::{Check, ExternalNode, Service, ServiceSpec, Weights, validate_path_name, validate_service_id};
use crate::plan::service::DesiredService;
use crate::reconcile::ServiceReconciler;

use super::call::Call;
use super::connection::Connection;
use super::nested::nested;
use super::spec::Spec;
use super::{Failure, Variables};

pub use result::ServiceResult;

/// The module's name.
pub const NAME: &str = "consul_service";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// The service is registered, like this.
    #[default]
    Present,
    /// No service of that id is registered there.
    Absent,
    /// Read the service of that id, or all.
    Info,
}

/// The options of the module `consul_service`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_service", extend("additionalProperties" = false))]
pub struct ServiceOptions {
    /// `present`: the service is registered, like this. `absent`: none of that id is. `info` reads the service of that
    /// id; without `id` and `name`, all of that agent, or of that node.
    state: State,
    /// The service's name, which all of its instances share.
    name: Option<String>,
    /// The service's id: what tells it from the other services of its node. The default is its name.
    id: Option<String>,
    /// Its tags. Their order means nothing.
    tags: Vec<String>,
    /// The address at which it is reached. The default is that of its node.
    address: Option<String>,
    /// The port at which it is reached.
    #[schemars(range(min = 1, max = 65535))]
    service_port: Option<i64>,
    /// Its metadata. Keys have letters, digits, `_` and `-`, and 128 characters at most; values 512 bytes; 63 pairs.
    /// The key `lictor-hash` is the module's.
    meta: BTreeMap<String, String>,
    /// Whether others may change its tags in the catalog. Then other tags are no reason to register it again.
    enable_tag_override: bool,
    /// How much of the traffic it gets: `passing` (1 to 65535) while its checks pass, `warning` (0 to 65535) while one
    /// of them warns. The default is 1 for both.
    #[schemars(with = "Option<Weights>")]
    weights: Option<Value>,
    /// Its checks, all of them: another one is taken off. Where it is absent, the checks that it has stay. An empty
    /// list means none.
    #[schemars(with = "Option<Vec<Check>>")]
    checks: Option<Vec<Value>>,
    /// A node without an agent, for the service to be on: it is registered in the catalog, not with an agent. Refused
    /// where the node has an agent, which would undo it.
    node: Option<String>,
    /// That node's address. A node that does not exist is made.
    node_address: Option<String>,
    /// That node's metadata, all of it. Where it is absent, it stays as it is.
    node_meta: Option<BTreeMap<String, String>>,
    /// The datacenter of that node. The default is the agent's own.
    datacenter: Option<String>,
}

/// The schema of the options.
const OPTIONS: &str = include_str!("options/consul_service.json");

pub(super) fn spec() -> Spec {
    Spec::of(NAME, OPTIONS)
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_service")]
pub enum ServiceAnswer {
    /// Done.
    Done(Box<ServiceResult>),
    /// Failed.
    Failed(Box<Failure>),
}

/// Runs the module.
pub(super) fn run(
    options: ServiceOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<ServiceResult, Failure> {
    let node = options.external_node()?;
    let desired = options.desired(node.is_some(), variable)?;
    let (settings, query) = connection.settle(options.datacenter.clone(), variable)?;
    options.refuse_scope(&query)?;
    let client = call.connect(settings, &query)?;
    let run = ServiceReconciler { client: &client, query: &query, node: node.as_ref() };
    let Some(desired) = desired else { return options.read(&run) };
    let report = if call.check_mode { run.foresee(&desired) } else { run.apply(&desired) }?;
    Ok(ServiceResult::of_report(report, &desired, options.node, call))
}

impl ServiceOptions {
    fn external_node(&self) -> Result<Option<ExternalNode>, Failure> {
        let Some(name) = self.node.clone() else {
            if self.node_address.is_some() || self.node_meta.is_some() || self.datacenter.is_some() {
                return Err(Failure::arguments(
                    "node_address, node_meta and datacenter are for a node without an agent: name it in 'node', or \
                     leave them out",
                ));
            }
            return Ok(None);
        };
        let node = ExternalNode { name, address: self.node_address.clone(), meta: self.node_meta.clone() };
        node.validate()?;
        Ok(Some(node))
    }

    /// What is wanted; `None` where it is only read.
    fn desired(&self, external: bool, variable: Variables<'_>) -> Result<Option<DesiredService>, Failure> {
        for (option, value) in [("name", &self.name), ("id", &self.id)] {
            if let Some(value) = value {
                match self.state {
                    State::Info => validate_path_name(option, value)?,
                    State::Present | State::Absent => validate_service_id(option, value)?,
                }
            }
        }
        match (self.state, self.id()) {
            (State::Info, _) => Ok(None),
            (State::Absent, Some(id)) => Ok(Some(DesiredService::Absent { id: id.to_owned() })),
            (State::Absent, None) => {
                Err(Failure::arguments("state is absent but any of the following are missing: id, name"))
            }
            (State::Present, _) => {
                let spec = self.service_spec(variable)?;
                Ok(Some(DesiredService::Present(if external { spec.on_external_node()? } else { spec })))
            }
        }
    }

    fn service_spec(&self, variable: Variables<'_>) -> Result<ServiceSpec, Failure> {
        let Some(name) = self.name.clone() else {
            return Err(Failure::arguments("state is present but all of the following are missing: name"));
        };
        let port = self.service_port.map(|port| match u16::try_from(port) {
            Ok(port @ 1..) => Ok(port),
            _ => Err(Failure::arguments(format!("service_port is {port}: write 1 to 65535, or leave it out for none"))),
        });
        let weights = self.weights.clone().map(|weights| {
            let fields = Spec::inside(NAME, OPTIONS, "weights");
            nested::<Weights>(&fields, "weights", weights, variable)
        });
        let checks = self.checks.as_ref().map(|checks| {
            let fields = Spec::inside(NAME, OPTIONS, "checks");
            let check = |(position, check): (usize, &Value)| {
                nested::<Check>(&fields, &format!("checks[{position}]"), check.clone(), variable)
            };
            checks.iter().enumerate().map(check).collect()
        });
        let service = Service {
            id: self.id.clone().unwrap_or_else(|| name.clone()),
            name,
            tags: self.tags.iter().cloned().collect(),
            address: self.address.clone().unwrap_or_default(),
            port: port.transpose()?.unwrap_or_default(),
            meta: self.meta.clone(),
            enable_tag_override: self.enable_tag_override,
            weights: weights.transpose()?.unwrap_or_default(),
        };
        Ok(ServiceSpec::new(service, checks.transpose()?)?)
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref().or(self.name.as_deref())
    }

    /// A service of an agent is in that agent's own partition, and in the token's namespace.
    fn refuse_scope(&self, query: &Query) -> Result<(), Failure> {
        if self.node.is_none() && (query.namespace.is_some() || query.partition.is_some()) {
            return Err(Failure::arguments(
                "namespace and partition (and CONSUL_NAMESPACE, CONSUL_PARTITION) reach services of a 'node' without \
                 an agent only: leave them out",
            ));
        }
        Ok(())
    }

    fn read(&self, run: &ServiceReconciler<'_>) -> Result<ServiceResult, Failure> {
        let Some(id) = self.id() else {
            let services = run.list()?;
            let hidden = services.is_empty() && run.client.acl().is_enabled()?;
            return Ok(ServiceResult::of_list(services, hidden, self.node.clone()));
        };
        Ok(ServiceResult::of_read(run.read(id)?, id, self.node.clone()))
    }
}
