//! `lictor elect leader`

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::error::CliError;
use crate::cli::lock::Failure;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::Election;

/// Print who leads: contact, identifier, since when, description; exit code 1 where nobody does
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The election's key
    key: String,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let Some(leader) = Election::new(&client, &query, &arguments.key)?.leader()? else {
        return Err(CliError::not_found(format!("nobody leads {:?}", arguments.key)).into());
    };
    let row = super::cells(&leader).map(ToOwned::to_owned).into();
    Ok(output.rows(&leader, &["contact", "identifier", "since", "description"], [row])?)
}
