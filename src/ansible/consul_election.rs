//! The module `consul_election`: who leads, and the end of a host's leadership.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coordinate::{Candidate, Election, Leader, Resigned, Stood};
use crate::duration::ConsulDuration;

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
    /// The one with this identifier leads.
    Leading,
    /// The one with this identifier does not lead.
    Resigned,
}

/// The options of the module `consul_election`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_election", extend("additionalProperties" = false))]
pub struct ElectionOptions {
    /// `info` tells who leads. `leading`: the one with this `identifier` leads, from now on and behind the task, until it resigns;
    /// where another does, it waits for `timeout`, at 0 not at all, then fails and names it; in check mode it does not wait.
    /// `campaign` and `resign` are understood too. `resigned` ends the leadership of the one with this `identifier`, whichever process it is;
    /// what `lictor elect run` runs there is ended. Another's leadership is left alone, and the task fails.
    #[schemars(extend("x-choice-aliases" = {"campaign": "leading", "resign": "resigned"}))]
    state: State,
    /// The election's key. Required.
    key: Option<String>,
    /// For `leading` and `resigned`: who. The default is the name of the host that the task runs on.
    identifier: Option<String>,
    /// For `leading`: how others reach the leader, such as a URL. Required there.
    contact: Option<String>,
    /// For `leading`: what others are to know of it.
    description: Option<String>,
    /// For `leading`: whether it ends with the health of the agent's node. Where that is false, and there is no `ttl`, it lasts
    /// until it resigns.
    ephemeral: bool,
    /// For `leading`: how long it lasts at least, 10s to 24h, unless the task runs again, which renews it. Nobody is told when it
    /// ends.
    ttl: Option<ConsulDuration>,
    /// The datacenter. The default is the agent's own.
    datacenter: Option<String>,
}

impl Default for ElectionOptions {
    fn default() -> Self {
        Self {
            state: State::default(),
            key: None,
            identifier: None,
            contact: None,
            description: None,
            ephemeral: true,
            ttl: None,
            datacenter: None,
        }
    }
}

/// The result of the module `consul_election`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_election")]
pub struct ElectionResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// Who leads; null where nobody does, and where check mode foresees another one. For `resigned`: who led before.
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
    /// Whether its leadership outlasts the process that took it.
    persistent: bool,
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
    mut connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<ElectionResult, Failure> {
    let key = options.key.clone().ok_or_else(|| Failure::arguments("missing required arguments: key"))?;
    options.check()?;
    let wait = connection.take_wait();
    let (settings, query) = connection.settle(options.datacenter.clone(), variable)?;
    let client = call.connect(settings, &query)?;
    let election = Election::new(&client, &query, &key)?;
    let identifier = options.identifier.clone();
    let identifier = identifier.unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    match options.state {
        State::Info => Ok(ElectionResult::of(false, election.leader()?)),
        State::Leading => lead(&election, &options, &identifier, wait, call),
        State::Resigned => resign(&election, &identifier, call),
    }
}

fn lead(
    election: &Election,
    options: &ElectionOptions,
    identifier: &str,
    wait: Duration,
    call: &Call,
) -> Result<ElectionResult, Failure> {
    let contact = options.contact.as_deref().unwrap_or_default();
    let candidate = Candidate::new(contact).identifier(identifier);
    let candidate = match &options.description {
        Some(text) => candidate.description(text),
        None => candidate,
    };
    let led = |leader: Option<Leader>| {
        let who = leader.map_or_else(
            || "nobody any more: a lock-delay may run".to_owned(),
            |leader| leader.identifier.unwrap_or(leader.contact),
        );
        Failure::busy(format!("{who:?} leads {:?}, and not {identifier:?}", election.key()))
    };
    if call.check_mode {
        return match (election.held_by(&candidate)?, election.leader()?) {
            (Some(leader), _) => Ok(ElectionResult::of(false, Some(leader))),
            (None, None) => Ok(ElectionResult::of(true, None)),
            (None, leader) => Err(led(leader)),
        };
    }
    let ttl = options.ttl.map(Duration::from);
    match election.hold(&candidate, options.ephemeral, ttl, Some(wait), None)? {
        Some(stood) => Ok(ElectionResult::of(matches!(stood, Stood::New(_)), election.leader()?)),
        None => Err(led(election.leader()?)),
    }
}

fn resign(election: &Election, identifier: &str, call: &Call) -> Result<ElectionResult, Failure> {
    let resigned = if call.check_mode { election.foresee_resign(identifier) } else { election.resign(identifier) }?;
    match resigned {
        Resigned::Done(leader) => Ok(ElectionResult::of(true, Some(leader))),
        Resigned::Nobody => Ok(ElectionResult::default()),
        Resigned::Other(leader) => {
            let (who, key) = (leader.identifier.unwrap_or(leader.contact), election.key());
            Err(Failure::busy(format!("{who:?} leads {key:?}, and not {identifier:?}: nothing was done")))
        }
    }
}

impl ElectionOptions {
    /// What does nothing for the state is refused.
    fn check(&self) -> Result<(), Failure> {
        let leading = self.state == State::Leading;
        if leading && self.contact.as_deref().unwrap_or_default().is_empty() {
            return Err(Failure::arguments("state is leading but the following are missing: contact"));
        }
        let given = [
            ("identifier", self.identifier.is_some() && self.state == State::Info),
            ("contact", self.contact.is_some() && !leading),
            ("description", self.description.is_some() && !leading),
            ("ephemeral", !self.ephemeral && !leading),
            ("ttl", self.ttl.is_some() && !leading),
        ];
        match given.iter().find(|(_, idle)| *idle) {
            Some((name, _)) => Err(Failure::arguments(format!("{name} does nothing for this state: leave it out"))),
            None => Ok(()),
        }
    }
}

impl ElectionResult {
    fn of(changed: bool, leader: Option<Leader>) -> Self {
        Self { common: Common { changed, ..Common::default() }, leader: leader.map(Into::into) }
    }
}

impl From<Leader> for ElectionLeader {
    fn from(leader: Leader) -> Self {
        let Leader { contact, description, identifier, since, persistent, session, token } = leader;
        Self { contact, description, identifier, since, persistent, session, token }
    }
}

impl AsMut<Common> for ElectionResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
