//! Reads from Consul what a state, and the record of its owner, mention, and as little else as can be.
//!
//! Every read is a consistent one. An absence counts only where the token has proved that it would see what is not there:
//! of what is to be made, the write itself proves it (whoever may write may read, and each write says what it expects);
//! of what the record alone mentions, this does, before the record loses it.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::consul::{Client, SessionEntry};
use crate::object::{
    DesiredState, ExternalNode, HeldLocks, NodeState, Object, ObjectId, ObservedKey, ObservedNode, ObservedSession,
    ObservedState, Record, Session,
};
use crate::plan::key::KeyPolicy;
use crate::plan::state::recorded_and_undeclared;

use super::first::{all_sessions, sessions_of};
use super::{Error, StateReconciler, parallel};
use crate::reconcile::observe::complete;
use crate::reconcile::service::{Seen, ServiceReconciler, members};
use crate::reconcile::{KeyReconciler, observe as single};

/// Of more nodes than this, the sessions are read in one list of all that there are: it is one request, and of objects on
/// many nodes there are many.
pub(super) const FEW_NODES: usize = 16;

/// What is to be looked for.
#[derive(Debug)]
pub(super) struct Mentioned<'a> {
    /// Everything that is declared or recorded, in order.
    ids: Vec<&'a ObjectId>,
    /// What is recorded, and declared no more, in order: the absence of these is to be proved.
    recorded: Vec<&'a ObjectId>,
}

impl<'a> Mentioned<'a> {
    pub fn new(desired: &'a DesiredState, ours: &'a Record) -> Self {
        let recorded = recorded_and_undeclared(desired, ours);
        let mut ids: Vec<&ObjectId> = desired.objects.keys().chain(recorded.iter().copied()).collect();
        ids.sort(); // two parts that are sorted: they are merged
        Self { ids, recorded }
    }

    /// Whether it is mentioned.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// Just these; nothing follows from the absence of any.
    pub fn only(ids: BTreeSet<&'a ObjectId>) -> Self {
        Self { ids: ids.into_iter().collect(), recorded: Vec::new() }
    }
}

/// A name in lower case, as Consul tells nodes apart.
fn lower(name: &str) -> Cow<'_, str> {
    let is_lower = name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_lowercase()) }
}

/// Whatever exists of what is mentioned.
pub(super) fn observe(
    run: &StateReconciler<'_>,
    desired: &DesiredState,
    mentioned: &Mentioned<'_>,
) -> Result<ObservedState, Error> {
    let sessions = sessions(run, desired, mentioned)?;
    let keys = keys(run, mentioned)?;
    let missing_nodes = missing_nodes(run, desired, &sessions)?;
    let mut observed = ObservedState { sessions, keys, missing_nodes, ..ObservedState::default() };
    services(run, mentioned, &mut observed)?;
    Ok(observed)
}

/// What is mentioned of a node.
#[derive(Default)]
struct OfNode<'a> {
    /// As it is spelled.
    node: &'a str,
    /// The sessions, by their names: the places of their ids, and what is declared.
    names: HashMap<&'a str, (usize, Option<&'a Arc<Session>>)>,
    /// Whether any session of it was seen.
    seen: AtomicBool,
}

