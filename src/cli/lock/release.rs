//! `lictor lock release`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::{Hold, Holds, Released};

use super::Failure;

/// Give back what `lock acquire` took, from whatever process
///
/// Where the identifier holds nothing, nothing is done. Another's lock is left alone, and so is that of a process which lives,
/// such as `lock run`: then the exit code is 3.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it is
    path: String,
    /// Who holds it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let holds = Holds::new(&client, &query, &arguments.path)?;
    let identifier = arguments.identifier.clone().unwrap_or(Hold::default().identifier);
    let action = match holds.release(&identifier)? {
        Released::Done(_) => "released",
        Released::NotHeld => "unchanged",
        Released::Other(holder) => {
            return Err(Failure::Another(format!("{:?} is held by {holder}", holds.key())));
        }
    };
    Ok(output.text(&json!({"action": action, "key": holds.key()}), &format!("{action}\t{}", holds.key()))?)
}
