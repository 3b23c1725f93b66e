//! `lictor session list`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// List sessions, the oldest first
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only those of this node
    #[arg(long)]
    node: Option<String>,
    /// Only those of this name
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let mut sessions = match &arguments.node {
        Some(node) => client.session().list_node(node, &query)?,
        None => client.session().list(&query)?,
    };
    if let Some(name) = arguments.name {
        sessions.retain(|session| session.name == name);
    }
    super::table::print(sessions, output)
}
