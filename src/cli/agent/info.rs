//! `lictor agent self`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// Show the agent's node, its datacenter, whether it is a server, and its version
#[derive(Debug, Args)]
pub(super) struct Arguments;

pub(super) fn run(output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, _) = connect.open()?;
    let agent = client.agent().read_self()?.config;
    let role = if agent.server { "server" } else { "client" };
    let row = [&agent.node_name, &agent.datacenter, role, &agent.version].map(str::to_owned).to_vec();
    output.rows(&agent, &["node", "datacenter", "role", "version"], [row])
}