/// The sessions of the names that are mentioned, on their nodes.
pub(super) fn sessions(
    run: &StateReconciler<'_>,
    desired: &DesiredState,
    mentioned: &Mentioned<'_>,
) -> Result<BTreeMap<ObjectId, Vec<ObservedSession>>, Error> {
    let ids = &mentioned.ids;
    let mut nodes: BTreeMap<Cow<'_, str>, OfNode<'_>> = BTreeMap::new();
    // Where a node is spelled in several ways: the place of an id, what is declared there, and the place of the first.
    let mut alike: Vec<(usize, Option<&Arc<Session>>, usize)> = Vec::new();
    let mut declared = desired.objects.iter().peekable();
    for (place, &id) in ids.iter().enumerate() {
        let ObjectId::Session { node, name } = id else { continue };
        while declared.next_if(|(before, _)| *before < id).is_some() {}
        let wish = declared.peek().filter(|(at, _)| *at == id).and_then(|(_, declared)| match &declared.object {
            Object::Session(wish) => Some(wish),
            Object::Service { .. } | Object::Key { .. } => None,
        });
        let of_node = nodes.entry(lower(node)).or_insert_with(|| OfNode { node, ..OfNode::default() });
        match of_node.names.entry(name) {
            Entry::Vacant(new) => drop(new.insert((place, wish))),
            Entry::Occupied(first) => alike.push((place, wish, first.get().0)),
        }
    }
    let mut found: Vec<Vec<ObservedSession>> = vec![Vec::new(); ids.len()];
    for mentioned in mentioned_sessions(run, &nodes)?.into_iter().flatten().flatten() {
        let (place, observed) = mentioned?;
        if let Some(found) = found.get_mut(place) {
            found.reserve_exact(1); // mostly it stays the only one
            found.push(observed);
        }
    }
    for (place, wish, first) in alike {
        let seen = found.get(first).cloned().unwrap_or_default();
        if let Some(found) = found.get_mut(place) {
            *found = seen.into_iter().map(|observed| spelled_as(observed, wish)).collect();
        }
    }
    // One session that is seen proves that the token may see those of that node.
    let is_seen = |node: &str| nodes.get(&*lower(node)).is_some_and(|of_node| of_node.seen.load(Ordering::Relaxed));
    let doubtful = mentioned.recorded.iter().filter_map(|id| node_of_session(id).filter(|node| !is_seen(node)));
    prove_sessions_are_seen(run.client, &doubtful.collect())?;
    let found = ids.iter().zip(found).filter(|(_, found)| !found.is_empty());
    Ok(found.map(|(&id, found)| (id.clone(), found)).collect())
}

/// Spells a session as it is declared. One that is as declared is the declared one itself: it takes no memory of its own,
/// and to compare them is to look at one address.
fn spelled_as(observed: ObservedSession, wish: Option<&Arc<Session>>) -> ObservedSession {
    let Some(wish) = wish else { return observed };
    if observed.session != *wish {
        let spelled = Arc::unwrap_or_clone(observed.session).spelled_as(wish);
        if spelled != **wish {
            return ObservedSession { session: spelled.into(), ..observed };
        }
    }
    ObservedSession { session: wish.clone(), ..observed }
}

/// A session that is mentioned, with the place of its id; nothing for any other.
type MentionedSession = Option<Result<(usize, ObservedSession), Error>>;

/// The sessions of these nodes, piece by piece of their lists. Each is compared where it is read: most are as declared, and take little
/// memory from then on.
fn mentioned_sessions(
    run: &StateReconciler<'_>,
    nodes: &BTreeMap<Cow<'_, str>, OfNode<'_>>,
) -> Result<Vec<Vec<MentionedSession>>, Error> {
    let mentioned = |entry: SessionEntry| {
        let of_node = nodes.get(&*lower(&entry.node))?;
        of_node.seen.store(true, Ordering::Relaxed);
        let (place, wish) = of_node.names.get(entry.name.as_str())?;
        Some(ObservedSession::try_from(entry).map(|observed| (*place, spelled_as(observed, *wish))))
    };
    let (client, query) = (run.client, run.query);
    let first = |node| run.first.and_then(|first| first.sessions(query, node));
    if nodes.len() > FEW_NODES {
        let (pieces, meta) = first(None).unwrap_or_else(|| all_sessions(client, query))?.map(mentioned)?;
        complete(&meta, "every session", "session_prefix \"\" = read")?;
        return Ok(pieces);
    }
    let nodes: Vec<&str> = nodes.values().map(|of_node| of_node.node).collect();
    let lists = parallel::all(&nodes, run.parallelism, |node| {
        let list = first(Some(node)).unwrap_or_else(|| sessions_of(client, query, node))?;
        let (pieces, meta) = list.map(mentioned)?;
        complete(&meta, &format!("the sessions of node '{node}'"), &format!("session \"{node}\" = read"))?;
        Ok::<_, Error>(pieces)
    });
    Ok(lists?.into_iter().flatten().collect())
}

