//! `lictor apply`

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::connect::Connect;
use super::error::{CliError, REFUSED};
use super::policy::PolicyFlags;
use super::progress::Progress;
use super::saved_plan::SavedPlan;
use super::show::{Document, Format, Show};
use super::watch::{self, Renewals, Round, When};
use super::wish::{self, Wish};
use super::{ask, refused, stop};
use crate::consul::{Client, Query};
use crate::duration::ConsulDuration;
use crate::object::{DesiredState, Place};
use crate::plan::state::{Refusal, StatePolicy};
use crate::reconcile::{OwnerLock, Planned, StateError, StateReconciler, StateReport};
use crate::render::{self, AppliedDocument, PlanDocument};

/// Make Consul agree with the specs, or with a saved plan
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs: files, folders, or `-` for standard input; or one plan that `lictor plan --out` saved
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Go on for ever: put right at once whatever is changed by others, and renew sessions with a TTL
    #[arg(long)]
    watch: bool,
    /// Go on for ever, and look again after this time
    #[arg(long, value_name = "DURATION")]
    interval: Option<ConsulDuration>,
    #[command(flatten)]
    policy: PolicyFlags,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    connect: Connect,
}

/// How a plan is applied.
#[derive(Clone, Debug, Args)]
pub(super) struct How {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// How many requests are under way at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallelism: u16,
    /// How long to wait while another apply of this owner is under way
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub lock_timeout: ConsulDuration,
}

impl How {
    /// What applies plans so.
    pub fn reconciler<'a>(&self, client: &'a Client, query: &'a Query, policy: &'a StatePolicy) -> StateReconciler<'a> {
        let run = StateReconciler::new(client, query, policy);
        StateReconciler { parallelism: self.parallelism.into(), stop: Some(&stop::STOP), ..run }
    }
}

/// No `--interval` is shorter: each round asks the agent for everything.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { paths, watch, interval, policy, how, show, connect } = arguments;
    let usage = |problem: &str| Err(CliError::usage(problem));
    let saved = match paths.as_slice() {
        [file] => SavedPlan::read(file)?,
        several if several.iter().any(|file| SavedPlan::is_at(file)) => {
            return usage("a saved plan is applied by itself: name no other file beside it");
        }
        _ => None,
    };
    let when = When { watch, interval: interval.map(Duration::from) };
    let forever = watch || interval.is_some();
    if when.interval.is_some_and(|interval| interval < SHORTEST_INTERVAL) {
        return usage("--interval is 1s at least");
    }
    match &saved {
        Some(_) if policy.any() => {
            return usage(
                "a saved plan says itself what may be done: leave the other flags out, or plan anew with them",
            );
        }
        Some(_) if forever => return usage("a saved plan is applied once: name the specs for --watch and --interval"),
        _ if forever && !how.yes => return usage("nobody can be asked for ever: --watch and --interval go with --yes"),
        _ => {}
    }
    // Not dropped: the program ends with it, and to give 100,000 objects back one by one takes longer than to plan them.
    let wish = ManuallyDrop::new(match &saved {
        Some(saved) => wish::of(saved.desired()?, connect)?,
        None if forever => wish::of(wish::read(&paths)?, connect)?,
        None => wish::read_ahead(&paths, connect)?,
    });
    let Wish { desired, client, query, first } = &*wish;
    let policy = saved.as_ref().map_or_else(|| policy.policy(), |saved| saved.policy().clone());
    let run = how.reconciler(client, query, &policy);
    let first = StateReconciler { first: first.as_ref(), ..run };
    let datacenter = first.datacenter()?;
    if let Some(saved) = &saved {
        saved.check_cluster(&run.cluster()?, &datacenter)?;
    }
    let (saved, purpose) = (saved.as_ref(), Purpose::Apply);
    let work = Work { first: &first, run: &run, datacenter: &datacenter, how: &how, show, saved, purpose };
    if forever {
        let place = &desired.place;
        let read = || wish::read(&paths).and_then(|desired| same_place(desired, place));
        return watch::run(&run, &read, &|desired, renew| work.round(desired, renew), when);
    }
    work.apply(desired)
}

/// Has the system hand memory out in small pages from here on. Of each 2 MB that a thread touches first all would be
/// cleared, and threads that send requests need little: it takes longer than it saves, most of all on a virtual machine
/// whose host has to find that memory. What compares very many objects is a third faster with large pages.
fn small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true); // it works either way
}

/// Refuses specs that moved to another place while they are watched.
fn same_place(desired: DesiredState, place: &Place) -> Result<DesiredState, CliError> {
    if desired.place == *place {
        return Ok(desired);
    }
    Err(CliError::usage("the specs name another place than at the start: start anew"))
}

/// A plan to make, to show and to apply.
pub(super) struct Work<'a> {
    /// For the first look, without the lock.
    pub first: &'a StateReconciler<'a>,
    /// For everything else.
    pub run: &'a StateReconciler<'a>,
    pub datacenter: &'a str,
    pub how: &'a How,
    pub show: Show,
    /// The plan that has to come out.
    pub saved: Option<&'a SavedPlan>,
    /// What the specs are for.
    pub purpose: Purpose,
}

/// What specs are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What they declare is to be.
    Apply,
    /// What they declare is to be taken over as it is.
    Adopt,
    /// What they declare is not to be.
    Destroy,
}

/// What became of a plan.
enum Outcome {
    /// There was nothing to do.
    Nothing(Box<Planned>),
    /// It was refused.
    Refused(Box<RefusedPlan>),
    /// It was applied.
    Applied,
}

