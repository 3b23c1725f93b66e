//! `lictor lock resize`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::Holds;

use super::Failure;

/// Change how many permits a semaphore has, while it is used
///
/// From then on who comes with another limit is refused (122), and so is who waits with it, when its turn has come. Nobody loses a permit: where there are more holders than
/// permits, the next one is given when there is room again. Where there is no semaphore, the exit code is 1: the first who
/// comes decides.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it is
    path: String,
    /// So many at a time
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let holds = Holds::new(&client, &query, &arguments.path)?;
    let Some(before) = holds.resize(arguments.limit)? else {
        let problem =
            format!("there is no semaphore at {:?}: who takes the first permit says how many there are", holds.key());
        return Err(CliError::not_found(problem).into());
    };
    let (action, limit) = (if before == arguments.limit { "unchanged" } else { "resized" }, arguments.limit);
    let result = json!({"action": action, "key": holds.key(), "before": before, "limit": limit});
    Ok(output.text(&result, &format!("{action}\t{}\t{before}\t{limit}", holds.key()))?)
}
