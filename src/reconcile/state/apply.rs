//! Carries a plan out: the record ahead, the changes in their order, the record settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::object::{DesiredState, ObjectId, SessionId};
use crate::plan::Change;
use crate::plan::state::{Claim, StateChange, StatePlan, Step};

use super::{Error, Inventory, OwnerLock, Planned, StateError, StateReconciler, inventory, keys, services, sessions};

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateReport {
    /// The objects that were changed, in their order.
    pub done: Vec<ObjectId>,
    /// The sessions that were created.
    pub created: BTreeMap<ObjectId, SessionId>,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

/// A plan while it is carried out.
pub(super) struct Work<'a> {
    pub run: &'a StateReconciler<'a>,
    pub desired: &'a DesiredState,
    pub planned: &'a Planned,
    pub lock: &'a OwnerLock,
    progress: &'a (dyn Fn(&StateChange) + Sync),
    state: Mutex<State<'a>>,
}

#[derive(Default)]
struct State<'a> {
    /// How many changes of an object are still to be made.
    open: HashMap<&'a ObjectId, usize>,
    /// Objects of which something was done, or may have been, but not everything.
    begun: BTreeSet<&'a ObjectId>,
    created: HashMap<&'a ObjectId, SessionId>,
}

pub(super) fn apply(
    run: &StateReconciler<'_>,
    desired: &DesiredState,
    planned: &Planned,
    lock: &OwnerLock,
    progress: &(dyn Fn(&StateChange) + Sync),
) -> Result<StateReport, StateError> {
    let work = Work { run, desired, planned, lock, progress, state: Mutex::default() };
    work.with(|state| {
        for change in &planned.plan.changes {
            *state.open.entry(&change.id).or_default() += 1;
        }
    });
    let (plan, claims) = (&planned.plan, &planned.claims);
    let ready = || {
        plan.check().map_err(|refusals| Error::UnsafeState(refusals.to_vec()))?;
        // The lock of another owner, or elsewhere, guards nothing.
        let fits = lock.owner() == desired.owner && lock.query() == run.query;
        if !fits {
            return Err(Error::LockLost { owner: desired.owner.clone() });
        }
        lock.check()?;
        let fresh = Fresh { services: services::look(&work)? };
        sessions::look(&work)?;
        let ahead = plan.ahead(desired, claims);
        let standing = inventory::write(run.client, lock, &planned.standing, &ahead)?;
        if let Some((id, owner)) = claimed_meanwhile(&work)? {
            inventory::write(run.client, lock, &standing, planned.record())?;
            return Err(about(&id, Error::Stale { what: format!("owner {owner:?} set out to make it") }));
        }
        take_over(&work)?;
        Ok((fresh, standing))
    };
    let (fresh, standing) = ready().map_err(|source| StateError::before(work.open(), source))?;
    let outcome = work.carry_out(&fresh);
    let settled = plan.settled(desired, claims, |id| work.is_done(id));
    let settled = inventory::write(run.client, lock, &standing, &settled);
    let created = work.with(|state| std::mem::take(&mut state.created));
    match outcome.and_then(|()| settled.map(drop)) {
        Err(source) => {
            let begun = work.with(|state| std::mem::take(&mut state.begun)).into_iter().cloned().collect();
            Err(StateError { done: work.done(), not_done: work.open(), begun, source: Box::new(source) })
        }
        Ok(()) => Ok(StateReport {
            done: work.done(),
            warnings: warnings(plan),
            created: created.into_iter().map(|(id, session)| (id.clone(), session)).collect(),
        }),
    }
}

/// How long to wait for a run of another owner from whom objects are taken over.
const OTHERS: Duration = Duration::from_secs(15);

/// What this run is to make, or to take over, and another owner claims by now, who did not when the plan was made. Each
/// has written its record before it looks, so that of two owners who want the same one at least sees the other.
fn claimed_meanwhile(work: &Work<'_>) -> Result<Option<(ObjectId, String)>, Error> {
    let made = work.changes().filter(|change| change.claim != Claim::Ours).map(|change| &change.id);
    let made: BTreeSet<&ObjectId> = made.chain(&work.planned.plan.adopted).collect();
    if made.is_empty() {
        return Ok(None);
    }
    let inventory = Inventory::read_beside(&work.desired.owner, work.run.client, work.run.query)?;
    let others = inventory.others(work.desired, |id| made.contains(id))?;
    Ok(others.into_iter().find(|(id, owner)| work.planned.claims.others.get(id) != Some(owner)))
}

