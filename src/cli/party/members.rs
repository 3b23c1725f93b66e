//! `lictor party members`

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::Membership;

/// List who is there: identifier, host, since when
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The party's path
    path: String,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let (client, query) = reach.open(REQUEST)?;
    let (members, meta) = Membership::new(&client, &query, &arguments.path)?.members_with_meta()?;
    if meta.filtered_by_acls {
        eprintln!("warning: the token may not read every key below {:?}: there may be more", arguments.path);
    }
    super::print(&members, output)
}