fn prove_sessions_are_seen(client: &Client, nodes: &BTreeSet<&str>) -> Result<(), Error> {
    if nodes.is_empty() || !client.acl().is_enabled()? {
        return Ok(());
    }
    let nodes: Vec<&str> = nodes.iter().copied().collect();
    let hidden = match client.acl().hidden_sessions(&nodes)? {
        Some(hidden) => hidden.into_iter().next(),
        None => nodes.first().map(|node| (*node).to_owned()),
    };
    hidden.map_or(Ok(()), |node| {
        Err(Error::Blind { what: format!("the sessions of node '{node}'"), rule: format!("session \"{node}\" = read") })
    })
}

/// Of the nodes on which sessions are to be made, and none was seen: those that do not exist. None where ACLs may hide them.
fn missing_nodes(
    run: &StateReconciler<'_>,
    desired: &DesiredState,
    sessions: &BTreeMap<ObjectId, Vec<ObservedSession>>,
) -> Result<BTreeSet<String>, Error> {
    let mut nodes: BTreeSet<&str> = desired.objects.keys().filter_map(node_of_session).collect();
    for id in sessions.keys() {
        nodes.remove(node_of_session(id).unwrap_or_default());
    }
    let (catalog, query) = (run.client.catalog(), run.query.consistent());
    if nodes.len() > FEW_NODES {
        let there: HashSet<String> = catalog.nodes(&query)?.into_iter().map(|node| node.node.to_lowercase()).collect();
        nodes.retain(|node| !there.contains(&node.to_lowercase()));
    } else {
        let names: Vec<&str> = nodes.iter().copied().collect();
        let there = parallel::all(&names, run.parallelism, |node| catalog.has_node(node, &query))?;
        nodes = names.into_iter().zip(there).filter(|(_, there)| !there).map(|(node, _)| node).collect();
    }
    if nodes.is_empty() || run.client.acl().is_enabled()? {
        return Ok(BTreeSet::new());
    }
    Ok(nodes.into_iter().map(str::to_owned).collect())
}

fn node_of_session(id: &ObjectId) -> Option<&str> {
    if let ObjectId::Session { node, .. } = id { Some(node) } else { None }
}

/// The keys that are mentioned, in few reads: see [`KeyReconciler::observe`], which bounds what else is read for them.
fn keys(run: &StateReconciler<'_>, mentioned: &Mentioned<'_>) -> Result<BTreeMap<String, ObservedKey>, Error> {
    let wanted: Vec<&str> = mentioned.ids.iter().copied().filter_map(key_of).collect();
    let reconciler = KeyReconciler { client: run.client, query: run.query, policy: &KeyPolicy::default() };
    let mut observed: BTreeMap<String, ObservedKey> =
        reconciler.observe(&wanted)?.into_iter().map(|key| (key.key.key.clone(), key)).collect();
    // A list leaves out what the token may not read, a direct read is refused.
    let absent: Vec<&str> =
        mentioned.recorded.iter().copied().filter_map(key_of).filter(|key| !observed.contains_key(*key)).collect();
    if !absent.is_empty() && run.client.acl().is_enabled()? {
        let query = run.query.consistent();
        let pairs = parallel::all(&absent, run.parallelism, |key| run.client.kv().get(key, &query))?;
        observed.extend(pairs.into_iter().flatten().map(|pair| (pair.key.clone(), pair.into())));
    }
    Ok(observed)
}

fn key_of(id: &ObjectId) -> Option<&str> {
    if let ObjectId::Key(key) = id { Some(key) } else { None }
}

/// The services that are mentioned, and their nodes: one look for each node. The agent's own node is asked itself, others
/// through the catalog.
fn services(run: &StateReconciler<'_>, mentioned: &Mentioned<'_>, observed: &mut ObservedState) -> Result<(), Error> {
    let mut nodes: BTreeMap<&str, Vec<(&ObjectId, &str)>> = BTreeMap::new();
    for &id in &mentioned.ids {
        let ObjectId::Service { node, id: service } = id else { continue };
        nodes.entry(node).or_default().push((id, service));
    }
    let places = Places::find(run, nodes.keys().copied())?;
    let nodes: Vec<_> = nodes.into_iter().collect();
    let looks = parallel::all(&nodes, run.parallelism, |(node, services)| {
        let seen = places.look(run, node)?;
        for (id, service) in services {
            if mentioned.recorded.binary_search(id).is_ok() && seen.observed(service).is_none() {
                places.prove_absent(run, node, service)?;
            }
        }
        Ok::<_, Error>(seen)
    })?;
    for ((node, services), seen) in nodes.into_iter().zip(looks) {
        for (id, service) in services {
            observed.services.extend(seen.observed(service).map(|service| (id.clone(), service)));
        }
        observed.nodes.insert(node.to_owned(), node_state(seen));
    }
    Ok(())
}

