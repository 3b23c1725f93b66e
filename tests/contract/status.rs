//! Who leads, who is there, and what users call out.

use serde_json::{Value, json};

use crate::support::target::Target;
use crate::support::unique;

cases!(open:
    there_is_a_leader,
    there_is_one_datacenter,
    an_event_is_fired_and_listed,
    events_that_cannot_be,
    a_node_has_coordinates,
    without_acls_nobody_asks_for_a_token,
);

fn there_is_a_leader(agent: &Target) {
    let leader = agent.get("status/leader");
    assert_eq!(leader.header("x-consul-index"), None);
    let leader = leader.ok();
    let (host, port) = leader.as_str().and_then(|leader| leader.split_once(':')).expect("host:port");
    assert_eq!(host, "127.0.0.1");
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0));
    assert_eq!(agent.get("status/peers").ok(), json!([leader]));
    assert_eq!(agent.get("status/leader?dc=dc1").ok(), leader);
    agent.get("status/leader?dc=nope").is(500, "No path to datacenter");
    agent.get("status/peers?dc=nope").is(500, "No path to datacenter");
}

fn there_is_one_datacenter(agent: &Target) {
    let answer = agent.get("catalog/datacenters");
    assert_eq!(answer.header("x-consul-index"), None);
    assert_eq!(answer.ok(), json!(["dc1"]));
}

fn an_event_is_fired_and_listed(agent: &Target) {
    let name = unique("deploy");
    let fired = agent.put(&format!("event/fire/{name}"), "payload").ok();
    let id = fired["ID"].as_str().expect("an id");
    let event = |time: &Value, payload: Value| {
        json!({
            "ID": id, "Name": name, "Payload": payload, "NodeFilter": "", "ServiceFilter": "", "TagFilter": "",
            "Version": 1, "LTime": time
        })
    };
    assert_eq!(fired, event(&json!(0), json!("cGF5bG9hZA==")));
    // It comes by gossip, a moment later.
    let path = format!("event/list?name={name}");
    let mut listed = agent.get(&path);
    if listed.ok() == json!([]) {
        listed = agent.get(&format!("{path}&index={}&wait=10s", listed.index()));
    }
    assert!(listed.index() > 0);
    assert_eq!(listed.header("x-consul-knownleader"), None, "it is of the agent alone");
    let listed = listed.ok();
    assert!(listed[0]["LTime"].as_u64() > Some(0));
    assert_eq!(listed, json!([event(&listed[0]["LTime"], json!("cGF5bG9hZA=="))]));
    let empty = agent.put(&format!("event/fire/{name}"), Value::Null).ok();
    assert_eq!(empty["Payload"], Value::Null);
    let all = agent.get("event/list").ok();
    assert!(all.as_array().is_some_and(|all| all.iter().any(|event| event["ID"] == id)));
    agent.get(&format!("event/list?name={name}-none")).is(200, "[]");
}

fn events_that_cannot_be(agent: &Target) {
    agent.put("event/fire/", "x").is(400, "Missing name");
    let answer = agent.put("event/fire/long", "x".repeat(2000));
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("user event exceeds configured limit of 512 bytes before encoding"), "{answer:?}");
    agent.put("event/fire/x?dc=nope", "x").is(500, "No path to datacenter");
}

fn a_node_has_coordinates(agent: &Target) {
    // The agent tells of them every now and then, so that there may be none yet.
    let answer = agent.get("coordinate/node/node1");
    assert!([200, 404].contains(&answer.status), "{answer:?}");
    if answer.status == 200 {
        assert_eq!((&answer.json()[0]["Node"], &answer.json()[0]["Segment"]), (&json!("node1"), &json!("")));
    }
    let none = agent.get("coordinate/node/nope");
    none.is(404, "");
    assert_eq!((none.header("x-consul-index"), none.header("x-consul-knownleader")), (None, None));
}

fn without_acls_nobody_asks_for_a_token(agent: &Target) {
    agent.get("acl/token/self").is(401, "ACL support disabled");
    agent.get("acl/tokens").is(401, "ACL support disabled");
    let question = json!([{"Resource": "session", "Access": "read", "Segment": "node1"}]);
    let answer = agent.send("POST", "internal/acl/authorize", &[], question.to_string().as_bytes());
    answer.is(401, "ACL support disabled");
    let key = unique("acl/off");
    for token in ["00000000-0000-0000-0000-0000000000ff", "nonsense"] {
        agent.with_token(Some(token)).put(&format!("kv/{key}"), "x").is(200, "true");
    }
}
