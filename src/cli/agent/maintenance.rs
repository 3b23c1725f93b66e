//! `lictor agent maintenance`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::reconcile::{Maintenance, MaintenanceAction, UnderMaintenance};

/// Begin or end the maintenance of the agent's node, or of one of its services
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Begin it, unless it has begun for the same reason
    On {
        /// Why, for people who look at the checks; without one, any reason that there is will do
        #[arg(long)]
        reason: Option<String>,
        /// The id of a service, in place of the whole node
        #[arg(long, value_name = "ID")]
        service: Option<String>,
    },
    /// End it
    Off {
        /// The id of a service, in place of the whole node
        #[arg(long, value_name = "ID")]
        service: Option<String>,
    },
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let maintenance = match arguments.verb {
        Verb::On { reason, service } => Maintenance { service, wanted: UnderMaintenance::Yes { reason } },
        Verb::Off { service } => Maintenance { service, wanted: UnderMaintenance::No },
    };
    maintenance.validate()?;
    let (client, query) = connect.open()?;
    let report = maintenance.apply(&client, &query)?;
    let action = match report.action {
        MaintenanceAction::Unchanged => "unchanged",
        MaintenanceAction::Started => "started",
        MaintenanceAction::Restarted => "restarted",
        MaintenanceAction::Ended => "ended",
    };
    let document = json!({
        "action": action,
        "enabled": report.after.is_some(),
        "reason": report.after,
        "service": maintenance.service,
    });
    output.text(&document, action)
}
