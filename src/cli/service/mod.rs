//! `lictor service`

mod deregister;
mod info;
mod list;
mod register;
mod table;

use clap::{Args, Subcommand};

use super::connect::Connect;
use super::error::CliError;
use super::output::Output;
use crate::consul::{Client, Query};
use crate::object::ExternalNode;

/// List, read, register and deregister the services of an agent, or of a node without one
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
    List(list::Arguments),
    Info(info::Arguments),
    Register(Box<register::Arguments>),
    Deregister(deregister::Arguments),
}

/// A client, and where its requests go. What is on no named node is on the agent: no flag takes that elsewhere.
fn open(connect: Connect, node: Option<&ExternalNode>) -> Result<(Client, Query), CliError> {
    let (client, query) = connect.open()?;
    let Query { datacenter, namespace, partition, .. } = &query;
    if node.is_none() && (datacenter.is_some() || namespace.is_some() || partition.is_some()) {
        return Err(CliError::usage(
            "--datacenter, --namespace and --partition (and CONSUL_NAMESPACE, CONSUL_PARTITION) are for the services of \
             a --node without an agent: leave them out",
        ));
    }
    Ok((client, query))
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    match verb {
        Verb::List(arguments) => list::run(arguments, output, connect),
        Verb::Info(arguments) => info::run(arguments, output, connect),
        Verb::Register(arguments) => register::run(*arguments, output, connect),
        Verb::Deregister(arguments) => deregister::run(arguments, output, connect),
    }
}
