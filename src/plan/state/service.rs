//! The services of a plan for many objects, and the nodes without an agent that they are on.

use std::collections::BTreeMap;

use crate::object::{
    DesiredState, ExternalNode, FieldDifference, NodeState, Object, ObjectId, ObservedService, ServiceSpec,
};
use crate::plan::service::{ServiceChange, UnsafeService, check_taken, differences, plan_node};

use super::planner::Planner;
use super::{Claim, NodeChange, StateChange, Step, UnsafeState};

/// What all services of a node together say of it.
pub(super) struct NodeWish<'a> {
    node: ExternalNode,
    /// The first service that says anything.
    first: &'a ObjectId,
    /// Another one, which says something else.
    at_odds: Option<&'a ObjectId>,
}

/// The nodes of which a state says more than the name.
pub(super) fn wished_nodes(desired: &DesiredState) -> BTreeMap<&str, NodeWish<'_>> {
    let mut wishes: BTreeMap<&str, NodeWish<'_>> = BTreeMap::new();
    for (id, declared) in &desired.objects {
        let Object::Service { node, .. } = &declared.object else { continue };
        if !is_external(node) {
            continue;
        }
        let wish =
            wishes.entry(&node.name).or_insert_with(|| NodeWish { node: node.clone(), first: id, at_odds: None });
        let agree = agree(&mut wish.node.address, &node.address) & agree(&mut wish.node.meta, &node.meta);
        if !agree {
            wish.at_odds.get_or_insert(id);
        }
    }
    wishes
}

/// Takes over what is mentioned; false where that is something else than before.
fn agree<T: Clone + PartialEq>(so_far: &mut Option<T>, mentioned: &Option<T>) -> bool {
    let before = so_far.take().or_else(|| mentioned.clone());
    let agree = mentioned.is_none() || *mentioned == before;
    *so_far = before;
    agree
}

/// A node whose address or metadata is declared is one without an agent.
fn is_external(node: &ExternalNode) -> bool {
    node.address.is_some() || node.meta.is_some()
}

impl<'a> Planner<'a> {
    pub(super) fn service(
        &mut self,
        id: &'a ObjectId,
        node: &ExternalNode,
        spec: &ServiceSpec,
        wishes: &BTreeMap<&str, NodeWish<'a>>,
        claim: Claim,
        before: Option<&ObservedService>,
    ) {
        let mut drift = before.map_or_else(Vec::new, |before| differences(before, spec));
        let claim = match claim {
            Claim::Foreign { owner } => return self.refuse(id, UnsafeState::Foreign { owner }),
            Claim::Unowned => return self.leave_unowned(id, drift.is_empty()),
            claim => claim,
        };
        let change = match before {
            None => Some(ServiceChange::Register { after: spec.clone() }),
            Some(before) => {
                drift.extend(self.owner_drift(before));
                (!drift.is_empty()).then(|| ServiceChange::Update {
                    before: Box::new(before.clone()),
                    after: spec.clone(),
                    differences: drift,
                })
            }
        };
        let taken = match before {
            None => self.refuse_taken_id(node, spec),
            Some(_) => Ok(()),
        };
        let taken = taken.and_then(|()| self.refuse_taken_checks(node, spec, change.is_some()));
        let step = taken.and_then(|()| Ok((self.node(node, wishes, change.is_some())?, change)));
        match step {
            Err(reason) => self.refuse(id, reason),
            Ok((None, None)) => self.as_declared(id, claim),
            Ok((node, change)) => self.change(id, claim, Step::Service { node, change }, false),
        }
    }

    fn owner_drift(&self, before: &ObservedService) -> Option<FieldDifference> {
        (before.owner.as_deref() != Some(self.owner)).then(|| FieldDifference {
            field: "owner",
            before: before.owner.clone().unwrap_or_else(|| "none".to_owned()),
            after: self.owner.to_owned(),
        })
    }

    fn refuse_taken_id(&self, node: &ExternalNode, spec: &ServiceSpec) -> Result<(), UnsafeState> {
        let id = &spec.service().id;
        let services = self.observed.nodes.get(&node.name).map(|node| &node.services);
        match services.and_then(|services| services.get(&id.to_ascii_lowercase())) {
            Some(other) => Err(UnsafeService::IdTaken { id: id.clone(), other: other.clone() }.into()),
            None => Ok(()),
        }
    }

    fn refuse_taken_checks(&self, node: &ExternalNode, spec: &ServiceSpec, writes: bool) -> Result<(), UnsafeState> {
        match self.observed.nodes.get(&node.name) {
            Some(node) if writes => Ok(check_taken(spec, &node.checks)?),
            _ => Ok(()),
        }
    }

    /// What is to be done to the node of a service: where the service says what the node is to be, or has to be written
    /// to it.
    fn node(
        &self,
        node: &ExternalNode,
        wishes: &BTreeMap<&str, NodeWish<'a>>,
        writes: bool,
    ) -> Result<Option<Box<NodeChange>>, UnsafeState> {
        let before = self.observed.nodes.get(&node.name).and_then(|NodeState { node, .. }| node.as_ref());
        match wishes.get(node.name.as_str()) {
            Some(wish) if writes || is_external(node) => {
                if let Some(other) = wish.at_odds {
                    return Err(UnsafeState::NodeAtOdds { first: wish.first.clone(), other: other.clone() });
                }
                let after = plan_node(true, &wish.node, before)?;
                Ok(after.map(|after| Box::new(NodeChange { before: before.cloned(), after })))
            }
            None if writes && before.is_none() => Err(UnsafeService::NeedsAddress { node: node.name.clone() }.into()),
            _ => Ok(None),
        }
    }

    /// A service that is declared no more.
    pub(super) fn end_service(&mut self, id: &ObjectId, before: &ObservedService) {
        let change = Some(ServiceChange::Deregister { before: Box::new(before.clone()) });
        let step = Step::Service { node: None, change };
        self.deletes.push(StateChange { id: id.clone(), claim: Claim::Ours, step, secret: false });
    }
}