/// A plan that was refused.
#[derive(Debug)]
pub(super) struct RefusedPlan {
    document: PlanDocument,
    refusals: Vec<Refusal>,
    show: Show,
}

impl RefusedPlan {
    /// Whether it was refused for the same reasons as `other`; what else it would do does not count.
    pub fn is_like(&self, other: &Self) -> bool {
        self.document.refused == other.document.refused
    }

    /// Prints it, with its hints on standard error.
    pub fn print(&self) -> Result<(), CliError> {
        self.show.plan(&self.document)?;
        refused::print_hints(&self.refusals);
        Ok(())
    }
}

impl Work<'_> {
    /// Plans, shows, asks, applies.
    pub fn apply(&self, desired: &DesiredState) -> Result<ExitCode, CliError> {
        // Not dropped, as what is desired.
        Ok(match &*ManuallyDrop::new(self.attempt(desired, true, &|_| ())?) {
            Outcome::Refused(refused) => {
                refused.print()?;
                ExitCode::from(REFUSED)
            }
            Outcome::Nothing(_) | Outcome::Applied => ExitCode::SUCCESS,
        })
    }

    /// One round of many: where there is nothing to do, nothing is printed; nor is what was refused, yet.
    fn round(&self, desired: &DesiredState, renew: &dyn Fn(Renewals)) -> Result<Round, CliError> {
        let look = |planned: &Planned| renew(planned.renewals(desired));
        Ok(match self.attempt(desired, false, &look)? {
            Outcome::Nothing(planned) => Round::Settled(planned.renewals(desired)),
            Outcome::Applied => Round::Applied,
            Outcome::Refused(refused) => Round::Refused(refused),
        })
    }

    fn attempt(
        &self,
        desired: &DesiredState,
        print_nothing: bool,
        look: &dyn Fn(&Planned),
    ) -> Result<Outcome, CliError> {
        // A first look without the lock: mostly there is nothing to do, and nothing to wait for.
        let planned = self.plan(self.first, desired)?;
        look(&planned);
        let has_work = planned.has_work(desired);
        // Of what is to be done, the plan is shown that is made under the lock.
        if self.saved.is_some() || !planned.plan.refusals.is_empty() || !has_work {
            let document = self.document(&planned, desired)?;
            if !document.refused.is_empty() {
                return Ok(self.refused(document, planned));
            }
            if !has_work {
                if print_nothing {
                    self.print(&document, None)?;
                }
                return Ok(Outcome::Nothing(Box::new(planned)));
            }
        }
        drop(planned); // another one is made under the lock
        small_pages();
        ask::possible(self.how.yes)?;
        // From here on a signal gives the lock back, in place of leaving it to its ttl.
        stop::listen()?;
        let lock = self.run.lock(&desired.owner, self.how.lock_timeout.into())?;
        let outcome = self.attempt_locked(desired, &lock);
        let released = lock.release();
        let outcome = outcome?;
        released?;
        Ok(outcome)
    }

    fn attempt_locked(&self, desired: &DesiredState, lock: &OwnerLock) -> Result<Outcome, CliError> {
        let planned = self.plan(self.run, desired)?;
        let document = self.document(&planned, desired)?;
        if !document.refused.is_empty() {
            return Ok(self.refused(document, planned));
        }
        if self.show.format == Format::Text {
            self.show.plan(&document)?;
        } else if !self.how.yes {
            anstream::eprint!("{}", render::text(&document)); // nobody agrees to what they do not see
        }
        ask::confirm(&format!("Do this in '{}'?", self.datacenter), self.how.yes)?;
        let progress = Progress::new(planned.plan.changes.len());
        let applied = self.run.apply(desired, &planned, lock, &|_| progress.step());
        progress.finish();
        self.print(&document, Some(&applied))?;
        applied.map(|_| Outcome::Applied).map_err(|error| Box::new(error).into())
    }

    fn refused(&self, document: PlanDocument, planned: Planned) -> Outcome {
        Outcome::Refused(Box::new(RefusedPlan { document, refusals: planned.plan.refusals, show: self.show }))
    }

    fn plan(&self, run: &StateReconciler<'_>, desired: &DesiredState) -> Result<Planned, CliError> {
        Ok(match self.purpose {
            Purpose::Apply => run.plan(desired),
            Purpose::Adopt => run.plan_adopt(desired),
            Purpose::Destroy => run.plan_destroy(desired),
        }?)
    }

    fn document(&self, planned: &Planned, desired: &DesiredState) -> Result<PlanDocument, CliError> {
        let document = PlanDocument::new(&planned.plan, desired, self.datacenter);
        self.saved.map_or(Ok(()), |saved| saved.check_unmoved(&document, planned.record_index()))?;
        Ok(document)
    }

    /// Prints the plan, unless it was already, and what became of it.
    fn print(
        &self,
        document: &PlanDocument,
        applied: Option<&Result<StateReport, StateError>>,
    ) -> Result<(), CliError> {
        if let Some(Ok(report)) = applied {
            report.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        }
        match (self.show.format, applied) {
            (Format::Text, Some(applied)) => self.show.color.print(&render::applied(document, applied.as_ref())),
            (Format::Json, Some(applied)) => Document::Json.print(&AppliedDocument::new(document, applied.as_ref())),
            (_, Some(Err(error))) => {
                self.show.plan(document)?;
                anstream::eprint!("{}", render::applied(document, Err(error)));
                Ok(())
            }
            _ => self.show.plan(document),
        }
    }
}
