//! The agent's own services and checks, which it synchronises into the catalog at once.
//!
//! A TTL check becomes critical when its time is over, an alias follows its service, and a service goes when a check of
//! it has been critical for as long as it says. Checks over HTTP and TCP are due here and made elsewhere
//! ([`probe`](super::super::probe)); those over gRPC keep the status that they begin with, and so do aliases of other
//! nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::by_id::ById;
use super::catalog::{CRITICAL, Check, Node, PASSING, Registration, Service, WARNING};
use super::keep::KeptLocal;
use super::{Deadline, Fault, State};

/// Consul makes nothing more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// A service is not removed before it has been critical for so long.
const SHORTEST_REAP: Duration = Duration::from_secs(60);

const NODE_MAINTENANCE: &str = "_node_maintenance";
const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dev) enum Probe {
    /// It is told.
    Ttl(Duration),
    Http {
        url: String,
        method: String,
        headers: Vec<(String, String)>,
        body: String,
    },
    Tcp(String),
    Grpc,
    /// A service on this node.
    Alias(String),
    AliasOfNode,
    Maintenance,
}

impl Probe {
    fn kind(&self) -> &'static str {
        match self {
            Self::Ttl(_) => "ttl",
            Self::Http { .. } => "http",
            Self::Tcp(_) => "tcp",
            Self::Grpc => "grpc",
            Self::Alias(_) | Self::AliasOfNode => "alias",
            Self::Maintenance => "maintenance",
        }
    }
}

/// A check that somebody wants.
#[derive(Clone, Debug)]
pub(in crate::dev) struct CheckRequest {
    pub id: String,
    pub name: String,
    pub notes: String,
    /// As it begins; critical where it is empty.
    pub status: String,
    pub service_id: String,
    pub probe: Probe,
    pub interval: Duration,
    pub timeout: Duration,
    /// Removes its service once it has been critical for so long.
    pub reap_after: Option<Duration>,
}

/// A check of this agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dev) struct LocalCheck {
    pub check: Check,
    pub probe: Probe,
    pub interval: Duration,
    pub timeout: Duration,
    pub(super) reap_after: Option<Duration>,
    /// Since when it has been critical, as somebody or something has found.
    #[serde(skip)]
    pub(super) critical_since: Option<Duration>,
}

/// What the agent has registered itself.
#[derive(Debug, Default)]
pub(in crate::dev) struct Local {
    services: ById<String, Service>,
    pub(super) checks: ById<String, LocalCheck>,
    /// When what will happen by itself.
    pub(super) due: BTreeMap<Deadline, Duration>,
    /// The checks that are to be made now.
    pub(super) probes: BTreeSet<String>,
}

impl Local {
    /// What is to be kept of it.
    pub(super) fn keep(&self) -> KeptLocal {
        KeptLocal { services: self.services.all().cloned().collect(), checks: self.checks.all().cloned().collect() }
    }

    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.get(id)
    }

    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.all()
    }

    pub fn check(&self, id: &str) -> Option<&Check> {
        self.checks.get(id).map(|local| &local.check)
    }

    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.all().map(|local| &local.check)
    }

    /// What tells of a service's health: its checks, and those of the node.
    pub fn health_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Check> {
        self.checks().filter(move |check| check.service_id.is_empty() || check.service_id == service)
    }
}

/// The worst of these: `maintenance`, `critical`, `warning` or `passing`.
pub(in crate::dev) fn worst<'a>(checks: impl Iterator<Item = &'a Check>) -> &'static str {
    let rank = |check: &Check| match check {
        Check { id, .. } if id == NODE_MAINTENANCE || id.starts_with(SERVICE_MAINTENANCE) => 3,
        Check { status, .. } if status == CRITICAL => 2,
        Check { status, .. } if status == WARNING => 1,
        _ => 0,
    };
    match checks.map(rank).max().unwrap_or(0) {
        0 => PASSING,
        1 => WARNING,
        2 => CRITICAL,
        _ => "maintenance",
    }
}

impl State {
    /// Takes up what was kept, which the catalog has, too. The times of its checks begin anew.
    pub(super) fn restore_local(&mut self, kept: KeptLocal) {
        let KeptLocal { services, checks } = kept;
        for service in services {
            self.local.services.insert(service.id.clone(), service);
        }
        for LocalCheck { check, probe, interval, timeout, reap_after, .. } in checks {
            let Check { id, name, status, notes, service_id, .. } = check.clone();
            self.add_check(CheckRequest { id, name, notes, status, service_id, probe, interval, timeout, reap_after });
            self.update_check(&check.id, &check.status, &check.output);
        }
    }

