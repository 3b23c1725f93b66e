//! `lictor owner`

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::json;

use super::ask;
use super::connect::Connect;
use super::error::CliError;
use super::output::Output;
use super::validate::counted;
use crate::duration::ConsulDuration;
use crate::object::{ObjectId, validate_owner};
use crate::plan::state::StatePolicy;
use crate::reconcile::{Owners, StateReconciler};

/// Show owners and what they have, and hand it on
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the owners, and how many objects each has
    List,
    /// Show what an owner has
    Show {
        /// The owner
        owner: String,
    },
    Transfer(Transfer),
}

/// Hand objects of one owner on to another; the objects themselves are not touched
#[derive(Debug, Args)]
struct Transfer {
    /// The owner that has them
    from: String,
    /// The owner that is to have them
    to: String,
    /// Only these: `session NODE/NAME`, `service NODE/ID`, `key KEY` [default: all that it has]
    #[arg(value_name = "OBJECT")]
    objects: Vec<ObjectId>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How long to wait while an apply of one of them is under way
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    lock_timeout: ConsulDuration,
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    match verb {
        Verb::List => list(output, connect),
        Verb::Show { owner } => show(&owner, output, connect),
        Verb::Transfer(transfer) => transfer.run(output, connect),
    }
}

fn list(output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let owners = Owners { client: &client, query: &query }.list()?;
    let document: Vec<_> = owners
        .iter()
        .map(
            |(owner, record)| json!({"owner": owner, "objects": record.objects.len(), "pending": record.pending.len()}),
        )
        .collect();
    let rows = owners
        .iter()
        .map(|(owner, record)| vec![owner.clone(), record.objects.len().to_string(), record.pending.len().to_string()]);
    output.rows(&document, &["owner", "objects", "pending"], rows)
}

fn show(owner: &str, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let mut owners = Owners { client: &client, query: &query }.list()?;
    let Some(record) = owners.remove(owner) else {
        return Err(CliError::not_found(format!("there is no owner {owner:?}")));
    };
    let state = |id: &ObjectId| if record.pending.contains_key(id) { "pending" } else { "owned" };
    let ids: BTreeSet<&ObjectId> = record.objects.iter().chain(record.pending.keys()).collect();
    let document: Vec<_> = ids
        .iter()
        .map(|id| json!({"object": id.to_string(), "state": state(id), "protected": record.protected.contains(*id)}))
        .collect();
    let protected = |id: &ObjectId| if record.protected.contains(id) { "protected" } else { "-" }.to_owned();
    let rows = ids.iter().map(|id| vec![id.to_string(), state(id).to_owned(), protected(id)]);
    output.rows(&document, &["object", "state", "protected"], rows)
}

impl Transfer {
    fn run(self, output: Output, connect: Connect) -> Result<(), CliError> {
        let Self { from, to, objects, yes, lock_timeout } = self;
        validate_owner(&from)?;
        validate_owner(&to)?;
        if from == to {
            return Err(CliError::usage("both owners are the same"));
        }
        let (client, query) = connect.open()?;
        let what = if objects.is_empty() { "everything".to_owned() } else { counted(objects.len(), "object") };
        ask::confirm(&format!("Hand {what} of {from:?} on to {to:?}?"), yes)?;
        let policy = StatePolicy::default();
        let run = StateReconciler::new(&client, &query, &policy);
        // In the order of their names, so that two transfers cannot wait for each other.
        let (first, second) = if from < to { (&from, &to) } else { (&to, &from) };
        let (first, second) = (run.lock(first, lock_timeout.into())?, run.lock(second, lock_timeout.into())?);
        let (giver, receiver) = if from < to { (&first, &second) } else { (&second, &first) };
        let owners = Owners { client: &client, query: &query };
        let moved = owners.transfer(giver, receiver, &objects.into_iter().collect())?;
        first.release()?;
        second.release()?;
        if moved.is_empty() {
            return Err(CliError::not_found(format!("there is no owner {from:?}")));
        }
        let services = moved.iter().filter(|id| matches!(id, ObjectId::Service { .. })).count();
        if services > 0 {
            eprintln!(
                "warning: {} may name {from:?} in the metadata still: `lictor apply --adopt all`, for {to:?}, changes that",
                counted(services, "service")
            );
        }
        let names: Vec<String> = moved.iter().map(ToString::to_string).collect();
        output.text(&json!({"transferred": names}), &format!("transferred\t{}", counted(names.len(), "object")))
    }
}
