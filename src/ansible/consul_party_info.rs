//! The module `consul_party_info`: who is there, and whether they are enough.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coordinate::{Member, Membership};

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Common, Failure, Variables};

/// The module's name.
pub const NAME: &str = "consul_party_info";

/// The options of the module `consul_party_info`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_party_info", extend("additionalProperties" = false))]
pub struct PartyOptions {
    /// The party's path: its members are the keys directly below it that a live session holds. Required.
    path: Option<String>,
    /// How many have to be there, at least.
    min_nodes: u64,
    /// Wait until as many are there, for as long as `timeout` says; then fail. In check mode nothing is waited for.
    blocking: bool,
    /// The datacenter. The default is the agent's own.
    datacenter: Option<String>,
}

impl Default for PartyOptions {
    fn default() -> Self {
        Self { path: None, min_nodes: 1, blocking: false, datacenter: None }
    }
}

/// The result of the module `consul_party_info`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_party_info")]
pub struct PartyResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// Who is there, in the order of their identifiers.
    members: Vec<PartyMember>,
    /// Their identifiers.
    identifiers: Vec<String>,
    /// Whether `min_nodes` are there.
    met: bool,
}

/// Somebody who is there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct PartyMember {
    /// Under which identifier.
    identifier: String,
    /// On which host, as it said; null where another program made the key.
    host: Option<String>,
    /// Since when, by its own clock; null where another program made the key.
    since: Option<String>,
    /// The id of its session.
    session: String,
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_party_info")]
pub enum PartyAnswer {
    /// Done.
    Done(Box<PartyResult>),
    /// Failed.
    Failed(Box<Failure>),
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_party_info.json"))
}

/// Runs the module.
pub(super) fn run(
    options: PartyOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<PartyResult, Failure> {
    let path = options.path.ok_or_else(|| Failure::arguments("missing required arguments: path"))?;
    let (settings, query) = connection.settle(options.datacenter, variable)?;
    let client = call.connect(settings, &query)?;
    let party = Membership::new(&client, &query, &path)?;
    let wanted = usize::try_from(options.min_nodes).unwrap_or(usize::MAX);
    if options.blocking && !call.check_mode {
        return match party.wait_for(wanted, Some(client.timeout()), None)? {
            Some(members) => Ok(PartyResult::of(members, wanted)),
            None => {
                let found = party.members()?;
                let names: Vec<_> = found.iter().map(|member| member.identifier.as_str()).collect();
                Err(Failure::too_few(format!(
                    "fewer than {wanted} were there below {path:?} until `timeout` was over; at its end there were {}: {}",
                    names.len(),
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                )))
            }
        };
    }
    let (members, meta) = party.members_with_meta()?;
    // Consul leaves out of a list what the token may not read; before 1.11 it does not say so.
    let hidden = meta.filtered_by_acls
        || (members.is_empty() && !client.kv().may_read(&format!("{}/-", path.trim_end_matches('/')), &query)?);
    let mut result = PartyResult::of(members, wanted);
    if hidden {
        result.common.warnings.push(format!("the token may not read every key below {path:?}: there may be more"));
    }
    if options.blocking && !result.met {
        result.common.warnings.push("too few are there: the run would wait".to_owned());
    }
    Ok(result)
}

impl PartyResult {
    fn of(members: Vec<Member>, wanted: usize) -> Self {
        let identifiers = members.iter().map(|member| member.identifier.clone()).collect();
        let met = members.len() >= wanted;
        Self { common: Common::default(), members: members.into_iter().map(Into::into).collect(), identifiers, met }
    }
}

impl From<Member> for PartyMember {
    fn from(member: Member) -> Self {
        let Member { identifier, host, since, session } = member;
        Self { identifier, host, since, session }
    }
}

impl AsMut<Common> for PartyResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
