//! `lictor session gc`

use clap::Args;
use serde_json::json;

use crate::cli::ask;
use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::validate::counted;
use crate::object::SessionId;
use crate::plan::state::Limit;
use crate::reconcile::{Diagnosed, Doctor, Owners};

use super::doctor::{self, Scope};

/// Destroy sessions that nobody can need: they hold nothing, and are duplicates or never end
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// How many may be destroyed: a number, or a share of all that were looked at (or 5, if that is more)
    #[arg(long, value_name = "N|N%", default_value = "20%")]
    max_delete: Limit,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only show what would be destroyed
    #[arg(long, conflicts_with = "yes")]
    check: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let Scope { node, name, lock_prefix } = &arguments.scope;
    let doctor = Doctor { client: &client, query: &query, node: node.as_deref(), name: name.as_deref(), lock_prefix };
    let mut checkup = doctor.look(&Owners { client: &client, query: &query }.claims()?)?;
    checkup.found.retain(Diagnosed::is_garbage);
    let garbage = checkup.found;
    if arguments.check {
        return doctor::print(&garbage, output);
    }
    if garbage.is_empty() {
        return output.text(&json!({"destroyed": []}), "nothing to destroy");
    }
    let (deletes, of, most) = (garbage.len(), checkup.sessions, arguments.max_delete.most(checkup.sessions));
    if deletes > most {
        let problem = format!("{deletes} of {} would be destroyed, and {most} is the most", counted(of, "session"));
        return Err(CliError::too_many(problem));
    }
    for diagnosed in &garbage {
        eprintln!("{} {} on {}", diagnosed.entry.id, diagnosed.entry.name, diagnosed.entry.node);
    }
    ask::confirm(&format!("Destroy {}?", counted(garbage.len(), "session")), arguments.yes)?;
    let destroyed = doctor.destroy(&garbage.iter().map(|diagnosed| &diagnosed.entry).collect::<Vec<_>>())?;
    let ids: Vec<&str> = destroyed.iter().map(SessionId::as_str).collect();
    output.text(&json!({"destroyed": ids}), &format!("destroyed\t{}", counted(ids.len(), "session")))
}
