//! What all the texts declare, put together: one owner, one place, each object once.

use std::collections::{BTreeMap, HashMap, HashSet, btree_map, hash_map};

use serde::Deserialize;

use super::check::{Name, nearest, sound};
use super::document::{Defaults, Document, VERSION};
use super::page::{Page, parsed, place};
use super::scalar::Scalar;
use super::shape::Shape;
use super::tree::{self, Kind, Node, Span};
use super::{Fault, Text, Values, key, service, session};
use crate::object::{At, Declared, DesiredState, OWN_KEYS, Object, ObjectId, Place, Session, validate_owner};

/// What was read so far.
#[derive(Default)]
pub(super) struct Gathered<'t> {
    state: DesiredState,
    /// Objects whose ids come in order, as they mostly do, before any that does not: put together all at once, none of them
    /// is searched for.
    in_order: Vec<(ObjectId, Declared)>,
    /// What the first document says that all have to say, and where.
    head: Option<Vec<(&'static str, Option<String>, At)>>,
    /// Where each object is declared whose id is not in the letters in which Consul compares it, by its id in those.
    places: HashMap<ObjectId, At>,
    /// Whose each check is, and where that is declared, by its node and its id as Consul compares them.
    checks: HashMap<(String, String), (ObjectId, At)>,
    holders: Vec<Holder<'t>>,
    /// Names of sessions that have faults: keys that name them have none for that.
    broken: HashSet<String>,
    faults: Vec<Fault>,
}

/// A key that a session is to hold.
pub(super) struct Holder<'t> {
    pub key: ObjectId,
    pub name: String,
    pub node: Option<String>,
    pub text: &'t Text,
    pub span: Span,
}

impl<'t> Gathered<'t> {
    /// Reads one text.
    pub fn text(&mut self, text: &'t Text, shape: &Shape, values: Values<'t>) {
        let mut page = Page { text, values, faults: Vec::new() };
        let (documents, wrong) = tree::documents(&text.content);
        if documents.is_empty() && wrong.is_empty() {
            page.faults.push(Fault::of_file(&*text.name, "nothing is declared here", Some(EMPTY)));
        }
        page.wrong(wrong);
        for document in documents {
            self.document(document, shape, &mut page);
        }
        self.faults.append(&mut page.finish());
    }

    fn document(&mut self, mut root: Node<'t>, shape: &Shape, page: &mut Page<'t>) {
        let span = root.span;
        if root.scalar() == Some(Scalar::Null) {
            return page.fault(span, "an empty document", Some(EMPTY));
        }
        if let Some(Scalar::Number(version)) = root.get("version").and_then(Node::scalar)
            && version.as_u64() != Some(VERSION)
        {
            let message = format!("unknown version {version}: this lictor reads version {VERSION}");
            return page.fault(place(&root, "version"), message, Some("get a later lictor, or write version: 1"));
        }
        if root.get("format").and_then(Node::text) == Some(SAVED_PLAN) {
            let message = "a saved plan, which is no spec";
            return page.fault(
                span,
                message,
                Some("`lictor apply FILE` applies it; keep it out of the folder of the specs"),
            );
        }
        let [sessions, keys, services] = ["sessions", "keys", "services"].map(|field| take_items(&mut root, field));
        let mut wrong = Vec::new();
        let sound = sound(shape, Name::Of("the document"), &root, &mut wrong);
        page.wrong(wrong);
        let broken_defaults = root.get("defaults").is_some() && sound.get("defaults").is_none();
        let document: Document = parsed(&sound, |sound| Document::deserialize(sound)).unwrap_or_default();
        let defaults = Ready { of: document.defaults, broken: broken_defaults };
        self.head(&root, document.owner, [document.datacenter, document.namespace, document.partition], page);

        session::check_defaults(&defaults.of.session, &root, page);
        service::check_defaults(&defaults.of.service, &root, page);
        self.in_order.reserve(sessions.len());
        let [of_session, of_key, of_service] = ["sessions", "keys", "services"].map(|field| shape.items_of(field));
        // Each is given back once it is read: what is made of the next ones takes its place.
        for item in sessions {
            match session::read(&item, of_session, &defaults, page) {
                Some((id, declared)) => self.add(id, declared, item.span, page),
                None => self.broken.extend(item.get("name").and_then(Node::text).map(str::to_owned)),
            }
        }
        for item in keys {
            for declared in key::read(&item, of_key, &defaults, page) {
                let id = ObjectId::Key(declared.key);
                if let Some((name, node, span)) = declared.holder {
                    self.holders.push(Holder { key: id.clone(), name, node, text: page.text, span });
                }
                self.add(id, declared.object, declared.span, page);
            }
        }
        for item in services {
            if let Some((id, declared)) = service::read(&item, of_service, &defaults, page) {
                self.note_taken_checks(&id, &declared, &item, page);
                self.add(id, declared, item.span, page);
            }
        }
    }

