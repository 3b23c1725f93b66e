//! The agent, the catalog, health and events of the client library, on a real agent.

mod support;

use std::collections::BTreeMap;

use lictor::consul::{
    Address, CheckDefinition, CheckStatus, Client, Deregistration, NodeService, Pool, Query, Registration,
    ServiceDefinition, Settings,
};
use support::agent::Options;
use support::{Agent, unique};

fn client(agent: &Agent) -> Client {
    let settings = Settings { host: Some(agent.address()), ..Settings::default() };
    Client::new(settings.into_config().unwrap()).unwrap()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_service_with_a_check_of_each_kind() {
    let client = client(Agent::shared());
    let name = unique("service");
    let every = || CheckDefinition { interval: text("1h"), timeout: text("1s"), ..CheckDefinition::default() };
    let definition = ServiceDefinition {
        name: name.clone(),
        id: Some(format!("{name}-1")),
        port: Some(8080),
        tags: vec!["v1".to_owned(), "blue".to_owned()],
        meta: BTreeMap::from([("team".to_owned(), "web".to_owned())]),
        checks: vec![
            CheckDefinition { http: text("http://127.0.0.1:1/"), method: text("HEAD"), ..every() },
            CheckDefinition { tcp: text("127.0.0.1:1"), ..every() },
            CheckDefinition { grpc: text("127.0.0.1:1/web"), ..every() },
            CheckDefinition { ttl: text("1h"), check_id: Some(format!("{name}-ttl")), ..CheckDefinition::default() },
            CheckDefinition { alias_node: text("node1"), ..CheckDefinition::default() },
        ],
        ..ServiceDefinition::default()
    };
    client.agent().register_service(&definition).unwrap();
    let service = client.agent().service(&format!("{name}-1")).unwrap().unwrap();
    assert_eq!((service.service.as_str(), service.port, &service.meta), (name.as_str(), 8080, &definition.meta));
    assert_eq!(client.agent().services().unwrap()[&format!("{name}-1")], service);
    let checks = || {
        let all = client.agent().checks().unwrap().into_values();
        all.filter(|check| check.service_name == name).collect::<Vec<_>>()
    };
    assert_eq!(checks().len(), 5);

    let ttl = format!("{name}-ttl");
    for (status, word) in
        [(CheckStatus::Passing, "passing"), (CheckStatus::Warning, "warning"), (CheckStatus::Critical, "critical")]
    {
        client.agent().update_check(&ttl, status, "said so").unwrap();
        assert!(
            checks().iter().any(|check| check.check_id == ttl && check.status == word && check.output == "said so")
        );
    }
    client.agent().register_service(&ServiceDefinition { checks: Vec::new(), ..definition }).unwrap();
    assert_eq!(checks().len(), 0, "checks of the earlier definition are gone");
    client.agent().deregister_service(&format!("{name}-1")).unwrap();
    assert_eq!(client.agent().service(&format!("{name}-1")).unwrap(), None);
}

#[test]
fn a_script_check_where_the_agent_allows_it() {
    let agent = Agent::start(Options {
        config: serde_json::json!({"enable_local_script_checks": true, "enable_script_checks": true}),
        ..Options::default()
    });
    let client = client(&agent);
    let args = vec!["true".to_owned()];
    let check = CheckDefinition { args, interval: text("1h"), ..CheckDefinition::default() };
    let definition =
        ServiceDefinition { name: "scripted".to_owned(), checks: vec![check], ..ServiceDefinition::default() };
    client.agent().register_service(&definition).unwrap();
    assert_eq!(client.agent().checks().unwrap().len(), 1);
}

#[test]
fn members_metrics_version_reload_and_maintenance() {
    let agent = Agent::start(Options::default());
    let client = client(&agent);
    let lan = client.agent().members(Pool::Lan).unwrap();
    assert_eq!(
        (lan.len(), lan[0].name.as_str(), lan[0].status, lan[0].tags["role"].as_str()),
        (1, "node1", 1, "consul")
    );
    assert_eq!(client.agent().members(Pool::Wan).unwrap()[0].name, "node1.dc1");
    assert!(client.agent().metrics().unwrap()["Gauges"].is_array());
    assert_eq!(client.agent().version().unwrap(), client.agent().read_self().unwrap().config.version);
    client.agent().reload().unwrap();
    let reason = || client.agent().checks().unwrap().get("_node_maintenance").map(|check| check.notes.clone());
    client.agent().maintenance(true, "disk & fan").unwrap();
    assert_eq!(reason().as_deref(), Some("disk & fan"));
    client.agent().maintenance(false, "").unwrap();
    assert_eq!(reason(), None);
    client
        .agent()
        .register_service(&ServiceDefinition { name: "web".to_owned(), ..ServiceDefinition::default() })
        .unwrap();
    client.agent().service_maintenance("web", true, "upgrade").unwrap();
    assert_eq!(client.agent().checks().unwrap()["_service_maintenance:web"].notes, "upgrade");
    client.agent().service_maintenance("web", false, "").unwrap();
    assert!(client.agent().service_maintenance("nope", true, "").unwrap_err().is_not_found());
}

#[test]
fn a_check_of_the_node_comes_and_goes() {
    let (client, id) = (client(Agent::shared()), unique("check"));
    let check = CheckDefinition {
        check_id: Some(id.clone()),
        name: text("disk"),
        ttl: text("1h"),
        ..CheckDefinition::default()
    };
    client.agent().register_check(&check).unwrap();
    assert_eq!(client.agent().checks().unwrap()[&id].name, "disk");
    client.agent().deregister_check(&id).unwrap();
    assert!(!client.agent().checks().unwrap().contains_key(&id));
}

#[test]
fn an_external_node_and_its_service_by_tags() {
    let (client, query, node, name) = (client(Agent::shared()), Query::default(), unique("external"), unique("db"));
    let instance = |id: &str, tags: &[&str]| Registration {
        node: node.clone(),
        address: "127.0.0.2".to_owned(),
        service: Some(NodeService {
            id: id.to_owned(),
            service: name.clone(),
            tags: tags.iter().map(ToString::to_string).collect(),
            port: 5432,
            ..NodeService::default()
        }),
        ..Registration::default()
    };
    client.catalog().register(&instance("a", &["primary", "blue"]), &query).unwrap();
    client.catalog().register(&instance("b", &["replica", "blue"]), &query).unwrap();
    let with = |tags: &[&str]| {
        let instances = client.catalog().service(&name, tags, &query).unwrap();
        instances.into_iter().map(|instance| instance.service_id).collect::<Vec<_>>()
    };
    assert_eq!((with(&[]).len(), with(&["blue"]).len()), (2, 2));
    assert_eq!(with(&["blue", "replica"]), ["b"]);
    assert_eq!(with(&["primary", "replica"]), Vec::<String>::new(), "all have to match");
    let mut tags = client.catalog().services(&query).unwrap()[&name].clone();
    tags.sort();
    assert_eq!(tags, ["blue", "primary", "replica"]);
    let found = client.catalog().node(&node, &query).unwrap().unwrap();
    assert_eq!((found.node.address.as_str(), found.services.len()), ("127.0.0.2", 2));
    assert!(client.catalog().datacenters().unwrap().contains(&"dc1".to_owned()));
    let service_a = Deregistration { node: node.clone(), service_id: text("a"), ..Deregistration::default() };
    client.catalog().deregister(&service_a, &query).unwrap();
    assert_eq!(with(&[]), ["b"]);
    client.catalog().deregister(&Deregistration { node: node.clone(), ..Deregistration::default() }, &query).unwrap();
    assert_eq!(client.catalog().node(&node, &query).unwrap(), None);
}

#[test]
fn health_of_services_nodes_and_states() {
    let (client, query, name) = (client(Agent::shared()), Query::default(), unique("health"));
    let ttl = CheckDefinition { ttl: text("1h"), check_id: Some(name.clone()), ..CheckDefinition::default() };
    let definition = ServiceDefinition { name: name.clone(), checks: vec![ttl], ..ServiceDefinition::default() };
    client.agent().register_service(&definition).unwrap();
    let count = |only_passing| client.health().service(&name, only_passing, &query).unwrap().len();
    // The agent tells the catalog in its own time.
    let mut watch = client.health().watch_service(&name, false, &query);
    while watch.next().unwrap().unwrap().0.is_empty() {}
    assert_eq!((count(false), count(true)), (1, 0), "critical until somebody says else");
    assert!(client.health().state("critical", &query).unwrap().iter().any(|check| check.check_id == name));
    client.agent().update_check(&name, CheckStatus::Passing, "").unwrap();
    let mut passing = client.health().watch_service(&name, true, &query);
    while passing.next().unwrap().unwrap().0.is_empty() {}
    assert_eq!(count(true), 1);
    assert_eq!(client.health().checks(&name, &query).unwrap()[0].status, "passing");
    assert!(client.health().node("node1", &query).unwrap().iter().any(|check| check.check_id == name));
}

#[test]
fn an_event_reaches_the_agent_that_fired_it() {
    let (client, name) = (client(Agent::shared()), unique("event"));
    let fired = client.events().fire(&name, b"\x00payload", &Query::default()).unwrap();
    let seen = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        client.events().list(Some(&name)).unwrap().into_iter().next()
    });
    let seen = seen.expect("within two seconds");
    assert_eq!((seen.id, seen.payload), (fired.id, b"\x00payload".to_vec()));
}

#[test]
fn at_another_address_the_settings_stay() {
    let other = Agent::start(Options { node: Some("other".to_owned()), ..Options::default() });
    let port = other.address().rsplit(':').next().unwrap().parse().unwrap();
    let there = client(Agent::shared()).at(Address::Tcp { https: false, host: "127.0.0.1".to_owned(), port }).unwrap();
    assert_eq!(there.agent().read_self().unwrap().config.node_name, "other");
    assert_eq!(there.address(), format!("http://{}", other.address()));
}
