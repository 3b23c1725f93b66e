//! Writes what a plan says, change by change.

use crate::consul::{SessionEntry, SessionRequest};
use crate::object::{Behavior, ObservedSession, Session, SessionId};
use crate::plan::{Change, DeleteReason, Plan, SpareReason, Spared, UnsafePlan};

use super::observe::{self, Observation};
use super::{Action, Error, Reconciler, Report, note};

/// What became of a create.
enum Created {
    /// It stays.
    Stays(SessionEntry),
    /// Another run created the same session a moment earlier. Ours was withdrawn; this one stays.
    Withdrawn(SessionEntry),
}

/// Applies `plan`, which was made from `observed` and has passed its check.
pub(super) fn apply(run: &Reconciler<'_>, plan: Plan, observed: &Observation) -> Result<Report, Error> {
    let mut report = Report {
        action: Action::of(&plan),
        session: None,
        destroyed: Vec::new(),
        spared: plan.spared.clone(),
        warnings: Vec::new(),
        plan,
    };
    remove(run, &observed.old_notes);
    if let Some(keep) = &report.plan.keep {
        report.session = Some(renew(run, keep, observed)?);
    }
    for change in report.plan.changes.clone() {
        let step = match &change {
            Change::Create { after } => create(run, after, observed).map(|created| settle(&mut report, created)),
            Change::Replace { before, after } => replace(run, before, after, observed, &mut report),
            Change::Delete { before, reason } => delete(run, before, *reason, &mut report),
        };
        step.map_err(|error| interrupted(error, &report))?;
    }
    if report.action == Action::Pruned && report.destroyed.is_empty() {
        report.action = Action::Unchanged; // every duplicate took a lock in the meantime
    }
    Ok(report)
}

/// Starts the TTL of a session that stays anew.
fn renew(run: &Reconciler<'_>, keep: &ObservedSession, observed: &Observation) -> Result<SessionEntry, Error> {
    let ended = || Error::Stale { what: format!("session {} ended", keep.id) };
    if keep.session.ttl.is_none() {
        return observed.entry(&keep.id).ok_or_else(ended);
    }
    run.client.session().renew(keep.id.as_str(), run.query)?.ok_or_else(ended)
}

/// Creates a session, and looks again: is it as asked for, and is it the only one?
fn create(run: &Reconciler<'_>, after: &Session, observed: &Observation) -> Result<Created, Error> {
    after.validate()?;
    let id = run.client.session().create(&SessionRequest::from(after), run.query)?;
    let id = SessionId::parse(&id)?;
    look_again(run, after, &id, observed).map_err(|error| match error {
        withdrawn @ (Error::Stale { .. } | Error::NotAsAsked { .. }) => withdrawn,
        error => Error::Interrupted {
            done: format!("session {id} was created, but not looked at again: another run may have created it too"),
            created: Some(id),
            source: Box::new(error),
        },
    })
}

fn look_again(run: &Reconciler<'_>, after: &Session, id: &SessionId, before: &Observation) -> Result<Created, Error> {
    let query = run.query.consistent();
    let now = match &after.name {
        Some(name) => observe::of_name(run, &query, &after.node, Some(name))?,
        None => {
            let entries: Vec<SessionEntry> = run.client.session().read(id.as_str(), &query)?.0.into_iter().collect();
            let sessions = entries.iter().map(ObservedSession::try_from).collect::<Result<_, _>>()?;
            Observation { sessions, entries, ..Observation::default() }
        }
    };
    let ours = now.sessions.iter().find(|session| session.id == *id);
    let ours_entry = now.entry(id);
    let index = ours.map_or(u64::MAX, |session| session.create_index);
    let newcomers = now.sessions.iter().filter(|session| before.entry(&session.id).is_none() && session.id != *id);
    if let Some(rival) = newcomers.filter(|session| session.create_index < index).min_by_key(|s| s.create_index) {
        run.client.session().destroy(id.as_str(), run.query)?;
        return match now.entry(&rival.id) {
            Some(entry) if rival.session == *after => Ok(Created::Withdrawn(entry)),
            _ => Err(Error::Stale { what: format!("another run created session {} with other properties", rival.id) }),
        };
    }
    let (Some(ours), Some(entry)) = (ours, ours_entry) else {
        return Err(Error::Stale { what: format!("session {id}, which this run had just created, was ended") });
    };
    if ours.session != *after {
        run.client.session().destroy(id.as_str(), run.query)?;
        return Err(Error::NotAsAsked { differences: ours.session.differences(after) });
    }
    Ok(Created::Stays(entry))
}

