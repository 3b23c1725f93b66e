//! `lictor elect run`

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::lock::Failure;
use crate::cli::under::{CODES, REQUEST, Under};
use crate::coordinate::{Cancel, Candidate, Election, Error, Session, SessionOptions};
use crate::duration::ConsulDuration;

/// Stand for election, and run a command as the leader: it is dead before another one can lead
///
/// It ends when the command does, or when leadership is lost; to stand again, start it again. The command's environment has
/// LICTOR_ELECTION_KEY, LICTOR_SESSION and LICTOR_FENCING_TOKEN. Signals are passed on to it.
#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub(super) struct Arguments {
    /// The election's key
    key: String,
    /// How others reach the leader, such as a URL
    #[arg(long, value_name = "CONTACT")]
    contact: String,
    /// What others are to know of it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who it is [default: the host's name]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// How long to stand [default: until it leads]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<ConsulDuration>,
    /// How long nobody leads after leadership was lost: 0 to 60s
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    lock_delay: ConsulDuration,
    #[command(flatten)]
    under: Under,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, reach: Reach) -> Result<ExitCode, Failure> {
    let options = arguments.under.session(SessionOptions {
        name: format!("lictor elect {}", arguments.key),
        lock_delay: arguments.lock_delay.into(),
        ..SessionOptions::default()
    })?;
    let cancel = Cancel::new();
    let (client, query) = reach.open(REQUEST)?;
    let election = Election::new(&client, &query, &arguments.key)?;
    let ready = arguments.under.ready(&arguments.command, &cancel)?;
    let session = Session::start(&client, &query, &options)?;
    let timeout = arguments.timeout.map(Duration::from);
    let Some(leadership) = election.campaign_or(&session, &arguments.candidate(), timeout, Some(&cancel))? else {
        return Err(ready.never(&arguments.key));
    };
    let variables = [
        ("LICTOR_ELECTION_KEY", arguments.key.clone()),
        ("LICTOR_SESSION", session.id().to_owned()),
        ("LICTOR_FENCING_TOKEN", leadership.token().to_string()),
    ];
    let ended = ready.run(&leadership.lost(), options.lock_delay, &variables).verdict(&arguments.key)?;
    match leadership.resign() {
        Ok(()) => Ok(ExitCode::from(ended.code)),
        Err(Error::SessionLost { why, .. }) => Err(Failure::Lost { key: arguments.key.clone(), why: why.to_string() }),
        Err(error) => Err(error.into()),
    }
}

impl Arguments {
    fn candidate(&self) -> Candidate {
        let mut candidate = Candidate::new(&self.contact);
        if let Some(text) = &self.description {
            candidate = candidate.description(text);
        }
        match &self.identifier {
            Some(name) => candidate.identifier(name),
            None => candidate,
        }
    }
}
