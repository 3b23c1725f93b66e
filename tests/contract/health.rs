//! The health of nodes and services.

use serde_json::{Value, json};

use crate::support::target::Target;
use crate::support::unique;

cases!(open:
    an_instance_comes_with_its_node_and_the_checks_of_both,
    only_what_passes_is_given_where_it_is_asked_for,
    the_last_takes_the_place_of_what_does_not_pass,
    instances_are_found_by_their_tags,
    checks_are_found_by_service_node_and_state,
    the_agent_is_alive,
    what_is_not_there,
);

/// Two nodes with one service; the first has a warning of the node, the second is critical.
fn two(agent: &Target) -> String {
    let name = unique("health");
    let register = |further: Value| agent.put("catalog/register", further).is(200, "true").status;
    register(json!({
        "Node": format!("{name}-1"), "Address": "10.0.0.1", "Service": {"Service": name, "Tags": ["a", "b"], "Port": 80},
        "Checks": [
            {"CheckID": "c", "Name": "c", "Status": "passing", "ServiceID": name},
            {"CheckID": "n", "Name": "n", "Status": "warning"}
        ]
    }));
    register(json!({
        "Node": format!("{name}-2"), "Address": "10.0.0.2", "Service": {"Service": name, "ID": "second", "Tags": ["b"]},
        "Check": {"CheckID": "c", "Name": "c", "Status": "critical", "ServiceID": "second"}
    }));
    name
}

/// The nodes of the instances, or of the checks, by their last character; and the ids of the checks.
#[track_caller]
fn nodes(agent: &Target, path: &str) -> Vec<String> {
    let list = agent.get(path).ok();
    let name = |one: &Value| one["Node"]["Node"].as_str().or(one["Node"].as_str()).expect("a node").to_owned();
    list.as_array().expect("a list").iter().map(|one| name(one).split_off(name(one).len() - 1)).collect()
}

fn an_instance_comes_with_its_node_and_the_checks_of_both(agent: &Target) {
    let name = two(agent);
    let read = agent.get(&format!("health/service/{name}")).ok();
    assert_eq!(read.as_array().map(Vec::len), Some(2));
    let index = read[0]["Node"]["CreateIndex"].clone();
    let node = format!("{name}-1");
    let check = |id: &str, status: &str, service: &str, tags: Value| {
        json!({
            "Node": node, "CheckID": id, "Name": id, "Status": status, "Notes": "", "Output": "", "ServiceID": service,
            "ServiceName": service, "ServiceTags": tags, "Type": "", "Definition": {},
            "CreateIndex": index, "ModifyIndex": index
        })
    };
    assert_eq!(
        read[0],
        json!({
            "Node": {
                "ID": "", "Node": node, "Address": "10.0.0.1", "Datacenter": "dc1", "TaggedAddresses": null,
                "Meta": null, "CreateIndex": index, "ModifyIndex": index
            },
            "Service": {
                "ID": name, "Service": name, "Tags": ["a", "b"], "Address": "", "Meta": null, "Port": 80,
                "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false,
                "Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {}, "CreateIndex": index, "ModifyIndex": index
            },
            // Those of the node come first.
            "Checks": [check("n", "warning", "", json!([])), check("c", "passing", &name, json!(["a", "b"]))]
        })
    );
}

fn only_what_passes_is_given_where_it_is_asked_for(agent: &Target) {
    let name = two(agent);
    for passing in ["?passing", "?passing=1", "?passing=true"] {
        agent.get(&format!("health/service/{name}{passing}")).is(200, "[]");
    }
    assert_eq!(nodes(agent, &format!("health/service/{name}?passing=false")), ["1", "2"]);
    agent.get(&format!("health/service/{name}?passing=x")).is(400, "Invalid value for ?passing");
    let check = json!({"CheckID": "n", "Name": "n", "Status": "passing"});
    let body = json!({"Node": format!("{name}-1"), "Address": "10.0.0.1", "Check": check});
    agent.put("catalog/register", body).is(200, "true");
    assert_eq!(nodes(agent, &format!("health/service/{name}?passing=1")), ["1"]);
}

