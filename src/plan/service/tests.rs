//! One test for each row of the truth tables above `plan_service` and `plan_node`.

use super::*;
use crate::object::{Check, Service};

fn web() -> Service {
    Service { id: "web1".to_owned(), name: "web".to_owned(), tags: ["blue".to_owned()].into(), ..Service::default() }
}

fn spec_of(service: Service) -> ServiceSpec {
    let check = Check { ttl: Some("30s".parse().unwrap()), ..Check::default() };
    ServiceSpec::new(service, Some(vec![check])).unwrap()
}

fn spec() -> ServiceSpec {
    spec_of(web())
}

/// The service as it is after `spec` was registered.
fn registered(spec: &ServiceSpec) -> ObservedService {
    let checks = spec.checks().unwrap_or_default().iter();
    ObservedService {
        service: spec.service().clone(),
        hash: Some(spec.hash().to_owned()),
        owner: None,
        checks: checks.map(|check| check.id.clone().unwrap()).collect(),
    }
}

fn plan(desired: &ServiceSpec, observed: Option<&ObservedService>) -> Option<ServiceChange> {
    plan_service(&DesiredService::Present(desired.clone()), observed, &BTreeMap::new()).unwrap()
}

#[track_caller]
fn updates(observed: &ObservedService, fields: &[&str]) {
    match plan(&spec(), Some(observed)) {
        Some(ServiceChange::Update { before, after, differences }) => {
            assert_eq!((*before, after), (observed.clone(), spec()));
            assert_eq!(differences.iter().map(|difference| difference.field).collect::<Vec<_>>(), fields);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn present_and_none_registers() {
    assert_eq!(plan(&spec(), None), Some(ServiceChange::Register { after: spec() }));
}

#[test]
fn present_and_the_same_changes_nothing() {
    assert_eq!(plan(&spec(), Some(&registered(&spec()))), None);
}

#[test]
fn present_and_different_in_what_consul_shows_updates() {
    let by_hand = |change: fn(&mut Service)| {
        let mut observed = registered(&spec());
        change(&mut observed.service);
        observed
    };
    updates(&by_hand(|service| service.name.push('x')), &["name"]);
    updates(&by_hand(|service| service.tags.clear()), &["tags"]);
    updates(&by_hand(|service| service.address.push('x')), &["address"]);
    updates(&by_hand(|service| service.port = 1), &["service_port"]);
    updates(&by_hand(|service| drop(service.meta.insert("a".to_owned(), "b".to_owned()))), &["meta"]);
    updates(&by_hand(|service| service.enable_tag_override = true), &["enable_tag_override"]);
    updates(&by_hand(|service| service.weights.warning = 7), &["weights"]);
}

#[test]
fn present_and_somebody_elses_updates() {
    updates(&ObservedService { hash: None, ..registered(&spec()) }, &["definition"]);
}

#[test]
fn present_and_another_hash_updates() {
    updates(&ObservedService { hash: Some("old".to_owned()), ..registered(&spec()) }, &["definition"]);
}

#[test]
fn present_with_a_check_too_few_or_too_many_updates() {
    updates(&ObservedService { checks: BTreeSet::new(), ..registered(&spec()) }, &["checks"]);
    let mut more = registered(&spec());
    more.checks.insert("by-hand".to_owned());
    updates(&more, &["checks"]);
}

#[test]
fn checks_that_were_not_mentioned_count_for_nothing() {
    let spec = ServiceSpec::new(web(), None).unwrap();
    let mut observed = registered(&spec);
    observed.checks.insert("by-hand".to_owned());
    assert_eq!(plan(&spec, Some(&observed)), None);
    assert_eq!(plan(&spec, Some(&ObservedService { hash: None, ..observed })), None, "somebody else's");
}

#[test]
fn tags_are_others_to_change_where_they_may_be_overridden() {
    let spec = spec_of(Service { enable_tag_override: true, ..web() });
    let mut observed = registered(&spec);
    observed.service.tags = ["green".to_owned()].into();
    assert_eq!(plan(&spec, Some(&observed)), None);
    observed.service.port = 1;
    assert!(plan(&spec, Some(&observed)).is_some(), "what else differs is registered all the same");
}

#[test]
fn absent_deregisters_what_is_there() {
    let absent = DesiredService::Absent { id: "web1".to_owned() };
    let observed = registered(&spec());
    assert_eq!(plan_service(&absent, None, &BTreeMap::new()), Ok(None));
    let gone = ServiceChange::Deregister { before: Box::new(observed.clone()) };
    assert_eq!(plan_service(&absent, Some(&observed), &BTreeMap::new()), Ok(Some(gone)));
}

#[test]
fn a_check_of_another_service_is_not_taken_away() {
    let present = DesiredService::Present(spec());
    for (service, owner) in [("db", "service 'db'"), ("", "the node")] {
        let taken = [("service:web1:ttl".to_owned(), service.to_owned())].into();
        let refused = UnsafeService::CheckTaken { check: "service:web1:ttl".to_owned(), owner: owner.to_owned() };
        assert_eq!(plan_service(&present, None, &taken), Err(refused));
        assert_eq!(plan_service(&present, Some(&registered(&spec())), &taken), Ok(None), "where nothing is written");
    }
}

fn node(address: Option<&str>, meta: Option<&str>) -> ExternalNode {
    let meta = meta.map(|value| [("a".to_owned(), value.to_owned())].into());
    ExternalNode { name: "db".to_owned(), address: address.map(ToOwned::to_owned), meta }
}

fn observed_node() -> ObservedNode {
    ObservedNode { address: "10.0.0.1".to_owned(), meta: [("a".to_owned(), "b".to_owned())].into(), has_agent: false }
}

#[test]
fn a_node_with_an_agent_is_not_touched() {
    let observed = ObservedNode { has_agent: true, ..observed_node() };
    for present in [true, false] {
        let refused = UnsafeService::HasAgent { node: "db".to_owned() };
        assert_eq!(plan_node(present, &node(Some("10.0.0.1"), None), Some(&observed)), Err(refused));
    }
}

#[test]
fn the_node_of_an_absent_service_stays_as_it_is() {
    for observed in [None, Some(&observed_node())] {
        assert_eq!(plan_node(false, &node(Some("10.0.0.9"), None), observed), Ok(None));
    }
}

#[test]
fn a_node_that_does_not_exist_is_made_if_it_has_an_address() {
    let made = ObservedNode { address: "10.0.0.1".to_owned(), ..ObservedNode::default() };
    assert_eq!(plan_node(true, &node(Some("10.0.0.1"), None), None), Ok(Some(made)));
    let refused = UnsafeService::NeedsAddress { node: "db".to_owned() };
    assert_eq!(plan_node(true, &node(None, None), None), Err(refused));
}

#[test]
fn a_node_is_written_only_where_it_differs_in_what_was_mentioned() {
    let observed = observed_node();
    for same in [node(None, None), node(Some("10.0.0.1"), None), node(Some("10.0.0.1"), Some("b"))] {
        assert_eq!(plan_node(true, &same, Some(&observed)), Ok(None));
    }
    let moved = ObservedNode { address: "10.0.0.9".to_owned(), ..observed_node() };
    assert_eq!(plan_node(true, &node(Some("10.0.0.9"), None), Some(&observed)), Ok(Some(moved)));
    let other = ObservedNode { meta: [("a".to_owned(), "c".to_owned())].into(), ..observed_node() };
    assert_eq!(plan_node(true, &node(None, Some("c")), Some(&observed)), Ok(Some(other)));
}
