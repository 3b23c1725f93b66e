//! `lictor elect resign`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::{Election, Resigned};

/// Make this host's leader resign, whichever process it is; its command is ended
///
/// Where nobody leads, nothing is done. Where somebody else does, it is left alone, and the exit code is 3.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The election's key
    key: String,
    /// Whose leadership is to end [default: the host's name]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let own = || gethostname::gethostname().to_string_lossy().into_owned();
    let identifier = arguments.identifier.clone().unwrap_or_else(own);
    let action = match Election::new(&client, &query, &arguments.key)?.resign(&identifier)? {
        Resigned::Done(_) => "resigned",
        Resigned::Nobody => "unchanged",
        Resigned::Other(leader) => {
            let who = leader.identifier.unwrap_or(leader.contact);
            return Err(Failure::Another(format!("{who:?} leads {:?}, and not {identifier:?}", arguments.key)));
        }
    };
    Ok(output.text(&json!({"action": action}), &format!("{action}\t{}", arguments.key))?)
}
