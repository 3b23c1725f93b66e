//! `lictor lock run`

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::connect::Reach;
use crate::cli::error::CliError;
use crate::cli::supervise::{self, Ended, Hold, Supervisor, Trouble};
use crate::coordinate::{Cancel, Lock, LockGuard, Session, SessionOptions};
use crate::duration::ConsulDuration;
use crate::object::Refused;

use super::Failure;
use super::key_of;
use super::result::Outcome;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// The grace where none is given: this part of the ttl.
const GRACE: u32 = 5;

/// Run a command while a lock is held: nobody else's command runs meanwhile, and ours not a moment longer
///
/// The command is dead before the lock's lease ends, with all that it started: it gets SIGTERM some time before, and
/// SIGKILL half a second before, though the agent hangs, the network is cut, or lictor itself is stopped or killed.
/// Signals are passed on to it.
#[derive(Debug, Args)]
#[command(after_help = "\
The command's environment has LICTOR_LOCK_KEY, LICTOR_SESSION, LICTOR_FENCING_TOKEN and CONSUL_LOCK_HELD=true.

Exit codes: the command's own, or 128 and the number of the signal that ended it; or
  120  busy: somebody else has the lock (--try)
  121  lost: the lock was lost before the command had ended
  122  conflict: the key is no lock
  123  denied: the token may not do this
  124  timeout: the lock was not to be had in time
  125  failed: Consul or the system did not let us
  126  the command cannot be executed
  127  there is no such command
   64  wrong usage

Example:
  lictor lock run service/web/migrate --timeout 1m -- ./migrate.sh")]
pub(super) struct Arguments {
    /// Where the lock is: its key is PATH/.lock, as for `consul lock`
    path: String,
    /// How long to wait for the lock [default: for ever]
    #[arg(long, value_name = "DURATION", conflicts_with = "try")]
    timeout: Option<ConsulDuration>,
    /// Do not wait
    #[arg(long)]
    r#try: bool,
    /// How long the lock is certain without news from Consul: 10s to 24h. It is renewed each third of this
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    ttl: ConsulDuration,
    /// How long nobody gets the lock after it was lost: 0 to 60s
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    lock_delay: ConsulDuration,
    /// How long before the end of the lease the command is asked to end: up to half the ttl [default: a fifth of the ttl]
    #[arg(long, value_name = "DURATION")]
    grace: Option<ConsulDuration>,
    /// Why the lock is held, for people: it stands in the key's value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Run the words as one line of `sh`
    #[arg(long)]
    shell: bool,
    /// Write what became of it to this file, as JSON: when the command starts, and when all is over
    #[arg(long, value_name = "FILE")]
    result_file: Option<PathBuf>,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, reach: Reach) -> Result<ExitCode, Failure> {
    let mut outcome = Outcome::new(key_of(&arguments.path), arguments.result_file.clone());
    let done = arguments.hold(reach, &mut outcome);
    outcome.over(done.as_ref().map_or_else(Failure::code, |ended| ended.code))?;
    done.map(|ended| ExitCode::from(ended.code))
}

