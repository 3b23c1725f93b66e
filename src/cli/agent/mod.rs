//! `lictor agent`

mod info;
mod maintenance;
mod members;
mod reload;

use clap::{Args, Subcommand};

use crate::object::Refused;

use super::connect::Connect;
use super::error::CliError;
use super::output::Output;

/// Ask the agent about itself, put it under maintenance, reload it
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
    #[command(name = "self")]
    Info(info::Arguments),
    Members(members::Arguments),
    Maintenance(maintenance::Arguments),
    Reload(reload::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    // To ignore it would do to one agent what was meant for another.
    if connect.names_datacenter() {
        let problem = "--datacenter: these commands are about one agent; name it with --http-addr";
        return Err(Refused::new(problem.to_owned()).into());
    }
    match verb {
        Verb::Info(_) => info::run(output, connect),
        Verb::Members(arguments) => members::run(&arguments, output, connect),
        Verb::Maintenance(arguments) => maintenance::run(arguments, output, connect),
        Verb::Reload(_) => reload::run(output, connect),
    }
}