    /// Registers a service of the agent with its checks. With `replace`, other checks of it go.
    pub fn register_local_service(&mut self, service: Service, checks: Vec<CheckRequest>, replace: bool) {
        let id = service.id.clone();
        self.local.services.insert(id.clone(), service.clone());
        if replace {
            let others = self.local.checks().filter(|check| check.service_id == id);
            let others = others.filter(|check| !checks.iter().any(|wanted| wanted.id == check.id));
            let others: Vec<String> = others.map(|check| check.id.clone()).collect();
            others.iter().for_each(|other| self.deregister_local_check(other));
        }
        let added: Vec<Check> = checks.into_iter().map(|request| self.add_check(request)).collect();
        self.synchronise(Some(service), added);
        self.follow_services();
    }

    /// Registers a check of the agent, perhaps of a service of it.
    pub fn register_local_check(&mut self, request: CheckRequest) -> Result<(), Fault> {
        let of = request.service_id.clone();
        let service = self.local.service(&of).cloned();
        if service.is_none() && !of.is_empty() {
            return Err(Fault(format!("ServiceID {of:?} does not exist")));
        }
        let check = self.add_check(request);
        self.synchronise(service, vec![check]);
        self.follow_services();
        Ok(())
    }

    pub fn deregister_local_service(&mut self, id: &str) {
        if self.local.services.remove(id).is_none() {
            return;
        }
        let checks = self.local.checks().filter(|check| check.service_id == id);
        let checks: Vec<String> = checks.map(|check| check.id.clone()).collect();
        checks.iter().for_each(|check| self.forget_check(check));
        let node = self.identity.node.clone();
        self.deregister_now(&node, id, "");
        self.follow_services();
    }

    pub fn deregister_local_check(&mut self, id: &str) {
        if self.local.check(id).is_none() {
            return;
        }
        self.forget_check(id);
        let node = self.identity.node.clone();
        self.deregister_now(&node, "", id);
        self.follow_services();
    }

    /// Reads the configuration again, which has no services and no checks: what was registered goes.
    pub fn reload(&mut self) {
        let checks: Vec<String> = self.local.checks().map(|check| check.id.clone()).collect();
        checks.iter().for_each(|id| self.deregister_local_check(id));
        let services: Vec<String> = self.local.services.ids().cloned().collect();
        services.iter().for_each(|id| self.deregister_local_service(id));
    }

    /// Puts the node into maintenance, or a service of it, or ends that.
    pub fn maintain(&mut self, service: Option<&str>, enable: bool, reason: &str) {
        let id = service.map_or_else(|| NODE_MAINTENANCE.to_owned(), |id| format!("{SERVICE_MAINTENANCE}{id}"));
        if !enable {
            return self.deregister_local_check(&id);
        }
        if self.local.check(&id).is_some() {
            return;
        }
        let (name, what) = if service.is_some() { ("Service", "service") } else { ("Node", "node") };
        let notes = match reason {
            "" => format!(
                "Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message."
            ),
            reason => reason.to_owned(),
        };
        let request = CheckRequest {
            id,
            name: format!("{name} Maintenance Mode"),
            notes,
            status: CRITICAL.to_owned(),
            service_id: service.unwrap_or_default().to_owned(),
            probe: Probe::Maintenance,
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            reap_after: None,
        };
        let _ = self.register_local_check(request); // its service was looked up before
    }

    /// Adds a check, or replaces one: that one's status stays.
    fn add_check(&mut self, request: CheckRequest) -> Check {
        let CheckRequest { id, name, notes, status, service_id, probe, interval, timeout, reap_after } = request;
        let service = self.local.service(&service_id).cloned().unwrap_or_default();
        let before = self.local.check(&id).cloned();
        self.forget_check(&id);
        let check = Check {
            node: self.identity.node.clone(),
            id: id.clone(),
            name,
            status: if status.is_empty() { CRITICAL.to_owned() } else { status },
            notes,
            service_id,
            service_name: service.name,
            service_tags: service.tags,
            kind: probe.kind().to_owned(),
            ..Check::default()
        };
        let interval = interval.max(SHORTEST_INTERVAL);
        let first = match &probe {
            Probe::Ttl(ttl) => Some((Deadline::Ttl(id.clone()), *ttl)),
            // Not all at once.
            Probe::Http { .. } | Probe::Tcp(_) => {
                Some((Deadline::Probe(id.clone()), interval.mul_f64(fastrand::f64())))
            }
            _ => None,
        };
        let reap_after = reap_after.map(|after| after.max(SHORTEST_REAP));
        let mut local = LocalCheck { check, probe, interval, timeout, reap_after, critical_since: None };
        if let Some(before) = before {
            (local.check.status, local.check.output) = (before.status, before.output);
        }
        let check = local.check.clone();
        self.local.checks.insert(id.clone(), local);
        if let Some((deadline, after)) = first {
            let at = self.now().saturating_add(after);
            self.schedule(deadline, Some(at));
        }
        check
    }