fn node_state(seen: Seen) -> NodeState {
    let services = seen.ids().map(|id| (id.to_ascii_lowercase(), id.to_owned())).collect();
    let checks = seen.checks.into_iter().map(|check| (check.check_id, check.service_id)).collect();
    NodeState { node: seen.node, checks, services }
}

/// Where services are: on the agent's own node, or elsewhere.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The agent's own node, where it is in the datacenter that is meant.
    own: Option<String>,
    /// The names of the gossip pool.
    members: BTreeSet<String>,
}

impl Places {
    /// Asks the agent for its own node, and, where there are others, for the nodes that have agents. Nothing is asked
    /// where there is no node.
    pub fn find<'n>(run: &StateReconciler<'_>, nodes: impl Iterator<Item = &'n str>) -> Result<Self, Error> {
        let nodes: Vec<&str> = nodes.collect();
        if nodes.is_empty() {
            return Ok(Self::default());
        }
        let config = run.client.agent().read_self()?.config;
        let here = run.query.datacenter.as_ref().is_none_or(|wanted| *wanted == config.datacenter);
        let own = Some(config.node_name).filter(|_| here);
        let others = nodes.iter().any(|node| !own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(node)));
        let members = if here && others { members(run.client)? } else { BTreeSet::new() };
        Ok(Self { own, members })
    }

    /// Whether it is the agent's own node.
    pub fn is_own(&self, node: &str) -> bool {
        self.own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(node))
    }

    /// Everything on a node.
    pub fn look(&self, run: &StateReconciler<'_>, node: &str) -> Result<Seen, Error> {
        let external = ExternalNode { name: node.to_owned(), ..ExternalNode::default() };
        let place = Some(&external).filter(|_| !self.is_own(node));
        let mut seen =
            ServiceReconciler { client: run.client, query: run.query, node: place }.observe_node(&self.members)?;
        if place.is_none() {
            seen.node = Some(ObservedNode { has_agent: true, ..ObservedNode::default() });
        }
        Ok(seen)
    }

    fn prove_absent(&self, run: &StateReconciler<'_>, node: &str, service: &str) -> Result<(), Error> {
        if self.is_own(node) {
            // Refused where it is only hidden.
            run.client.agent().service(service)?;
            return Ok(());
        }
        ServiceReconciler { client: run.client, query: run.query, node: None }.prove_service_is_absent(service)
    }
}

