//! A command that runs while something is held: what `lock run`, `elect run`, `party join` and `party barrier` share.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use crate::coordinate::{Cancel, Lost, SessionOptions, Why};
use crate::duration::ConsulDuration;

use super::error::CliError;
use super::lock::Failure;
use super::supervise::{self, Ended, Hold, Supervisor, Trouble};

/// How long one request may take.
pub(super) const REQUEST: Duration = Duration::from_secs(10);

/// The grace where none is given: this part of the ttl.
const GRACE: u32 = 5;

/// How the hold is kept.
#[derive(Debug, Args)]
pub(super) struct Under {
    /// How long the hold is certain without news from Consul: 10s to 24h. It is renewed each third of this
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    ttl: ConsulDuration,
    /// How long before the end of the lease the command is asked to end: up to half the ttl [default: a fifth of the ttl]
    #[arg(long, value_name = "DURATION")]
    grace: Option<ConsulDuration>,
}

/// A command that is ready to be started, and waits for the hold.
pub(super) struct Ready {
    supervisor: Supervisor,
    program: String,
    grace: Duration,
}

impl Under {
    /// `options` with the ttl.
    pub fn session(&self, options: SessionOptions) -> Result<SessionOptions, Failure> {
        let options = SessionOptions { ttl: self.ttl.into(), ..options };
        options.validate()?;
        Ok(options)
    }

    /// Makes `command` ready, before anything is held for it. Signals end waits by `cancel` from now on, and then go to the
    /// command.
    pub fn ready(&self, command: &[OsString], cancel: &Cancel) -> Result<Ready, Failure> {
        let grace = self.grace()?;
        let program = command.first().map(OsString::as_os_str).unwrap_or_default();
        let name = program.to_string_lossy().into_owned();
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        supervise::find(program, &path).map_err(|failed| Failure::Command { command: name.clone(), failed })?;
        let supervisor = Supervisor::new(command, cancel.clone())
            .map_err(|source| Failure::System { what: "cannot start the guardian".to_owned(), source })?;
        Ok(Ready { supervisor, program: name, grace })
    }

    fn grace(&self) -> Result<Duration, Failure> {
        let ttl = Duration::from(self.ttl);
        let grace = self.grace.map_or(ttl / GRACE, Duration::from);
        if grace > ttl / 2 {
            let (grace, most) = (ConsulDuration::from(grace), ConsulDuration::from(ttl / 2));
            let problem = format!("grace is {grace}: with a ttl of {} it may be {most} at most", self.ttl);
            return Err(CliError::usage(problem).into());
        }
        Ok(grace)
    }
}

impl Ready {
    /// Why nothing is held for it: a signal, or that it took too long.
    pub fn never(&self, key: &str) -> Failure {
        self.ending_signal().unwrap_or_else(|| Failure::Timeout(key.to_owned()))
    }

    /// The signal that asked for an end before there was a command.
    pub fn ending_signal(&self) -> Option<Failure> {
        self.supervisor.ending_signal().map(Failure::Signal)
    }

    /// Runs it until it ends, or is ended before the lease is over. `barred` is how long nobody else gets the key after it was
    /// lost.
    pub fn run(self, lost: &Lost, barred: Duration, variables: &[(&str, String)]) -> Done {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let hold = Hold { lost, grace: self.grace, notice: self.grace.min(barred) };
        let ended = self.supervisor.run(variables, &hold);
        Done { ended, program: self.program, why: lost.why() }
    }
}

/// How a command ended, and whether its hold lasted as long.
pub(super) struct Done {
    ended: Result<Ended, Trouble>,
    program: String,
    why: Option<Why>,
}

impl Done {
    /// How it ended, where that is known.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref().ok()
    }

    /// What that means: an end under a hold of `key` that was certain to the last is one.
    pub fn verdict(self, key: &str) -> Result<Ended, Failure> {
        let over = |why: String| Failure::Lost { key: key.to_owned(), why };
        match (self.ended, self.why) {
            (_, Some(why)) => Err(over(why.to_string())),
            (Err(Trouble::Late), None) => Err(over("its lease was about to end before there was a command".to_owned())),
            (Err(Trouble::Failed(failed)), None) => Err(Failure::Command { command: self.program, failed }),
            (Err(Trouble::Guardian(source)), None) => {
                Err(Failure::System { what: "the guardian failed".to_owned(), source })
            }
            (Ok(Ended { by_us: true, .. }), None) => Err(over("its lease was about to end".to_owned())),
            (Ok(ended), None) => Ok(ended),
        }
    }
}

/// What the commands say of their exit codes.
pub(super) const CODES: &str = "\
Exit codes: the command's own, or 128 and the number of the signal that ended it; or
  120  busy: somebody else has the identifier
  121  lost: the hold was lost before the end
  122  conflict: the key is something else, or others count another number
  123  denied: the token may not do this
  124  timeout: it did not come about in time
  125  failed: Consul or the system did not let us
  126  the command cannot be executed
  127  there is no such command
   64  wrong usage";
