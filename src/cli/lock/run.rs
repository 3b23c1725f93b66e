//! `lictor lock run`

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::supervise::{self, Ended};
use crate::cli::under::{REQUEST, Ready, Under};
use crate::consul::check_key;
use crate::coordinate::{Cancel, Error, Lock, LockGuard, Lost, Permit, Semaphore, Session, SessionOptions};
use crate::duration::ConsulDuration;

use super::Failure;
use super::result::Outcome;
use super::{holder, key_of};

/// Run a command while a lock is held: nobody else's command runs meanwhile, and ours not a moment longer
///
/// The command is dead before the lock's lease ends, with all that it started: it gets SIGTERM some time before, and
/// SIGKILL half a second before, though the agent hangs, the network is cut, or lictor itself is stopped or killed.
/// Signals are passed on to it.
#[derive(Debug, Args)]
#[command(after_help = "\
The command's environment has LICTOR_LOCK_KEY, LICTOR_SESSION, LICTOR_FENCING_TOKEN and CONSUL_LOCK_HELD=true.

Exit codes: the command's own, or 128 and the number of the signal that ended it; or
  120  busy: others have the lock or the permits (--try)
  121  lost: the lock was lost before the command had ended
  122  conflict: the key is no lock, or no semaphore, or one with another limit
  123  denied: the token may not do this
  124  timeout: the lock was not to be had in time
  125  failed: Consul or the system did not let us
  126  the command cannot be executed
  127  there is no such command
   64  wrong usage

Examples:
  lictor lock run service/web/migrate --timeout 1m -- ./migrate.sh
  lictor lock run service/web/restart --limit 2 --fair -- systemctl restart web")]
pub(super) struct Arguments {
    /// Where the lock is: its key is PATH/.lock, as for `consul lock`
    path: String,
    /// So many at a time: a semaphore, as `consul lock -n` has it, in place of a lock
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// First come, first served, among those who ask for it
    #[arg(long)]
    fair: bool,
    /// How long to wait for the lock [default: for ever]
    #[arg(long, value_name = "DURATION", conflicts_with = "try")]
    timeout: Option<ConsulDuration>,
    /// Do not wait
    #[arg(long)]
    r#try: bool,
    /// How long nobody gets the lock after it was lost: 0 to 60s. A permit has no lock-delay
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    lock_delay: ConsulDuration,
    #[command(flatten)]
    under: Under,
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

/// What the command runs under.
enum Guard<'l> {
    Lock(LockGuard<'l>),
    Permit(Permit<'l>),
}

/// What there is to be had.
enum Wanted<'s> {
    Lock(Lock<'s>),
    Semaphore(Semaphore<'s>),
}

impl Arguments {
    fn hold(&self, reach: Reach, outcome: &mut Outcome) -> Result<Ended, Failure> {
        let options = self.under.session(SessionOptions {
            name: format!("lictor lock {}", self.path),
            lock_delay: self.delay(),
            // A waiter's place in line, and a permit, are keys of the session's own.
            delete_keys: self.limit.is_some() || self.fair,
            ..SessionOptions::default()
        })?;
        check_key(&key_of(&self.path)).map_err(Error::from)?;
        let (client, query) = reach.open(REQUEST)?;
        let cancel = Cancel::new();
        let ready = self.under.ready(&self.command(), &cancel)?;
        let session = Session::start(&client, &query, &options)?;
        let wanted = self.wanted(&session)?;
        let Some(guard) = wanted.acquire(self.r#try, self.timeout.map(Duration::from), &cancel)? else {
            return Err(self.in_vain(&session, &ready));
        };
        let (lost, key) = (guard.lost(), wanted.key());
        let begun = guard.watch().map_err(Failure::from);
        if let Err(failure) = begun.and_then(|()| outcome.held(&key, guard.token(), supervise::moment(lost.deadline())))
        {
            let _ = guard.release(); // with its key; what went wrong before counts
            return Err(failure);
        }
        let variables = [
            ("LICTOR_LOCK_KEY", key.clone()),
            ("LICTOR_SESSION", session.id().to_owned()),
            ("LICTOR_FENCING_TOKEN", guard.token().to_string()),
            ("CONSUL_LOCK_HELD", "true".to_owned()),
        ];
        // Whoever comes next is barred for the lock-delay, where the session has ended.
        let done = ready.run(&lost, options.lock_delay, &variables);
        outcome.ended(done.ended(), supervise::moment(lost.deadline()));
        let released = guard.release();
        let ended = done.verdict(&key)?;
        match released {
            Ok(()) => Ok(ended),
            Err(Error::SessionLost { why, .. }) => Err(Failure::Lost { key, why: why.to_string() }),
            Err(error) => Err(error.into()),
        }
    }

    fn delay(&self) -> Duration {
        if self.limit.is_some() { Duration::ZERO } else { self.lock_delay.into() }
    }

    fn command(&self) -> Vec<OsString> {
        if self.shell { vec!["sh".into(), "-c".into(), self.command.join(" ".as_ref())] } else { self.command.clone() }
    }

    fn wanted<'s>(&self, session: &'s Session) -> Result<Wanted<'s>, Failure> {
        let value = self.value();
        Ok(match self.limit {
            None => {
                let lock = Lock::new(session, &key_of(&self.path))?.with_value(&value)?.stamped();
                Wanted::Lock(if self.fair { lock.fair() } else { lock })
            }
            Some(limit) => {
                let semaphore = Semaphore::new(session, &self.path, limit)?.with_value(&value)?;
                Wanted::Semaphore(if self.fair { semaphore.fair() } else { semaphore })
            }
        })
    }

    /// Why it was not to be had: a signal, or who has it.
    fn in_vain(&self, session: &Session, ready: &Ready) -> Failure {
        let key = key_of(&self.path);
        match ready.ending_signal() {
            Some(signal) => signal,
            None if self.r#try => {
                let holder = holder(session.client(), session.query(), &self.path);
                Failure::Busy { key, holder }
            }
            None => Failure::Timeout(key),
        }
    }

