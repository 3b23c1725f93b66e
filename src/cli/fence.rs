//! `lictor fence`

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::coordinate::Fence;

use super::connect::Connect;
use super::error::CliError;
use super::lock::{Failure, LOST};

/// Check fencing tokens
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Verify(Verify),
}

/// Tell whether a fencing token is still that of the key's holder
///
/// The answer is as old as the way that it came: a write that must not come late is best made in one transaction with the
/// lock, or refused by its receiver where it has seen a higher token.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 it is, 121 it is not, 123 the token of the ACL may not read the key, 125 failed, 64 wrong usage.

Example, in a command of `lictor lock run`:
  lictor fence verify \"$LICTOR_LOCK_KEY\" \"$LICTOR_FENCING_TOKEN\" && ./publish.sh")]
struct Verify {
    /// The key of the lock, or of the permit
    key: String,
    /// The fencing token
    token: u64,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Verb::Verify(Verify { key, token }) = arguments.verb;
    let (client, query) = arguments.connect.open()?;
    match Fence::verify(&client, &query, &key, token) {
        Ok(Fence::Current) => Ok(ExitCode::SUCCESS),
        Ok(fence) => {
            eprintln!("lictor: token {token} of key {key:?} is out of date: {fence}");
            Ok(ExitCode::from(LOST))
        }
        Err(error) => Failure::from(error).report(),
    }
}
