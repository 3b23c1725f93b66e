//! `lictor kv ls`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// List the keys that begin with a prefix, as far as the token shows them
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The prefix; all keys where it is left out
    #[arg(default_value = "")]
    prefix: String,
    /// Show folders as one line each, in place of what is in them
    #[arg(long)]
    folders: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let keys = client.kv().keys(&arguments.prefix, arguments.folders.then_some("/"), &query)?;
    output.rows(&keys, &["key"], keys.iter().map(|key| vec![key.clone()]))
}
