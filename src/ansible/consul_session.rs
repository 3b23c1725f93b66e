//! The module `consul_session`: its options, and what its states do.

mod result;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consul::{Client, Query, SessionEntry};
use crate::duration::ConsulDuration;
use crate::object::{
    Behavior, Properties, Refused, ServiceCheck, Session, SessionId, validate_name, validate_path_name,
};
use crate::plan::{Desired, OnDrift, Policy};
use crate::reconcile::{self, Reconciler};

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Deprecation, Failure, Variables};

pub use result::SessionResult;

/// The module's name.
pub const NAME: &str = "consul_session";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// One session of that name exists on that node, with these properties.
    #[default]
    Present,
    /// No session of that name, or that id.
    Absent,
    /// Read the sessions of that id, or that name.
    Info,
    /// Read the sessions of a node.
    Node,
    /// Read all sessions.
    List,
}

/// The options of the module `consul_session`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_session", extend("additionalProperties" = false))]
pub struct SessionOptions {
    /// `present`: one session of that name exists on that node, with these properties. `absent`: none of that name,
    /// or id, does. `info` reads by `id` or by `name`, `node` reads the sessions of a node, `list` reads all.
    state: State,
    /// The session's name. With the node it is the session's identity: without one, every run creates a session.
    /// For `node` and `list`, only sessions of this name are read.
    name: Option<String>,
    /// A session's id, a UUID. For `present`, that session has to exist.
    #[schemars(extend("format" = "uuid"))]
    id: Option<String>,
    /// The node that the session lives and dies with. The default is the agent's own node. For `list`, only
    /// sessions of this node are read.
    node: Option<String>,
    /// The datacenter, for every request of the call. The default is the agent's own.
    datacenter: Option<String>,
    /// Ids of the node's checks that the session depends on. The default is Consul's own: `serfHealth`, the node is
    /// alive. An empty list means none.
    checks: Option<Vec<String>>,
    /// The service checks that the session depends on: each an id, or a dict of `id` and `namespace`. Needs Consul 1.7
    /// or later.
    service_checks: Option<Vec<ServiceCheckOption>>,
    /// The lock-delay: how long the session's keys stay barred after it was lost. 0 to 60s.
    #[schemars(extend("default" = "15s"))]
    delay: Option<ConsulDuration>,
    /// How long the session lives without a renewal, at least; each run renews it. 10s to 86400s; 0 means none, as
    /// does leaving it out.
    ttl: Option<ConsulDuration>,
    /// What becomes of the session's keys when it ends: they are unlocked, or deleted.
    #[schemars(extend("default" = "release"))]
    behavior: Option<Behavior>,
    /// What to do where a session of that name exists on that node with other properties. `replace` creates the new
    /// session first and destroys the old one after.
    on_drift: OnDrift,
    /// Replace a session even though it holds locks, which are lost.
    force: bool,
    /// Where to look for the locks that a session holds, before it is replaced: keys that begin with this. The
    /// default is all keys.
    lock_prefix: String,
    /// Destroy further sessions of that name on that node which hold no lock.
    unique: bool,
}

