//! `lictor party barrier`

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::under::{CODES, REQUEST, Under};
use crate::coordinate::{Cancel, DoubleBarrier, Membership, Session, SessionOptions};
use crate::duration::ConsulDuration;

/// Run a command once all are there, and end once all are done
///
/// The command is ended when the place is lost, for then the others take it for done. Its environment has
/// LICTOR_PARTY_PATH, LICTOR_IDENTIFIER and LICTOR_SESSION.
#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub(super) struct Arguments {
    /// The barrier's path
    path: String,
    /// How many are to meet
    #[arg(long, value_name = "COUNT")]
    count: usize,
    /// Under which name [default: the host's name]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// How long to wait until all are there [default: for ever]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<ConsulDuration>,
    #[command(flatten)]
    under: Under,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, reach: Reach) -> Result<ExitCode, Failure> {
    let name = format!("lictor party {}", arguments.path);
    let options = arguments.under.session(SessionOptions { name, ..Membership::session() })?;
    let (client, query) = reach.open(REQUEST)?;
    let barrier = DoubleBarrier::new(&client, &query, &arguments.path, arguments.count)?;
    let identifier = super::identifier(arguments.identifier.as_ref());
    let cancel = Cancel::new();
    let ready = arguments.under.ready(&arguments.command, &cancel)?;
    let session = Session::start(&client, &query, &options)?;
    let timeout = arguments.timeout.map(Duration::from);
    let Some(entered) = barrier.enter(&session, &identifier, timeout, Some(&cancel))? else {
        return Err(ready.never(&arguments.path));
    };
    let variables = [
        ("LICTOR_PARTY_PATH", arguments.path.clone()),
        ("LICTOR_IDENTIFIER", identifier),
        ("LICTOR_SESSION", session.id().to_owned()),
    ];
    let ended = ready.run(&entered.lost(), options.lock_delay, &variables).verdict(&arguments.path)?;
    // A signal ends the wait for the others, too: it has ended the command already.
    entered.leave(None, Some(&cancel))?;
    Ok(ExitCode::from(ended.code))
}
