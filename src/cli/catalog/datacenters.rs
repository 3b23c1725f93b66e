//! `lictor catalog datacenters`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// List the datacenters that the agent knows, the nearest first
#[derive(Debug, Args)]
pub(super) struct Arguments;

pub(super) fn run(output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, _) = connect.open()?;
    let names = client.catalog().datacenters()?;
    output.rows(&names, &["datacenter"], names.iter().map(|name| vec![name.clone()]))
}