    /// Compares what all documents have to agree on.
    fn head(&mut self, root: &Node<'_>, owner: String, place_of: [Option<String>; 3], page: &mut Page<'_>) {
        let [datacenter, namespace, partition] = place_of;
        if let Some(node) = root.get("owner").filter(|_| !owner.is_empty())
            && let Err(refused) = validate_owner(&owner)
        {
            page.fault(node.span, refused.to_string(), None);
        }
        let fields = [
            ("owner", Some(owner).filter(|owner| !owner.is_empty())),
            ("datacenter", datacenter),
            ("namespace", namespace),
            ("partition", partition),
        ];
        let Some(first) = &mut self.head else {
            let [owner, datacenter, namespace, partition] = fields.clone().map(|(_, value)| value);
            self.state.owner = owner.unwrap_or_default();
            self.state.place = Place { datacenter, namespace, partition };
            self.head = Some(fields.map(|(field, value)| (field, value, page.at(place(root, field)))).into());
            return;
        };
        for ((field, value), (_, before, at)) in fields.into_iter().zip(first) {
            if (field == "owner" && (value.is_none() || before.is_none())) || value == *before {
                continue; // without an owner it is faulty anyway
            }
            let said =
                |value: &Option<String>| value.as_ref().map_or("left out".to_owned(), |value| format!("{value:?}"));
            let message = format!("{field} is {}, but {} at {at}", said(&value), said(before));
            page.fault(
                place(root, field),
                message,
                Some("one call is for one owner in one place: call lictor for each"),
            );
        }
    }

    fn add(&mut self, id: ObjectId, declared: Declared, span: Span, page: &mut Page<'_>) {
        if let Some(problem) = unfit(&id) {
            return page.fault(span, problem, Some("take another"));
        }
        let is_next = |(last, _): &(ObjectId, Declared)| *last < id;
        if self.state.objects.is_empty() && !has_upper(&id) && self.in_order.last().is_none_or(is_next) {
            return self.in_order.push((id, declared));
        }
        self.state.objects.extend(self.in_order.drain(..));
        let compared = has_upper(&id).then(|| as_compared(&id));
        let before = compared.as_ref().and_then(|compared| self.state.objects.get(compared)).map(|first| &first.at);
        if let Some(first) = self.places.get(compared.as_ref().unwrap_or(&id)).or(before) {
            return twice(&id, first, span, page);
        }
        self.places.extend(compared.map(|compared| (compared, declared.at.clone())));
        match self.state.objects.entry(id) {
            btree_map::Entry::Vacant(new) => drop(new.insert(declared)),
            btree_map::Entry::Occupied(first) => twice(first.key(), &first.get().at, span, page),
        }
    }

    /// Notes the checks of a service that are another one's of its node: each would take the other's place.
    fn note_taken_checks(&mut self, id: &ObjectId, declared: &Declared, item: &Node<'_>, page: &mut Page<'_>) {
        let (ObjectId::Service { node, .. }, Object::Service { spec, .. }) = (id, &declared.object) else { return };
        let places = item.get("checks").map(Node::items).unwrap_or_default();
        for (position, check) in spec.checks().unwrap_or_default().iter().enumerate() {
            let Some(name) = &check.id else { continue };
            let span = places.get(position).unwrap_or(item).span;
            match self.checks.entry((node.to_ascii_lowercase(), name.to_ascii_lowercase())) {
                hash_map::Entry::Vacant(free) => drop(free.insert((id.clone(), page.at(span)))),
                // The service itself is declared twice, which is told.
                hash_map::Entry::Occupied(taken) if as_compared(&taken.get().0) == as_compared(id) => {}
                hash_map::Entry::Occupied(taken) => {
                    let (other, at) = taken.get();
                    let message = format!("check {name:?} of {id} is one of {other} already: at {at}");
                    page.fault(span, message, Some("give each its own `name` or `id`"));
                }
            }
        }
    }

