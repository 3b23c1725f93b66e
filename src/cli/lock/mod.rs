//! `lictor lock`

mod failure;
mod result;
mod run;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::connect::Reach;
use super::error::CliError;
pub(super) use failure::{Failure, LOST};

/// Hold locks
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Arguments>),
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { verb, reach } = arguments;
    match verb {
        Verb::Run(arguments) => run::run(&arguments, reach).or_else(Failure::report),
    }
}

/// The key of the lock at a path: the one that `consul lock` uses.
fn key_of(path: &str) -> String {
    format!("{}/.lock", path.trim_end_matches('/'))
}