    /// What people find in the key.
    fn value(&self) -> Vec<u8> {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let (pid, reason) = (std::process::id(), self.reason.as_deref().unwrap_or_default());
        let delay = ConsulDuration::from(self.delay()).to_string();
        json!({"identifier": host, "host": host, "pid": pid, "reason": reason, "lock_delay": delay})
            .to_string()
            .into_bytes()
    }
}

impl Wanted<'_> {
    fn acquire(&self, once: bool, timeout: Option<Duration>, cancel: &Cancel) -> Result<Option<Guard<'_>>, Error> {
        Ok(match (self, once) {
            (Self::Lock(lock), true) => lock.try_acquire()?.map(Guard::Lock),
            (Self::Lock(lock), false) => lock.acquire_or(timeout, Some(cancel))?.map(Guard::Lock),
            (Self::Semaphore(semaphore), true) => semaphore.try_acquire()?.map(Guard::Permit),
            (Self::Semaphore(semaphore), false) => semaphore.acquire_or(timeout, Some(cancel))?.map(Guard::Permit),
        })
    }

    /// The key that the token belongs to.
    fn key(&self) -> String {
        match self {
            Self::Lock(lock) => lock.key().to_owned(),
            Self::Semaphore(semaphore) => semaphore.key(),
        }
    }
}

impl Guard<'_> {
    fn token(&self) -> u64 {
        match self {
            Self::Lock(guard) => guard.token(),
            Self::Permit(permit) => permit.token(),
        }
    }

    fn lost(&self) -> Lost {
        match self {
            Self::Lock(guard) => guard.lost(),
            Self::Permit(permit) => permit.lost(),
        }
    }

    fn watch(&self) -> Result<(), Error> {
        match self {
            Self::Lock(guard) => guard.watch(),
            Self::Permit(permit) => permit.watch(),
        }
    }

    fn release(self) -> Result<(), Error> {
        match self {
            Self::Lock(guard) => guard.release_and_delete(),
            Self::Permit(permit) => permit.release_and_delete(),
        }
    }
}
