//! `lictor session create`

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::duration::ConsulDuration;
use crate::object::{Behavior, Properties, ServiceCheck, Session};
use crate::plan::{Desired, OnDrift, Policy};
use crate::reconcile::{self, Action, Reconciler};

/// Create a session, unless the node has one of that name and these properties already
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The name; with the node it is the session's identity. Without one, each call creates a session
    #[arg(long)]
    name: Option<String>,
    /// The node that it lives and dies with [default: the agent's own]
    #[arg(long)]
    node: Option<String>,
    /// The id of a check of the node that it depends on; may be given several times [default: serfHealth]
    #[arg(long = "check", value_name = "ID", conflicts_with = "no_checks")]
    checks: Vec<String>,
    /// Depend on no check of the node, not even its health
    #[arg(long)]
    no_checks: bool,
    /// The id of a service check that it depends on; may be given several times
    #[arg(long = "service-check", value_name = "ID")]
    service_checks: Vec<String>,
    /// How long its keys stay barred after it was lost: 0 to 60s
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    delay: ConsulDuration,
    /// How long it lives without a renewal, at least: 10s to 24h [default: for ever]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<ConsulDuration>,
    /// What becomes of its keys when it ends
    #[arg(long, value_enum, default_value = "release")]
    behavior: BehaviorFlag,
    /// What to do where a session of that name has other properties
    #[arg(long, value_enum, default_value = "replace")]
    on_drift: OnDriftFlag,
    /// Replace a session even though it holds locks, which are lost
    #[arg(long)]
    force: bool,
    /// Look for its locks among keys that begin with this only
    #[arg(long, value_name = "PREFIX", default_value = "")]
    lock_prefix: String,
    /// Destroy further sessions of that name on that node which hold no lock
    #[arg(long)]
    unique: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BehaviorFlag {
    /// They are unlocked
    Release,
    /// They are deleted
    Delete,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnDriftFlag {
    /// Create the new one, then destroy the old one
    Replace,
    /// Refuse
    Fail,
    /// Leave it as it is
    Keep,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let properties = arguments.properties();
    properties.clone().over(Session::on(arguments.node.as_deref().unwrap_or("node"))).validate()?;
    let policy = arguments.policy();
    policy.validate()?;
    let (client, query) = connect.open()?;
    let node = reconcile::node_or_own(&client, &query, arguments.node.clone())?;
    let session = Arc::new(properties.over(Session::on(node)));
    let desired = match session.name {
        Some(_) => Desired::Present { session },
        None => Desired::Anonymous { session },
    };
    let report = Reconciler { client: &client, query: &query, policy: &policy }.apply(&desired)?;
    let warnings = report.advice();
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let action = match report.action {
        Action::Unchanged => "unchanged",
        Action::Created => "created",
        Action::Replaced => "replaced",
        Action::Pruned => "pruned",
        Action::Destroyed => "destroyed",
    };
    let id = report.session.as_ref().map_or("", |session| session.id.as_str());
    let destroyed: Vec<&str> = report.destroyed.iter().map(|id| id.as_str()).collect();
    let document = json!({"action": action, "session": report.session, "destroyed": destroyed, "warnings": warnings});
    output.text(&document, &format!("{action}\t{id}"))
}

impl Arguments {
    fn properties(&self) -> Properties {
        let checks =
            if self.no_checks { Some(Vec::new()) } else { Some(self.checks.clone()).filter(|c| !c.is_empty()) };
        let mut service_checks = BTreeSet::new();
        service_checks.extend(self.service_checks.iter().map(|id| ServiceCheck { id: id.clone(), namespace: None }));
        Properties {
            name: self.name.clone(),
            node: self.node.clone(),
            checks: checks.map(|checks| checks.into_iter().collect()),
            service_checks: Some(service_checks),
            lock_delay: Some(self.delay),
            ttl: self.ttl,
            behavior: Some(match self.behavior {
                BehaviorFlag::Release => Behavior::Release,
                BehaviorFlag::Delete => Behavior::Delete,
            }),
        }
    }

    fn policy(&self) -> Policy {
        Policy {
            on_drift: match self.on_drift {
                OnDriftFlag::Replace => OnDrift::Replace,
                OnDriftFlag::Fail => OnDrift::Fail,
                OnDriftFlag::Keep => OnDrift::Keep,
            },
            force: self.force,
            unique: self.unique,
            lock_prefix: self.lock_prefix.clone(),
        }
    }
}
