//! Why a command did not run under a lock, or not to its end.

use std::process::ExitCode;

use crate::cli::error::{CliError, REFUSED};
use crate::cli::supervise::Failed;
use crate::consul;
use crate::coordinate;

/// The exit code where the hold was over.
pub(in crate::cli) const LOST: u8 = 121;

/// Why, each with an exit code of its own: the command's own codes are rarely as high.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Failure {
    /// Somebody else has it, and nobody was to wait.
    #[error("{key:?} is held by {holder}")]
    Busy {
        /// The key.
        key: String,
        /// What is known of who has it.
        holder: String,
    },
    /// The hold was over before the command was.
    #[error("the hold of {key:?} was lost: {why}; the command was ended")]
    Lost {
        /// The key.
        key: String,
        /// What is known.
        why: String,
    },
    /// Somebody else had it for all the time that we could wait.
    #[error("{0:?} was not to be had in time")]
    Timeout(String),
    /// Too few were there for all the time that we could wait.
    #[error("fewer than {wanted} were there below {path:?} in time")]
    TooFew {
        /// The party's path.
        path: String,
        /// How many were to be there.
        wanted: usize,
    },
    /// It is another's, and was left alone.
    #[error("{0}; nothing was done")]
    Another(String),
    /// The command cannot be started.
    #[error("cannot run {command:?}: {}", failed.what)]
    Command {
        /// The command.
        command: String,
        /// Why.
        failed: Failed,
    },
    /// A signal asked for an end while it waited.
    #[error("ended by a signal; nothing is held")]
    Cancelled,
    /// A signal asked for an end before there was a command.
    #[error("ended by signal {0} before the command was started")]
    Signal(i32),
    /// The recipe's.
    #[error(transparent)]
    Recipe(#[from] coordinate::Error),
    /// What the system did not let us do.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is no different from elsewhere.
    #[error(transparent)]
    Other(#[from] CliError),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        use coordinate::Error;
        match self {
            Self::Another(_) => REFUSED,
            Self::Busy { .. } => 120,
            Self::Lost { .. } | Self::Recipe(Error::SessionLost { .. }) => LOST,
            Self::Recipe(Error::Taken { .. }) => 120,
            Self::Recipe(
                Error::Conflict { .. } | Error::Count { .. } | Error::Limit { .. } | Error::Damaged { .. },
            ) => 122,
            Self::Recipe(error) if error.is_denied() => 123,
            Self::Timeout(_) | Self::TooFew { .. } => 124,
            Self::Recipe(_) | Self::System { .. } | Self::Other(_) => 125,
            Self::Command { failed, .. } => failed.code,
            Self::Cancelled => 130, // as of SIGINT, whichever it was
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// Says it on standard error, and gives the exit code. Wrong usage is reported as by every command.
    pub fn report(self) -> Result<ExitCode, CliError> {
        match self {
            Self::Other(error) if error.is_of_the_call() => Err(error),
            Self::Recipe(coordinate::Error::Options(problem)) => Err(CliError::usage(problem)),
            Self::Recipe(coordinate::Error::Consul(error @ consul::Error::Key(_))) => Err(error.into()),
            failure => {
                eprintln!("lictor: {failure}");
                Ok(ExitCode::from(failure.code()))
            }
        }
    }
}
