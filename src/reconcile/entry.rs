//! Between the wire's records and the noun: the only place that reads one as the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::consul::{ServiceCheckEntry, SessionEntry, SessionRequest};
use crate::duration::ConsulDuration;
use crate::object::{Behavior, HeldLocks, ObservedSession, ServiceCheck, Session, SessionId};

use super::Error;

/// Puts the oldest sessions first.
pub(crate) fn oldest_first(entries: &mut [SessionEntry]) {
    crate::sort::by(entries, |a, b| a.create_index.cmp(&b.create_index));
}

impl TryFrom<&SessionEntry> for ObservedSession {
    type Error = Error;

    fn try_from(entry: &SessionEntry) -> Result<Self, Error> {
        Self::try_from(entry.clone())
    }
}

impl TryFrom<SessionEntry> for ObservedSession {
    type Error = Error;

    fn try_from(entry: SessionEntry) -> Result<Self, Error> {
        let odd = |problem: String| Error::Odd { id: entry.id.clone(), problem };
        let behavior = match entry.behavior.as_str() {
            "release" | "" => Behavior::Release,
            "delete" => Behavior::Delete,
            other => return Err(odd(format!("its behavior is {other:?}"))),
        };
        let ttl = match entry.ttl.as_str() {
            "" => ConsulDuration::default(),
            ttl => ttl.parse().map_err(|error| odd(format!("its TTL: {error}")))?,
        };
        let id = SessionId::parse(&entry.id).map_err(|error| odd(error.to_string()))?;
        // Put in one by one: to collect them would bring a sort of their own into the small binary.
        let mut service_checks = BTreeSet::new();
        service_checks.extend(entry.service_checks.iter().map(ServiceCheck::from));
        Ok(Self {
            id,
            create_index: entry.create_index,
            session: Arc::new(Session {
                name: Some(entry.name).filter(|name| !name.is_empty()),
                node: entry.node,
                checks: entry.node_checks.into(),
                service_checks,
                // Consul echoes a negative lock-delay, and treats it as none.
                lock_delay: ConsulDuration::from_nanos(u64::try_from(entry.lock_delay).unwrap_or(0)),
                ttl: Some(ttl).filter(|ttl| !ttl.is_zero()),
                behavior,
            }),
            locks: HeldLocks::NotLooked,
            replacement_notes: Vec::new(),
        })
    }
}

impl From<&ServiceCheckEntry> for ServiceCheck {
    fn from(entry: &ServiceCheckEntry) -> Self {
        let namespace = entry.namespace.clone().filter(|namespace| !namespace.is_empty());
        Self { id: entry.id.clone(), namespace }
    }
}

impl From<&Session> for SessionRequest {
    /// Everything is spelled out, so that no default of a later Consul can get in between.
    fn from(session: &Session) -> Self {
        let Session { name, node, checks, service_checks, lock_delay, ttl, behavior } = session;
        Self {
            name: name.clone(),
            node: Some(node.clone()),
            lock_delay: Some(lock_delay.to_string()),
            behavior: Some(behavior.to_string()),
            ttl: ttl.map(|ttl| ttl.to_string()),
            node_checks: Some(checks.to_vec()),
            service_checks: service_checks
                .iter()
                .map(|check| ServiceCheckEntry { id: check.id.clone(), namespace: check.namespace.clone() })
                .collect(),
        }
    }
}