/// Takes what this owner takes over out of the records of those who had it, under their locks: else both would go on to
/// have it. Our own record names it already.
fn take_over(work: &Work<'_>) -> Result<(), Error> {
    let mut taken: BTreeMap<&str, Vec<&ObjectId>> = BTreeMap::new();
    let adopted = work.planned.plan.adopted.iter();
    let changed =
        work.changes().filter(|change| matches!(change.claim, Claim::Adopted { .. })).map(|change| &change.id);
    for id in adopted.chain(changed) {
        if let Some(owner) = work.planned.claims.others.get(id) {
            taken.entry(owner).or_default().push(id);
        }
    }
    for (owner, ids) in taken {
        let lock = work.run.lock(owner, OTHERS)?;
        inventory::disown(work.run.client, &lock, work.desired, &ids)?;
        lock.release()?;
    }
    Ok(())
}

/// What was looked at again just before the first write.
struct Fresh {
    services: services::Reach,
}

impl<'a> Work<'a> {
    /// Services come before sessions, which may depend on their checks, and go after them.
    fn carry_out(&self, fresh: &Fresh) -> Result<(), Error> {
        services::register(self, &fresh.services)?;
        sessions::create(self)?;
        keys::write(self)?;
        keys::delete(self)?;
        sessions::destroy(self)?;
        services::deregister(self, &fresh.services)
    }

    pub fn changes(&self) -> impl Iterator<Item = &'a StateChange> {
        self.planned.plan.changes.iter()
    }

    /// Before each request that writes: whether the lock is still held, and nobody asked to stop.
    ///
    /// # Errors
    /// The reason to write nothing more.
    pub fn go_on(&self) -> Result<(), Error> {
        if self.run.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::Stopped);
        }
        self.lock.check()
    }

    fn with<T>(&self, f: impl FnOnce(&mut State<'a>) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a change was made.
    pub fn finished(&self, change: &'a StateChange) {
        self.with(|state| {
            let Some(open) = state.open.get_mut(&change.id) else { return };
            *open = open.saturating_sub(1);
            if *open > 0 {
                state.begun.insert(&change.id);
            } else {
                state.begun.remove(&change.id);
            }
        });
        (self.progress)(change);
    }

    /// Notes that something of an object was done, or may have been.
    pub fn begun(&self, id: &'a ObjectId) {
        self.with(|state| state.begun.insert(id));
    }

    /// Names the object that an error is about, and notes where something of it may have been done all the same.
    pub fn failed(&self, id: &'a ObjectId, source: impl Into<Error>) -> Error {
        let source = source.into();
        if source.wrote() || source.leaves_open() {
            self.begun(id);
        }
        about(id, source)
    }

    /// Notes that the session of a change was created.
    pub fn created(&self, id: &'a ObjectId, session: SessionId) {
        self.with(|state| {
            state.begun.insert(id);
            state.created.insert(id, session);
        });
    }

    /// Notes that a change which was made did not last.
    pub fn undone(&self, id: &'a ObjectId) {
        self.with(|state| {
            *state.open.entry(id).or_default() += 1;
            state.begun.remove(id);
            state.created.remove(id);
        });
    }

    pub fn created_of(&self, id: &ObjectId) -> Option<SessionId> {
        self.with(|state| state.created.get(id).cloned())
    }

    fn is_done(&self, id: &ObjectId) -> bool {
        self.with(|state| state.open.get(id) == Some(&0))
    }

    fn done(&self) -> Vec<ObjectId> {
        self.of(|open| open == 0)
    }

    fn open(&self) -> Vec<ObjectId> {
        self.of(|open| open > 0)
    }

    /// The objects of which so many changes are open, in order.
    fn of(&self, fits: impl Fn(usize) -> bool) -> Vec<ObjectId> {
        let mut ids: Vec<&ObjectId> = self.with(|state| {
            let fitting = state.open.iter().filter(|(_, open)| fits(**open));
            fitting.map(|(id, _)| *id).collect()
        });
        ids.sort_unstable();
        ids.into_iter().cloned().collect()
    }
}

/// Names the object that an error is about.
pub(super) fn about(id: &ObjectId, source: impl Into<Error>) -> Error {
    match source.into() {
        error @ (Error::LockLost { .. } | Error::Stopped | Error::Object { .. }) => error,
        source => Error::Object { id: id.clone(), source: Box::new(source) },
    }
}

fn warnings(plan: &StatePlan) -> Vec<String> {
    let made = plan.changes.iter().filter(|change| match &change.step {
        Step::Session(Change::Create { after } | Change::Replace { after, .. }) => after.ttl.is_some(),
        _ => false,
    });
    match made.count() {
        0 => Vec::new(),
        count => vec![format!(
            "sessions with a ttl that were created: {count}; they end when nobody renews them, as `lictor apply --watch` does"
        )],
    }
}
