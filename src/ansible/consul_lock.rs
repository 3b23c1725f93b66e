//! The module `consul_lock`: a lock or a permit that one task takes and another one releases.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::coordinate::{Hold, Holder, Holders, Holds, Layout, Released, Taken};
use crate::duration::ConsulDuration;

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Common, Diff, Failure, Variables};

/// The module's name.
pub const NAME: &str = "consul_lock";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// The identifier holds it.
    #[default]
    Held,
    /// The identifier does not hold it.
    Released,
    /// Tell who holds it.
    Info,
}

/// The options of the module `consul_lock`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_lock", extend("additionalProperties" = false))]
pub struct LockOptions {
    /// `held`: the identifier holds the lock, or a permit where there is a `limit`. Where others do, it waits for `timeout`, at 0
    /// not at all, then fails and names them; in check mode it does not wait. `released`: the identifier does not hold it. Another
    /// one's lock is left alone, and the task fails; so is that of a living process, such as `lictor lock run`. `info` tells who
    /// holds it.
    state: State,
    /// Where it is: its key is `PATH/.lock`, as for `consul lock`. Required.
    path: Option<String>,
    /// Who holds it. The default is the name of the host that the task runs on. Who holds it already keeps it, and takes no second
    /// permit.
    identifier: Option<String>,
    /// For `held`: so many at a time, a semaphore in place of a lock. All who use it have to agree on the number.
    #[schemars(extend("minimum" = 1, "maximum" = 4294967295u64))]
    limit: Option<u64>,
    /// For `held`: whether it ends with the health of the agent's node. Where that is false, and there is no `ttl`, it lasts until
    /// it is released.
    ephemeral: bool,
    /// For `held`: how long it lasts at least, 10s to 24h, unless it is taken again, which renews it. Nobody is told when it ends.
    ttl: Option<ConsulDuration>,
    /// For `held`, with a `limit`: take a permit though there is none left, past those in line.
    force: bool,
    /// For `held`: first come, first served, among those who ask for it.
    fair: bool,
    /// For `held`: why, for people. It stands in the key's value.
    reason: Option<String>,
    /// The datacenter. The default is the agent's own.
    datacenter: Option<String>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self {
            state: State::default(),
            path: None,
            identifier: None,
            limit: None,
            ephemeral: true,
            ttl: None,
            force: false,
            fair: false,
            reason: None,
            datacenter: None,
        }
    }
}

/// The result of the module `consul_lock`. Where `failed` is true, there are `msg` and `reason` in place of the rest.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(title = "Result of consul_lock")]
pub struct LockResult {
    /// What every module gives.
    #[serde(flatten)]
    common: Common,
    /// The key of the lock, or of the semaphore's table.
    key: String,
    /// What is there: `none`, `lock` or `semaphore`.
    layout: &'static str,
    /// How many permits there are; null where it is no semaphore.
    limit: Option<u32>,
    /// Whether the identifier holds it, as far as that outlasts a process.
    held: bool,
    /// Whether it was taken by force, over the limit.
    over_limit: bool,
    /// The fencing token of the identifier's hold; null where it does not hold it, and in check mode.
    token: Option<u64>,
    /// Who holds it, in the order in which they got it.
    holders: Vec<LockHolder>,
    /// How many wait in line, of those who wait fairly.
    waiting: usize,
    /// What differs, in diff mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Diff>,
}

/// Who holds a lock or a permit.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct LockHolder {
    /// Under which identifier; null where another program holds it.
    identifier: Option<String>,
    /// On which host, as it said.
    host: Option<String>,
    /// The node of its session.
    node: Option<String>,
    /// Since when, by its own clock.
    since: Option<String>,
    /// Why, as it said.
    reason: Option<String>,
    /// Whether it outlasts the process that took it.
    persistent: bool,
    /// The ttl of its session; null where it has none.
    ttl: Option<String>,
    /// The id of its session.
    session: String,
    /// Its fencing token.
    token: u64,
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_lock")]
pub enum LockAnswer {
    /// Done.
    Done(Box<LockResult>),
    /// Failed.
    Failed(Box<Failure>),
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_lock.json"))
}

