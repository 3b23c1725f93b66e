//! The note that a replacement leaves while it is under way.
//!
//! Sessions cannot carry a mark, and a token that may write sessions need not be allowed to write keys. So the note
//! is a session itself, on the same node, whose name says which session is being replaced. A run that is killed
//! between its create and its destroy leaves it behind; the next run that looks at the node's sessions sees it at
//! no cost, and finishes. A note that nobody comes for ends by its TTL.

use crate::consul::{SessionEntry, SessionRequest};
use crate::object::{Session, SessionId};

/// How a note's name begins; the id of the session that is being replaced follows.
const PREFIX: &str = "lictor: replacing ";

/// The note for `replaced`, a session on `node`.
pub(super) fn request(node: &str, replaced: &SessionId) -> SessionRequest {
    SessionRequest {
        name: Some(format!("{PREFIX}{replaced}")),
        node: Some(node.to_owned()),
        lock_delay: Some("0s".to_owned()),
        behavior: Some("release".to_owned()),
        ttl: Some(Session::TTL_MAX.to_string()),
        node_checks: Some(Vec::new()),
        service_checks: Vec::new(),
    }
}

/// The ids of those of `entries` that are notes about `replaced`.
pub(super) fn about(entries: &[SessionEntry], replaced: &SessionId) -> Vec<SessionId> {
    entries
        .iter()
        .filter(|entry| entry.name.strip_prefix(PREFIX) == Some(replaced.as_str()))
        .filter_map(|entry| SessionId::parse(&entry.id).ok())
        .collect()
}

/// The ids of those of `entries`, all sessions of a node, that are notes about a session which is there no more: the
/// run that made it was killed after its last but one step.
pub(super) fn out_of_date(entries: &[SessionEntry]) -> Vec<SessionId> {
    let exists = |id: &str| entries.iter().any(|entry| entry.id == id);
    entries
        .iter()
        .filter(|entry| {
            entry
                .name
                .strip_prefix(PREFIX)
                .is_some_and(|replaced| SessionId::parse(replaced).is_ok() && !exists(replaced))
        })
        .filter_map(|entry| SessionId::parse(&entry.id).ok())
        .collect()
}
