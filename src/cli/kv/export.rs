//! `lictor kv export`

use std::io::{self, Write};

use clap::Args;
use serde::Serializer as _;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::unprinted;

use super::entry::Entry;

/// Print the keys that begin with a prefix as a file that `kv import` and `consul kv import` read
///
/// It is always JSON, as `consul kv export` writes it. Where Consul says that the token did not show everything, this
/// fails; Consul before 1.11 does not say so.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The prefix; all keys where it is left out
    #[arg(default_value = "")]
    prefix: String,
}

pub(super) fn run(arguments: &Arguments, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let (pairs, meta) = client.kv().recurse(&arguments.prefix, &query)?;
    if meta.filtered_by_acls {
        let problem = format!("the token may not read every key that begins with {:?}", arguments.prefix);
        return Err(CliError::not_found(problem));
    }
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let mut serializer = Serializer::with_formatter(&mut stdout, PrettyFormatter::with_indent(b"\t"));
    serializer
        .collect_seq(pairs.iter().map(Entry::from))
        .map_err(io::Error::from)
        .and_then(|()| writeln!(stdout))
        .and_then(|()| stdout.flush())
        .map_err(unprinted)
}