/// Runs the module.
pub(super) fn run(
    options: LockOptions,
    mut connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<LockResult, Failure> {
    let path = options.path.clone().ok_or_else(|| Failure::arguments("missing required arguments: path"))?;
    let hold = options.hold()?;
    let wait = connection.take_wait();
    let (settings, query) = connection.settle(options.datacenter.clone(), variable)?;
    let client = call.connect(settings, &query)?;
    let holds = Holds::new(&client, &query, &path)?;
    let (changed, over_limit) = match options.state {
        State::Info => (false, false),
        State::Held => held(&holds, &hold, wait, call)?,
        State::Released => (released(&holds, &hold.identifier, call)?, false),
    };
    let found = holds.holders()?;
    let mut result = LockResult::of(holds.key(), found, &hold.identifier);
    (result.common.changed, result.over_limit) = (changed, over_limit);
    if changed && call.check_mode {
        (result.held, result.token) = (options.state == State::Held, None);
    }
    if changed && over_limit {
        let warning = "there was no permit left: this one is over the limit";
        result.common.warnings.push(warning.to_owned());
    }
    if call.diff_mode && options.state != State::Info {
        let now = options.state == State::Held;
        result.diff = Some(Diff {
            before_header: holds.key(),
            after_header: holds.key(),
            before: json!({&hold.identifier: {"held": changed != now}}),
            after: json!({&hold.identifier: {"held": now}}),
        });
    }
    Ok(result)
}

/// Whether that changed anything, and whether it goes over the limit.
fn held(holds: &Holds, hold: &Hold, wait: Duration, call: &Call) -> Result<(bool, bool), Failure> {
    let taken = if call.check_mode { holds.foresee(hold)? } else { holds.take(hold, Some(wait), None)? };
    match taken {
        Some(Taken::Already(_)) => Ok((false, false)),
        Some(Taken::New { over_limit, .. }) => Ok((true, over_limit)),
        None => {
            let found = holds.holders()?;
            let shown: Vec<_> = found.holders.iter().map(ToString::to_string).collect();
            let who = if shown.is_empty() {
                "nobody that can be seen any more: somebody was faster, or a lock-delay runs".to_owned()
            } else {
                shown.join("; ")
            };
            Err(Failure::busy(format!("{:?} is held by {who}", holds.key())))
        }
    }
}

/// Whether that changed anything.
fn released(holds: &Holds, identifier: &str, call: &Call) -> Result<bool, Failure> {
    match if call.check_mode { holds.foresee_release(identifier)? } else { holds.release(identifier)? } {
        Released::Done(_) => Ok(true),
        Released::NotHeld => Ok(false),
        Released::Other(holder) => {
            Err(Failure::busy(format!("{:?} is held by {holder}; nothing was done", holds.key())))
        }
    }
}

impl LockOptions {
    /// What is to be held. What does nothing for another state is refused.
    fn hold(&self) -> Result<Hold, Failure> {
        let own = Hold::default();
        if self.state != State::Held {
            let given = [
                ("limit", self.limit.is_some()),
                ("ttl", self.ttl.is_some()),
                ("force", self.force),
                ("fair", self.fair),
                ("reason", self.reason.is_some()),
                ("ephemeral", !self.ephemeral),
            ];
            if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
                return Err(Failure::arguments(format!("{name} does nothing but for state held: leave it out")));
            }
        }
        let hold = Hold {
            identifier: self.identifier.clone().unwrap_or(own.identifier),
            limit: self.limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            ephemeral: self.ephemeral,
            ttl: self.ttl.map(Duration::from),
            force: self.force,
            fair: self.fair,
            reason: self.reason.clone(),
        };
        hold.validate()?;
        Ok(hold)
    }
}

impl LockResult {
    fn of(key: String, found: Holders, identifier: &str) -> Self {
        let Holders { layout, limit, holders, waiting } = found;
        let own = holders.iter().find(|one| one.persistent && one.identifier.as_deref() == Some(identifier));
        let layout = match layout {
            Layout::None => "none",
            Layout::Lock => "lock",
            Layout::Semaphore => "semaphore",
        };
        let (held, token) = (own.is_some(), own.map(|own| own.token));
        let holders = holders.into_iter().map(Into::into).collect();
        Self { key, layout, limit, held, token, holders, waiting, ..Self::default() }
    }
}

impl From<Holder> for LockHolder {
    fn from(holder: Holder) -> Self {
        let Holder { identifier, host, node, since, reason, persistent, ttl, session, token } = holder;
        Self { identifier, host, node, since, reason, persistent, ttl, session, token }
    }
}

impl AsMut<Common> for LockResult {
    fn as_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
