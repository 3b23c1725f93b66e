//! The services of a plan: looked at again, registered, deregistered.

use std::collections::{BTreeMap, BTreeSet};

use crate::consul::Client;
use crate::object::{ExternalNode, ObjectId, ObservedNode};
use crate::plan::service::ServiceChange;
use crate::plan::state::{NodeChange, StateChange, Step};

use super::apply::Work;
use super::observe::Places;
use super::{Error, parallel};
use crate::reconcile::service::{Seen, ServiceReconciler};

/// The nodes whose services change: how each is reached, and what was seen of it just before the first write.
pub(super) type Reach = BTreeMap<String, Node>;

/// A node whose services change.
pub(super) struct Node {
    seen: Seen,
    /// The agent to tell.
    client: Client,
    /// Where it is the catalog that is told, for the node has no agent.
    external: Option<ExternalNode>,
}

impl Node {
    fn reconciler<'n>(&'n self, work: &'n Work<'_>) -> ServiceReconciler<'n> {
        ServiceReconciler { client: &self.client, query: work.run.query, node: self.external.as_ref() }
    }
}

fn changes<'a>(
    work: &Work<'a>,
) -> impl Iterator<Item = (&'a StateChange, &'a str, &'a str, Option<&'a NodeChange>, Option<&'a ServiceChange>)> {
    work.changes().filter_map(|change| match (&change.id, &change.step) {
        (ObjectId::Service { node, id }, Step::Service { node: at, change: step }) => {
            Some((change, node.as_str(), id.as_str(), at.as_deref(), step.as_ref()))
        }
        _ => None,
    })
}

/// Looks again just before the first write: Consul has no compare-and-set for services.
pub(super) fn look(work: &Work<'_>) -> Result<Reach, Error> {
    let nodes: BTreeSet<&str> = changes(work).map(|(_, node, ..)| node).collect();
    let places = Places::find(work.run, nodes.iter().copied())?;
    let nodes: Vec<&str> = nodes.into_iter().collect();
    let reached = parallel::all(&nodes, work.run.parallelism, |name| {
        let seen = places.look(work.run, name)?;
        let (client, external) = match &seen.node {
            _ if places.is_own(name) => (work.run.client.clone(), None),
            Some(ObservedNode { has_agent: true, address, .. }) => (agent_of(work.run.client, name, address)?, None),
            _ => {
                let external = ExternalNode { name: (*name).to_owned(), ..ExternalNode::default() };
                (work.run.client.clone(), Some(external))
            }
        };
        Ok::<_, Error>(((*name).to_owned(), Node { seen, client, external }))
    })?;
    let mut reach = Reach::new();
    reach.extend(reached);
    for (change, node, id, ..) in changes(work) {
        let now = reach.get(node).and_then(|node| node.seen.observed(id));
        if now.as_ref() != work.planned.observed.services.get(&change.id) {
            return Err(Error::Stale { what: format!("{} was changed", change.id) });
        }
    }
    Ok(reach)
}

/// The agent of another node: at that node's address, on the port and over the scheme of our own.
fn agent_of(client: &Client, node: &str, address: &str) -> Result<Client, Error> {
    let other = client.at_host(address)?;
    let found = other.agent().read_self()?.config.node_name;
    if found.eq_ignore_ascii_case(node) {
        return Ok(other);
    }
    Err(Error::OtherAgent { node: node.to_owned(), address: other.address().to_owned(), found })
}

/// Registers services, many at once, and before that the nodes without an agent that they are on.
pub(super) fn register(work: &Work<'_>, reach: &Reach) -> Result<(), Error> {
    let mut written = BTreeSet::new();
    for (change, node, _, at, _) in changes(work) {
        let (Some(at), Some(place)) = (at, reach.get(node)) else { continue };
        if written.insert(node) {
            work.go_on()?;
            place.reconciler(work).register_node(&at.after).map_err(|error| work.failed(&change.id, error))?;
            work.begun(&change.id);
        }
    }
    let todo: Vec<_> = changes(work).filter(|(.., step)| !is_end(*step)).collect();
    let (_, failed) = parallel::each(&todo, work.run.parallelism, |(change, node, id, _, step)| {
        if let (Some(ServiceChange::Register { after } | ServiceChange::Update { after, .. }), Some(place)) =
            (step, reach.get(*node))
        {
            work.go_on()?;
            let owner = Some(work.desired.owner.as_str());
            let registered = place.reconciler(work).register(after, &place.seen.checks_of(id), None, owner);
            registered.map_err(|error| work.failed(&change.id, error))?;
        }
        work.finished(change);
        Ok::<_, Error>(())
    });
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

fn is_end(change: Option<&ServiceChange>) -> bool {
    matches!(change, Some(ServiceChange::Deregister { .. }))
}

/// Takes services off, many at once.
pub(super) fn deregister(work: &Work<'_>, reach: &Reach) -> Result<(), Error> {
    let todo: Vec<_> = changes(work).filter(|(.., step)| is_end(*step)).collect();
    let (_, failed) = parallel::each(&todo, work.run.parallelism, |(change, node, id, ..)| {
        if let Some(place) = reach.get(*node) {
            work.go_on()?;
            place.reconciler(work).deregister(id).map_err(|error| work.failed(&change.id, error))?;
        }
        work.finished(change);
        Ok::<_, Error>(())
    });
    failed.map_or(Ok(()), |(_, error)| Err(error))
}
