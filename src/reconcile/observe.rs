//! Reads from Consul what a plan needs, and no more.

use crate::consul::{Client, Query, QueryMeta, SessionEntry};
use crate::object::{HeldLocks, ObservedSession, Session, SessionId};
use crate::plan::Desired;

use super::{Error, Reconciler, note};

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Observation {
    /// The sessions of the desired identity.
    pub sessions: Vec<ObservedSession>,
    /// The same, as Consul wrote them.
    pub entries: Vec<SessionEntry>,
    /// Notes of replacements that are over.
    pub old_notes: Vec<SessionId>,
}

impl Observation {
    /// The session of this id, as Consul wrote it.
    pub fn entry(&self, id: &SessionId) -> Option<SessionEntry> {
        self.entries.iter().find(|entry| entry.id.eq_ignore_ascii_case(id.as_str())).cloned()
    }
}

/// Reads the sessions that `desired` is about: one request, for one node or one id.
pub(super) fn sessions(run: &Reconciler<'_>, desired: &Desired) -> Result<Observation, Error> {
    match desired {
        Desired::Present { session } => of_wish(run, run.query, session),
        Desired::Absent { node, name } => of_name(run, run.query, node, Some(name)),
        Desired::Anonymous { .. } => Ok(Observation::default()),
        Desired::Existing { id, .. } | Desired::Gone { id, .. } => {
            let (entry, meta) = run.client.session().read(id.as_str(), run.query)?;
            complete(&meta, "every session", "session_prefix \"\" = read")?;
            observation(entry.into_iter().collect(), &[])
        }
    }
}

/// The sessions of the identity of `wish`.
pub(super) fn of_wish(run: &Reconciler<'_>, query: &Query, wish: &Session) -> Result<Observation, Error> {
    let mut observation = of_name(run, query, &wish.node, wish.name.as_deref())?;
    for observed in &mut observation.sessions {
        observed.session = Session::clone(&observed.session).spelled_as(wish).into();
    }
    Ok(observation)
}

/// The sessions of one name on one node.
fn of_name(run: &Reconciler<'_>, query: &Query, node: &str, name: Option<&str>) -> Result<Observation, Error> {
    let (entries, meta) = run.client.session().list_node_with_meta(node, query)?;
    complete(&meta, &format!("the sessions of node '{node}'"), &format!("session \"{node}\" = read"))?;
    let old_notes = note::out_of_date(&entries);
    let (named, others) = entries.into_iter().partition(|entry| Some(entry.name.as_str()) == name);
    Ok(Observation { old_notes, ..observation(named, &others)? })
}

fn observation(entries: Vec<SessionEntry>, others: &[SessionEntry]) -> Result<Observation, Error> {
    let mut sessions = entries.iter().map(ObservedSession::try_from).collect::<Result<Vec<_>, _>>()?;
    for session in &mut sessions {
        session.replacement_notes = note::about(others, &session.id);
    }
    Ok(Observation { sessions, entries, old_notes: Vec::new() })
}

/// A key that nobody has, by whose refusal a token shows that it may not read every key.
const CANARY: &str = "lictor-may-this-token-read-every-key";

/// Finds the keys that `sessions` hold, below the policy's prefix.
pub(super) fn locks(run: &Reconciler<'_>, sessions: &mut [ObservedSession]) -> Result<(), Error> {
    let prefix = run.policy.lock_prefix.as_str();
    readable(run.client, run.query, prefix)?;
    let (keys, meta) = run.client.kv().locked(prefix, &run.query.consistent())?;
    if meta.filtered_by_acls {
        return Err(blind_below(prefix));
    }
    for session in sessions {
        let of_session = |holder: &str| holder.eq_ignore_ascii_case(session.id.as_str());
        let held = keys.iter().filter(|key| key.session.as_deref().is_some_and(of_session));
        session.locks = HeldLocks::Keys(held.map(|key| key.key.clone()).collect());
    }
    Ok(())
}

/// Proves that the token may read the keys below `prefix`: Consul leaves out of a list what it may not, but refuses a
/// direct read.
pub(super) fn readable(client: &Client, query: &Query, prefix: &str) -> Result<(), Error> {
    let canary = if prefix.is_empty() { CANARY } else { prefix };
    if client.kv().may_read(canary, query)? { Ok(()) } else { Err(blind_below(prefix)) }
}

/// The error for keys below `prefix` that the token may not see.
pub(super) fn blind_below(prefix: &str) -> Error {
    Error::Blind {
        what: if prefix.is_empty() { "every key".to_owned() } else { format!("every key below {prefix:?}") },
        rule: format!("key_prefix \"{prefix}\" = read (or a lock_prefix, or a key, that it may read)"),
    }
}

/// Refuses a list that the token does not show whole, as far as Consul says so.
pub(super) fn complete(meta: &QueryMeta, what: &str, rule: &str) -> Result<(), Error> {
    if meta.filtered_by_acls {
        return Err(Error::Blind { what: what.to_owned(), rule: rule.to_owned() });
    }
    Ok(())
}
