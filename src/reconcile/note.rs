//! The note that a replacement leaves while it is under way.
//!
//! Sessions cannot carry a mark, and a token that may write sessions need not be allowed to write keys. So the note
//! is a session itself, on the same node, whose name says which session is being replaced. A run that is killed
//! between its create and its destroy leaves it behind; the next run that looks at the node's sessions sees it at
//! no cost, and finishes. A note that nobody comes for ends by its TTL.

use crate::consul::{SessionEntry, SessionRequest};
use crate::duration::ConsulDuration;
use crate::object::{Names, ObservedSession, Session, SessionId};

/// What a note for `replaced` on `node` is. Nobody else's session is taken for a note: the name is refused to users,
/// and all else has to be just this.
fn note(node: &str, replaced: &SessionId) -> Session {
    Session {
        name: Some(format!("{}{replaced}", Session::NOTE_PREFIX)),
        checks: Names::new(),
        lock_delay: ConsulDuration::default(),
        ttl: Some(Session::TTL_MAX),
        ..Session::on(node)
    }
}

/// The request that makes the note for `replaced`.
pub(super) fn request(node: &str, replaced: &SessionId) -> SessionRequest {
    SessionRequest::from(&note(node, replaced))
}

/// The session that `entry` is a note about, if it is a note.
fn subject(entry: &SessionEntry) -> Option<SessionId> {
    let replaced = SessionId::parse(entry.name.strip_prefix(Session::NOTE_PREFIX)?).ok()?;
    let session = ObservedSession::try_from(entry).ok()?.session;
    (*session == note(&entry.node, &replaced)).then_some(replaced)
}

/// Whether `entry` is a note.
pub(super) fn is_note(entry: &SessionEntry) -> bool {
    subject(entry).is_some()
}

fn ids_where(entries: &[SessionEntry], about: impl Fn(&SessionId) -> bool) -> Vec<SessionId> {
    let notes = entries.iter().filter(|entry| subject(entry).is_some_and(|replaced| about(&replaced)));
    notes.filter_map(|entry| SessionId::parse(&entry.id).ok()).collect()
}

/// The ids of those of `entries` that are notes about `replaced`.
pub(super) fn about(entries: &[SessionEntry], replaced: &SessionId) -> Vec<SessionId> {
    ids_where(entries, |subject| subject == replaced)
}

/// The ids of those of `entries`, all sessions of a node, that are notes about a session which is there no more: the
/// run that made it was killed after its last but one step.
pub(super) fn out_of_date(entries: &[SessionEntry]) -> Vec<SessionId> {
    ids_where(entries, |subject| !entries.iter().any(|entry| entry.id == subject.as_str()))
}
