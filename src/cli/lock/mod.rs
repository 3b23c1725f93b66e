//! `lictor lock`

mod acquire;
mod failure;
mod force_unlock;
mod holders;
mod release;
mod resize;
mod result;
mod run;
mod why;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::consul::{Client, Query};
use crate::coordinate::{Holder, Holds};

use super::connect::Reach;
use super::error::CliError;
use super::output::Output;
pub(super) use failure::{Failure, LOST};

/// Hold locks and permits
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
    Acquire(acquire::Arguments),
    Release(release::Arguments),
    Holders(holders::Arguments),
    Why(why::Arguments),
    Resize(resize::Arguments),
    ForceUnlock(force_unlock::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { verb, output, reach } = arguments;
    let done = match verb {
        Verb::Run(arguments) => return run::run(&arguments, reach).or_else(Failure::report),
        Verb::Acquire(arguments) => acquire::run(&arguments, output, reach),
        Verb::Release(arguments) => release::run(&arguments, output, reach),
        Verb::Holders(arguments) => holders::run(&arguments, output, reach),
        Verb::Why(arguments) => return why::run(&arguments, output, reach).or_else(Failure::report),
        Verb::Resize(arguments) => resize::run(&arguments, output, reach),
        Verb::ForceUnlock(arguments) => force_unlock::run(&arguments, output, reach),
    };
    done.map(|()| ExitCode::SUCCESS).or_else(Failure::report)
}

/// The key of the lock at a path: the one that `consul lock` uses.
fn key_of(path: &str) -> String {
    format!("{}/.lock", path.strip_suffix('/').unwrap_or(path))
}

/// Who holds what is at a path, for an error; as far as that can be found out.
fn holder(client: &Client, query: &Query, path: &str) -> String {
    let found = Holds::new(client, query, path).and_then(|holds| holds.holders());
    let shown: Vec<_> = found.iter().flat_map(|found| &found.holders).map(ToString::to_string).collect();
    if shown.is_empty() { "nobody that can be seen: a lock-delay may run".to_owned() } else { shown.join("; ") }
}

/// The cells of a holder.
fn cells(holder: &Holder) -> Vec<String> {
    let Holder { identifier, host, node, since, ttl, session, token, reason, .. } = holder;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
        text(identifier),
        text(host),
        text(node),
        text(since),
        text(ttl),
        session.clone(),
        token.to_string(),
        text(reason),
    ]
}

/// Their headings.
const HEADINGS: [&str; 8] = ["identifier", "host", "node", "since", "ttl", "session", "token", "reason"];