    fn forget_check(&mut self, id: &str) {
        self.local.checks.remove(id);
        self.local.probes.remove(id);
        for deadline in [Deadline::Ttl, Deadline::Reap, Deadline::Output, Deadline::Probe] {
            self.schedule(deadline(id.to_owned()), None);
        }
    }

    /// Tells the catalog, in one write.
    pub(super) fn synchronise(&mut self, service: Option<Service>, checks: Vec<Check>) {
        let registration = Registration { node: self.own_node(), skip_node: true, service, checks };
        let _ = self.register_now(registration); // what is refused stays with the agent
    }

    /// When something happens by itself, or `None`: it does not.
    pub(super) fn schedule(&mut self, deadline: Deadline, at: Option<Duration>) {
        if let Some(before) = self.local.due.remove(&deadline) {
            self.deadlines.remove(&(before, deadline.clone()));
        }
        if let Some(at) = at {
            self.local.due.insert(deadline.clone(), at);
            self.deadlines.insert((at, deadline));
        }
    }

    fn own_node(&self) -> Node {
        let there = self.catalog.node(&self.identity.node).cloned();
        there.unwrap_or_else(|| self.identity.as_node())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::state::Identity;

    const SECOND: Duration = Duration::from_secs(1);

    fn agent() -> State {
        State::new(Identity {
            datacenter: "dc1".to_owned(),
            node: "node1".to_owned(),
            node_id: "0b7c6aeb-5d8e-4a0e-9c4b-1f6f0b9f3f11".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: 8300,
        })
    }

    fn ttl(id: &str, ttl: Duration, reap_after: Option<Duration>) -> CheckRequest {
        CheckRequest {
            id: id.to_owned(),
            name: id.to_owned(),
            notes: String::new(),
            status: PASSING.to_owned(),
            service_id: String::new(),
            probe: Probe::Ttl(ttl),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            reap_after,
        }
    }

    /// How the catalog has a check.
    fn seen(state: &State, id: &str) -> (String, String) {
        let check = state.catalog.check("node1", id).cloned().unwrap_or_default();
        (check.status, check.output)
    }

    #[test]
    fn a_ttl_check_is_critical_once_its_time_is_over_and_not_before() {
        let mut state = agent();
        state.register_local_check(ttl("c", 10 * SECOND, None)).expect("it is registered");
        state.advance(Duration::from_millis(9_999));
        assert_eq!(seen(&state, "c").0, PASSING);
        state.tell_check("c", PASSING, "fine").expect("it is told");
        state.advance(19 * SECOND);
        assert_eq!(seen(&state, "c").0, PASSING, "telling it began its time anew");
        state.advance(20 * SECOND);
        let expired = "TTL expired (last output before timeout follows): fine";
        assert_eq!(seen(&state, "c"), (CRITICAL.to_owned(), expired.to_owned()));
    }

    #[test]
    fn the_time_of_a_check_that_is_gone_never_comes() {
        let mut state = agent();
        state.register_local_check(ttl("c", 10 * SECOND, None)).expect("it is registered");
        state.deregister_local_check("c");
        let index = state.index();
        assert_eq!(state.next_deadline(), None);
        state.advance(60 * SECOND);
        assert_eq!((state.index(), seen(&state, "c").0), (index, String::new()));
    }

    #[test]
    fn a_session_ends_with_the_time_of_its_check() {
        let mut state = agent();
        state.register_local_check(ttl("c", 10 * SECOND, None)).expect("it is registered");
        let request = crate::dev::state::SessionRequest {
            name: String::new(),
            node: "node1".to_owned(),
            lock_delay: 0,
            behavior: String::new(),
            ttl: String::new(),
            node_checks: Some(vec!["c".to_owned()]),
            service_checks: None,
            checks: Vec::new(),
        };
        let id = state.create_session(request).expect("it is created");
        state.advance(9 * SECOND);
        assert!(state.sessions.get(&id).is_some());
        state.advance(10 * SECOND);
        assert!(state.sessions.get(&id).is_none());
    }

    #[test]
    fn a_service_goes_a_minute_after_its_check_has_become_critical_at_the_soonest() {
        let mut state = agent();
        let service = Service { id: "web".to_owned(), name: "web".to_owned(), ..Service::default() };
        let check = CheckRequest { service_id: "web".to_owned(), ..ttl("c", 10 * SECOND, Some(SECOND)) };
        state.register_local_service(service, vec![check], false);
        state.advance(69 * SECOND);
        assert!(state.catalog.service("node1", "web").is_some());
        state.advance(70 * SECOND);
        assert!(state.catalog.service("node1", "web").is_none());
        assert_eq!(seen(&state, "c").0, "");
    }
}
