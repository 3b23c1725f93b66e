//! What `consul_service` does in the catalog, for nodes without an agent, and what rights it takes.

mod support;

use std::sync::OnceLock;

use serde_json::{Value, json};
use support::agent::Options;
use support::{Agent, Module, unique};

fn consul_service(options: Value) -> Module {
    support::module("consul_service", options)
}

fn service(options: Value) -> Module {
    consul_service(options).at(&Agent::shared().address())
}

fn shown(id: &str) -> Value {
    Agent::shared().get(&format!("/v1/agent/service/{id}"))
}

/// The service of an id on a node of the catalog.
fn on_node(node: &str, id: &str) -> Value {
    Agent::shared().get(&format!("/v1/catalog/node/{node}"))["Services"][id].clone()
}

#[test]
fn a_service_on_a_node_without_an_agent() {
    let (agent, node, name) = (Agent::shared(), unique("external"), unique("db"));
    let http = json!({"http": "http://10.0.0.1/", "interval": "10s"});
    let wish = |address: &str, checks: Value| {
        service(json!({"name": name, "service_port": 5432, "node": node, "node_address": address, "checks": checks}))
    };
    service(json!({"name": name, "node": node})).run().fails_with(&["no node", "`node_address`"]);
    let made = wish("10.0.0.1", json!([http])).run().ok();
    assert_eq!((&made["action"], &made["node"]), (&json!("registered"), &json!(node)));
    assert_eq!(wish("10.0.0.1", json!([http])).run().ok()["action"], "unchanged");
    assert_eq!(on_node(&node, &name)["Port"], 5432);
    let check = agent.get(&format!("/v1/health/node/{node}"))[0].clone();
    assert_eq!(
        (&check["ServiceID"], &check["Definition"]["HTTP"], &check["Definition"]["Interval"]),
        (&json!(name), &json!("http://10.0.0.1/"), &json!("10s")),
        "with what consul-esm needs"
    );

    let mut passing = check.clone();
    passing["Status"] = json!("passing");
    agent.put("/v1/catalog/register", &json!({"Node": node, "SkipNodeUpdate": true, "Check": passing}));
    let tcp = json!({"tcp": "10.0.0.1:5432", "interval": "10s"});
    assert_eq!(wish("10.0.0.1", json!([tcp, http])).run().ok()["action"], "updated");
    let statuses = || {
        let all = agent.get(&format!("/v1/health/node/{node}"));
        let mut all: Vec<_> =
            all.as_array().unwrap().iter().map(|c| (c["Type"].clone(), c["Status"].clone())).collect();
        all.sort_by_key(|check| format!("{check:?}"));
        all
    };
    assert_eq!(statuses(), [(json!("http"), json!("passing")), (json!("tcp"), json!("critical"))]);
    assert_eq!(wish("10.0.0.1", json!([tcp])).run().ok()["action"], "updated");
    assert_eq!(statuses(), [(json!("tcp"), json!("critical"))], "the catalog is told to forget the other");

    let moved = wish("10.0.0.9", json!([tcp])).run().ok();
    assert_eq!((&moved["changed"], &moved["action"]), (&json!(true), &json!("updated")));
    assert_eq!(agent.get(&format!("/v1/catalog/node/{node}"))["Node"]["Address"], "10.0.0.9");
    service(json!({"name": name, "id": "second", "node": node})).run().ok();
    assert_eq!(agent.get(&format!("/v1/catalog/node/{node}"))["Node"]["Address"], "10.0.0.9", "where none is given");

    let absent = || service(json!({"name": name, "node": node, "state": "absent"}));
    assert_eq!(absent().run().ok()["action"], "deregistered");
    assert_eq!((on_node(&node, &name), statuses().len()), (json!(null), 0));
    assert_eq!(on_node(&node, "second")["ID"], "second");
    assert_eq!(absent().run().ok()["changed"], false);
}

#[test]
fn a_service_of_the_same_id_on_another_node_is_another_service() {
    let (node, name) = (unique("elsewhere"), unique("same"));
    service(json!({"name": name, "service_port": 1})).run().ok();
    let there = |port: u16| json!({"name": name, "service_port": port, "node": node, "node_address": "10.0.0.1"});
    assert_eq!(service(there(2)).run().ok()["action"], "registered");
    assert_eq!(service(json!({"name": name, "service_port": 1})).run().ok()["action"], "unchanged");
    assert_eq!((&shown(&name)["Port"], &on_node(&node, &name)["Port"]), (&json!(1), &json!(2)));
    let list = service(json!({"state": "info", "node": node})).run().ok();
    assert_eq!(list["services"].as_array().unwrap().len(), 1);
    service(json!({"name": name, "node": node, "state": "absent"})).run().ok();
    assert_eq!(shown(&name)["Port"], 1);
}

