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

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    match verb {
        Verb::List(arguments) => list::run(arguments, output, connect),
        Verb::Info(arguments) => info::run(arguments, output, connect),
        Verb::Register(arguments) => register::run(*arguments, output, connect),
        Verb::Deregister(arguments) => deregister::run(arguments, output, connect),
    }
}