impl Arguments {
    fn hold(&self, reach: Reach, outcome: &mut Outcome) -> Result<Ended, Failure> {
        let options = self.session();
        options.validate()?;
        let grace = self.grace()?;
        let command = self.command();
        self.find(&command)?;
        let (client, query) = reach.open(REQUEST)?;
        let cancel = Cancel::new();
        let system = |what: &str, source| Failure::System { what: what.to_owned(), source };
        let supervisor =
            Supervisor::new(&command, cancel.clone()).map_err(|error| system("cannot start the guardian", error))?;
        let session = Session::start(&client, &query, &options)?;
        let lock = Lock::new(&session, &key_of(&self.path))?.with_value(&self.value())?;
        let Some(guard) = self.acquire(&lock, &cancel)? else {
            return Err(match supervisor.ending_signal() {
                Some(signal) => Failure::Signal(signal),
                None if self.r#try => Failure::Busy(lock.key().to_owned()),
                None => Failure::Timeout(lock.key().to_owned()),
            });
        };
        guard.watch()?;
        let lost = guard.lost();
        outcome.held(guard.token(), supervise::moment(lost.deadline()))?;
        // Whoever comes next is barred for the lock-delay, where the session has ended; and behind the deadline the guardian
        // waits for nobody.
        let hold = Hold { lost: &lost, grace, notice: grace.min(options.lock_delay) };
        let ended = supervisor.run(variables(&guard, &lock, &session), &hold);
        outcome.ended(ended.as_ref().ok(), supervise::moment(lost.deadline()));
        let lost = |why: String| Failure::Lost { key: lock.key().to_owned(), why };
        let why = hold.lost.why();
        let released = guard.release_and_delete();
        match (ended, why) {
            (_, Some(why)) => Err(lost(why.to_string())),
            (Err(Trouble::Failed(failed)), None) => Err(self.unable(failed)),
            (Err(Trouble::Guardian(source)), None) => Err(system("the guardian failed", source)),
            (Ok(Ended { by_us: true, .. }), None) => Err(lost("its lease was about to end".to_owned())),
            (Ok(ended), None) => {
                released?;
                Ok(ended)
            }
        }
    }

    fn session(&self) -> SessionOptions {
        SessionOptions {
            name: format!("lictor lock {}", self.path),
            ttl: self.ttl.into(),
            lock_delay: self.lock_delay.into(),
            ..SessionOptions::default()
        }
    }

    /// The grace: so that a renewal, which comes after a third of the ttl, has a sixth of it to succeed before the command
    /// is asked to end.
    fn grace(&self) -> Result<Duration, Failure> {
        let ttl = Duration::from(self.ttl);
        let grace = self.grace.map_or(ttl / GRACE, Duration::from);
        if grace > ttl / 2 {
            let (grace, most) = (ConsulDuration::from(grace), ConsulDuration::from(ttl / 2));
            let problem = format!("grace is {grace}: with a ttl of {} it may be {most} at most", self.ttl);
            return Err(CliError::Usage(Refused::new(problem)).into());
        }
        Ok(grace)
    }

    fn command(&self) -> Vec<OsString> {
        if self.shell { vec!["sh".into(), "-c".into(), self.command.join(" ".as_ref())] } else { self.command.clone() }
    }

    fn find(&self, command: &[OsString]) -> Result<(), Failure> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        let program = command.first().map(OsString::as_os_str).unwrap_or_default();
        supervise::find(program, &path).map_err(|failed| self.unable(failed))
    }

    fn unable(&self, failed: supervise::Failed) -> Failure {
        let command = self.command.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        Failure::Command { command, failed }
    }

    fn acquire<'l>(&self, lock: &'l Lock<'_>, cancel: &Cancel) -> Result<Option<LockGuard<'l>>, Failure> {
        Ok(match self.r#try {
            true => lock.try_acquire()?,
            false => lock.acquire_or(self.timeout.map(Duration::from), Some(cancel))?,
        })
    }

    /// What people find in the key.
    fn value(&self) -> Vec<u8> {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let since = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        let (pid, reason) = (std::process::id(), self.reason.as_deref().unwrap_or_default());
        let value = serde_json::json!({"identifier": host, "host": host, "pid": pid, "since": since, "reason": reason});
        value.to_string().into_bytes()
    }
}

fn variables(guard: &LockGuard<'_>, lock: &Lock<'_>, session: &Session) -> Vec<(String, String)> {
    [
        ("LICTOR_LOCK_KEY", lock.key().to_owned()),
        ("LICTOR_SESSION", session.id().to_owned()),
        ("LICTOR_FENCING_TOKEN", guard.token().to_string()),
        ("CONSUL_LOCK_HELD", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
