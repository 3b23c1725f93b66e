//! The flow: observe, plan, check, apply. The input and output around a [`Plan`].
//!
//! # Guarantees
//! - Nothing is written before the whole plan has passed its check.
//! - A replacement creates the new session before it destroys the old one, and leaves a note in Consul while it
//!   does, so that the next run finishes what a killed one left.
//! - After a create, Consul is read again (with full consistency). Where two runs created the same session at
//!   once, the one with the lower `CreateIndex` stays, and the other run withdraws its own.
//! - No session that holds a lock is replaced, or destroyed as a duplicate, unless that was forced.
//!
//! # Not guaranteed
//! Consul has no compare-and-set for sessions. Locks are looked for again just before a session is destroyed, but
//! one taken between that look and the destroy is lost with it. Where the token may read only a part of the keys,
//! Consul before 1.11 does not say so, and locks in the hidden part are not seen.

mod apply;
mod create;
mod doctor;
mod entry;
mod error;
mod foresee;
mod hint;
mod key;
mod keys;
mod maintenance;
mod note;
mod observe;
mod place;
mod report;
mod service;
mod state;

use crate::consul::{Client, Query};
use crate::object::HeldLocks;
use crate::plan::{Desired, Plan, Policy};

pub use doctor::{Checkup, Diagnosed, Doctor};
pub(crate) use entry::oldest_first;
pub use error::Error;
pub use key::{KeyReconciler, KeyReport};
pub use keys::Progress;
pub use maintenance::{Maintenance, MaintenanceAction, MaintenanceReport, UnderMaintenance};
use observe::Observation;
pub use place::{foresee_session, node_or_own, session_id, settle_place, trust_partition};
pub use report::{Action, Report};
pub use service::{ServiceReconciler, ServiceReport};
pub use state::{
    Export, FirstLook, OwnerLock, Owners, Planned, RecordError, Selection, StateError, StateReconciler, StateReport,
    Watcher, export,
};

/// How often a run starts over because the world moved under it: a session that it kept ended meanwhile, say.
const ROUNDS: usize = 3;

/// One agent, one place, one policy.
#[derive(Debug)]
pub struct Reconciler<'a> {
    /// The agent.
    pub client: &'a Client,
    /// Datacenter, namespace, partition.
    pub query: &'a Query,
    /// What may be done.
    pub policy: &'a Policy,
}

impl Reconciler<'_> {
    /// Makes Consul agree with `desired`, and says what that took.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::wrote`] tells whether anything was written.
    pub fn apply(&self, desired: &Desired) -> Result<Report, Error> {
        let mut rounds = 1;
        loop {
            let (plan, observed) = self.plan(desired)?;
            match apply::apply(self, plan, &observed) {
                Err(Error::Stale { .. }) if rounds < ROUNDS => rounds += 1,
                result => return result,
            }
        }
    }

    /// Says what [`apply`](Self::apply) would do, and writes nothing, not even a renewal.
    ///
    /// # Errors
    /// What `apply` would fail with too, as far as that can be known without writing.
    pub fn foresee(&self, desired: &Desired) -> Result<Report, Error> {
        let (plan, observed) = self.plan(desired)?;
        foresee::foresee(self, plan, &observed)
    }

    fn plan(&self, desired: &Desired) -> Result<(Plan, Observation), Error> {
        let mut observed = observe::sessions(self, desired)?;
        let mut plan = Plan::between(desired, &observed.sessions, self.policy);
        if plan.depends_on_locks() {
            match observe::locks(self, &mut observed.sessions) {
                // Whoever forces a replacement need not know what is lost; a duplicate stays then.
                Err(Error::Blind { .. }) if self.policy.force => {
                    observed.sessions.iter_mut().for_each(|session| session.locks = HeldLocks::Hidden);
                }
                looked => looked?,
            }
            plan = Plan::between(desired, &observed.sessions, self.policy);
        }
        plan.check(self.policy)?;
        Ok((plan, observed))
    }
}
