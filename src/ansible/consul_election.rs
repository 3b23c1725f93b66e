//! The module `consul_election`: who leads, and the end of a host's leadership.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coordinate::{Election, Leader, Resigned};

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Common, Failure, Variables};

/// The module's name.
pub const NAME: &str = "consul_election";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// Tell who leads.
    #[default]
    Info,
    /// The one with this identifier does not lead.
    Resigned,
}

/// The options of the module `consul_election`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_election", extend("additionalProperties" = false))]
pub struct ElectionOptions {
    /// `info` tells who leads. `resigned` ends the leadership of the one with this `identifier`, whichever process it is;
    /// what `lictor elect run` runs there is ended. Another's leadership is left alone, and the task fails.
    state: State,
    /// The election's key. Required.
    key: Option<String>,
    /// For `resigned`: whose leadership is to end. The default is the name of the host that the task runs on.
    identifier: Option<String>,
    /// The datacenter. The default is the agent's own.
    datacenter: Option<String>,
}

/// The result of the module `consul_election`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_election")]
pub struct ElectionResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// Who leads; null where nobody does. For `resigned`: who led before.
    leader: Option<ElectionLeader>,
}

/// Who leads.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ElectionLeader {
    /// How to reach it, as it said.
    contact: String,
    /// What it said of itself; null where it said nothing.
    description: Option<String>,
    /// Who it is; null where another program leads.
    identifier: Option<String>,
    /// Since when, by its own clock; null where another program leads.
    since: Option<String>,
    /// The id of its session.
    session: String,
    /// Its fencing token.
    token: u64,
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_election")]
pub enum ElectionAnswer {
    /// Done.
    Done(Box<ElectionResult>),
    /// Failed.
    Failed(Box<Failure>),
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_election.json"))
}

/// Runs the module.
pub(super) fn run(
    options: ElectionOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<ElectionResult, Failure> {
    let ElectionOptions { state, key, identifier, datacenter } = options;
    let key = key.ok_or_else(|| Failure::arguments("missing required arguments: key"))?;
    if state == State::Info && identifier.is_some() {
        return Err(Failure::arguments("identifier does nothing for state info: leave it out"));
    }
    let (settings, query) = connection.settle(datacenter, variable)?;
    let client = call.connect(settings, &query)?;
    let election = Election::new(&client, &query, &key)?;
    if state == State::Info {
        return Ok(ElectionResult { leader: election.leader()?.map(Into::into), ..ElectionResult::default() });
    }
    let identifier = identifier.unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    let resigned = if call.check_mode { election.foresee_resign(&identifier) } else { election.resign(&identifier) }?;
    match resigned {
        Resigned::Done(leader) => {
            Ok(ElectionResult { common: Common { changed: true, ..Common::default() }, leader: Some(leader.into()) })
        }
        Resigned::Nobody => Ok(ElectionResult::default()),
        Resigned::Other(leader) => {
            let who = leader.identifier.unwrap_or(leader.contact);
            Err(Failure::busy(format!("{who:?} leads {key:?}, and not {identifier:?}: nothing was done")))
        }
    }
}

impl From<Leader> for ElectionLeader {
    fn from(leader: Leader) -> Self {
        let Leader { contact, description, identifier, since, session, token } = leader;
        Self { contact, description, identifier, since, session, token }
    }
}

impl AsMut<Common> for ElectionResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
