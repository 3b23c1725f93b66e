//! `lictor elect`

mod leader;
mod resign;
mod run;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::connect::Reach;
use super::error::CliError;
use super::lock::Failure;
use super::output::Output;
use crate::coordinate::Leader;

/// Elect leaders, and tell who leads
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Arguments>),
    Leader(leader::Arguments),
    Watch(watch::Arguments),
    Resign(resign::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { verb, output, reach } = arguments;
    let done = match verb {
        Verb::Run(arguments) => run::run(&arguments, reach),
        Verb::Leader(arguments) => leader::run(&arguments, output, reach).map(|()| ExitCode::SUCCESS),
        Verb::Watch(arguments) => watch::run(&arguments, output, reach).map(|()| ExitCode::SUCCESS),
        Verb::Resign(arguments) => resign::run(&arguments, output, reach).map(|()| ExitCode::SUCCESS),
    };
    done.or_else(Failure::report)
}

/// A leader as the cells of a row.
fn cells(leader: &Leader) -> [&str; 4] {
    fn or_dash(text: &Option<String>) -> &str {
        text.as_deref().filter(|text| !text.is_empty()).unwrap_or("-")
    }
    [&leader.contact, or_dash(&leader.identifier), or_dash(&leader.since), or_dash(&leader.description)]
}
