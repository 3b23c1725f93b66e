//! What a command says, and with which code it ends, where it fails.

use std::io;
use std::process::ExitCode;

use crate::consul::{self, ConfigError};
use crate::object::Refused;
use crate::reconcile;

/// The exit code for wrong usage: `EX_USAGE` of sysexits.h. Never clap's 2, which will mean "changes are pending".
pub(super) const USAGE: u8 = 64;

/// The exit code for a failure.
const FAILED: u8 = 1;

/// The exit code for what was refused as too dangerous, before anything was written.
const REFUSED: u8 = 3;

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
    /// A file, or standard output.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
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
        eprintln!("error: {self}");
        if let Self::Reconcile(error) = &self
            && let Some(hint) = error.hint()
        {
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
        })
    }
}
