//! `lictor kv get`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// Print a key's value, byte for byte
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The key
    key: String,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let key = &arguments.key;
    match client.kv().get(key, &query)? {
        Some(pair) => output.bytes(&pair, &pair.value),
        None => Err(CliError::not_found(format!("there is no key {key:?}"))),
    }
}