#[test]
fn the_catalog_is_not_told_what_an_agent_would_undo() {
    for state in ["present", "absent"] {
        let options = json!({"name": "web", "node": "node1", "node_address": "127.0.0.1", "state": state});
        let failure = service(options).run().fails_with(&["'node1' has an agent", "leave `node` out"]);
        assert_eq!(failure["reason"], "has_agent");
    }
}

const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";

fn guarded() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        Agent::start(Options {
            config: json!({"acl": {
                "enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}
            }}),
            token: Some(MASTER.to_owned()),
            ..Options::default()
        })
    })
}

fn with_rules(options: Value, rules: &str) -> Module {
    let (agent, policy) = (guarded(), unique("policy"));
    agent.put("/v1/acl/policy", &json!({"Name": policy, "Rules": rules}));
    let made: Value =
        serde_json::from_str(&agent.put("/v1/acl/token", &json!({"Policies": [{"Name": policy}]}))).unwrap();
    consul_service(options).option("token", made["SecretID"].clone()).at(&agent.address())
}

#[test]
fn the_least_rights_and_the_rule_that_is_missing() {
    let name = unique("rights");
    let write = format!("service \"{name}\" {{ policy = \"write\" }}");
    let wish = json!({"name": name, "checks": [{"ttl": "1h"}]});
    let failure = with_rules(wish.clone(), "").run().fails_with(&["403", "service \"NAME\" { policy = \"write\" }"]);
    assert_eq!(failure["reason"], "denied");
    assert_eq!(with_rules(wish.clone(), &write).run().ok()["action"], "registered");
    assert_eq!(with_rules(wish.clone(), &write).run().ok()["action"], "unchanged");
    let changed = json!({"name": name, "checks": []});
    assert_eq!(with_rules(changed, &write).run().ok()["action"], "updated");
    let absent = json!({"name": name, "state": "absent"});
    with_rules(absent.clone(), "").run().fails_with(&["403", "service \"NAME\""]);
    assert_eq!(with_rules(absent, &write).run().ok()["action"], "deregistered");
}

#[test]
fn an_empty_list_says_that_it_may_be_a_cut_one() {
    let name = unique("listed");
    let rule = |policy: &str| format!("service \"{name}\" {{ policy = \"{policy}\" }}");
    assert_eq!(with_rules(json!({"name": name}), &rule("write")).run().ok()["action"], "registered");
    let list = |rules: &str| with_rules(json!({"state": "info"}), rules).run().ok();
    let cut = list("");
    assert_eq!(cut["services"], json!([]));
    assert!(cut["warnings"][0].as_str().unwrap().contains("service:read"), "{cut}");
    let seen = list(&rule("read"));
    assert_eq!((&seen["services"][0]["ID"], seen.get("warnings")), (&json!(name), None));
}

#[test]
fn nothing_is_concluded_from_what_the_catalog_hides() {
    let (name, node) = (unique("hidden"), unique("dark"));
    let wish = json!({"name": name, "node": node, "node_address": "10.0.0.1"});
    let service_write = format!("service \"{name}\" {{ policy = \"write\" }}");
    let node_read = format!("node \"{node}\" {{ policy = \"read\" }}");
    let node_write = format!("node \"{node}\" {{ policy = \"write\" }}");
    with_rules(wish.clone(), &service_write).run().fails_with(&["may not see node", &node_read]);
    let list = with_rules(json!({"state": "info", "node": node}), &service_write);
    list.run().fails_with(&["may not see node", &node_read]);
    let both = format!("{service_write} {node_read}");
    with_rules(wish.clone(), &both).run().fails_with(&["403", "node \"NODE\" { policy = \"write\" }"]);
    assert_eq!(with_rules(wish.clone(), &format!("{service_write} {node_write}")).run().ok()["action"], "registered");
    let changed = json!({"name": name, "node": node, "service_port": 1});
    assert_eq!(with_rules(changed, &both).run().ok()["action"], "updated", "the node's own record is not written");
    let absent = json!({"name": name, "node": node, "state": "absent"});
    with_rules(absent.clone(), &node_read).run().fails_with(&["may not see service", "policy = \"read\""]);
    assert_eq!(with_rules(absent, &both).run().ok()["action"], "deregistered");
}
