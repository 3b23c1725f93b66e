//! The flow for services: observe, plan, apply.
//!
//! # Guarantees
//! - A service that is as desired is not registered again: none of its checks starts anew.
//! - A service that differs is registered again over itself, never deregistered first. Its checks keep their status,
//!   and so does its maintenance. Checks that are to go are taken off after that.
//! - Nothing is concluded from an absence before the token has proved that it may see what would be there.
//!
//! # Not guaranteed
//! Consul has no compare-and-set for services. Where two runs want two things of one service, the later one wins. A
//! check's status is carried over as it was when the plan was made.

pub(super) mod entry;

use std::collections::{BTreeMap, BTreeSet};

use crate::consul::{
    AgentService, Client, Deregistration, Error as ConsulError, HealthCheck, Pool, Query, Registration,
};
use crate::object::{DEFAULT_CHECK, ExternalNode, OWNER_KEY, ObservedNode, ObservedService, ServiceSpec};
use crate::plan::service::{DesiredService, ServiceChange, plan_node, plan_service};

use super::Error;

/// How the id of the check begins that a service's maintenance is.
const MAINTENANCE: &str = "_service_maintenance:";

/// Serf's status of a member that has left.
const LEFT: u8 = 3;

/// One agent, and where on it, or beyond it, services are registered.
#[derive(Debug)]
pub struct ServiceReconciler<'a> {
    /// The agent.
    pub client: &'a Client,
    /// Datacenter, namespace, partition: for a node without an agent.
    pub query: &'a Query,
    /// A node without an agent; `None` for the agent's own.
    pub node: Option<&'a ExternalNode>,
}

/// What a run did to a service, or would do.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// What was done to the service; `None` where there was nothing to do.
    pub change: Option<ServiceChange>,
    /// Whether the node was made, or changed.
    pub node_changed: bool,
    /// The service as Consul has it now; before the change, where it was only foreseen.
    pub service: Option<AgentService>,
    /// Its checks.
    pub checks: Vec<HealthCheck>,
}

/// What was seen of a node.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Its services, by id; of an agent that was asked for one, that one.
    services: BTreeMap<String, AgentService>,
    /// Every check of the node that the token may see.
    pub checks: Vec<HealthCheck>,
    /// The node, where it is not the agent's own.
    pub node: Option<ObservedNode>,
}

impl Seen {
    /// The ids of its services.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// The checks of a service.
    pub fn checks_of(&self, id: &str) -> Vec<HealthCheck> {
        self.checks.iter().filter(|check| check.service_id == id).cloned().collect()
    }

    /// A service, if it exists.
    pub fn observed(&self, id: &str) -> Option<ObservedService> {
        let service = self.services.get(id)?;
        let mut checks = self.checks_of(&service.id);
        checks.retain(|check| !check.check_id.starts_with(MAINTENANCE));
        Some(entry::observed(service, &checks))
    }

    /// The checks that are not of service `id`, and whose they are.
    fn taken(&self, id: &str) -> BTreeMap<String, String> {
        let mut taken = BTreeMap::new();
        for check in self.checks.iter().filter(|check| check.service_id != id) {
            taken.insert(check.check_id.clone(), check.service_id.clone());
        }
        taken
    }
}