    /// Finds the sessions that keys name. Gives the state, or all faults in the order of the texts.
    pub fn finish(mut self, texts: &[Text]) -> Result<DesiredState, Vec<Fault>> {
        if self.state.objects.is_empty() {
            self.state.objects = std::mem::take(&mut self.in_order).into_iter().collect();
        }
        let mut sessions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for id in self.state.objects.keys().filter(|_| !self.holders.is_empty()) {
            if let ObjectId::Session { node, name } = id {
                sessions.entry(name).or_default().push(node);
            }
        }
        let mut found = Vec::new();
        for Holder { key, name, node, text, span } in &self.holders {
            if self.broken.contains(name) {
                continue;
            }
            let nodes = sessions.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            let fits = |on: &&&str| node.as_ref().is_none_or(|node| node.eq_ignore_ascii_case(on));
            let (message, hint) = match nodes.iter().filter(fits).collect::<Vec<_>>().as_slice() {
                [on] => {
                    found.push((key.clone(), ObjectId::Session { node: (**on).to_owned(), name: name.clone() }));
                    continue;
                }
                [] if nodes.is_empty() => {
                    let known = sessions.keys().copied().chain(self.broken.iter().map(String::as_str));
                    let near = nearest(name, known).map(|near| format!("did you mean {near:?}?"));
                    let hint = near.unwrap_or_else(|| "declare the session in the same call".to_owned());
                    (format!("no session {name:?} is declared"), hint)
                }
                [] => {
                    let node = node.as_deref().unwrap_or_default();
                    (
                        format!("no session {name:?} on node {node:?} is declared"),
                        format!("it is on {}", nodes.join(", ")),
                    )
                }
                several => {
                    let several: Vec<&str> = several.iter().map(|on| **on).collect();
                    let message = format!("several sessions are called {name:?}: on {}", several.join(", "));
                    (message, format!("write {{name: {name}, node: {}}}", several.first().copied().unwrap_or_default()))
                }
            };
            self.faults.push(Fault::at(text, *span, message, Some(hint)));
        }
        for (key, session) in found {
            if let Some(Declared { object: Object::Key { holder, .. }, .. }) = self.state.objects.get_mut(&key) {
                *holder = Some(session);
            }
        }
        if self.faults.is_empty() {
            return Ok(self.state);
        }
        let order: HashMap<&str, usize> = texts.iter().enumerate().map(|(at, text)| (&*text.name, at)).collect();
        let place = |fault: &Fault| (order.get(fault.file.as_str()).copied(), fault.line, fault.column);
        crate::sort::by(&mut self.faults, |a, b| place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message)));
        // A fault in what several share is one fault.
        self.faults.dedup();
        Err(self.faults)
    }
}

/// Why an id is not to be declared, although Consul would take it.
fn unfit(id: &ObjectId) -> Option<String> {
    match id {
        ObjectId::Session { node, .. } | ObjectId::Service { node, .. } if node.contains('/') => Some(format!(
            "node is {node:?}: with a slash in it, nobody could tell where its name ends in the owner's record"
        )),
        ObjectId::Session { name, .. } if name.starts_with(Session::OWN_PREFIX) => {
            Some(format!("name is {name:?}: Lictor's own sessions begin with {:?}", Session::OWN_PREFIX))
        }
        ObjectId::Key(key) if key.starts_with(OWN_KEYS) => {
            Some(format!("key {key:?}: below {OWN_KEYS:?} Lictor keeps the owners' records and locks"))
        }
        _ => None,
    }
}

/// An object's id as Consul compares it: it does not tell upper from lower case in nodes, and in ids of services.
fn as_compared(id: &ObjectId) -> ObjectId {
    match id {
        ObjectId::Session { node, name } => ObjectId::Session { node: node.to_ascii_lowercase(), name: name.clone() },
        ObjectId::Service { node, id } => {
            ObjectId::Service { node: node.to_ascii_lowercase(), id: id.to_ascii_lowercase() }
        }
        ObjectId::Key(key) => ObjectId::Key(key.clone()),
    }
}

/// What a plan that `lictor plan --out` saved has for its `format`.
pub const SAVED_PLAN: &str = "lictor-plan";

const EMPTY: &str = "write version: 1, owner: NAME, and sessions, keys or services; or take it away";

fn twice(id: &ObjectId, first: &At, span: Span, page: &mut Page<'_>) {
    page.fault(span, format!("{id} is declared twice: at {first} too"), Some("take one of them away"));
}

/// Whether an id may be another one than [`as_compared`]: of most, no copy has to be made.
fn has_upper(id: &ObjectId) -> bool {
    let upper = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
    match id {
        ObjectId::Session { node, .. } => upper(node),
        ObjectId::Service { node, id } => upper(node) || upper(id),
        ObjectId::Key(_) => false,
    }
}

/// The defaults of a document.
pub(super) struct Ready {
    pub of: Defaults,
    /// Whether they have faults, so that some may be missing here.
    pub broken: bool,
}

/// Takes the items out of a list, which is empty then.
fn take_items<'t>(root: &mut Node<'t>, field: &str) -> Vec<Node<'t>> {
    let Kind::Map(entries) = &mut root.kind else { return Vec::new() };
    match entries.iter_mut().find(|(name, _)| name.text() == Some(field)) {
        Some((_, Node { kind: Kind::List(items), .. })) => std::mem::take(items),
        _ => Vec::new(),
    }
}
