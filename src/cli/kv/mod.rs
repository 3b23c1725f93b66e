//! `lictor kv`

mod entry;
mod export;
mod get;
mod import;
mod ls;
mod put;
mod rm;

use clap::{Args, Subcommand};

use super::connect::Connect;
use super::error::CliError;
use super::output::Output;

/// Read, write, list, delete, import and export keys
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
    Get(get::Arguments),
    Put(put::Arguments),
    Ls(ls::Arguments),
    Rm(rm::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { verb, output, connect } = arguments;
    match verb {
        Verb::Get(arguments) => get::run(&arguments, output, connect),
        Verb::Put(arguments) => put::run(&arguments, output, connect),
        Verb::Ls(arguments) => ls::run(&arguments, output, connect),
        Verb::Rm(arguments) => rm::run(&arguments, output, connect),
        Verb::Import(arguments) => import::run(&arguments, output, connect),
        Verb::Export(arguments) => export::run(&arguments, connect),
    }
}