/// Finds the keys that the observed sessions hold. Consul knows no way from a session to its keys, so this reads every
/// key there is; where the token may not, what they hold is hidden.
pub(super) fn locks<'s>(
    run: &StateReconciler<'_>,
    sessions: impl Iterator<Item = &'s mut ObservedSession>,
) -> Result<(), Error> {
    let held = match single::readable(run.client, run.query, "") {
        Ok(()) => {
            let (keys, meta) = run.client.kv().locked("", &run.query.consistent())?;
            Some(keys).filter(|_| !meta.filtered_by_acls)
        }
        Err(Error::Blind { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(held) = held else {
        sessions.for_each(|session| session.locks = HeldLocks::Hidden);
        return Ok(());
    };
    let mut by_session: HashMap<String, Vec<String>> = HashMap::new();
    for key in held {
        by_session.entry(key.session.unwrap_or_default().to_ascii_lowercase()).or_default().push(key.key);
    }
    for session in sessions {
        session.locks = HeldLocks::Keys(by_session.get(session.id.as_str()).cloned().unwrap_or_default());
    }
    Ok(())
}

/// Spells the nodes in a record, and in what others have, as they are declared: Consul does not tell upper from lower
/// case there. Where that is another spelling, the record as it was comes with it.
pub(super) fn spelled_as_declared(desired: &DesiredState, record: Record) -> (Record, Option<Record>) {
    let names: HashSet<&str> = nodes_of(desired.objects.keys()).collect();
    let declared: HashMap<String, &str> = names.iter().map(|node| (node.to_lowercase(), *node)).collect();
    let ids = record.objects.iter().chain(record.pending.keys()).chain(&record.protected);
    if nodes_of(ids).all(|node| names.contains(node) || !declared.contains_key(&node.to_lowercase())) {
        return (record, None);
    }
    let spelled = |id: ObjectId| {
        let other = node_of(&id).filter(|node| !names.contains(node));
        let Some(node) = other.and_then(|node| declared.get(&node.to_lowercase())).map(|node| (*node).to_owned())
        else {
            return id;
        };
        match id {
            ObjectId::Session { name, .. } => ObjectId::Session { node, name },
            ObjectId::Service { id, .. } => ObjectId::Service { node, id },
            ObjectId::Key(key) => ObjectId::Key(key),
        }
    };
    let before = record.clone();
    let record = Record {
        objects: record.objects.into_iter().map(spelled).collect(),
        pending: record.pending.into_iter().map(|(id, hash)| (spelled(id), hash)).collect(),
        protected: record.protected.into_iter().map(spelled).collect(),
        replacing: record.replacing,
    };
    (record, Some(before))
}

/// The nodes of `ids`, each once where its ids stand together: of many objects in order there are few.
fn nodes_of<'a>(ids: impl Iterator<Item = &'a ObjectId>) -> impl Iterator<Item = &'a str> {
    let mut last = None;
    ids.filter_map(node_of).filter(move |node| last.replace(*node) != Some(*node))
}

fn node_of(id: &ObjectId) -> Option<&str> {
    match id {
        ObjectId::Session { node, .. } | ObjectId::Service { node, .. } => Some(node),
        ObjectId::Key(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::consul::{self, Config, Query, Request, Response, Transport};
    use crate::object::{At, Declared};
    use crate::plan::state::StatePolicy;

    const ID: &str = "8f3c7a3e-1d2b-4c5d-8e9f-0a1b2c3d4e5f";

    /// Has two sessions, one of them of a behavior that no Consul has yet.
    #[derive(Debug)]
    struct Two;

    impl Transport for Two {
        fn send(&self, _: &Request, _: &str, _: Duration) -> Result<Response, consul::Error> {
            let entry = |name: &str, behavior: &str| SessionEntry {
                id: ID.to_owned(),
                name: name.to_owned(),
                node: "n1".to_owned(),
                behavior: behavior.to_owned(),
                ..SessionEntry::default()
            };
            Ok(Response::json(200, &[entry("odd", "keep"), entry("sound", "release")]))
        }
    }

    fn seen(name: &str) -> Result<Vec<ObservedSession>, Error> {
        let client = Client::with_transport(Config::default(), Arc::new(Two));
        let (query, policy) = (Query::default(), StatePolicy::default());
        let run = StateReconciler::new(&client, &query, &policy);
        let wish = Session { name: Some(name.to_owned()), ..Session::on("N1") };
        let id = ObjectId::Session { node: "N1".to_owned(), name: name.to_owned() };
        let declared = Declared { object: Object::Session(wish.into()), prevent_destroy: false, at: At::default() };
        let desired = DesiredState { objects: BTreeMap::from([(id.clone(), declared)]), ..DesiredState::default() };
        let record = Record::default();
        Ok(sessions(&run, &desired, &Mentioned::new(&desired, &record))?.remove(&id).unwrap_or_default())
    }

    #[test]
    fn a_session_that_is_not_understood_matters_only_where_it_is_mentioned() {
        let sound = seen("sound").unwrap();
        assert!(matches!(sound.as_slice(), [one] if one.id.as_str() == ID && one.session.node == "N1"), "{sound:?}");
        assert!(seen("other").unwrap().is_empty());
        let error = seen("odd").unwrap_err().to_string();
        assert!(error.contains("its behavior is \"keep\""), "{error}");
    }
}
