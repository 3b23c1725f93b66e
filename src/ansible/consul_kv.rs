//! The module `consul_kv`: its options, and what its states do.

mod result;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::consul::{Client, ConfigError, MAX_VALUE, Query, check_key, check_tree, check_value};
use crate::object::KeyContent;
use crate::plan::key::{DesiredKey, KeyChange, KeyPolicy};
use crate::reconcile::{self, Error, KeyReconciler};

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Failure, Variables};

pub use result::KvResult;

/// The module's name.
pub const NAME: &str = "consul_kv";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// The key exists with this value.
    #[default]
    Present,
    /// The key, or the tree, does not exist.
    Absent,
    /// The session holds the key.
    Acquired,
    /// The session does not hold the key.
    Released,
    /// Read the key, or the tree.
    Info,
}

/// What to do where another session holds the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OnBusy {
    /// Fail, and name the holder.
    #[default]
    Fail,
    /// Wait.
    Wait,
    /// Leave it, and skip the task.
    Skip,
}

/// The options of the module `consul_kv`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_kv", extend("additionalProperties" = false))]
pub struct KvOptions {
    /// `present`: the key exists with this value; without a value or flags, it is only read. `absent`: it does not
    /// exist. `acquired`: the `session` holds it. `released`: the `session` does not. `info` reads it. `acquire` and
    /// `release` are understood too.
    #[schemars(extend("x-choice-aliases" = {"acquire": "acquired", "release": "released"}))]
    state: State,
    /// The key. Consul's keys do not begin with a slash.
    key: Option<String>,
    /// The value, as text.
    value: Option<String>,
    /// The value, as base64: any bytes.
    value_base64: Option<String>,
    /// The value, as JSON: a dict or a list is written without spaces, a text is written as it is, and has to be JSON.
    value_json: Option<Value>,
    /// A file on the host that the task runs on, whose content is the value.
    #[schemars(extend("x-path" = true))]
    value_file: Option<PathBuf>,
    /// A number that goes with the value, of up to 64 bits. Where it is left out, the flags stay as they are.
    flags: Option<u64>,
    /// Only where the key is at this index, its `ModifyIndex`; 0: only where it does not exist.
    cas: Option<u64>,
    /// For `acquired` and `released`: the session, by its id, or by its name on the agent's own node. For `present` and
    /// `absent`: a session on whose behalf this is done, so that what it holds may be written.
    session: Option<String>,
    /// For `absent` and `info`: every key below `key`, which has to end in a slash. For `info` it may be empty, which is
    /// every key.
    recurse: bool,
    /// Write or delete a key although another session holds it.
    force: bool,
    /// What to do where another session holds the key: fail, wait until `timeout` is over, or skip the task.
    on_busy: OnBusy,
    /// Whether the result holds the key's record after a write.
    retrieve: bool,
    /// The datacenter, for every request of the call. The default is the agent's own.
    datacenter: Option<String>,
}

