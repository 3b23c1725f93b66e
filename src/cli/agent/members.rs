//! `lictor agent members`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};
use crate::consul::{Member, Pool};

/// List the members of the agent's gossip pool
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The servers of all datacenters, in place of the nodes of the agent's; only a server knows them
    #[arg(long)]
    wan: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, _) = connect.open()?;
    let mut members = client.agent().members(if arguments.wan { Pool::Wan } else { Pool::Lan })?;
    crate::sort::by(&mut members, |a, b| a.name.cmp(&b.name));
    output.rows(&members, &["node", "address", "status", "role", "datacenter", "build"], members.iter().map(row))
}

fn row(member: &Member) -> Vec<String> {
    let status = match member.status {
        1 => "alive",
        2 => "leaving",
        3 => "left",
        4 => "failed",
        _ => "unknown",
    };
    let tag = |name: &str| member.tags.get(name).cloned().unwrap_or_default();
    // Serf calls a client "node" and a server "consul".
    let role = match tag("role").as_str() {
        "consul" => "server".to_owned(),
        "node" => "client".to_owned(),
        other => other.to_owned(),
    };
    let host = if member.address.contains(':') { format!("[{}]", member.address) } else { member.address.clone() };
    let address = format!("{host}:{}", member.port);
    [member.name.clone(), address, status.to_owned(), role, tag("dc"), tag("build")].map(or_dash).to_vec()
}