/// A service check: its id, or its id and its namespace.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "service_checks: each is a check's id, or a dict of id and namespace"
)]
#[schemars(inline)]
pub enum ServiceCheckOption {
    /// The check's id.
    Id(String),
    /// The check's id and its namespace.
    Full {
        /// The check's id.
        id: String,
        /// The namespace (Consul Enterprise).
        #[serde(default)]
        namespace: Option<String>,
    },
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_session.json"))
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_session")]
pub enum SessionAnswer {
    /// Done.
    Done(Box<SessionResult>),
    /// Failed.
    Failed(Box<Failure>),
}

/// Runs the module.
pub(super) fn run(
    mut options: SessionOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<SessionResult, Failure> {
    let deprecations = take_node_from_name(&mut options);
    options.require()?;
    let (settings, query) = connection.settle(options.datacenter.clone(), variable)?;
    let client = call.connect(settings, &query)?;
    // The incumbent asks for both and ignores the name, so that people write the node's name twice.
    if options.state == State::Node && options.name == options.node {
        options.name = None;
    }
    let mut result = match options.state {
        State::Info | State::Node | State::List => options.read(&client, &query)?,
        State::Present | State::Absent => options.reconcile(&client, &query, call)?,
    };
    result.deprecations = deprecations;
    Ok(result)
}

/// For `state: node`, the incumbent takes the node from `name`.
fn take_node_from_name(options: &mut SessionOptions) -> Vec<Deprecation> {
    if options.state != State::Node || options.node.is_some() || options.name.is_none() {
        return Vec::new();
    }
    options.node = options.name.take();
    vec![Deprecation {
        msg: "state: node takes the node from 'name', as the older module did; write it in 'node'".to_owned(),
        version: "1.0.0".to_owned(),
    }]
}

impl SessionOptions {
    /// Checks the options before anything is sent.
    fn require(&self) -> Result<(), Failure> {
        let missing = |state: &str, options: &str| {
            Err(Failure::arguments(format!("state is {state} but any of the following are missing: {options}")))
        };
        match self.state {
            State::Absent if self.name.is_none() && self.id.is_none() => return missing("absent", "name, id"),
            State::Info if self.name.is_none() && self.id.is_none() => return missing("info", "id, name"),
            _ => {}
        }
        if self.unique && self.id.is_some() {
            return Err(Failure::arguments("parameters are mutually exclusive: id|unique"));
        }
        if let Some(name) = &self.name {
            validate_name("name", name)?;
        }
        if let Some(node) = &self.node {
            validate_path_name("node", node)?;
        }
        self.policy().validate()?;
        self.id()?;
        // Everything but the node is known by now, and a fault in it need not wait for the agent.
        self.properties().over(Session::on(self.node.as_deref().unwrap_or("node"))).validate()?;
        Ok(())
    }

    fn id(&self) -> Result<Option<SessionId>, Refused> {
        self.id.as_deref().map(SessionId::parse).transpose()
    }

    fn properties(&self) -> Properties {
        let service_check = |check: &ServiceCheckOption| match check.clone() {
            ServiceCheckOption::Id(id) => ServiceCheck { id, namespace: None },
            ServiceCheckOption::Full { id, namespace } => {
                ServiceCheck { id, namespace: namespace.filter(|namespace| !namespace.is_empty()) }
            }
        };
        Properties {
            name: self.name.clone(),
            node: self.node.clone(),
            checks: self.checks.as_ref().map(|checks| checks.iter().cloned().collect()),
            service_checks: self.service_checks.as_ref().map(|checks| {
                let mut set = BTreeSet::new();
                set.extend(checks.iter().map(service_check));
                set
            }),
            lock_delay: self.delay,
            ttl: self.ttl,
            behavior: self.behavior,
        }
    }

    fn policy(&self) -> Policy {
        Policy {
            on_drift: self.on_drift,
            force: self.force,
            unique: self.unique,
            lock_prefix: self.lock_prefix.clone(),
        }
    }

    fn read(&self, client: &Client, query: &Query) -> Result<SessionResult, Failure> {
        let api = client.session();
        let of_node = |node: &str| api.list_node(node, query);
        let own = || reconcile::node_or_own(client, query, self.node.clone());
        let mut sessions: Vec<SessionEntry> = match (self.state, self.id()?, &self.node) {
            (State::List, None, None) if self.name.is_none() => {
                return Ok(SessionResult::of_list(api.list_text(query)?));
            }
            (State::List, _, None) => api.list(query)?,
            (State::List, _, Some(node)) => of_node(node)?,
            (State::Info, Some(id), _) => api.read(id.as_str(), query)?.0.into_iter().collect(),
            _ => of_node(&own()?)?,
        };
        let before = sessions.len();
        if let Some(name) = &self.name {
            sessions.retain(|session| session.name == *name);
        }
        if let Some(id) = self.id()? {
            sessions.retain(|session| session.id == id.as_str());
        }
        if let Some(node) = &self.node {
            sessions.retain(|session| session.node.eq_ignore_ascii_case(node));
        }
        let mut result = SessionResult::of_read(sessions);
        if self.state == State::Node && result.is_empty() && before > 0 {
            result.common.warnings.push(format!(
                "none of the node's {before} sessions has the name that 'name' asks for; the older module ignored it: \
                 leave it out to read them all"
            ));
        }
        Ok(result)
    }

    fn reconcile(&self, client: &Client, query: &Query, call: &Call) -> Result<SessionResult, Failure> {
        let policy = self.policy();
        let desired = self.desired(client, query)?;
        let run = Reconciler { client, query, policy: &policy };
        let report = if call.check_mode { run.foresee(&desired) } else { run.apply(&desired) }?;
        Ok(SessionResult::of_report(report, self.checks.clone(), call))
    }

    fn desired(&self, client: &Client, query: &Query) -> Result<Desired, Failure> {
        let given = self.properties();
        let own = || reconcile::node_or_own(client, query, self.node.clone());
        Ok(match (self.state, self.id()?, &self.name) {
            (State::Absent, Some(id), _) => {
                Desired::Gone { id, given: Properties { name: given.name, node: given.node, ..Properties::default() } }
            }
            (State::Absent, None, Some(name)) => Desired::Absent { node: own()?, name: name.clone() },
            (_, Some(id), _) => Desired::Existing { id, given },
            (_, None, Some(_)) => Desired::Present { session: given.over(Session::on(own()?)).into() },
            (_, None, None) => Desired::Anonymous { session: given.over(Session::on(own()?)).into() },
        })
    }
}
