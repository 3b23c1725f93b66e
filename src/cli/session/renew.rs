//! `lictor session renew`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::object::SessionId;

/// Start the TTL of sessions anew
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The sessions' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let ids = arguments.ids.iter().map(|id| SessionId::parse(id)).collect::<Result<Vec<_>, _>>()?;
    let (client, query) = connect.open()?;
    let mut renewed = Vec::new();
    let mut failure = Ok(());
    for id in ids {
        match client.session().renew(id.as_str(), &query) {
            Ok(Some(session)) => renewed.push(session),
            Ok(None) => failure = Err(CliError::not_found(format!("there is no session {id}: it has ended"))),
            Err(error) => failure = Err(error.into()),
        }
        if failure.is_err() {
            break;
        }
    }
    // What was done is said although a later one failed.
    if failure.is_ok() || !renewed.is_empty() {
        super::table::print(renewed, output)?;
    }
    failure
}
