//! The module `consul_agent`: its options, and what its states do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::consul::{AgentConfig, Client, Member, Pool, Query};
use crate::object::Refused;
use crate::reconcile::{Maintenance, MaintenanceAction, MaintenanceReport, UnderMaintenance};

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Common, Diff, Failure, Variables};

/// The module's name.
pub const NAME: &str = "consul_agent";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// Read what the agent says of itself.
    #[default]
    Info,
    /// Read the members of the gossip pool.
    Members,
    /// The node, or the service, is under maintenance.
    Maintenance,
    /// It is not.
    Normal,
    /// Have the agent read its configuration files again.
    Reloaded,
}

/// The options of the module `consul_agent`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_agent", extend("additionalProperties" = false))]
pub struct AgentOptions {
    /// `info` reads what the agent says of itself, `members` reads the members of its gossip pool. `maintenance`: the
    /// agent's node, or the `service`, is under maintenance; `normal`: it is not. `reloaded`: the agent reads its
    /// configuration files again, in each run.
    state: State,
    /// For `maintenance`: the reason, which people see in the node's checks. Where it differs from the one that there
    /// is, the maintenance ends for a moment and begins again. Without one, any will do.
    reason: Option<String>,
    /// For `maintenance` and `normal`: the id of a service of the agent, in place of the whole node.
    service: Option<String>,
    /// For `members`: the servers of all datacenters, in place of the nodes of the agent's. Only a server knows them.
    wan: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// Everything was as desired.
    Unchanged,
    /// The maintenance began.
    Started,
    /// The maintenance ended, and began again for the new reason.
    Restarted,
    /// The maintenance ended.
    Ended,
    /// The agent read its configuration files again.
    Reloaded,
    /// Something was read.
    Read,
}

/// The result of the module `consul_agent`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_agent")]
pub struct AgentResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// What was done; in check mode, what would be done.
    action: Action,
    /// For `info`: what the agent says of itself, under Consul's names.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentConfig>,
    /// For `members`: the members that the token may see, as Consul has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
    /// For `maintenance` and `normal`: how it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance: Option<MaintenanceState>,
    /// What differs, in diff mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Vec<Diff>>,
}

/// How a maintenance stands.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct MaintenanceState {
    /// Whether it is under maintenance.
    enabled: bool,
    /// The reason; null where it is not.
    reason: Option<String>,
    /// The service's id; null for the whole node.
    service: Option<String>,
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_agent")]
pub enum AgentAnswer {
    /// Done.
    Done(Box<AgentResult>),
    /// Failed.
    Failed(Box<Failure>),
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_agent.json"))
}

/// Runs the module.
pub(super) fn run(
    options: AgentOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<AgentResult, Failure> {
    let maintenance = options.maintenance()?;
    let (settings, query) = connection.settle(None, variable)?;
    let client = call.connect(settings, &query)?;
    match maintenance {
        Some(maintenance) => reconcile(&maintenance, &client, &query, call),
        None => options.read_or_reload(&client, call),
    }
}

impl AgentOptions {
    /// What is wanted of a maintenance, checked before anything is sent; `None` for the other states.
    fn maintenance(&self) -> Result<Option<Maintenance>, Failure> {
        let wanted = match self.state {
            // What a template leaves empty is not given.
            State::Maintenance => UnderMaintenance::Yes { reason: self.reason.clone().filter(|r| !r.is_empty()) },
            State::Normal => UnderMaintenance::No,
            State::Info | State::Members | State::Reloaded if self.service.is_some() => {
                let only = "service is for state maintenance and state normal only: leave it out";
                return Err(Refused::new(only.to_owned()).into());
            }
            State::Info | State::Members | State::Reloaded => return Ok(None),
        };
        let maintenance = Maintenance { service: self.service.clone(), wanted };
        maintenance.validate()?;
        Ok(Some(maintenance))
    }

    fn read_or_reload(&self, client: &Client, call: &Call) -> Result<AgentResult, Failure> {
        let api = client.agent();
        Ok(match self.state {
            State::Members => {
                let members = api.members(if self.wan { Pool::Wan } else { Pool::Lan })?;
                let mut result = AgentResult { members: Some(members), ..AgentResult::of(Action::Read) };
                // An agent is a member of its own pool, so that an empty list is one that was cut.
                if result.members.as_ref().is_some_and(Vec::is_empty) {
                    result.common.warnings.push(if self.wan {
                        "no member: only a server knows the WAN pool, or the token may not see its nodes (node:read)"
                            .to_owned()
                    } else {
                        "no member: the token may not see the nodes (node:read)".to_owned()
                    });
                }
                result
            }
            State::Reloaded => {
                if call.check_mode {
                    api.read_self()?; // at least, whether the agent is there
                } else {
                    api.reload()?;
                }
                AgentResult::of(Action::Reloaded)
            }
            State::Info | State::Maintenance | State::Normal => {
                AgentResult { agent: Some(api.read_self()?.config), ..AgentResult::of(Action::Read) }
            }
        })
    }
}

fn reconcile(maintenance: &Maintenance, client: &Client, query: &Query, call: &Call) -> Result<AgentResult, Failure> {
    let run = if call.check_mode { Maintenance::foresee } else { Maintenance::apply };
    let MaintenanceReport { action, before, after, warnings } = run(maintenance, client, query)?;
    let header = maintenance.service.as_ref().map_or("node".to_owned(), |id| format!("service {id}"));
    let mut result = AgentResult::of(action.into());
    result.common.warnings = warnings;
    result.diff = call.diff_mode.then(|| {
        let changed = action != MaintenanceAction::Unchanged;
        let diff = || Diff {
            before_header: header.clone(),
            after_header: header.clone(),
            before: shown(before.as_deref()),
            after: shown(after.as_deref()),
        };
        changed.then(diff).into_iter().collect()
    });
    result.maintenance =
        Some(MaintenanceState { enabled: after.is_some(), reason: after, service: maintenance.service.clone() });
    Ok(result)
}

/// A maintenance as a diff shows it.
fn shown(reason: Option<&str>) -> Value {
    json!({"maintenance": reason.is_some(), "reason": reason})
}

impl AgentResult {
    fn of(action: Action) -> Self {
        let changed = !matches!(action, Action::Unchanged | Action::Read);
        let common = Common { changed, ..Common::default() };
        Self { common, action, agent: None, members: None, maintenance: None, diff: None }
    }
}

impl AsMut<Common> for AgentResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl From<MaintenanceAction> for Action {
    fn from(action: MaintenanceAction) -> Self {
        match action {
            MaintenanceAction::Unchanged => Self::Unchanged,
            MaintenanceAction::Started => Self::Started,
            MaintenanceAction::Restarted => Self::Restarted,
            MaintenanceAction::Ended => Self::Ended,
        }
    }
}
