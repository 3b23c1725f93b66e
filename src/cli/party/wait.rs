//! `lictor party wait`

use std::time::Duration;

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::Membership;
use crate::duration::ConsulDuration;

/// Wait until enough are there, and list them; exit code 124 where the time is over before
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The party's path
    path: String,
    /// How many have to be there, at least
    #[arg(long, value_name = "COUNT")]
    min: usize,
    /// How long to wait [default: for ever]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<ConsulDuration>,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let party = Membership::new(&client, &query, &arguments.path)?;
    match party.wait_for(arguments.min, arguments.timeout.map(Duration::from), None)? {
        Some(members) => super::print(&members, output),
        None => Err(Failure::TooFew { path: arguments.path.clone(), wanted: arguments.min }),
    }
}
