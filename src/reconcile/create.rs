//! Creates a session, and looks again: is it as asked for, and is it the only one?

use crate::consul::{SessionEntry, SessionRequest};
use crate::object::{ObservedSession, Session, SessionId};

use super::observe::{self, Observation};
use super::{Error, Reconciler};

/// What became of a create.
pub(super) enum Created {
    /// It stays.
    Stays(SessionId, SessionEntry),
    /// Another run created the same session a moment earlier. Ours was withdrawn; this one stays.
    Withdrawn(SessionEntry),
}

/// Creates `after`. `before` is what was there when the plan was made.
pub(super) fn create(run: &Reconciler<'_>, after: &Session, before: &Observation) -> Result<Created, Error> {
    after.validate()?;
    let id = run.client.session().create(&SessionRequest::from(after), run.query)?;
    let id = SessionId::parse(&id)?;
    look_again(run, after, &id, before).map_err(|error| match error {
        // These have withdrawn the session, or say that they could not.
        error @ (Error::Stale { .. } | Error::NotAsAsked { .. } | Error::Interrupted { .. }) => error,
        error => Error::Interrupted {
            done: format!("session {id} was created, but not looked at again: another run may have created it too"),
            next: "the next run finds it",
            created: Some(id),
            source: Box::new(error),
        },
    })
}

fn look_again(run: &Reconciler<'_>, after: &Session, id: &SessionId, before: &Observation) -> Result<Created, Error> {
    let now = observe_again(run, after, id)?;
    let ours = now.sessions.iter().find(|session| session.id == *id);
    let index = ours.map_or(u64::MAX, |session| session.create_index);
    let newcomers = now.sessions.iter().filter(|session| before.entry(&session.id).is_none() && session.id != *id);
    if let Some(rival) = newcomers.filter(|session| session.create_index < index).min_by_key(|s| s.create_index) {
        withdraw(run, id, "another run was first")?;
        return match now.entry(&rival.id) {
            Some(entry) if *rival.session == *after => Ok(Created::Withdrawn(entry)),
            _ => Err(Error::Stale { what: format!("another run created session {} with other properties", rival.id) }),
        };
    }
    let (Some(ours), Some(entry)) = (ours, now.entry(id)) else {
        return Err(Error::Stale { what: format!("session {id}, which this run had just created, was ended") });
    };
    if *ours.session != *after {
        withdraw(run, id, "it is not as asked for")?;
        return Err(Error::NotAsAsked { differences: ours.session.differences(after) });
    }
    Ok(Created::Stays(id.clone(), entry))
}

fn observe_again(run: &Reconciler<'_>, after: &Session, id: &SessionId) -> Result<Observation, Error> {
    let query = run.query.consistent();
    if after.name.is_some() {
        return observe::of_wish(run, &query, after);
    }
    let entries: Vec<SessionEntry> = run.client.session().read(id.as_str(), &query)?.0.into_iter().collect();
    let spelled = |entry| {
        ObservedSession::try_from(entry).map(|observed| {
            let session = Session::clone(&observed.session).spelled_as(after);
            ObservedSession { session: session.into(), ..observed }
        })
    };
    let sessions = entries.iter().map(spelled).collect::<Result<_, _>>()?;
    Ok(Observation { sessions, entries, ..Observation::default() })
}

/// Destroys a session that this run has just created.
fn withdraw(run: &Reconciler<'_>, id: &SessionId, why: &str) -> Result<(), Error> {
    run.client.session().destroy(id.as_str(), run.query).map_err(|error| Error::Interrupted {
        done: format!("session {id} was created, and is not to stay ({why}), but could not be destroyed again"),
        next: "destroy it by its id",
        created: Some(id.clone()),
        source: Box::new(error.into()),
    })
}