fn the_last_takes_the_place_of_what_does_not_pass(agent: &Target) {
    let name = unique("swapped");
    let of = |passing: &str| nodes(agent, &format!("health/service/{name}?passing={passing}"));
    for (node, status) in [("1", "critical"), ("2", "passing"), ("3", "warning"), ("4", "passing"), ("5", "passing")] {
        let check = json!({"CheckID": "c", "Name": "c", "Status": status});
        let node = format!("{name}-{node}");
        let body = json!({"Node": node, "Address": "10.0.0.1", "Service": {"Service": name}, "Check": check});
        agent.put("catalog/register", body).is(200, "true");
    }
    assert_eq!(of("0"), ["1", "2", "3", "4", "5"]);
    assert_eq!(of("1"), ["5", "2", "4"]);
}

fn instances_are_found_by_their_tags(agent: &Target) {
    let name = two(agent);
    assert_eq!(nodes(agent, &format!("health/service/{name}?tag=a")), ["1"]);
    assert_eq!(nodes(agent, &format!("health/service/{name}?tag=b")), ["1", "2"]);
    assert_eq!(nodes(agent, &format!("health/service/{name}?tag=b&tag=a")), ["1"]);
    assert_eq!(nodes(agent, &format!("health/service/{name}?tag=c")), [] as [&str; 0]);
}

fn checks_are_found_by_service_node_and_state(agent: &Target) {
    let name = two(agent);
    assert_eq!(nodes(agent, &format!("health/checks/{name}")), ["1", "2"]);
    let of = |path: &str| -> Vec<String> {
        let checks = agent.get(path).ok();
        let own = |check: &&Value| check["Node"].as_str().is_some_and(|node| node.starts_with(&name));
        let id = |check: &Value| check["CheckID"].as_str().unwrap_or_default().to_owned();
        checks.as_array().expect("a list").iter().filter(own).map(id).collect()
    };
    assert_eq!(of(&format!("health/checks/{name}")), ["c", "c"]);
    assert_eq!(of(&format!("health/node/{name}-1")), ["c", "n"]);
    assert_eq!(of("health/state/passing"), ["c"]);
    assert_eq!(of("health/state/warning"), ["n"]);
    assert_eq!(of("health/state/critical"), ["c"]);
    assert_eq!(of("health/state/any").len(), 3);
    assert_eq!(of("health/state/nope"), [] as [&str; 0]);
}

fn the_agent_is_alive(agent: &Target) {
    let checks = agent.get("health/node/node1").ok();
    let alive = checks.as_array().and_then(|all| all.iter().find(|check| check["CheckID"] == "serfHealth"));
    let alive = alive.expect("its check");
    assert_eq!(
        alive,
        &json!({
            "Node": "node1", "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing", "Notes": "",
            "Output": "Agent alive and reachable", "ServiceID": "", "ServiceName": "", "ServiceTags": [], "Type": "",
            "Definition": {}, "CreateIndex": alive["CreateIndex"], "ModifyIndex": alive["ModifyIndex"]
        })
    );
    assert_eq!(agent.get("health/service/consul").ok()[0]["Node"]["Node"], "node1");
}

fn what_is_not_there(agent: &Target) {
    for path in ["health/node/nope", "health/service/nope", "health/checks/nope", "health/state/nope"] {
        let answer = agent.get(path);
        answer.is(200, "[]");
        assert!(answer.index() > 0, "{path}");
        agent.get(&format!("{path}?dc=nope")).is(500, "No path to datacenter");
    }
    agent.get("health/node/").is(400, "Missing node name");
    agent.get("health/service/").is(400, "Missing service name");
    agent.get("health/checks/").is(400, "Missing service name");
    agent.get("health/state/").is(400, "Missing check state");
}
