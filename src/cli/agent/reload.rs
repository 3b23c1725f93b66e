//! `lictor agent reload`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// Have the agent read its configuration files again
#[derive(Debug, Args)]
pub(super) struct Arguments;

pub(super) fn run(output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, _) = connect.open()?;
    client.agent().reload()?;
    output.text(&json!({"action": "reloaded"}), "reloaded")
}