/// Puts what became of a create into the report.
fn settle(report: &mut Report, created: Created) {
    report.session = Some(match created {
        Created::Stays(entry) => entry,
        Created::Withdrawn(entry) => {
            report.action = Action::Unchanged;
            entry
        }
    });
}

/// Creates `after`, then destroys `before`, with a note in Consul from the start to the end.
fn replace(
    run: &Reconciler<'_>,
    before: &ObservedSession,
    after: &Session,
    observed: &Observation,
    report: &mut Report,
) -> Result<(), Error> {
    let mut notes = before.replacement_notes.clone();
    if notes.is_empty() {
        let note = run.client.session().create(&note::request(&before.session.node, &before.id), run.query)?;
        notes.push(SessionId::parse(&note)?);
    }
    let created = match create(run, after, observed) {
        Ok(created) => created,
        Err(error) if error.wrote() => return Err(error), // the note stays: there is something to finish
        Err(error) => {
            remove(run, &notes);
            return Err(error);
        }
    };
    settle(report, created);
    if report.action == Action::Unchanged {
        remove(run, &notes); // the run that was first does the rest
        return Ok(());
    }
    if let Some(keys) = locks_taken(run, before)? {
        if let Some(new) = &report.session {
            run.client.session().destroy(&new.id, run.query)?;
        }
        report.session = None;
        remove(run, &notes);
        return Err(UnsafePlan::LocksHeld {
            id: before.id.clone(),
            differences: before.session.differences(after),
            keys,
            deletes: before.session.behavior == Behavior::Delete,
        }
        .into());
    }
    run.client.session().destroy(before.id.as_str(), run.query)?;
    report.destroyed.push(before.id.clone());
    warn_of_lost_locks(before, report);
    remove(run, &notes);
    Ok(())
}

/// Destroys a session, unless it is one that must not lose a lock and has taken one since the plan was made.
fn delete(
    run: &Reconciler<'_>,
    before: &ObservedSession,
    reason: DeleteReason,
    report: &mut Report,
) -> Result<(), Error> {
    if reason != DeleteReason::Absent && locks_taken(run, before)?.is_some() {
        report.spared.push(Spared { session: before.clone(), reason: SpareReason::HoldsLocks });
        return Ok(());
    }
    run.client.session().destroy(before.id.as_str(), run.query)?;
    report.destroyed.push(before.id.clone());
    warn_of_lost_locks(before, report);
    remove(run, &before.replacement_notes);
    Ok(())
}

/// The keys that `session` holds now, unless none, or unless that is no obstacle.
fn locks_taken(run: &Reconciler<'_>, session: &ObservedSession) -> Result<Option<Vec<String>>, Error> {
    if run.policy.force {
        return Ok(None);
    }
    let mut now = [session.clone()];
    observe::locks(run, &mut now)?;
    let [now] = now;
    Ok(Some(now.locks.keys().to_vec()).filter(|keys| !keys.is_empty()))
}

fn warn_of_lost_locks(session: &ObservedSession, report: &mut Report) {
    if !session.locks.keys().is_empty() {
        report.warnings.push(lost_locks(session, "held"));
    }
}

/// A warning about the keys that `session` held, or holds.
pub(super) fn lost_locks(session: &ObservedSession, verb: &str) -> String {
    format!("session {} {verb} {}", session.id, crate::plan::name_keys(session.locks.keys()))
}

/// Takes notes away. One that stays behind, because this fails, does no harm and ends by its TTL.
fn remove(run: &Reconciler<'_>, notes: &[SessionId]) {
    for note in notes {
        let _ = run.client.session().destroy(note.as_str(), run.query);
    }
}

/// Says what had been done when `error` came.
fn interrupted(error: Error, report: &Report) -> Error {
    let created = match report.action {
        Action::Created | Action::Replaced => {
            report.session.as_ref().and_then(|entry| SessionId::parse(&entry.id).ok())
        }
        _ => None,
    };
    let mut done = Vec::new();
    if let Some(id) = &created {
        done.push(format!("session {id} was created"));
    }
    if !report.destroyed.is_empty() {
        let ids: Vec<&str> = report.destroyed.iter().map(SessionId::as_str).collect();
        done.push(format!("{} destroyed", ids.join(", ")));
    }
    if error.wrote() || done.is_empty() {
        return error;
    }
    Error::Interrupted { done: done.join(", "), created, source: Box::new(error) }
}
