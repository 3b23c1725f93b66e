//! Services, and the nodes that they and sessions are on.

use super::*;

#[test]
fn the_metadata_of_a_service_counts_for_more_than_records() {
    let taken = World::default().service("s", 1, Some("them")).ours([service_id("s")]);
    refuses(&plan(&taken, [service("s", 1)]), &service_id("s"), &foreign());
    let forgotten = World::default().service("s", 1, Some(OWNER));
    let unchanged = plan(&forgotten, [service("s", 1)]);
    does(&unchanged, &[]);
    assert_eq!((unchanged.unchanged, unchanged.confirmed.len()), (1, 1));
    does(&plan(&forgotten, [service("s", 2)]), &["service n1/s: update"]);
}

#[test]
fn a_service_of_ours_that_names_no_owner_is_registered_again() {
    let world = World::default().service("s", 1, None).ours([service_id("s")]);
    let plan = plan(&world, [service("s", 1)]);
    does(&plan, &["service n1/s: update"]);
    let [difference] = &plan.changes[0].differences()[..] else { panic!("{plan:?}") };
    assert_eq!((difference.field, &*difference.before, &*difference.after), ("owner", "none", OWNER));
}

fn external(address: Option<&str>) -> ExternalNode {
    ExternalNode { name: "ext".to_owned(), address: address.map(str::to_owned), meta: None }
}

fn external_world(has_agent: bool) -> World {
    let mut world = World::default();
    let node = ObservedNode { address: "10.0.0.7".to_owned(), has_agent, ..ObservedNode::default() };
    world.observed.nodes.entry("ext".to_owned()).or_default().node = Some(node);
    world
}

#[test]
fn a_node_without_an_agent_is_made_or_changed_with_its_services() {
    let items = || [service_on(external(None), "s", 1), service_on(external(Some("10.0.0.9")), "t", 1)];
    let expected = ["service ext/s: register, node at 10.0.0.9", "service ext/t: register, node at 10.0.0.9"];
    does(&plan(&World::default(), items()), &expected);
    let mut world = external_world(false);
    does(&plan(&world, items()), &expected);
    let first = plan(&world, items());
    world.apply(&first, &desired(items()), None);
    does(&plan(&world, items()), &[]);
    // Of services that stay as they are, only those that say something of the node change it.
    world.observed.nodes.get_mut("ext").unwrap().node.as_mut().unwrap().address = "10.0.0.8".to_owned();
    does(&plan(&world, items()), &["service ext/t: leave, node at 10.0.0.9"]);
}

#[test]
fn a_node_that_cannot_be_is_refused() {
    let id = || ObjectId::Service { node: "ext".to_owned(), id: "s".to_owned() };
    let node = || "ext".to_owned();
    let no_address = plan(&World::default(), [service_on(external(None), "s", 1)]);
    refuses(&no_address, &id(), &UnsafeService::NeedsAddress { node: node() }.into());
    let agent = plan(&external_world(true), [service_on(external(Some("10.0.0.9")), "s", 1)]);
    refuses(&agent, &id(), &UnsafeService::HasAgent { node: node() }.into());
    does(&plan(&external_world(false), [service_on(external(None), "s", 1)]), &["service ext/s: register"]);
}

#[test]
fn a_session_on_a_node_that_does_not_exist_is_refused() {
    let mut world = World::default();
    world.observed.missing_nodes.insert(NODE.to_owned());
    refuses(&plan(&world, [session("a", 1)]), &session_id("a"), &UnsafeState::NoNode(NODE.to_owned()));
    let node =
        ExternalNode { name: NODE.to_uppercase(), address: Some("10.0.0.9".to_owned()), ..ExternalNode::default() };
    let made = plan(&world, [session("a", 1), service_on(node, "s", 1)]);
    assert!(made.is_safe() && made.changes.len() == 2, "{:?}", made.refusals);
}

#[test]
fn services_that_disagree_about_their_node_are_refused() {
    let items = [service_on(external(Some("10.0.0.8")), "s", 1), service_on(external(Some("10.0.0.9")), "t", 1)];
    let plan = plan(&World::default(), items);
    let at_odds: Vec<_> = plan.refusals.iter().map(|refusal| refusal.reason.to_string()).collect();
    let expected = "service ext/s and service ext/t say different things of their node";
    assert_eq!((at_odds, plan.changes.len()), (vec![expected.to_owned(), expected.to_owned()], 0));
}

#[test]
fn a_service_whose_id_differs_in_case_only_is_not_made() {
    let mut world = World::default();
    let services = &mut world.observed.nodes.get_mut(NODE).unwrap().services;
    services.insert("s".to_owned(), "S".to_owned());
    let expected = UnsafeService::IdTaken { id: "s".to_owned(), other: "S".to_owned() };
    refuses(&plan(&world, [service("s", 1)]), &service_id("s"), &UnsafeState::Service(expected));
}

#[test]
fn a_check_of_another_service_is_not_taken() {
    let mut world = World::default();
    let checks = &mut world.observed.nodes.get_mut(NODE).unwrap().checks;
    checks.insert("service:s:ttl".to_owned(), "other".to_owned());
    let refused = plan(&world, [service("s", 1)]);
    assert!(matches!(
        &refused.refusals[..],
        [Refusal { reason: UnsafeState::Service(UnsafeService::CheckTaken { .. }), .. }]
    ));
    does(&plan(&ours(), [service("s", 2)]), &["service n1/s: update"]);
}

// --- keys -------------------------------------------------------------------------------------
