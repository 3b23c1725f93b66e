//! A cluster in memory, and an owner who applies plans to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::duration::ConsulDuration;
use crate::object::{
    At, Behavior, Check, Claims, Declared, DesiredState, ExternalNode, HeldLocks, Key, KeyContent, NodeState, Object,
    ObjectId, ObservedKey, ObservedNode, ObservedService, ObservedSession, ObservedState, Record, Service, ServiceSpec,
    Session, SessionId,
};
use crate::plan::Change;
use crate::plan::key::KeyChange;
use crate::plan::service::ServiceChange;
use crate::plan::state::{KeyStep, StateChange, StatePlan, StatePolicy, Step};

pub(super) const OWNER: &str = "us";
pub(super) const NODE: &str = "n1";

pub(super) type Item = (ObjectId, Declared);

pub(super) fn uuid(number: u64) -> SessionId {
    SessionId::parse(&format!("00000000-0000-0000-0000-{number:012}")).unwrap()
}

pub(super) fn session_id(name: &str) -> ObjectId {
    ObjectId::Session { node: NODE.to_owned(), name: name.to_owned() }
}

pub(super) fn service_id(id: &str) -> ObjectId {
    ObjectId::Service { node: NODE.to_owned(), id: id.to_owned() }
}

pub(super) fn key_id(key: &str) -> ObjectId {
    ObjectId::Key(key.to_owned())
}

/// A session whose delay tells it from others of its name.
pub(super) fn a_session(name: &str, delay: u64) -> Session {
    Session { name: Some(name.to_owned()), lock_delay: ConsulDuration::from_secs(delay), ..Session::on(NODE) }
}

pub(super) fn a_service(id: &str, port: u16) -> ServiceSpec {
    let service = Service { id: id.to_owned(), name: id.to_owned(), port, ..Service::default() };
    let check = Check { ttl: Some("30s".parse().unwrap()), ..Check::default() };
    ServiceSpec::new(service, Some(vec![check])).unwrap()
}

pub(super) fn content(value: &str) -> KeyContent {
    KeyContent { value: Some(value.as_bytes().to_vec()), flags: None }
}

fn declared(id: ObjectId, object: Object) -> Item {
    (id, Declared { object, prevent_destroy: false, at: At::default() })
}

pub(super) fn session(name: &str, delay: u64) -> Item {
    declared(session_id(name), Object::Session(a_session(name, delay).into()))
}

pub(super) fn service(id: &str, port: u16) -> Item {
    service_on(ExternalNode { name: NODE.to_owned(), ..ExternalNode::default() }, id, port)
}

pub(super) fn service_on(node: ExternalNode, id: &str, port: u16) -> Item {
    let object_id = ObjectId::Service { node: node.name.clone(), id: id.to_owned() };
    declared(object_id, Object::Service { node, spec: a_service(id, port) })
}

pub(super) fn key(key: &str, value: &str) -> Item {
    declared(key_id(key), Object::Key { content: content(value), holder: None, secret: None })
}

/// A key that the session of this name is to hold.
pub(super) fn held(key: &str, value: &str, holder: &str) -> Item {
    let holder = Some(session_id(holder));
    declared(key_id(key), Object::Key { content: content(value), holder, secret: None })
}

pub(super) fn protected((id, declared): Item) -> Item {
    (id, Declared { prevent_destroy: true, ..declared })
}

pub(super) fn desired(items: impl IntoIterator<Item = Item>) -> DesiredState {
    DesiredState { owner: OWNER.to_owned(), objects: items.into_iter().collect(), ..DesiredState::default() }
}

/// What there is, and what the records say.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) observed: ObservedState,
    pub(super) claims: Claims,
    /// The last Raft index. Sessions take their ids from it, too.
    index: u64,
}

impl Default for World {
    /// Nothing but a node with an agent.
    fn default() -> Self {
        let node = ObservedNode { address: "10.0.0.1".to_owned(), has_agent: true, ..ObservedNode::default() };
        let mut observed = ObservedState::default();
        observed.nodes.insert(NODE.to_owned(), NodeState { node: Some(node), ..NodeState::default() });
        Self { observed, claims: Claims::default(), index: 100 }
    }
}

impl World {
    /// With a session whose id is `number`.
    pub(super) fn session(mut self, number: u64, session: impl Into<Arc<Session>>) -> Self {
        let session = session.into();
        let id = session_id(session.name.as_deref().unwrap());
        let observed = ObservedSession {
            id: uuid(number),
            create_index: number,
            session,
            locks: HeldLocks::NotLooked,
            replacement_notes: Vec::new(),
        };
        self.observed.sessions.entry(id).or_default().push(observed);
        self.look()
    }

