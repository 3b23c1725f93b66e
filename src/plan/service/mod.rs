//! What has to be done so that a service, and the node without an agent that it is on, are as desired. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::object::{ExternalNode, FieldDifference, ObservedNode, ObservedService, ServiceSpec};

/// What somebody wants of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredService {
    /// It is registered, like this.
    Present(ServiceSpec),
    /// No service of this id is registered.
    Absent {
        /// Its id.
        id: String,
    },
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChange {
    /// Register a service that does not exist.
    Register {
        /// What it is to be.
        after: ServiceSpec,
    },
    /// Register a service anew: there is no other way to change one.
    Update {
        /// What it was.
        before: Box<ObservedService>,
        /// What it is to be.
        after: ServiceSpec,
        /// In what it differs.
        differences: Vec<FieldDifference>,
    },
    /// Deregister a service.
    Deregister {
        /// What it was.
        before: Box<ObservedService>,
    },
}

/// Why a service is not to be touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeService {
    /// The node has an agent, which would undo what the catalog is told.
    #[error("node '{node}' has an agent of its own, which would undo a registration in the catalog")]
    HasAgent {
        /// The node.
        node: String,
    },
    /// The node does not exist, and cannot be created without an address.
    #[error("there is no node '{node}', and without an address it cannot be made")]
    NeedsAddress {
        /// The node.
        node: String,
    },
    /// The node has a service whose id is the same but for upper and lower case. One would take the other's place in the
    /// catalog, and take it off there when it goes.
    #[error("the node has a service {other:?}, which Consul's catalog does not tell from {id:?}")]
    IdTaken {
        /// The id that was asked for.
        id: String,
        /// The id that there is.
        other: String,
    },
    /// The id of a check is another service's, which would lose its check.
    #[error("the node has a check of the id {check:?} already: it is a check of {owner}, which would lose it")]
    CheckTaken {
        /// The check's id.
        check: String,
        /// Whose it is.
        owner: String,
    },
}

/// The difference between a service as it is desired and as it is; `None` where there is none. `taken` are the ids of
/// the node's checks, and the ids of the services that they are of: empty for the node itself. Its own count for nothing.
///
/// | desired | observed | plan |
/// |---|---|---|
/// | present | none | register |
/// | present | differs in what Consul shows | update |
/// | present, with checks | the same, the same hash, the same checks | nothing |
/// | present, with checks | without a hash: somebody else's | update: nobody knows what its checks do |
/// | present, with checks | another hash | update |
/// | present, with checks | lacks one of the checks, or has another one | update |
/// | present, checks not mentioned | the same in what Consul shows | nothing: its checks, and its hash, count for nothing |
/// | present, tag override | other tags, the rest the same | nothing: its tags are others' to change |
/// | absent | none | nothing |
/// | absent | any | deregister |
///
/// # Errors
/// A check that is to be registered is another service's.
pub fn plan_service(
    desired: &DesiredService,
    observed: Option<&ObservedService>,
    taken: &BTreeMap<String, String>,
) -> Result<Option<ServiceChange>, UnsafeService> {
    let change = match (desired, observed) {
        (DesiredService::Present(after), None) => Some(ServiceChange::Register { after: after.clone() }),
        (DesiredService::Present(after), Some(before)) => {
            let differences = differences(before, after);
            let before = Box::new(before.clone());
            (!differences.is_empty()).then(|| ServiceChange::Update { before, after: after.clone(), differences })
        }
        (DesiredService::Absent { .. }, before) => {
            before.map(|before| ServiceChange::Deregister { before: Box::new(before.clone()) })
        }
    };
    if let Some(ServiceChange::Register { after } | ServiceChange::Update { after, .. }) = &change {
        check_taken(after, taken)?;
    }
    Ok(change)
}

/// Refuses a check that is another service's.
pub(super) fn check_taken(after: &ServiceSpec, taken: &BTreeMap<String, String>) -> Result<(), UnsafeService> {
    for check in after.checks().unwrap_or_default().iter().filter_map(|check| check.id.as_ref()) {
        if let Some(owner) = taken.get(check).filter(|owner| **owner != after.service().id) {
            let owner = if owner.is_empty() { "the node".to_owned() } else { format!("service '{owner}'") };
            return Err(UnsafeService::CheckTaken { check: check.clone(), owner });
        }
    }
    Ok(())
}

/// In what a service differs from what is declared.
pub(super) fn differences(before: &ObservedService, after: &ServiceSpec) -> Vec<FieldDifference> {
    let mut shown = Cow::Borrowed(&before.service);
    if after.service().enable_tag_override && shown.enable_tag_override {
        shown.to_mut().tags.clone_from(&after.service().tags);
    }
    let mut differences = shown.differences(after.service());
    // Without checks, all that is defined is what Consul shows.
    if let Some(checks) = after.checks() {
        let hash = after.hash();
        if before.hash.as_deref() != Some(hash) {
            let before = before.hash.clone().unwrap_or_else(|| "none: not registered by Lictor".to_owned());
            differences.push(FieldDifference { field: "definition", before, after: hash.to_owned() });
        }
        let wanted: BTreeSet<&str> = checks.iter().filter_map(|check| check.id.as_deref()).collect();
        if !before.checks.iter().map(String::as_str).eq(wanted.iter().copied()) {
            let (before, after) = (format!("{:?}", before.checks), format!("{wanted:?}"));
            differences.push(FieldDifference { field: "checks", before, after });
        }
    }
    differences
}

/// What a node is to be, where it has to be written; `None` where it is as desired.
///
/// | service | observed | plan |
/// |---|---|---|
/// | any | has an agent | refuse |
/// | absent | any | leave the node as it is |
/// | present | none, and an address given | create |
/// | present | none, and no address given | refuse |
/// | present | the same in what was mentioned | leave it |
/// | present | differs | update |
///
/// # Errors
/// The reason not to touch the node.
pub fn plan_node(
    present: bool,
    desired: &ExternalNode,
    observed: Option<&ObservedNode>,
) -> Result<Option<ObservedNode>, UnsafeService> {
    let node = || desired.name.clone();
    match observed {
        Some(observed) if observed.has_agent => Err(UnsafeService::HasAgent { node: node() }),
        _ if !present => Ok(None),
        None if desired.address.is_none() => Err(UnsafeService::NeedsAddress { node: node() }),
        _ => {
            let base = observed.cloned().unwrap_or_default();
            let after = ObservedNode {
                address: desired.address.clone().unwrap_or(base.address),
                meta: desired.meta.clone().unwrap_or(base.meta),
                has_agent: false,
            };
            Ok((observed != Some(&after)).then_some(after))
        }
    }
}

#[cfg(test)]
mod tests;
