//! The properties of a session that somebody mentioned.

use std::collections::BTreeSet;

use super::names::Names;
use super::session::{Behavior, ServiceCheck, Session};
use crate::duration::ConsulDuration;

/// Some properties of a session. `None` is one that nobody mentioned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The name.
    pub name: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The node's checks.
    pub checks: Option<Names>,
    /// The service checks.
    pub service_checks: Option<BTreeSet<ServiceCheck>>,
    /// The lock-delay.
    pub lock_delay: Option<ConsulDuration>,
    /// The TTL; zero means none, as it does to Consul.
    pub ttl: Option<ConsulDuration>,
    /// The behavior.
    pub behavior: Option<Behavior>,
}

impl Properties {
    /// `base`, with these properties in place of its own.
    pub fn over(self, base: Session) -> Session {
        let Self { name, node, checks, service_checks, lock_delay, ttl, behavior } = self;
        Session {
            name: name.or(base.name),
            node: node.unwrap_or(base.node),
            checks: checks.unwrap_or(base.checks),
            service_checks: service_checks.unwrap_or(base.service_checks),
            lock_delay: lock_delay.unwrap_or(base.lock_delay),
            ttl: ttl.map_or(base.ttl, |ttl| Some(ttl).filter(|ttl| !ttl.is_zero())),
            behavior: behavior.unwrap_or(base.behavior),
        }
    }
}