    /// With a key, held by the session of this number.
    pub(super) fn key(mut self, key: &str, value: &str, holder: Option<u64>) -> Self {
        let holder = holder.map(|number| uuid(number).to_string());
        let value = value.as_bytes().to_vec();
        let key = Key { key: key.to_owned(), value, flags: 0 };
        self.index += 1;
        self.observed.keys.insert(key.key.clone(), ObservedKey { key, modify_index: self.index, holder });
        self.look()
    }

    pub(super) fn service(mut self, id: &str, port: u16, owner: Option<&str>) -> Self {
        self.register(service_id(id), &a_service(id, port), owner);
        self
    }

    /// With these in our record.
    pub(super) fn ours(mut self, ids: impl IntoIterator<Item = ObjectId>) -> Self {
        self.claims.ours.objects.extend(ids);
        self
    }

    /// With this pending in our record: it was to be like that.
    pub(super) fn pending(mut self, (id, declared): Item) -> Self {
        self.claims.ours.pending.insert(id, declared.object.hash());
        self
    }

    /// With these protected by our record.
    pub(super) fn keeps(mut self, ids: impl IntoIterator<Item = ObjectId>) -> Self {
        self.claims.ours.protected.extend(ids);
        self
    }

    /// With this in the record of another owner.
    pub(super) fn theirs(mut self, id: ObjectId) -> Self {
        self.claims.others.insert(id, "them".to_owned());
        self
    }

    pub(super) fn plan(&self, desired: &DesiredState, policy: &StatePolicy) -> StatePlan {
        StatePlan::between(desired, &self.observed, &self.claims, policy)
    }

    pub(super) fn destroy(&self, desired: &DesiredState, policy: &StatePolicy) -> StatePlan {
        StatePlan::destroy(desired, &self.observed, &self.claims, policy)
    }

    /// Applies a plan up to and without operation `stop`, where it is killed.
    pub(super) fn apply(&mut self, plan: &StatePlan, desired: &DesiredState, stop: Option<usize>) {
        let before = self.claims.clone();
        self.claims.ours = plan.ahead(desired, &before);
        let replaced = plan.changes.iter().filter_map(|change| match &change.step {
            Step::Session(Change::Replace { before, .. }) => Some(before),
            _ => None,
        });
        let steps = plan.changes.iter().map(Operation::Step);
        for (number, operation) in steps.chain(replaced.map(|b| Operation::Destroy(b))).enumerate() {
            if stop == Some(number) {
                self.look_again();
                return;
            }
            match operation {
                Operation::Step(change) => self.step(change),
                Operation::Destroy(session) => self.end(session),
            }
        }
        self.look_again();
        let done: BTreeSet<ObjectId> = plan.changes.iter().map(|change| change.id.clone()).collect();
        self.claims.ours = plan.settled(desired, &before, |id| done.contains(id));
    }

    /// How many operations a plan takes.
    pub(super) fn operations(plan: &StatePlan) -> usize {
        let replaced = plan.changes.iter().filter(|c| matches!(c.step, Step::Session(Change::Replace { .. })));
        plan.changes.len() + replaced.count()
    }

