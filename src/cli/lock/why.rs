//! `lictor lock why`

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::connect::Reach;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::{Holders, Holds, Layout, Standing};

use super::Failure;

/// Say in one line what stands in the way: who holds it, or how long a lock-delay may last
///
/// Whether a lock-delay runs Consul does not show. It is found by taking the lock in a transaction that fails on purpose:
/// nothing is written, but a session that is destroyed at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 it is free, 120 it is not, 122 it is something else, 123 denied, 125 failed, 64 wrong usage."
)]
pub(super) struct Arguments {
    /// Where it is
    path: String,
}

/// The answer.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    standing: &'a Standing,
    #[serde(flatten)]
    holders: &'a Holders,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<ExitCode, Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let holds = Holds::new(&client, &query, &arguments.path)?;
    let (standing, holders) = holds.why()?;
    let line = format!("{}: {}{}", holds.key(), say(&standing, &holders), waiting(holders.waiting));
    output.text(&Answer { standing: &standing, holders: &holders }, &line)?;
    Ok(ExitCode::from(if standing == Standing::Free { 0 } else { 120 }))
}

fn say(standing: &Standing, found: &Holders) -> String {
    let held = found.holders.len();
    let shown: Vec<_> = found.holders.iter().map(ToString::to_string).collect();
    match (standing, found.layout, found.limit) {
        (Standing::Barred { seconds }, ..) => {
            format!("nobody holds it, and a lock-delay bars it: for {seconds} s at most")
        }
        (Standing::Free, Layout::Semaphore, Some(limit)) => format!("free, {held} of {limit} permits are taken"),
        (Standing::Free, ..) => "free".to_owned(),
        (Standing::Held, _, Some(limit)) if held == 0 => {
            format!("it has {limit} permits: `lictor lock resize` gives more")
        }
        (Standing::Held, _, Some(limit)) => format!("{held} of {limit} permits are held by {}", shown.join("; ")),
        (Standing::Held, ..) => format!("held by {}", shown.join("; ")),
    }
}

fn waiting(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" ({count} in line)") }
}
