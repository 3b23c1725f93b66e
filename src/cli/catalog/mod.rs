//! `lictor catalog`

mod datacenters;
mod node;
mod nodes;
mod service;
mod services;

use clap::{Args, Subcommand};

use super::connect::Connect;
use super::error::CliError;
use super::output::Output;

/// Look nodes and services up in the catalog
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
    Datacenters(datacenters::Arguments),
    Nodes(nodes::Arguments),
    Node(node::Arguments),
    Services(services::Arguments),
    Service(service::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    match verb {
        Verb::Datacenters(_) => datacenters::run(output, connect),
        Verb::Nodes(_) => nodes::run(output, connect),
        Verb::Node(arguments) => node::run(&arguments, output, connect),
        Verb::Services(_) => services::run(output, connect),
        Verb::Service(arguments) => service::run(&arguments, output, connect),
    }
}

/// Several texts in one cell.
fn cell<T: Into<String>>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(Into::into).collect::<Vec<String>>().join(",")
}
