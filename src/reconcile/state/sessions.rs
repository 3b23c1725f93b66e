//! The sessions of a plan: looked at again, created, destroyed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consul::{Client, Error as ConsulError, SessionRequest};
use crate::object::{ObjectId, ObservedSession, Session, SessionId};
use crate::plan::state::{StateChange, Step, UnsafeState};
use crate::plan::{Change, UnsafePlan};

use super::apply::{Work, about};
use super::observe::{self, Mentioned};
use super::{Error, parallel};
use crate::object::Behavior;

/// How long to wait for the checks of a session on whose node this run has registered services: the agent tells the
/// catalog of them a moment later, and a check is critical until it has run.
const CHECKS: Duration = Duration::from_secs(30);

/// The pause before another try.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks again just before the first write: Consul has no compare-and-set for sessions.
pub(super) fn look(work: &Work<'_>) -> Result<(), Error> {
    let ids: BTreeSet<&ObjectId> = changes(work).map(|(change, _)| &change.id).collect();
    let now = observe(work, ids.clone())?;
    for id in ids {
        let brief = |sessions: Option<&Vec<ObservedSession>>| -> BTreeMap<SessionId, Arc<Session>> {
            sessions.into_iter().flatten().map(|session| (session.id.clone(), session.session.clone())).collect()
        };
        if brief(now.get(id)) != brief(work.planned.observed.sessions.get(id)) {
            return Err(Error::Stale { what: format!("{id} was changed") });
        }
    }
    Ok(())
}

fn changes<'a>(work: &Work<'a>) -> impl Iterator<Item = (&'a StateChange, &'a Change)> {
    work.changes().filter_map(|change| match &change.step {
        Step::Session(step) => Some((change, step)),
        _ => None,
    })
}

fn observe(work: &Work<'_>, ids: BTreeSet<&ObjectId>) -> Result<BTreeMap<ObjectId, Vec<ObservedSession>>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    observe::sessions(work.run, work.desired, &Mentioned::only(ids))
}

/// Creates sessions, many at once; then one look shows that all stand as asked.
pub(super) fn create(work: &Work<'_>) -> Result<(), Error> {
    let creates: Vec<(&StateChange, &Arc<Session>)> = changes(work)
        .filter_map(|(change, step)| match step {
            Change::Create { after } | Change::Replace { after, .. } => Some((change, after)),
            Change::Delete { .. } => None,
        })
        .collect();
    if creates.is_empty() {
        return Ok(());
    }
    let own = || work.run.client.apart();
    let (_, failed) = parallel::each_with(&creates, work.run.parallelism, own, |client, (change, after)| {
        let id = create_one(work, client, after).map_err(|error| work.failed(&change.id, error))?;
        work.created(&change.id, id);
        if matches!(change.step, Step::Session(Change::Create { .. })) {
            work.finished(change);
        }
        Ok::<_, Error>(())
    });
    if let Some((_, error)) = failed {
        return Err(error);
    }
    let now = observe(work, creates.iter().map(|(change, _)| &change.id).collect())?;
    for (change, after) in creates {
        let created = work.created_of(&change.id);
        let standing = now.get(&change.id).into_iter().flatten().find(|session| Some(&session.id) == created.as_ref());
        let error = match standing {
            Some(session) if session.session == *after => continue,
            Some(session) => {
                let differences = session.session.differences(after);
                work.run.client.session().destroy(session.id.as_str(), work.run.query)?;
                Error::NotAsAsked { differences }
            }
            None => Error::Stale { what: "the session that this run had just created was ended".to_owned() },
        };
        work.undone(&change.id);
        return Err(about(&change.id, error));
    }
    Ok(())
}

fn create_one(work: &Work<'_>, client: &Client, session: &Session) -> Result<SessionId, Error> {
    session.validate()?;
    let request = SessionRequest::from(session);
    let start = Instant::now();
    loop {
        work.go_on()?;
        match client.session().create(&request, work.run.query) {
            Err(error) if awaits_checks(work, session, &error) && start.elapsed() < CHECKS => std::thread::sleep(PAUSE),
            created => return Ok(SessionId::parse(&created?)?),
        }
    }
}

/// Whether a session could not be created for a check that this run has registered, it may be, a moment ago.
fn awaits_checks(work: &Work<'_>, session: &Session, error: &ConsulError) -> bool {
    let says = |body: &str| body.contains("Missing check") || body.contains("critical state");
    let registered = |change: &StateChange| {
        matches!((&change.id, &change.step), (ObjectId::Service { node, .. }, Step::Service { .. })
            if node.eq_ignore_ascii_case(&session.node))
    };
    error.body().is_some_and(says) && work.changes().any(registered)
}

/// Destroys what is declared no more, and what was replaced. What holds a key by now that it did not hold when the plan was
/// made stays, unless that was forced.
pub(super) fn destroy(work: &Work<'_>) -> Result<(), Error> {
    let ends: Vec<(&StateChange, &ObservedSession)> = changes(work)
        .filter_map(|(change, step)| match step {
            Change::Replace { before, .. } | Change::Delete { before, .. } => Some((change, before.as_ref())),
            Change::Create { .. } => None,
        })
        .collect();
    if ends.is_empty() {
        return Ok(());
    }
    if !work.run.policy.force {
        refuse_new_locks(work, &ends)?;
    }
    let (_, failed) = parallel::each(&ends, work.run.parallelism, |(change, before)| {
        work.go_on()?;
        work.run
            .client
            .session()
            .destroy(before.id.as_str(), work.run.query)
            .map_err(|error| work.failed(&change.id, error))?;
        work.finished(change);
        Ok::<_, Error>(())
    });
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

fn refuse_new_locks(work: &Work<'_>, ends: &[(&StateChange, &ObservedSession)]) -> Result<(), Error> {
    let mut now: Vec<ObservedSession> = ends.iter().map(|(_, before)| ObservedSession::clone(before)).collect();
    observe::locks(work.run, now.iter_mut())?;
    for ((change, before), now) in ends.iter().zip(now) {
        let keys = now.locks.keys().to_vec();
        if keys.is_empty() {
            continue;
        }
        return Err(match &change.step {
            Step::Session(Change::Replace { after, .. }) => {
                let differences = before.session.differences(after);
                let deletes = before.session.behavior == Behavior::Delete;
                about(&change.id, UnsafePlan::LocksHeld { id: before.id.clone(), differences, keys, deletes })
            }
            _ => Error::UnsafeState(vec![crate::plan::state::Refusal {
                id: Some(change.id.clone()),
                reason: UnsafeState::LocksHeld(keys),
            }]),
        });
    }
    Ok(())
}
