//! A session of a spec.

use std::collections::BTreeSet;

use super::document::{ServiceCheckEntry, SessionEntry, SessionFields};
use super::gather::Ready;
use super::page::{Page, place};
use super::shape::Shape;
use super::tree::Node;
use crate::object::{Declared, Names, Object, ObjectId, Properties, Refused, ServiceCheck, Session};

/// Reads a session. `None` where it has faults, which are noted.
pub(super) fn read(
    node: &Node<'_>,
    shape: &Shape,
    defaults: &Ready,
    page: &mut Page<'_>,
) -> Option<(ObjectId, Declared)> {
    let entry = page.parse("a session", node, shape, SessionEntry::of)?;
    let given = &defaults.of.session;
    let prevent_destroy = entry.fields.prevent_destroy.or(given.prevent_destroy).unwrap_or_default();
    let name = entry.name.clone();
    let properties = joined(entry.fields.properties(Some(entry.name)), given);
    let Some(on) = properties.node.clone() else {
        if !defaults.broken {
            page.fault(node.span, format!("session {name:?} has no node"), Some(NO_NODE));
        }
        return None;
    };
    let session = properties.over(Session::on(String::new()));
    if session.validate().is_err() {
        // Read again: of the very many that have no fault, no copy has to be kept.
        let entry = page.parse("a session", node, shape, SessionEntry::of)?;
        for (field, refused) in refusals(&entry.fields.properties(Some(name))) {
            page.fault(place(node, field), refused.to_string(), None);
        }
        return None;
    }
    let id = ObjectId::Session { node: on, name };
    Some((id, Declared { object: Object::Session(session.into()), prevent_destroy, at: page.at(node.span) }))
}

const NO_NODE: &str = "write node: NAME, here or in the defaults, so that a spec means the same to every agent";

/// Checks the defaults by themselves, so that a fault in them is one fault.
pub(super) fn check_defaults(fields: &SessionFields, root: &Node<'_>, page: &mut Page<'_>) {
    if let Some(node) = root.get("defaults").and_then(|defaults| defaults.get("session")) {
        for (field, refused) in refusals(&fields.clone().properties(None)) {
            page.fault(place(node, field), refused.to_string(), None);
        }
    }
}

/// What is refused of each property by itself.
fn refusals(properties: &Properties) -> Vec<(&'static str, Refused)> {
    let Properties { name, node, checks, service_checks, lock_delay, ttl, behavior: _ } = properties.clone();
    let none = Properties::default;
    [
        ("name", Properties { name, ..none() }),
        ("node", Properties { node, ..none() }),
        ("ttl", Properties { ttl, ..none() }),
        ("delay", Properties { lock_delay, ..none() }),
        ("checks", Properties { checks, ..none() }),
        ("service_checks", Properties { service_checks, ..none() }),
    ]
    .into_iter()
    .filter_map(|(field, one)| one.over(Session::on("node")).validate().err().map(|refused| (field, refused)))
    .collect()
}

/// `own`, and what it lacks of `given`.
fn joined(own: Properties, given: &SessionFields) -> Properties {
    let SessionFields { node, ttl, delay, behavior, checks, service_checks, prevent_destroy: _ } = given;
    Properties {
        name: own.name,
        node: own.node.or_else(|| node.clone()),
        checks: own.checks.or_else(|| checks.clone().map(Names::from)),
        service_checks: own.service_checks.or_else(|| service_checks.clone().map(set)),
        lock_delay: own.lock_delay.or(*delay),
        ttl: own.ttl.or(*ttl),
        behavior: own.behavior.or(*behavior),
    }
}

impl SessionFields {
    fn properties(self, name: Option<String>) -> Properties {
        let Self { node, ttl, delay, behavior, checks, service_checks, prevent_destroy: _ } = self;
        Properties {
            name,
            node,
            checks: checks.map(Names::from),
            service_checks: service_checks.map(set),
            lock_delay: delay,
            ttl,
            behavior,
        }
    }
}

fn set(entries: Vec<ServiceCheckEntry>) -> BTreeSet<ServiceCheck> {
    let check = |entry| match entry {
        ServiceCheckEntry::Id(id) => ServiceCheck { id, namespace: None },
        ServiceCheckEntry::Full { id, namespace } => {
            ServiceCheck { id, namespace: namespace.filter(|namespace| !namespace.is_empty()) }
        }
    };
    let mut checks = BTreeSet::new();
    checks.extend(entries.into_iter().map(check));
    checks
}
