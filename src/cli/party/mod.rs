//! `lictor party`

mod barrier;
mod join;
mod members;
mod wait;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::connect::Reach;
use super::error::CliError;
use super::lock::Failure;
use super::output::{Output, or_dash};
use crate::coordinate::Member;

/// Join those who are there, tell who they are, and meet them
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
    Join(Box<join::Arguments>),
    Members(members::Arguments),
    Wait(wait::Arguments),
    Barrier(Box<barrier::Arguments>),
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { verb, output, reach } = arguments;
    let done = match verb {
        Verb::Join(arguments) => join::run(&arguments, output, reach),
        Verb::Members(arguments) => members::run(&arguments, output, reach).map(|()| ExitCode::SUCCESS),
        Verb::Wait(arguments) => wait::run(&arguments, output, reach).map(|()| ExitCode::SUCCESS),
        Verb::Barrier(arguments) => barrier::run(&arguments, reach),
    };
    done.or_else(Failure::report)
}

fn print(members: &[Member], output: Output) -> Result<(), Failure> {
    let row = |member: &Member| {
        let cell = |text: &Option<String>| or_dash(text.clone().unwrap_or_default());
        vec![member.identifier.clone(), cell(&member.host), cell(&member.since)]
    };
    Ok(output.rows(&members, &["identifier", "host", "since"], members.iter().map(row))?)
}

/// The identifier: the host's name where none was given.
fn identifier(given: Option<&String>) -> String {
    given.cloned().unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned())
}
