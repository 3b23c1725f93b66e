//! The result of the module `consul_service`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::ansible::call::Call;
use crate::ansible::{Common, Diff};
use crate::consul::{AgentService, HealthCheck};
use crate::object::{Service, ServiceSpec};
use crate::plan::service::{DesiredService, ServiceChange};
use crate::reconcile::ServiceReport;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// Everything was as desired.
    Unchanged,
    /// The service was registered.
    Registered,
    /// The service was registered anew, over itself; or only its node was changed.
    Updated,
    /// The service was deregistered.
    Deregistered,
    /// Services were read.
    Read,
}

/// The result of the module `consul_service`. Where `failed` is true, there are `msg` and `reason` in place of the
/// rest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_service")]
pub struct ServiceResult {
    /// What every module gives.
    #[serde(flatten)]
    pub(crate) common: Common,
    /// What was done; in check mode, what would be done.
    pub(crate) action: Action,
    /// The service's id. Null where all were read.
    pub(crate) service_id: Option<String>,
    /// The node without an agent that was named. Null for the agent's own.
    pub(crate) node: Option<String>,
    /// The service as Consul now has it. Null where there is none, or all were read.
    pub(crate) service: Option<AgentService>,
    /// Its checks as Consul now has them.
    pub(crate) checks: Vec<HealthCheck>,
    /// For `info`: the services, as Consul has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<Vec<AgentService>>,
    /// What differs, in diff mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<Diff>,
}

impl ServiceResult {
    fn new(action: Action, service_id: Option<String>, node: Option<String>) -> Self {
        let common = Common::default();
        Self { common, action, service_id, node, service: None, checks: Vec::new(), services: None, diff: None }
    }

    pub(super) fn of_list(services: Vec<AgentService>, hidden: bool, node: Option<String>) -> Self {
        let mut result = Self { services: Some(services), ..Self::new(Action::Read, None, node) };
        if hidden {
            let warning = "nothing was found, or the token may not see it (it takes service:read)";
            result.common.warnings.push(warning.to_owned());
        }
        result
    }

    pub(super) fn of_read(found: Option<(AgentService, Vec<HealthCheck>)>, id: &str, node: Option<String>) -> Self {
        let (service, checks) = found.unzip();
        Self {
            services: Some(service.iter().cloned().collect()),
            service,
            checks: checks.unwrap_or_default(),
            ..Self::new(Action::Read, Some(id.to_owned()), node)
        }
    }

    pub(super) fn of_report(
        report: ServiceReport,
        desired: &DesiredService,
        node: Option<String>,
        call: &Call,
    ) -> Self {
        let ServiceReport { change, node_changed, service, checks } = report;
        let action = match &change {
            Some(ServiceChange::Register { .. }) => Action::Registered,
            Some(ServiceChange::Update { .. }) => Action::Updated,
            Some(ServiceChange::Deregister { .. }) => Action::Deregistered,
            None if node_changed => Action::Updated,
            None => Action::Unchanged,
        };
        let id = match desired {
            DesiredService::Present(spec) => &spec.service().id,
            DesiredService::Absent { id } => id,
        };
        let common = Common { changed: action != Action::Unchanged, ..Common::default() };
        let diff = change.as_ref().filter(|_| call.diff_mode).map(diff);
        Self { common, service, checks, diff, ..Self::new(action, Some(id.clone()), node) }
    }
}

impl AsMut<Common> for ServiceResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}

fn diff(change: &ServiceChange) -> Diff {
    let (header, before, after) = match change {
        ServiceChange::Register { after } => ("new service", json!({}), declared(after)),
        ServiceChange::Update { before, after, .. } => {
            let mut shown = fields(&before.service);
            if let Value::Object(shown) = &mut shown {
                shown.insert("definition".to_owned(), json!(before.hash));
                if after.checks().is_some() {
                    shown.insert("checks".to_owned(), json!(before.checks));
                }
            }
            ("service", shown, declared(after))
        }
        ServiceChange::Deregister { before } => ("service", fields(&before.service), json!({})),
    };
    Diff { before_header: header.to_owned(), after_header: header.to_owned(), before, after }
}

fn declared(spec: &ServiceSpec) -> Value {
    let mut shown = fields(spec.service());
    if let Value::Object(shown) = &mut shown {
        shown.insert("definition".to_owned(), json!(spec.hash()));
        if let Some(checks) = spec.checks() {
            shown.insert("checks".to_owned(), json!(checks.iter().map(|check| &check.id).collect::<Vec<_>>()));
        }
    }
    shown
}

fn fields(service: &Service) -> Value {
    let Service { id, name, tags, address, port, meta, enable_tag_override, weights } = service;
    json!({
        "id": id,
        "name": name,
        "tags": tags,
        "address": address,
        "service_port": port,
        "meta": meta,
        "enable_tag_override": enable_tag_override,
        "weights": weights,
    })
}
