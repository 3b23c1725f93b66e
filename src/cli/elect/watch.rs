//! `lictor elect watch`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::{Election, Error};

/// Print who leads, and then each change, until it is interrupted
///
/// A line each: contact, identifier, since when, description; or a dash where nobody leads. Where the agent does not answer,
/// it says so on standard error, and asks again.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The election's key
    key: String,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    for change in Election::new(&client, &query, &arguments.key)?.observe()? {
        match change {
            Ok(Some(leader)) => output.item(&leader, &super::cells(&leader))?,
            Ok(None) => output.item(&json!(null), &["-"])?,
            Err(Error::Consul(error)) if !error.is_denied() => eprintln!("warning: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
