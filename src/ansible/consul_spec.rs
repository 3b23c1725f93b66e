//! The module `consul_spec`: its options, and how everything that an owner declares is planned and applied.

mod inline;
mod result;

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::ConsulDuration;
use crate::object::DesiredState;
use crate::plan::state::{Adopt, Limit, StatePolicy};
use crate::reconcile::{self, OwnerLock, Planned, StateReconciler};
use crate::source::{self, ValueFiles};
use crate::spec::{self, Values};

use super::call::Call;
use super::connection::Connection;
use super::spec::Spec;
use super::{Failure, Variables};

pub use result::{Details, SpecFailure, SpecResult};

/// The module's name.
pub const NAME: &str = "consul_spec";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// Everything is as declared.
    #[default]
    Present,
    /// Nothing of what is declared is there, as far as it is its owner's.
    Absent,
}

/// The options of the module `consul_spec`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Options of consul_spec", extend("additionalProperties" = false))]
pub struct SpecOptions {
    /// `present`: everything is as declared. `absent`: what is declared is deleted, as far as it is its owner's.
    state: State,
    /// A spec, as a dict; several, as a list of dicts, are the documents of one call. Files in it are named by their
    /// absolute paths on the host. One of `spec` and `src`. It is not echoed.
    #[schemars(extend(
        "x-no-log" = true,
        "anyOf" = [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]
    ))]
    spec: Option<Value>,
    /// A file of specs, or a folder of them, on the host that the task runs on.
    #[schemars(extend("x-path" = true))]
    src: Option<PathBuf>,
    /// Delete what this owner once made and declares no more. Not with `absent`.
    prune: bool,
    /// What may be taken over where it exists already: nothing, what nobody owns, or everything, from other owners too.
    /// Not with `absent`.
    adopt: Adopt,
    /// How much may be deleted: a number of objects, or a share of what the owner has (or 5 objects, if that is more).
    /// The default is `20%`, with `absent` `100%`.
    max_delete: Option<String>,
    /// Delete all that the owner has, where nothing at all is declared. Not with `absent`.
    allow_empty: bool,
    /// Write keys that other sessions hold; destroy sessions that hold keys which are declared nowhere.
    force: bool,
    /// How many requests are under way at once.
    #[schemars(range(min = 1, max = 64), extend("default" = 8))]
    parallelism: Option<u64>,
    /// How long to wait while another run for this owner is under way.
    #[schemars(extend("default" = "60s"))]
    lock_timeout: Option<ConsulDuration>,
    /// The datacenter, where the specs name none. The default is the agent's own.
    datacenter: Option<String>,
}

pub(super) fn spec() -> Spec {
    Spec::of(NAME, include_str!("options/consul_spec.json"))
}

/// What the module prints.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Result of consul_spec")]
pub enum SpecAnswer {
    /// Done.
    Done(Box<SpecResult>),
    /// Failed.
    Failed(Box<SpecFailure>),
}

/// Runs the module.
pub(super) fn run(
    options: SpecOptions,
    connection: Connection,
    call: &Call,
    variable: Variables<'_>,
) -> Result<SpecResult, Failure> {
    let policy = options.policy()?;
    let parallelism = options.parallelism()?;
    let desired = options.desired()?;
    let (settings, mut query) = connection.settle(options.datacenter.clone(), variable)?;
    reconcile::settle_place(&mut query, &desired.place)?;
    let client = call.connect(settings, &query)?;
    let run = StateReconciler { parallelism, ..StateReconciler::new(&client, &query, &policy) };
    options.reconcile(&run, &desired, call)
}

impl SpecOptions {
    /// What the plan may do. An option that would do nothing is refused.
    fn policy(&self) -> Result<StatePolicy, Failure> {
        let absent = self.state == State::Absent;
        if absent && (self.prune || self.allow_empty || self.adopt != Adopt::default()) {
            return Err(Failure::arguments("prune, adopt and allow_empty go with state present only"));
        }
        let max_delete = match &self.max_delete {
            Some(text) => text.trim().parse().map_err(|error| Failure::arguments(format!("max_delete: {error}")))?,
            None if absent => Limit::Percent(100),
            None => Limit::default(),
        };
        let &Self { prune, adopt, allow_empty, force, .. } = self;
        Ok(StatePolicy { prune, adopt, max_delete, allow_empty, force })
    }

    fn parallelism(&self) -> Result<usize, Failure> {
        match self.parallelism.unwrap_or(8) {
            number @ 1..=64 => Ok(usize::try_from(number).unwrap_or(1)),
            other => Err(Failure::arguments(format!("parallelism is {other}: write 1 to 64"))),
        }
    }

    /// What the specs declare.
    fn desired(&self) -> Result<DesiredState, Failure> {
        let variable = |name: &str| std::env::var_os(name);
        match (&self.spec, &self.src) {
            (Some(_), Some(_)) => Err(Failure::arguments("parameters are mutually exclusive: spec|src")),
            (None, None) => Err(Failure::arguments("one of the following is required: spec, src")),
            (Some(spec), None) => {
                let texts = inline::texts(spec)?;
                let values = Values { files: &ValueFiles, variable: Some(&variable) };
                spec::read(&texts, values)
                    .map_err(|faults| result::faults(faults.iter().map(|fault| inline::describe(fault, spec))))
            }
            (None, Some(src)) if src.as_os_str() == "-" => {
                Err(Failure::arguments("src is a file or a folder: '-' is none"))
            }
            (None, Some(src)) => match source::desired(std::slice::from_ref(src), Some(&variable)) {
                Ok((desired, _)) => Ok(desired),
                Err(faults) => Err(result::faults(faults.iter().map(inline::line))),
            },
        }
    }

    fn reconcile(&self, run: &StateReconciler<'_>, desired: &DesiredState, call: &Call) -> Result<SpecResult, Failure> {
        let datacenter = run.datacenter()?;
        let of = |planned: &Planned| SpecResult::of_plan(&planned.plan, desired, &datacenter, self.src.is_some(), call);
        // A first look without the lock: mostly there is nothing to do, and nothing to wait for.
        let planned = self.plan(run, desired)?;
        if call.check_mode || !planned.has_work(desired) {
            return Ok(of(&planned));
        }
        let lock = run.lock(&desired.owner, self.lock_timeout.map_or(Duration::from_secs(60), Into::into))?;
        let applied = self.apply(run, desired, &lock, &of);
        let released = lock.release();
        let result = applied?;
        Ok(match released {
            Ok(()) => result,
            Err(error) => result.warning(format!("the owner's lock is not given back, and ends by itself: {error}")),
        })
    }

    fn apply(
        &self,
        run: &StateReconciler<'_>,
        desired: &DesiredState,
        lock: &OwnerLock,
        of: &dyn Fn(&Planned) -> SpecResult,
    ) -> Result<SpecResult, Failure> {
        let planned = self.plan(run, desired)?;
        let report = run.apply(desired, &planned, lock, &|_| {}).map_err(result::stopped)?;
        Ok(report.warnings.into_iter().fold(of(&planned), SpecResult::warning))
    }

    /// A plan that may be applied.
    fn plan(&self, run: &StateReconciler<'_>, desired: &DesiredState) -> Result<Planned, Failure> {
        let planned = match self.state {
            State::Present => run.plan(desired),
            State::Absent => run.plan_destroy(desired),
        }?;
        match planned.plan.check() {
            Ok(()) => Ok(planned),
            Err(_) => Err(result::refused(&planned.plan, desired, self.src.is_some())),
        }
    }
}
