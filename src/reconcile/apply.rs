//! Writes what a plan says, change by change.

use crate::consul::SessionEntry;
use crate::object::{Behavior, ObservedSession, Session, SessionId};
use crate::plan::{Change, DeleteReason, Plan, SpareReason, Spared, UnsafePlan};

use super::create::{Created, create};
use super::observe::{self, Observation};
use super::{Error, Reconciler, Report, note};

/// How many sessions are destroyed before their locks are looked for again: a look reads every key below the lock
/// prefix, and a thousand duplicates are no rarity where the older module ran.
pub(super) const LOOK_EVERY: usize = 50;

/// Applies `plan`, which was made from `observed` and has passed its check.
pub(super) fn apply(run: &Reconciler<'_>, plan: Plan, observed: &Observation) -> Result<Report, Error> {
    let mut report = Report::of(plan);
    remove(run, &observed.old_notes);
    if let Some(keep) = &report.plan.keep {
        report.session = Some(renew(run, keep, observed)?);
    }
    let changes = report.plan.changes.clone();
    for change in &changes {
        match change {
            Change::Create { after } => create(run, after, observed).map(|created| settle(&mut report, created)),
            Change::Replace { before, after } => replace(run, before, after, observed, &mut report),
            Change::Delete { .. } => Ok(()), // deletes come last
        }
        .map_err(|error| interrupted(error, &report))?;
    }
    delete(run, &changes, &mut report).map_err(|error| interrupted(error, &report))?;
    report.action = report.outcome();
    stands(run, &report)?;
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

/// Puts what became of a create into the report.
fn settle(report: &mut Report, created: Created) {
    report.session = Some(match created {
        Created::Stays(id, entry) => {
            report.created = Some(id);
            entry
        }
        Created::Withdrawn(entry) => entry,
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
    // A note that is there already is another run's, at work or killed: it is not ours to take away before the end.
    let mut own_note = Vec::new();
    if before.replacement_notes.is_empty() {
        let note = run.client.session().create(&note::request(&before.session.node, &before.id), run.query)?;
        own_note.push(SessionId::parse(&note)?);
    }
    match create(run, after, observed) {
        Ok(created) => settle(report, created),
        // Something may be there to finish: the note stays.
        Err(error) if error.wrote() || error.leaves_open() => return Err(error),
        Err(error) => {
            remove(run, &own_note);
            return Err(error);
        }
    }
    if let Some(keys) = locks_taken(run, before)? {
        if let Some(new) = report.created.take() {
            run.client.session().destroy(new.as_str(), run.query)?;
        }
        report.session = None;
        remove(run, &own_note);
        return Err(UnsafePlan::LocksHeld {
            id: before.id.clone(),
            differences: before.session.differences(after),
            keys,
            deletes: before.session.behavior == Behavior::Delete,
        }
        .into());
    }
    destroy(run, before, report)?;
    remove(run, &own_note);
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

/// Destroys the sessions that `changes` say, except for those that must not lose a lock and have taken one since the
/// plan was made.
fn delete(run: &Reconciler<'_>, changes: &[Change], report: &mut Report) -> Result<(), Error> {
    let deletes = changes.iter().filter_map(|change| match change {
        Change::Delete { before, reason } => Some((before, *reason)),
        Change::Create { .. } | Change::Replace { .. } => None,
    });
    let guarded = |reason: DeleteReason| match reason {
        DeleteReason::Absent => false,
        DeleteReason::Duplicate => true,
        DeleteReason::Replaced => !run.policy.force,
    };
    for batch in deletes.collect::<Vec<_>>().chunks(LOOK_EVERY) {
        let mut now: Vec<ObservedSession> = batch
            .iter()
            .filter(|(_, reason)| guarded(*reason))
            .map(|(before, _)| ObservedSession::clone(before))
            .collect();
        if !now.is_empty() {
            observe::locks(run, &mut now)?;
        }
        for (before, _) in batch {
            let holds = |session: &&ObservedSession| session.id == before.id && !session.locks.keys().is_empty();
            if let Some(holder) = now.iter().find(holds) {
                report.spared.push(Spared { session: holder.clone(), reason: SpareReason::HoldsLocks });
                continue;
            }
            destroy(run, before, report)?;
        }
    }
    Ok(())
}

/// Destroys a session, and takes away the notes about it.
fn destroy(run: &Reconciler<'_>, session: &ObservedSession, report: &mut Report) -> Result<(), Error> {
    run.client.session().destroy(session.id.as_str(), run.query)?;
    report.destroyed.push(session.id.clone());
    if !session.locks.keys().is_empty() {
        report.warnings.push(lost_locks(session, "held"));
    }
    remove(run, &session.replacement_notes);
    Ok(())
}

/// A warning about the keys that `session` held, or holds.
pub(super) fn lost_locks(session: &ObservedSession, verb: &str) -> String {
    format!("session {} {verb} {}", session.id, crate::plan::name_keys(session.locks.keys()))
}

/// Takes notes away. One that stays behind, because this fails, does no harm: the next run on the node takes it away.
fn remove(run: &Reconciler<'_>, notes: &[SessionId]) {
    for note in notes {
        let _ = run.client.session().destroy(note.as_str(), run.query);
    }
}

/// Makes sure that the session which stands is there, where others were destroyed for its sake: two runs that wish
/// for different things must not destroy each other's.
fn stands(run: &Reconciler<'_>, report: &Report) -> Result<(), Error> {
    let Some(session) = report.session.as_ref().filter(|_| !report.destroyed.is_empty()) else { return Ok(()) };
    match run.client.session().read(&session.id, &run.query.consistent())?.0 {
        Some(_) => Ok(()),
        None => Err(Error::Stale { what: format!("another run destroyed session {}", session.id) }),
    }
}

/// Says what had been done when `error` came.
fn interrupted(error: Error, report: &Report) -> Error {
    let mut done = Vec::new();
    if let Some(id) = &report.created {
        done.push(format!("session {id} was created"));
    }
    if !report.destroyed.is_empty() {
        let ids: Vec<&str> = report.destroyed.iter().map(SessionId::as_str).collect();
        done.push(format!("{} destroyed", ids.join(", ")));
    }
    if error.wrote() || done.is_empty() {
        return error;
    }
    Error::Interrupted {
        done: done.join(", "),
        next: "the next run finishes this",
        created: report.created.clone(),
        source: Box::new(error),
    }
}
