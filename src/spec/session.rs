//! A session of a spec.

use super::document::{ServiceCheckEntry, SessionEntry, SessionFields};
use super::gather::Ready;
use super::page::{Page, place};
use super::shape::Shape;
use super::tree::Node;
use crate::object::{Declared, Object, ObjectId, Properties, Refused, ServiceCheck, Session};

/// Reads a session. `None` where it has faults, which are noted.
pub(super) fn read(
    node: &Node<'_>,
    shape: &Shape,
    defaults: &Ready,
    page: &mut Page<'_>,
) -> Option<(ObjectId, Declared)> {
    let entry: SessionEntry = page.parse("a session", node, shape)?;
    let given = &defaults.of.session;
    let own = entry.fields.properties(Some(entry.name.clone()));
    let properties = joined(own.clone(), given.properties(None));
    let Some(on) = properties.node.clone() else {
        if !defaults.broken {
            page.fault(node.span, format!("session {:?} has no node", entry.name), Some(NO_NODE));
        }
        return None;
    };
    let session = properties.over(Session::on(""));
    if session.validate().is_err() {
        for (field, refused) in refusals(&own) {
            page.fault(place(node, field), refused.to_string(), None);
        }
        return None;
    }
    let prevent_destroy = entry.fields.prevent_destroy.or(given.prevent_destroy).unwrap_or_default();
    let id = ObjectId::Session { node: on, name: entry.name };
    Some((id, Declared { object: Object::Session(session), prevent_destroy, at: page.at(node.span) }))
}

const NO_NODE: &str = "write node: NAME, here or in the defaults, so that a spec means the same to every agent";

/// Checks the defaults by themselves, so that a fault in them is one fault.
pub(super) fn check_defaults(fields: &SessionFields, root: &Node<'_>, page: &mut Page<'_>) {
    if let Some(node) = root.get("defaults").and_then(|defaults| defaults.get("session")) {
        for (field, refused) in refusals(&fields.properties(None)) {
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
fn joined(own: Properties, given: Properties) -> Properties {
    Properties {
        name: own.name.or(given.name),
        node: own.node.or(given.node),
        checks: own.checks.or(given.checks),
        service_checks: own.service_checks.or(given.service_checks),
        lock_delay: own.lock_delay.or(given.lock_delay),
        ttl: own.ttl.or(given.ttl),
        behavior: own.behavior.or(given.behavior),
    }
}

impl SessionFields {
    fn properties(&self, name: Option<String>) -> Properties {
        let service_check = |entry: &ServiceCheckEntry| match entry.clone() {
            ServiceCheckEntry::Id(id) => ServiceCheck { id, namespace: None },
            ServiceCheckEntry::Full { id, namespace } => {
                ServiceCheck { id, namespace: namespace.filter(|namespace| !namespace.is_empty()) }
            }
        };
        Properties {
            name,
            node: self.node.clone(),
            checks: self.checks.as_ref().map(|checks| checks.iter().cloned().collect()),
            service_checks: self.service_checks.as_ref().map(|checks| checks.iter().map(service_check).collect()),
            lock_delay: self.delay,
            ttl: self.ttl,
            behavior: self.behavior,
        }
    }
}
