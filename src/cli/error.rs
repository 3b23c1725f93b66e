//! What a command says, and with which code it ends, where it fails.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::consul::{self, ConfigError};
use crate::object::Refused;
use crate::reconcile::{self, StateError};
use crate::spec::Fault;

use super::validate::counted;

/// The exit code for wrong usage: `EX_USAGE` of sysexits.h. Never clap's 2.
pub(super) const USAGE: u8 = 64;

/// The exit code for a plan with changes, where it was asked for.
pub(super) const PENDING: u8 = 2;

/// The exit code for a failure.
const FAILED: u8 = 1;

/// The exit code for what was refused as too dangerous, before anything was written.
pub(super) const REFUSED: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// A value that makes no sense.
    #[error(transparent)]
    Usage(#[from] Refused),
    /// Settings that make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine's, or Consul's.
    #[error(transparent)]
    Reconcile(#[from] reconcile::Error),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Specs with faults.
    #[error("the specs have {}", counted(.0.len(), "fault"))]
    Faults(Vec<Fault>),
    /// Somebody was asked, and said no.
    #[error("nothing was done")]
    Declined,
    /// A saved plan that is not to be relied on. Nothing was written.
    #[error("the saved plan {} {problem}", .file.display())]
    SavedPlan {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A saved plan whose world has moved. Nothing was written.
    #[error("the saved plan is stale: {0}; nothing was done. Plan anew")]
    Stale(String),
    /// What is too dangerous. Nothing was written.
    #[error("{0}; nothing was done. `--max-delete` says how many may be")]
    TooMany(String),
    /// An apply that stopped.
    #[error(transparent)]
    State(#[from] Box<StateError>),
    /// What was printed already, as the result.
    #[error("see the result")]
    Printed,
    /// An agent in memory does not start, or cannot keep its state.
    #[cfg(feature = "dev")]
    #[error(transparent)]
    Dev(#[from] crate::dev::StartError),
    /// The demo did not come to its end.
    #[cfg(feature = "dev")]
    #[error("the demo stops here: {0}")]
    Demo(String),
    /// A file, or standard output.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(feature = "dev")]
impl From<crate::dev::FileError> for CliError {
    fn from(error: crate::dev::FileError) -> Self {
        Self::Dev(error.into())
    }
}

impl From<consul::Error> for CliError {
    fn from(error: consul::Error) -> Self {
        Self::Reconcile(error.into())
    }
}

impl CliError {
    /// Prints it with its hint, on standard error, and gives its exit code.
    pub fn report(self) -> ExitCode {
        if matches!(&self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::from(FAILED); // the reader, such as `head`, has seen enough
        }
        match &self {
            Self::Printed => return ExitCode::from(FAILED),
            Self::Declined => {
                eprintln!("{self}");
                return ExitCode::from(FAILED);
            }
            Self::Faults(faults) => faults.iter().for_each(|fault| eprintln!("{fault}\n")),
            _ => {}
        }
        eprintln!("error: {self}");
        let engine = match &self {
            Self::Reconcile(error) => Some(error),
            Self::State(error) => Some(&*error.source),
            _ => None,
        };
        if let Some(hint) = engine.and_then(reconcile::Error::hint) {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(match self {
            Self::Usage(_) | Self::Config(ConfigError::Invalid { .. }) => USAGE,
            Self::Reconcile(reconcile::Error::Refused(_)) => USAGE,
            Self::Reconcile(reconcile::Error::Consul(consul::Error::Key(_))) => USAGE,
            Self::Reconcile(
                reconcile::Error::Unsafe(_)
                | reconcile::Error::Service(_)
                | reconcile::Error::Held { .. }
                | reconcile::Error::Key(_),
            ) => REFUSED,
            Self::Config(_) | Self::Reconcile(_) | Self::NotFound(_) | Self::Io { .. } => FAILED,
            #[cfg(feature = "dev")]
            Self::Dev(_) | Self::Demo(_) => FAILED,
            Self::Stale(_) | Self::TooMany(_) => REFUSED,
            Self::State(_) | Self::Faults(_) | Self::SavedPlan { .. } | Self::Declined | Self::Printed => FAILED,
        })
    }
}