impl ServiceReconciler<'_> {
    /// Makes Consul agree, and says what that took.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn apply(&self, desired: &DesiredService) -> Result<ServiceReport, Error> {
        let (report, node) = self.plan(desired)?;
        let id = id_of(desired);
        match &report.change {
            None if node.is_none() => return Ok(report),
            Some(ServiceChange::Deregister { .. }) => self.deregister(id)?,
            Some(ServiceChange::Register { after } | ServiceChange::Update { after, .. }) => {
                let owner = report.service.as_ref().and_then(|service| service.meta.get(OWNER_KEY));
                self.register(after, &report.checks, node.as_ref(), owner.map(String::as_str))?;
            }
            None => {
                if let Some(node) = &node {
                    self.register_node(node)?;
                }
            }
        }
        let now = self.observe(id).map_err(|error| match error {
            Error::Consul(source) => half_done(format!("service '{id}' was changed"), source),
            error => error,
        })?;
        Ok(ServiceReport { checks: now.checks_of(id), service: now.services.get(id).cloned(), ..report })
    }

    /// Says what [`apply`](Self::apply) would do, and writes nothing.
    ///
    /// # Errors
    /// What `apply` would fail with too, as far as that can be known without writing.
    pub fn foresee(&self, desired: &DesiredService) -> Result<ServiceReport, Error> {
        self.plan(desired).map(|(report, _)| report)
    }

    /// The service of an id, and its checks.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(&self, id: &str) -> Result<Option<(AgentService, Vec<HealthCheck>)>, Error> {
        let seen = self.observe(id)?;
        let checks = seen.checks_of(id);
        Ok(seen.services.get(id).cloned().map(|service| (service, checks)))
    }

    /// All services of the place that the token may see, by id.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list(&self) -> Result<Vec<AgentService>, Error> {
        Ok(match self.node {
            None => self.client.agent().services()?.into_values().collect(),
            Some(node) => {
                self.prove_node_is_seen(&node.name)?;
                let found = self.client.catalog().node(&node.name, &self.query.consistent())?;
                found.map(|node| node.services).unwrap_or_default().into_values().map(AgentService::from).collect()
            }
        })
    }

    fn plan(&self, desired: &DesiredService) -> Result<(ServiceReport, Option<ObservedNode>), Error> {
        let id = id_of(desired);
        let seen = self.observe(id)?;
        let present = matches!(desired, DesiredService::Present(_));
        let node = self.node.map(|node| plan_node(present, node, seen.node.as_ref())).transpose()?.flatten();
        let change = plan_service(desired, seen.observed(id).as_ref(), &seen.taken(id))?;
        let service = seen.services.get(id).cloned();
        if self.node.is_some() && change.is_none() && service.is_none() {
            self.prove_service_is_absent(id)?;
        }
        let report = ServiceReport { change, node_changed: node.is_some(), checks: seen.checks_of(id), service };
        Ok((report, node))
    }

    fn observe(&self, id: &str) -> Result<Seen, Error> {
        let Some(node) = self.node else {
            // The agent refuses to show one service that the token may not see, where it hides it in a list.
            let mut services = BTreeMap::new();
            services.extend(self.client.agent().service(id)?.map(|service| (id.to_owned(), service)));
            let checks = self.client.agent().checks()?.into_values().collect();
            return Ok(Seen { services, checks, ..Seen::default() });
        };
        self.observe_external(node, &|| self.is_member(&node.name))
    }

    /// Everything on the node in one look. `members` are the names of the gossip pool.
    pub(super) fn observe_node(&self, members: &BTreeSet<String>) -> Result<Seen, Error> {
        match self.node {
            Some(node) => self.observe_external(node, &|| Ok(members.contains(&node.name))),
            None => Ok(Seen {
                services: self.client.agent().services()?,
                checks: self.client.agent().checks()?.into_values().collect(),
                ..Seen::default()
            }),
        }
    }

    fn observe_external(
        &self,
        node: &ExternalNode,
        is_member: &dyn Fn() -> Result<bool, ConsulError>,
    ) -> Result<Seen, Error> {
        self.prove_node_is_seen(&node.name)?;
        let query = self.query.consistent();
        let found = self.client.catalog().node(&node.name, &query)?;
        let checks = self.client.health().node(&node.name, &query)?;
        let has_agent = checks.iter().any(|check| check.check_id == DEFAULT_CHECK) || is_member()?;
        let Some(found) = found else {
            // The agent of a node that has just joined is known to its peers before it is in the catalog.
            let node = has_agent.then(|| ObservedNode { has_agent, ..ObservedNode::default() });
            return Ok(Seen { node, ..Seen::default() });
        };
        let observed = ObservedNode { address: found.node.address, meta: found.node.meta, has_agent };
        let mut services = BTreeMap::new();
        for service in found.services.into_values() {
            services.insert(service.id.clone(), AgentService::from(service));
        }
        Ok(Seen { services, checks, node: Some(observed) })
    }

    fn prove_node_is_seen(&self, node: &str) -> Result<(), Error> {
        if self.client.catalog().may_read_node(node, self.query)? {
            return Ok(());
        }
        let rule = format!("node \"{node}\" {{ policy = \"read\" }}");
        Err(Error::Blind { what: format!("node '{node}'"), rule })
    }

    /// Whether the node is one of the gossip pool, as far as the agent is in that pool.
    fn is_member(&self, node: &str) -> Result<bool, ConsulError> {
        if self.query.datacenter.is_some() {
            return Ok(false);
        }
        Ok(members(self.client)?.contains(node))
    }

    /// For a service that is to be absent: what may be registered may be seen, and needs no such proof.
    pub(super) fn prove_service_is_absent(&self, id: &str) -> Result<(), Error> {
        if self.client.agent().may_read_service(id)? {
            return Ok(());
        }
        let rule = format!("service_prefix \"\" {{ policy = \"read\" }}, or that for the name of service '{id}'");
        Err(Error::Blind { what: format!("service '{id}'"), rule })
    }

    /// Registers a service, and a node with it where one is given. `checks` are those that the service has.
    pub(super) fn register(
        &self,
        spec: &ServiceSpec,
        checks: &[HealthCheck],
        node: Option<&ObservedNode>,
        owner: Option<&str>,
    ) -> Result<(), Error> {
        let id = &spec.service().id;
        let kept = self.make_way(spec, checks)?;
        self.write(spec, &kept, node, owner).map_err(|source| {
            let made_way = kept.len() < checks.len();
            if made_way { half_done(format!("checks of service '{id}' were taken off"), source) } else { source.into() }
        })?;
        let Some(wanted) = spec.checks() else { return Ok(()) };
        let wanted: BTreeSet<_> = wanted.iter().filter_map(|check| check.id.as_deref()).collect();
        let left_over = kept.iter().map(|check| check.check_id.as_str()).filter(|id| !wanted.contains(id));
        for check in left_over.filter(|id| !id.starts_with(MAINTENANCE)) {
            self.deregister_check(check)
                .map_err(|source| half_done(format!("service '{id}' was registered"), source))?;
        }
        Ok(())
    }

    fn write(
        &self,
        spec: &ServiceSpec,
        kept: &[HealthCheck],
        node: Option<&ObservedNode>,
        owner: Option<&str>,
    ) -> Result<(), ConsulError> {
        let Some(external) = self.node else {
            return self.client.agent().update_service(&entry::definition(spec, kept, owner));
        };
        let untouched =
            || Registration { node: external.name.clone(), skip_node_update: true, ..Registration::default() };
        let registration = Registration {
            service: Some(entry::node_service(spec, owner)),
            checks: entry::catalog_checks(spec, &external.name, kept),
            ..node.map_or_else(untouched, |node| self.node_alone(node))
        };
        self.client.catalog().register(&registration, self.query)
    }

    /// Takes off the checks that become another kind: registered over itself, one would run as both. Gives the rest.
    fn make_way(&self, spec: &ServiceSpec, checks: &[HealthCheck]) -> Result<Vec<HealthCheck>, Error> {
        let mut kept = Vec::new();
        for check in checks {
            let after = spec.checks().into_iter().flatten().find(|after| after.id.as_ref() == Some(&check.check_id));
            let becomes = after.and_then(|after| after.kind()).map(entry::kind_on_the_wire);
            if self.node.is_none() && !check.kind.is_empty() && becomes.is_some_and(|kind| kind != check.kind) {
                self.deregister_check(&check.check_id)?;
            } else {
                kept.push(check.clone());
            }
        }
        Ok(kept)
    }

    /// Writes a node without an agent, and nothing that is on it.
    pub(super) fn register_node(&self, node: &ObservedNode) -> Result<(), ConsulError> {
        self.client.catalog().register(&self.node_alone(node), self.query)
    }

    fn node_alone(&self, node: &ObservedNode) -> Registration {
        Registration {
            node: self.node.map(|node| node.name.clone()).unwrap_or_default(),
            address: node.address.clone(),
            node_meta: node.meta.clone(),
            ..Registration::default()
        }
    }

    /// Takes a service off.
    pub(super) fn deregister(&self, id: &str) -> Result<(), ConsulError> {
        let Some(node) = self.node else { return self.client.agent().deregister_service(id) };
        let what =
            Deregistration { node: node.name.clone(), service_id: Some(id.to_owned()), ..Deregistration::default() };
        self.client.catalog().deregister(&what, self.query)
    }

    fn deregister_check(&self, id: &str) -> Result<(), ConsulError> {
        let Some(node) = self.node else { return self.client.agent().deregister_check(id) };
        let what =
            Deregistration { node: node.name.clone(), check_id: Some(id.to_owned()), ..Deregistration::default() };
        self.client.catalog().deregister(&what, self.query)
    }
}

/// The names of the nodes in the gossip pool.
pub(super) fn members(client: &Client) -> Result<BTreeSet<String>, ConsulError> {
    let members = client.agent().members(Pool::Lan)?;
    Ok(members.into_iter().filter(|member| member.status != LEFT).map(|member| member.name).collect())
}

fn half_done(done: String, source: ConsulError) -> Error {
    Error::HalfDone { done, source: Box::new(source) }
}

fn id_of(desired: &DesiredService) -> &str {
    match desired {
        DesiredService::Present(spec) => &spec.service().id,
        DesiredService::Absent { id } => id,
    }
}
