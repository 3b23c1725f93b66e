//! What a command says, and with which code it ends, where it fails.

use std::io;
use std::path::Path;
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

/// Why a command failed. In a box, for it is handed up from very many places.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct CliError(Box<Problem>);

#[derive(Debug, thiserror::Error)]
enum Problem {
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
    #[error("the saved plan {0}")]
    SavedPlan(String),
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
impl From<crate::dev::FileError> for Problem {
    fn from(error: crate::dev::FileError) -> Self {
        Self::Dev(error.into())
    }
}

impl From<consul::Error> for Problem {
    fn from(error: consul::Error) -> Self {
        Self::Reconcile(error.into())
    }
}

impl<E> From<E> for CliError
where
    Problem: From<E>,
{
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl CliError {
    /// A value that makes no sense.
    pub fn usage(problem: impl Into<String>) -> Self {
        Refused::new(problem.into()).into()
    }

    /// What was asked for does not exist.
    pub fn not_found(what: impl Into<String>) -> Self {
        Problem::NotFound(what.into()).into()
    }

    /// Specs with faults.
    pub fn faults(faults: Vec<Fault>) -> Self {
        Problem::Faults(faults).into()
    }

    /// Whether it is specs with faults.
    pub fn is_faults(&self) -> bool {
        matches!(*self.0, Problem::Faults(_))
    }

    /// Somebody was asked, and said no.
    pub fn declined() -> Self {
        Problem::Declined.into()
    }

    /// A saved plan that is not to be relied on. Nothing was written.
    pub fn saved_plan(file: &Path, problem: &str) -> Self {
        Problem::SavedPlan(format!("{} {problem}", file.display())).into()
    }

    /// A saved plan whose world has moved. Nothing was written.
    pub fn stale(what: String) -> Self {
        Problem::Stale(what).into()
    }

    /// What is too dangerous. Nothing was written.
    pub fn too_many(what: String) -> Self {
        Problem::TooMany(what).into()
    }

    /// What was printed already, as the result.
    pub fn printed() -> Self {
        Problem::Printed.into()
    }

    /// The demo did not come to its end.
    #[cfg(feature = "dev")]
    pub fn demo(why: String) -> Self {
        Problem::Demo(why).into()
    }

    /// A file, or standard output: what was being done, and what the system said.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Problem::Io { what: what.into(), source }.into()
    }

    /// Whether nothing was begun, for what was asked for made no sense, is not there, or was taken back.
    pub fn is_of_the_call(&self) -> bool {
        matches!(*self.0, Problem::Usage(_) | Problem::Config(_) | Problem::NotFound(_) | Problem::Declined)
    }

    /// Prints it with its hint, on standard error, and gives its exit code.
    pub fn report(self) -> ExitCode {
        if matches!(&*self.0, Problem::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::from(FAILED); // the reader, such as `head`, has seen enough
        }
        match &*self.0 {
            Problem::Printed => return ExitCode::from(FAILED),
            Problem::Declined => {
                eprintln!("{self}");
                return ExitCode::from(FAILED);
            }
            Problem::Faults(faults) => faults.iter().for_each(|fault| eprintln!("{fault}\n")),
            _ => {}
        }
        eprintln!("error: {self}");
        let engine = match &*self.0 {
            Problem::Reconcile(error) => Some(error),
            Problem::State(error) => Some(&*error.source),
            _ => None,
        };
        if let Some(hint) = engine.and_then(reconcile::Error::hint) {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(match *self.0 {
            Problem::Usage(_) | Problem::Config(ConfigError::Invalid { .. }) => USAGE,
            Problem::Reconcile(reconcile::Error::Refused(_)) => USAGE,
            Problem::Reconcile(reconcile::Error::Consul(consul::Error::Key(_))) => USAGE,
            Problem::Reconcile(
                reconcile::Error::Unsafe(_)
                | reconcile::Error::Service(_)
                | reconcile::Error::Held { .. }
                | reconcile::Error::Key(_),
            ) => REFUSED,
            Problem::Config(_) | Problem::Reconcile(_) | Problem::NotFound(_) | Problem::Io { .. } => FAILED,
            #[cfg(feature = "dev")]
            Problem::Dev(_) | Problem::Demo(_) => FAILED,
            Problem::Stale(_) | Problem::TooMany(_) => REFUSED,
            Problem::State(_) | Problem::Faults(_) | Problem::SavedPlan(_) | Problem::Declined | Problem::Printed => {
                FAILED
            }
        })
    }
}