    fn step(&mut self, change: &StateChange) {
        match &change.step {
            Step::Session(Change::Create { after } | Change::Replace { after, .. }) => {
                self.index += 1;
                let world = std::mem::take(self);
                let number = world.index;
                *self = world.session(number, after.clone());
            }
            Step::Session(Change::Delete { before, .. }) => self.end(before),
            Step::Service { node, change: service } => {
                let ObjectId::Service { node: name, .. } = &change.id else { panic!("{change:?}") };
                if let Some(node) = node {
                    let state = self.observed.nodes.entry(name.clone()).or_default();
                    assert!(state.node == node.before || state.node.as_ref() == Some(&node.after));
                    state.node = Some(node.after.clone());
                }
                match service {
                    None => {}
                    Some(ServiceChange::Register { after } | ServiceChange::Update { after, .. }) => {
                        self.register(change.id.clone(), after, Some(OWNER));
                    }
                    Some(ServiceChange::Deregister { before }) => {
                        assert_eq!(self.observed.services.remove(&change.id).as_ref(), Some(&**before));
                    }
                }
            }
            Step::Key(KeyStep::Write(KeyChange::Create { after })) => self.put(None, after, None),
            Step::Key(KeyStep::Write(KeyChange::Update { before, after })) => {
                self.put(Some(before), after, before.holder.clone());
            }
            Step::Key(KeyStep::Write(KeyChange::Release { before, after, .. })) => self.put(Some(before), after, None),
            Step::Key(KeyStep::Write(KeyChange::Delete { before })) => {
                assert_eq!(self.observed.keys.remove(&before.key.key).as_ref(), Some(before));
            }
            Step::Key(KeyStep::Write(KeyChange::Acquire { .. })) => panic!("a holder is declared: {change:?}"),
            Step::Key(KeyStep::Hold { before, after, holder, session, from }) => {
                let holds = before.as_ref().and_then(|before| before.holder.clone());
                let own = session.as_ref().map(ToString::to_string);
                assert!(holds.is_none() || holds == own || holds == from.as_ref().map(ToString::to_string));
                let newest = self.observed.sessions[holder].iter().max_by_key(|session| session.create_index).unwrap();
                let id = own.unwrap_or_else(|| newest.id.to_string());
                assert!(self.observed.sessions[holder].iter().any(|session| session.id.as_str() == id));
                self.put(before.as_ref(), after, Some(id));
            }
        }
    }

    /// Writes a key, if it is as it was planned against.
    fn put(&mut self, before: Option<&ObservedKey>, after: &Key, holder: Option<String>) {
        assert_eq!(self.observed.keys.get(&after.key), before);
        self.index += 1;
        let key = ObservedKey { key: after.clone(), modify_index: self.index, holder };
        self.observed.keys.insert(after.key.clone(), key);
    }

    fn end(&mut self, session: &ObservedSession) {
        for sessions in self.observed.sessions.values_mut() {
            sessions.retain(|other| other.id != session.id);
        }
        self.observed.sessions.retain(|_, sessions| !sessions.is_empty());
        let holds = |key: &ObservedKey| key.holder.as_deref() == Some(session.id.as_str());
        if session.session.behavior == Behavior::Delete {
            self.observed.keys.retain(|_, key| !holds(key));
        }
        for key in self.observed.keys.values_mut().filter(|key| holds(key)) {
            self.index += 1;
            (key.modify_index, key.holder) = (self.index, None);
        }
    }

    fn register(&mut self, id: ObjectId, spec: &ServiceSpec, owner: Option<&str>) {
        let ObjectId::Service { node, id: service } = &id else { panic!("{id}") };
        let checks: BTreeSet<String> = spec.checks().unwrap().iter().map(|check| check.id.clone().unwrap()).collect();
        let state = self.observed.nodes.entry(node.clone()).or_default();
        state.checks.extend(checks.iter().map(|check| (check.clone(), service.clone())));
        let hash = Some(spec.hash().to_owned());
        let observed =
            ObservedService { service: spec.service().clone(), hash, owner: owner.map(str::to_owned), checks };
        self.observed.services.insert(id, observed);
    }

    fn look(mut self) -> Self {
        self.look_again();
        self
    }

    /// Finds the keys that each session holds.
    fn look_again(&mut self) {
        for session in self.observed.sessions.values_mut().flatten() {
            let held = self.observed.keys.values().filter(|key| key.holder.as_deref() == Some(session.id.as_str()));
            session.locks = HeldLocks::Keys(held.map(|key| key.key.key.clone()).collect());
        }
    }

    /// Everything that matters of a world, but for the ids of sessions and the indexes.
    pub(super) fn essence(&self) -> String {
        let mut sessions: Vec<String> =
            self.observed.sessions.values().flatten().map(|session| format!("{:?}", session.session)).collect();
        sessions.sort();
        let holder_of = |key: &ObservedKey| {
            let sessions = self.observed.sessions.values().flatten();
            let holder = sessions.filter(|session| Some(session.id.as_str()) == key.holder.as_deref());
            holder.map(|session| format!("{:?}", session.session)).next()
        };
        let keys: Vec<_> = self.observed.keys.values().map(|key| (&key.key, holder_of(key))).collect();
        let Record { objects, pending, protected, replacing } = &self.claims.ours;
        let record = (objects, pending, protected, replacing.len());
        format!("{sessions:#?}\n{keys:#?}\n{:#?}\n{record:#?}", self.observed.services)
    }
}

enum Operation<'a> {
    Step(&'a StateChange),
    Destroy(&'a ObservedSession),
}
