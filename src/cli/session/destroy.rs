//! `lictor session destroy`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::object::{Properties, SessionId, validate_name};
use crate::plan::{Desired, Policy};
use crate::reconcile::{self, Reconciler};

/// Destroy sessions; the keys that they hold are released, or deleted
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The sessions' ids
    #[arg(required_unless_present = "name", conflicts_with = "name", value_name = "ID")]
    ids: Vec<String>,
    /// All sessions of this name on one node, in place of ids
    #[arg(long)]
    name: Option<String>,
    /// The node, for a name [default: the agent's own]
    #[arg(long, requires = "name")]
    node: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let ids = arguments.ids.iter().map(|id| SessionId::parse(id)).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = &arguments.name {
        validate_name("name", name)?;
    }
    let (client, query) = connect.open()?;
    let mut wishes: Vec<Desired> =
        ids.into_iter().map(|id| Desired::Gone { id, given: Properties::default() }).collect();
    if let Some(name) = arguments.name {
        wishes.push(Desired::Absent { node: reconcile::node_or_own(&client, &query, arguments.node)?, name });
    }
    let run = Reconciler { client: &client, query: &query, policy: &Policy::default() };
    let mut destroyed = Vec::new();
    let mut failure = Ok(());
    for desired in &wishes {
        match run.apply(desired) {
            Ok(report) => destroyed.extend(report.destroyed),
            Err(error) => {
                failure = Err(error);
                break;
            }
        }
    }
    let ids: Vec<&str> = destroyed.iter().map(SessionId::as_str).collect();
    let text = if ids.is_empty() { "nothing to destroy".to_owned() } else { format!("destroyed\t{}", ids.join("\t")) };
    // What was done is said although a later one failed.
    if failure.is_ok() || !ids.is_empty() {
        output.text(&json!({"destroyed": ids}), &text)?;
    }
    Ok(failure?)
}
