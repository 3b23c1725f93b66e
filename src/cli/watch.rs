//! `lictor apply --watch` and `--interval`: reconciles for ever.

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::apply::RefusedPlan;
use super::error::CliError;
use super::renew::Renewer;
use super::stop::{self, STOP};
use crate::object::{DesiredState, SessionId};
use crate::reconcile::{StateReconciler, Watcher};

/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(100);

/// The pause after a round that failed. Twice as long each time after.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// So many rounds that write may follow each other as fast as they can.
const BURST: u32 = 100;

/// Beyond that, one comes each: two that undo each other's work would keep the cluster busy for ever.
const EACH: Duration = Duration::from_millis(500);

/// Sessions that end unless they are renewed, and their TTLs.
pub(super) type Renewals = Vec<(SessionId, Duration)>;

/// One round: plans and applies what is desired. What it sees that needs to be renewed, it tells at once: whatever is in
/// its way then must not end these sessions.
type Reconcile<'a> = dyn Fn(&DesiredState, &dyn Fn(Renewals)) -> Result<Round, CliError> + 'a;

/// What a round came to.
#[derive(Debug)]
pub(super) enum Round {
    /// All is as declared.
    Settled(Renewals),
    /// Something was written, so that another look is due.
    Applied,
    /// It was refused, which nobody was told so far.
    Refused(Box<RefusedPlan>),
}

/// When there is to be another round.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    /// When something changes.
    pub watch: bool,
    /// When this time is over.
    pub interval: Option<Duration>,
}

/// Reconciles until a signal comes. `read` reads the specs, each time anew: what is committed meanwhile counts.
///
/// A round that fails says so on standard error, and one that is refused prints its plan: once for the same failure, and
/// for the same reasons. After a failure the next round comes by itself: soon where it is the specs that are wrong, else
/// later and later. Sessions that were as declared are kept alive meanwhile, until a round finds all as declared without
/// them.
pub(super) fn run(
    run: &StateReconciler<'_>,
    read: &dyn Fn() -> Result<DesiredState, CliError>,
    round: &Reconcile<'_>,
    when: When,
) -> Result<ExitCode, CliError> {
    stop::listen()?;
    let renewer = Renewer::start(run.client.clone(), run.query.clone());
    let mut watcher: Option<Watcher> = None;
    let mut pause = FIRST_PAUSE;
    let mut allowance = Allowance::new(Instant::now());
    let mut just_applied = false;
    let (mut told, mut refused) = (None, None);
    while !STOP.load(Ordering::Relaxed) {
        let done = read().and_then(|desired| {
            if when.watch && !watcher.as_ref().is_some_and(|watcher| watcher.fits(&desired)) {
                watcher = Some(Watcher::start(run.client, run.query, &desired)?);
            }
            round(&desired, &|renewals| renewer.keep_too(renewals))
        });
        let applied = matches!(done, Ok(Round::Applied));
        told = told.filter(|_| done.is_err());
        refused = refused.filter(|_| matches!(done, Ok(Round::Refused(_))));
        let until = match done {
            // Where even the second look finds something to do, it does not last.
            Ok(Round::Applied) if !just_applied => Some(Instant::now() + allowance.take(Instant::now())),
            Ok(Round::Applied) => Some(later(&mut pause)),
            Ok(Round::Settled(renewals)) => {
                renewer.keep(renewals);
                pause = FIRST_PAUSE;
                when.interval.map(|interval| Instant::now() + interval)
            }
            Ok(Round::Refused(now)) => {
                let known = refused.is_some_and(|before: Box<RefusedPlan>| before.is_like(&now));
                if !known && let Err(error) = now.print() {
                    let _ = error.report();
                }
                refused = Some(now);
                when.interval.map(|interval| Instant::now() + interval)
            }
            Err(error) => {
                let faults = error.is_faults();
                let failure = Some(format!("{error:?}"));
                if failure != told {
                    let _ = error.report(); // its exit code is for commands that end
                    told = failure;
                }
                Some(if faults { Instant::now() + FIRST_PAUSE } else { later(&mut pause) })
            }
        };
        rest(watcher.as_ref(), &renewer, until, applied);
        just_applied = applied;
    }
    Ok(ExitCode::SUCCESS)
}

/// How fast rounds that write may follow each other.
struct Allowance {
    /// When all of [`BURST`] are allowed again.
    full_at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// How long to rest after one more.
    fn take(&mut self, now: Instant) -> Duration {
        self.full_at = self.full_at.max(now) + EACH;
        self.full_at.saturating_duration_since(now).saturating_sub(EACH * BURST)
    }
}

/// When `pause` is over, which is twice as long the next time.
fn later(pause: &mut Duration) -> Instant {
    let until = Instant::now() + *pause;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
    until
}

/// Waits until another round is due: something changed, unless `blindly`; `until` has come; a session was lost; or a
/// signal came.
fn rest(watcher: Option<&Watcher>, renewer: &Renewer, until: Option<Instant>, blindly: bool) {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) || STOP.load(Ordering::Relaxed) {
            return;
        }
        let tick = left.map_or(TICK, |left| left.min(TICK));
        let news = match watcher.filter(|_| !blindly) {
            Some(watcher) => watcher.wait(tick),
            None => {
                std::thread::sleep(tick);
                false
            }
        };
        if news || renewer.has_lost() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_write_rest_once_there_were_many() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert!((0..BURST).all(|_| allowance.take(start).is_zero()));
        let mut now = start;
        for _ in 0..3 {
            let rest = allowance.take(now);
            assert_eq!(rest, EACH);
            now += rest;
        }
        let later = now + EACH * (BURST / 2);
        assert!((0..BURST / 2).all(|_| allowance.take(later).is_zero()) && !allowance.take(later).is_zero());
    }
}
