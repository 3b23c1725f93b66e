//! The flow for everything that one owner declares: observe, plan, lock, write ahead, apply, settle.
//!
//! # Guarantees
//! - Nothing is written before the whole plan has passed its check, and every read that it rests on has succeeded.
//! - Whatever is to be made stands in the owner's record before it is made: a run that was killed at any step leaves
//!   nothing behind that the next run does not know for the owner's.
//! - Of two owners who set out to make the same at once, at most one does: each reads the records again behind its own.
//! - A key is written or deleted only as it was when the plan was made, in a transaction that fails once the owner's lock
//!   is lost.
//! - A replaced session is destroyed last: when its successor stands, and the keys that are to move have moved.
//! - Whatever stops a run, the error says which objects are done and which are not, and the next run finishes.
//!
//! # Not guaranteed
//! - Consul has no compare-and-set for sessions and services. They are looked at again just before they are changed; what
//!   somebody changes between that look and the change is lost.
//! - A lock that is taken on a key between the look at a session's keys and its destruction is lost with it.
//! - Where the token may read only a part of a tree, Consul before 1.11 does not say so. A key that is to be made, and is
//!   hidden, is not overwritten all the same: its transaction is refused.

mod apply;
mod cluster;
mod error;
mod export;
mod first;
mod hold;
mod inventory;
mod keys;
mod observe;
mod owners;
mod parallel;
mod record;
mod services;
mod sessions;
mod watch;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::consul::{Client, Query};
use crate::object::{Claims, DesiredState, Object, ObservedState, Record, SessionId};
use crate::plan::state::{StateChange, StatePlan, StatePolicy};

use super::Error;

pub use apply::StateReport;
pub use error::StateError;
pub use export::{Export, Selection, export};
pub use first::FirstLook;
pub use hold::OwnerLock;
use inventory::{Inventory, Standing};
use observe::Mentioned;
pub use owners::Owners;
pub use record::RecordError;
pub use watch::Watcher;

/// One agent, one place, one policy, for all objects of an owner.
#[derive(Clone, Copy, Debug)]
pub struct StateReconciler<'a> {
    /// The agent.
    pub client: &'a Client,
    /// Datacenter, namespace, partition.
    pub query: &'a Query,
    /// What may be done.
    pub policy: &'a StatePolicy,
    /// How many requests may be under way at once; at least 1.
    pub parallelism: usize,
    /// Once this is set, what is under way is finished, and nothing more is begun: for signals.
    pub stop: Option<&'a AtomicBool>,
    /// What was read already: the first plan is made from it.
    pub first: Option<&'a FirstLook>,
}

/// A plan, and what it was made from.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What is to be done.
    pub plan: StatePlan,
    /// What there was.
    pub observed: ObservedState,
    /// Who had what.
    pub claims: Claims,
    /// The owner's record as it stood.
    standing: Standing,
    /// The record as it was, where it names nodes in other letters than `claims` does.
    respelled: Option<Record>,
}

impl Planned {
    /// True where applying the plan would write something, be it only what the record knows.
    pub fn has_work(&self, desired: &DesiredState) -> bool {
        !self.plan.is_empty() || self.respelled.is_some() || !self.plan.keeps_record(desired, &self.claims)
    }

    /// The sessions that are as declared and end unless they are renewed, and their TTLs.
    pub fn renewals(&self, desired: &DesiredState) -> Vec<(SessionId, Duration)> {
        let sessions = desired.objects.iter().filter_map(|(id, declared)| match &declared.object {
            Object::Session(session) => Some((id, session, session.ttl?)),
            _ => None,
        });
        sessions
            .flat_map(|(id, wish, ttl)| {
                let observed = self.observed.sessions.get(id).into_iter().flatten();
                let kept = observed.filter(|observed| observed.session == *wish).min_by_key(|one| one.create_index);
                kept.map(|observed| (observed.id.clone(), ttl.into()))
            })
            .collect()
    }

    /// The owner's record as it was.
    fn record(&self) -> &Record {
        self.respelled.as_ref().unwrap_or(&self.claims.ours)
    }

    /// The `ModifyIndex` of the owner's record; 0 where there was none.
    pub fn record_index(&self) -> u64 {
        self.standing.index
    }
}

impl StateReconciler<'_> {
    /// Says what has to be done so that everything is as declared. Writes nothing.
    ///
    /// # Errors
    /// See [`Error`]. A plan that is not to be applied is no error: see [`StatePlan::check`].
    pub fn plan(&self, desired: &DesiredState) -> Result<Planned, Error> {
        self.compare(desired, StatePlan::between)
    }

    /// Says what has to be done so that nothing of what is declared is there, as far as it is the owner's.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub fn plan_destroy(&self, desired: &DesiredState) -> Result<Planned, Error> {
        self.compare(desired, StatePlan::destroy)
    }

    /// Says what of what is declared would be taken over as it is: only records change.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub fn plan_adopt(&self, desired: &DesiredState) -> Result<Planned, Error> {
        self.compare(desired, StatePlan::adopt)
    }

    fn compare(
        &self,
        desired: &DesiredState,
        between: fn(&DesiredState, &ObservedState, &Claims, &StatePolicy) -> StatePlan,
    ) -> Result<Planned, Error> {
        let first = self.first.and_then(|first| first.inventory(self.query));
        let mut inventory = first.unwrap_or_else(|| Inventory::read(self.client, self.query))?;
        let (record, standing) = inventory.take(&desired.owner)?;
        let (ours, respelled) = observe::spelled_as_declared(desired, record);
        let mut claims = Claims { ours, ..Claims::default() };
        let mentioned = Mentioned::new(desired, &claims.ours);
        claims.others = inventory.others(desired, |id| mentioned.has(id))?;
        let mut observed = observe::observe(self, desired, &mentioned)?;
        let mut plan = between(desired, &observed, &claims, self.policy);
        if plan.depends_on_locks() {
            observe::locks(self, observed.sessions.values_mut().flatten())?;
            plan = between(desired, &observed, &claims, self.policy);
        }
        Ok(Planned { plan, observed, claims, standing, respelled })
    }

    /// Gets the lock of an owner: two runs for one owner come one after the other. Waits for another holder for so long.
    ///
    /// # Errors
    /// As for [`OwnerLock::acquire`].
    pub fn lock(&self, owner: &str, wait: Duration) -> Result<OwnerLock, Error> {
        OwnerLock::acquire(self.client, self.query, owner, wait, self.stop)
    }

    /// Carries a plan out, under the owner's lock. `progress` is told of each change that is done.
    ///
    /// # Errors
    /// [`StateError`] says what was done before it failed.
    pub fn apply(
        &self,
        desired: &DesiredState,
        planned: &Planned,
        lock: &OwnerLock,
        progress: &(dyn Fn(&StateChange) + Sync),
    ) -> Result<StateReport, StateError> {
        apply::apply(self, desired, planned, lock, progress)
    }
}
