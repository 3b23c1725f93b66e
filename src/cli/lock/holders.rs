//! `lictor lock holders`

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::Holds;

use super::{Failure, HEADINGS, cells};

/// List who holds a lock or permits: identifier, host, node, since when, ttl, session, token, reason
///
/// Holders whose sessions have ended are left out. Nothing is created.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it is
    path: String,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let found = Holds::new(&client, &query, &arguments.path)?.holders()?;
    Ok(output.rows(&found, &HEADINGS, found.holders.iter().map(cells))?)
}
