//! `lictor party join`

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::output::Output;
use crate::cli::stop::{self, STOP};
use crate::cli::under::{CODES, REQUEST, Under};
use crate::coordinate::{Cancel, Membership, Place, Session, SessionOptions};
use crate::duration::ConsulDuration;

/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(100);

/// Be there until a signal ends it, or while a command runs
///
/// The command is ended when the place is lost. Its environment has LICTOR_PARTY_PATH, LICTOR_IDENTIFIER and LICTOR_SESSION.
#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub(super) struct Arguments {
    /// The party's path
    path: String,
    /// Under which name [default: the host's name]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// How long to wait where somebody else has the name, such as a former run that was killed [default: not at all]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<ConsulDuration>,
    #[command(flatten)]
    under: Under,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<ExitCode, Failure> {
    let name = format!("lictor party {}", arguments.path);
    let options = arguments.under.session(SessionOptions { name, ..Membership::session() })?;
    let (client, query) = reach.open(REQUEST)?;
    let party = Membership::new(&client, &query, &arguments.path)?;
    let identifier = super::identifier(arguments.identifier.as_ref());
    if arguments.command.is_empty() {
        stop::listen()?;
        let session = Session::start(&client, &query, &options)?;
        let cancel = Cancel::from(STOP.clone());
        let Some(place) = arguments.place(&party, &session, &identifier, &cancel)? else {
            return if cancel.is_cancelled() { Ok(ExitCode::SUCCESS) } else { Err(arguments.late()) };
        };
        output.item(&json!({"action": "joined", "identifier": identifier}), &["joined", &identifier])?;
        let lost = place.lost();
        while !STOP.load(Ordering::Relaxed) {
            if let Some(why) = lost.wait_for(TICK) {
                return Err(Failure::Lost { key: arguments.path.clone(), why: why.to_string() });
            }
        }
        place.leave()?;
        return Ok(ExitCode::SUCCESS);
    }
    let cancel = Cancel::new();
    let ready = arguments.under.ready(&arguments.command, &cancel)?;
    let session = Session::start(&client, &query, &options)?;
    let Some(place) = arguments.place(&party, &session, &identifier, &cancel)? else {
        return Err(ready.never(&arguments.path));
    };
    let variables = [
        ("LICTOR_PARTY_PATH", arguments.path.clone()),
        ("LICTOR_IDENTIFIER", identifier),
        ("LICTOR_SESSION", session.id().to_owned()),
    ];
    let ended = ready.run(&place.lost(), options.lock_delay, &variables).verdict(&arguments.path)?;
    place.leave()?;
    Ok(ExitCode::from(ended.code))
}

impl Arguments {
    fn place<'s>(
        &self,
        party: &Membership,
        session: &'s Session,
        identifier: &str,
        cancel: &Cancel,
    ) -> Result<Option<Place<'s>>, Failure> {
        Ok(match self.timeout {
            None => Some(party.join(session, identifier)?),
            Some(timeout) => party.join_or(session, identifier, Some(timeout.into()), Some(cancel))?,
        })
    }

    fn late(&self) -> Failure {
        Failure::Timeout(self.path.clone())
    }
}
