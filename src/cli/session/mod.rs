//! `lictor session`

mod create;
mod destroy;
mod doctor;
mod gc;
mod info;
mod list;
mod renew;
mod table;

use clap::{Args, Subcommand};

use super::connect::Connect;
use super::error::CliError;
use super::output::Output;

/// List, read, create, renew and destroy sessions, and find those that nobody needs
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
    Create(create::Arguments),
    Renew(renew::Arguments),
    Destroy(destroy::Arguments),
    Doctor(doctor::Arguments),
    Gc(gc::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    match verb {
        Verb::List(arguments) => list::run(arguments, output, connect),
        Verb::Info(arguments) => info::run(arguments, output, connect),
        Verb::Create(arguments) => create::run(arguments, output, connect),
        Verb::Renew(arguments) => renew::run(&arguments, output, connect),
        Verb::Destroy(arguments) => destroy::run(arguments, output, connect),
        Verb::Doctor(arguments) => doctor::run(&arguments, output, connect),
        Verb::Gc(arguments) => gc::run(&arguments, output, connect),
    }
}