impl Default for KvOptions {
    fn default() -> Self {
        Self {
            state: State::default(),
            key: None,
            value: None,
            value_base64: None,
            value_json: None,
            value_file: None,
            flags: None,
            cas: None,
            session: None,
            recurse: false,
            force: false,
            on_busy: OnBusy::default(),
            retrieve: true,
            datacenter: None,
        }
    }
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_kv")]
pub enum KvAnswer {
    /// Done.
    Done(Box<KvResult>),
    /// Failed.
    Failed(Box<Failure>),
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_kv.json"))
}

/// Runs the module.
pub(super) fn run(
    mut options: KvOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<KvResult, Failure> {
    if options.state == State::Present && options.mentions_nothing() {
        options.state = State::Info;
    }
    let key = options.key.clone().ok_or_else(|| Failure::arguments("missing required arguments: key"))?;
    options.require(&key)?;
    let content = options.content(&key)?;
    let (settings, query) = connection.settle(options.datacenter.clone(), variable)?;
    let client = call.connect(settings, &query)?;
    let policy = KeyPolicy { force: options.force, session: options.session_id(&client, &query)?, cas: options.cas };
    let run = KeyReconciler { client: &client, query: &query, policy: &policy };
    match options.state {
        State::Info if options.recurse => {
            let (pairs, meta) = client.kv().recurse(&key, &query)?;
            let hidden = meta.filtered_by_acls || (pairs.is_empty() && run.is_blind(&key)?);
            Ok(KvResult::of_tree(&key, &pairs, hidden))
        }
        State::Info => Ok(KvResult::of_read(&key, client.kv().get(&key, &query)?)),
        State::Absent if options.recurse => {
            let deleted = if call.check_mode { run.foresee_tree_absent(&key) } else { run.apply_tree_absent(&key) }?;
            Ok(KvResult::of_tree_absent(&key, &deleted, call))
        }
        _ => options.reconcile(&run, &key, content, call),
    }
}

impl KvOptions {
    fn mentions_nothing(&self) -> bool {
        let values = [self.value.is_some(), self.value_base64.is_some(), self.value_json.is_some()];
        !values.contains(&true) && self.value_file.is_none() && self.flags.is_none()
    }

    /// Checks the options before anything is sent.
    fn require(&self, key: &str) -> Result<(), Failure> {
        let fault = |problem: &str| Err(Failure::arguments(problem));
        let given =
            [self.value.is_some(), self.value_base64.is_some(), self.value_json.is_some(), self.value_file.is_some()];
        let values = given.iter().filter(|given| **given).count();
        let writes = matches!(self.state, State::Present | State::Acquired | State::Released);
        match self.state {
            _ if values > 1 => {
                return fault("parameters are mutually exclusive: value|value_base64|value_json|value_file");
            }
            State::Acquired if self.session.is_none() => {
                return fault("state is acquired but all of the following are missing: session");
            }
            State::Released if self.session.is_none() => {
                return fault("state is released but all of the following are missing: session");
            }
            _ if self.recurse && writes => return fault("recurse goes with state absent and state info only"),
            State::Absent if self.recurse && self.cas.is_some() => {
                return fault("parameters are mutually exclusive: cas|recurse");
            }
            _ => {}
        }
        let checked = match (self.state, self.recurse) {
            (State::Absent, true) => check_tree(key),
            (State::Info, true) if key.is_empty() => Ok(()),
            (State::Info, true) => check_tree(key),
            _ => check_key(key),
        };
        checked.map_err(|error| Failure::arguments(error.to_string()))
    }

    /// What was mentioned of the key's content.
    fn content(&self, key: &str) -> Result<KeyContent, Failure> {
        let value = match (&self.value, &self.value_base64, &self.value_json, &self.value_file) {
            (Some(text), ..) => Some(text.clone().into_bytes()),
            (_, Some(text), ..) => Some(
                BASE64
                    .decode(text.trim())
                    .map_err(|error| Failure::arguments(format!("value_base64 is not base64: {error}")))?,
            ),
            (_, _, Some(Value::String(text)), _) => {
                crate::json::read::<serde::de::IgnoredAny>(text.as_bytes()).map_err(|error| {
                    let at = format!("line {} column {}", error.line(), error.column());
                    Failure::arguments(format!(
                        "value_json is a text that is not JSON, at {at}: a JSON text has quotes"
                    ))
                })?;
                Some(text.clone().into_bytes())
            }
            (_, _, Some(value), _) => Some(value.to_string().into_bytes()),
            (_, _, _, Some(file)) => Some(std::fs::read(file).map_err(|source| ConfigError::File {
                setting: "value_file",
                path: file.display().to_string(),
                source,
            })?),
            _ => None,
        };
        if let Some(value) = &value {
            check_value(key, value).map_err(|error| Failure::arguments(format!("{error} ({MAX_VALUE} is 512 KiB)")))?;
        }
        Ok(KeyContent { value, flags: self.flags })
    }

    fn session_id(&self, client: &Client, query: &Query) -> Result<Option<String>, Failure> {
        let Some(session) = &self.session else { return Ok(None) };
        Ok(Some(reconcile::session_id(client, query, session)?))
    }

    fn reconcile(
        &self,
        run: &KeyReconciler<'_>,
        key: &str,
        content: KeyContent,
        call: &Call,
    ) -> Result<KvResult, Failure> {
        let session = run.policy.session.clone().unwrap_or_default();
        let desired = match self.state {
            State::Present | State::Info => DesiredKey::Present(content),
            State::Absent => DesiredKey::Absent,
            State::Acquired => DesiredKey::Acquired { session, content },
            State::Released => DesiredKey::Released { session, content },
        };
        let outcome = match self.on_busy {
            _ if call.check_mode => run.foresee(key, &desired),
            OnBusy::Wait => run.apply_waiting(key, &desired, run.client.timeout()),
            OnBusy::Fail | OnBusy::Skip => run.apply(key, &desired),
        };
        match outcome {
            Ok(report) => {
                let warning = match &report.change {
                    Some(KeyChange::Acquire { session, .. }) if call.check_mode => {
                        reconcile::foresee_session(run.client, run.query, session)?
                    }
                    _ => None,
                };
                Ok(KvResult::of_report(key, report, self.retrieve, call).warning(warning))
            }
            Err(error @ (Error::Held { .. } | Error::LockDelay { .. })) if self.on_busy == OnBusy::Skip => {
                Ok(KvResult::of_skip(key, &error))
            }
            Err(error @ Error::Held { .. }) if call.check_mode && self.on_busy == OnBusy::Wait => {
                Ok(KvResult::of_wait(key, self.state, &error))
            }
            Err(error) => Err(error.into()),
        }
    }
}
