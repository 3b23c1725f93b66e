//! Access control, default deny: what is refused, and what is left out without a word.

use serde_json::{Value, json};

use crate::support::target::{MASTER, Target};
use crate::support::unique;

cases!(guarded:
    reading_a_key_is_refused_and_lists_are_filtered,
    writing_a_key_takes_its_right,
    a_rule_of_its_own_is_stronger_than_the_prefix,
    a_tree_is_deleted_with_all_rights_or_not_at_all,
    transactions_are_refused_by_the_operation_or_filtered,
    sessions_are_filtered_by_node,
    sessions_are_made_renewed_and_ended_by_who_may_write_them,
    locking_takes_the_key_alone,
    ending_or_renewing_nothing_takes_no_right,
    the_agent_is_read_by_who_may,
    the_catalog_is_filtered,
    a_node_is_refused_by_its_coordinates,
    registering_takes_write,
    services_of_the_agent,
    an_unknown_token_is_refused_everywhere,
    nobody_is_refused_the_state_of_the_cluster,
    a_token_comes_in_one_of_three_ways,
    a_token_reads_itself,
    rights_are_told_when_asked,
    of_two_rules_for_one_thing_a_denial_prevails,
    a_policy_may_be_of_another_datacenter,
    tokens_and_policies_are_made,
    events_take_their_right,
);

const DENIED: &str = "Permission denied";

/// The same agent, asked with a new token that has these rules.
#[track_caller]
fn with(agent: &Target, rules: &str) -> Target {
    let name = unique("policy");
    agent.put("acl/policy", json!({"Name": name, "Rules": rules})).ok();
    let token = agent.put("acl/token", json!({"Policies": [{"Name": name}]})).ok();
    agent.with_token(Some(token["SecretID"].as_str().expect("a secret")))
}

/// Those without any right: nobody, and a token that has no rule.
fn powerless(agent: &Target) -> [Target; 2] {
    [agent.with_token(None), with(agent, "")]
}

/// Writes these keys, and gives the folder that they are in.
fn folder(agent: &Target, names: &[&str]) -> String {
    let folder = unique("acl");
    for name in names {
        agent.put(&format!("kv/{folder}/{name}"), "x").is(200, "true");
    }
    folder
}

fn reading_a_key_is_refused_and_lists_are_filtered(agent: &Target) {
    let root = folder(agent, &["a/1", "a/2", "b/1"]);
    for other in powerless(agent) {
        for key in ["a/1", "none"] {
            other.get(&format!("kv/{root}/{key}")).is(403, DENIED);
        }
        other.get(&format!("kv/{root}/?recurse")).is(404, "");
        other.get(&format!("kv/{root}/?keys")).is(404, "");
    }
    for (policy, whole) in [("read", true), ("list", true), ("write", true), ("deny", false)] {
        let some = with(agent, &format!(r#"key_prefix "{root}/a/" {{ policy = "{policy}" }}"#));
        let answer = some.get(&format!("kv/{root}/?keys"));
        if !whole {
            answer.is(404, "");
            continue;
        }
        assert_eq!(answer.ok(), json!([format!("{root}/a/1"), format!("{root}/a/2")]));
        assert_eq!(answer.header("x-consul-results-filtered-by-acls"), None, "as of 1.8");
        assert_eq!(some.get(&format!("kv/{root}/?recurse")).ok().as_array().map(Vec::len), Some(2));
        some.get(&format!("kv/{root}/a/1?raw")).is(200, "x");
        some.get(&format!("kv/{root}/a/none")).is(404, "");
        some.get(&format!("kv/{root}/b/1")).is(403, DENIED);
        some.get(&format!("kv/{root}/b/?keys")).is(404, "");
    }
    let exact = with(agent, &format!(r#"key "{root}/a/1" {{ policy = "read" }}"#));
    assert_eq!(exact.get(&format!("kv/{root}/?keys")).ok(), json!([format!("{root}/a/1")]));
    exact.get(&format!("kv/{root}/a/2")).is(403, DENIED);
}

fn writing_a_key_takes_its_right(agent: &Target) {
    let root = folder(agent, &["a"]);
    let reader = with(agent, &format!(r#"key_prefix "{root}/" {{ policy = "read" }}"#));
    for other in powerless(agent).iter().chain([&reader]) {
        for query in ["", "?cas=0", "?flags=1"] {
            other.put(&format!("kv/{root}/a{query}"), "y").is(403, DENIED);
        }
        other.delete(&format!("kv/{root}/a")).is(403, DENIED);
        other.delete(&format!("kv/{root}/none")).is(403, DENIED);
        other.delete(&format!("kv/{root}/?recurse")).is(403, DENIED);
    }
    agent.get(&format!("kv/{root}/a?raw")).is(200, "x");
    let writer = with(agent, &format!(r#"key_prefix "{root}/" {{ policy = "write" }}"#));
    writer.put(&format!("kv/{root}/b"), "y").is(200, "true");
    writer.delete(&format!("kv/{root}/a")).is(200, "true");
    writer.delete(&format!("kv/{root}/?recurse")).is(200, "true");
    agent.get(&format!("kv/{root}?keys")).is(404, "");
}

fn a_rule_of_its_own_is_stronger_than_the_prefix(agent: &Target) {
    let root = folder(agent, &["a", "b", "deep/c"]);
    let some = with(
        agent,
        &format!(
            r#"key_prefix "{root}/" {{ policy = "write" }} key "{root}/b" {{ policy = "deny" }}
               key_prefix "{root}/deep/" {{ policy = "read" }}"#
        ),
    );
    assert_eq!(some.get(&format!("kv/{root}/?keys")).ok(), json!([format!("{root}/a"), format!("{root}/deep/c")]));
    some.get(&format!("kv/{root}/b")).is(403, DENIED);
    some.put(&format!("kv/{root}/b"), "y").is(403, DENIED);
    some.put(&format!("kv/{root}/bb"), "y").is(200, "true");
    some.put(&format!("kv/{root}/deep/c"), "y").is(403, DENIED);
}

fn a_tree_is_deleted_with_all_rights_or_not_at_all(agent: &Target) {
    let root = folder(agent, &["a", "b"]);
    let some =
        with(agent, &format!(r#"key_prefix "{root}/" {{ policy = "write" }} key "{root}/b" {{ policy = "read" }}"#));
    some.delete(&format!("kv/{root}/?recurse")).is(403, DENIED);
    assert_eq!(agent.get(&format!("kv/{root}/?keys")).ok().as_array().map(Vec::len), Some(2));
}

fn transactions_are_refused_by_the_operation_or_filtered(agent: &Target) {
    let root = folder(agent, &["a", "b"]);
    let operation = |verb: &str, key: &str| json!({"KV": {"Verb": verb, "Key": format!("{root}/{key}")}});
    let some = with(agent, &format!(r#"key "{root}/a" {{ policy = "write" }}"#));
    let answer = some.put("txn", json!([operation("set", "a"), operation("set", "b")]));
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json(), json!({"Results": null, "Errors": [{"OpIndex": 1, "What": DENIED}]}));
    agent.get(&format!("kv/{root}/a?raw")).is(200, "x");
    for other in powerless(agent) {
        let answer = other.put("txn", json!([operation("set", "a"), operation("delete", "b")]));
        let denied = |index: u64| json!({"OpIndex": index, "What": DENIED});
        assert_eq!((answer.status, answer.json()["Errors"].take()), (409, json!([denied(0), denied(1)])));
        for reads in [json!([operation("get", "a")]), json!([operation("get-tree", "")])] {
            assert_eq!(other.put("txn", reads).ok()["Results"], json!([]), "reads are filtered");
        }
    }
    let read = some.put("txn", json!([operation("get-tree", ""), operation("get", "b")])).ok();
    assert_eq!(read["Results"].as_array().map(Vec::len), Some(1));
}

fn sessions_are_filtered_by_node(agent: &Target) {
    let id = agent.session(json!({}));
    for other in powerless(agent) {
        for path in ["session/list", "session/node/node1", &format!("session/info/{id}")] {
            let answer = other.get(path);
            answer.is(200, "[]");
            assert_eq!(answer.header("x-consul-results-filtered-by-acls"), None);
        }
    }
    for rules in [
        r#"session_prefix "" { policy = "read" }"#,
        r#"session "node1" { policy = "read" }"#,
        r#"session "node1" { policy = "write" }"#,
    ] {
        let some = with(agent, rules);
        assert_eq!(some.get(&format!("session/info/{id}")).ok()[0]["ID"], json!(id));
        for path in ["session/list", "session/node/node1"] {
            let all = some.get(path).ok();
            assert!(all.as_array().is_some_and(|all| all.iter().any(|session| session["ID"] == json!(id))));
        }
    }
    let elsewhere = with(agent, r#"session "node2" { policy = "write" }"#);
    elsewhere.get(&format!("session/info/{id}")).is(200, "[]");
}

fn sessions_are_made_renewed_and_ended_by_who_may_write_them(agent: &Target) {
    let id = agent.session(json!({"TTL": "1h"}));
    let reader = with(agent, r#"session_prefix "" { policy = "read" }"#);
    for other in powerless(agent).iter().chain([&reader]) {
        other.put("session/create", "{}").is(403, DENIED);
        other.put(&format!("session/renew/{id}"), Value::Null).is(403, DENIED);
        other.put(&format!("session/destroy/{id}"), Value::Null).is(403, DENIED);
    }
    let writer = with(agent, r#"session "node1" { policy = "write" }"#);
    writer.put(&format!("session/renew/{id}"), Value::Null).ok();
    writer.put(&format!("session/destroy/{id}"), Value::Null).is(200, "true");
    writer.session(json!({}));
}

fn locking_takes_the_key_alone(agent: &Target) {
    let root = folder(agent, &["a"]);
    let id = agent.session(json!({}));
    let some = with(agent, &format!(r#"key "{root}/a" {{ policy = "write" }}"#));
    some.get(&format!("session/info/{id}")).is(200, "[]");
    some.put(&format!("kv/{root}/a?acquire={id}"), "y").is(200, "true");
    some.put(&format!("kv/{root}/a?release={id}"), "y").is(200, "true");
    let owner = with(agent, r#"session "node1" { policy = "write" }"#);
    owner.put(&format!("kv/{root}/a?acquire={id}"), "y").is(403, DENIED);
}

fn ending_or_renewing_nothing_takes_no_right(agent: &Target) {
    let nothing = "00000000-0000-0000-0000-000000000000";
    for other in powerless(agent) {
        other.put(&format!("session/destroy/{nothing}"), Value::Null).is(200, "true");
        let says = format!("Session id '{nothing}' not found");
        other.put(&format!("session/renew/{nothing}"), Value::Null).is(404, &says);
    }
}

fn the_agent_is_read_by_who_may(agent: &Target) {
    for other in powerless(agent) {
        for path in ["agent/self", "agent/metrics"] {
            other.get(path).is(403, DENIED);
        }
        for path in ["agent/reload", "agent/maintenance?enable=false"] {
            other.put(path, Value::Null).is(403, DENIED);
        }
        other.get("agent/members").is(200, "[]");
        other.get("agent/services").is(200, "{}");
        other.get("agent/checks").is(200, "{}");
    }
    let reader = with(agent, r#"agent "node1" { policy = "read" }"#);
    assert_eq!(reader.get("agent/self").ok()["Config"]["NodeName"], "node1");
    reader.get("agent/metrics").ok();
    reader.put("agent/reload", Value::Null).is(403, DENIED);
    reader.get("agent/members").is(200, "[]");
    let nodes = with(agent, r#"node_prefix "" { policy = "read" }"#);
    assert_eq!(nodes.get("agent/members").ok()[0]["Name"], "node1");
    nodes.get("agent/self").is(403, DENIED);
}

fn the_catalog_is_filtered(agent: &Target) {
    let empty = [
        ("catalog/nodes", "[]"),
        ("catalog/node/node1", "null"),
        ("catalog/services", "{}"),
        ("catalog/service/consul", "[]"),
        ("health/node/node1", "[]"),
        ("health/state/any", "[]"),
        ("health/service/consul", "[]"),
        ("health/checks/consul", "[]"),
    ];
    for other in powerless(agent) {
        for (path, nothing) in empty {
            other.get(path).is(200, nothing);
        }
    }
    let nodes = with(agent, r#"node_prefix "" { policy = "read" }"#);
    assert_eq!(nodes.get("catalog/nodes").ok()[0]["Node"], "node1");
    let node1 = nodes.get("catalog/node/node1").ok();
    assert_eq!((&node1["Node"]["Node"], &node1["Services"]), (&json!("node1"), &json!({})));
    assert_eq!(nodes.get("health/node/node1").ok()[0]["CheckID"], "serfHealth");
    for path in ["catalog/service/consul", "health/service/consul"] {
        nodes.get(path).is(200, "[]");
    }
    let both = with(agent, r#"node_prefix "" { policy = "read" } service "consul" { policy = "read" }"#);
    assert!(both.get("catalog/services").ok().get("consul").is_some());
    for path in ["catalog/service/consul", "health/service/consul"] {
        assert_eq!(both.get(path).ok().as_array().map(Vec::len), Some(1), "{path}");
    }
    assert!(both.get("catalog/node/node1").ok()["Services"].get("consul").is_some());
}

fn a_node_is_refused_by_its_coordinates(agent: &Target) {
    for other in powerless(agent) {
        other.get("coordinate/node/node1").is(403, DENIED);
        other.get("coordinate/node/none").is(403, DENIED);
    }
    let some = with(agent, r#"node "node1" { policy = "read" } node "none" { policy = "read" }"#);
    some.get("coordinate/node/none").is(404, "");
    some.get("coordinate/node/other").is(403, DENIED);
}

fn registering_takes_write(agent: &Target) {
    let node = unique("acl-node");
    let body = json!({"Node": node, "Address": "10.0.0.1"});
    let mut with_service = body.clone();
    with_service["Service"] = json!({"Service": node});
    for other in powerless(agent) {
        other.put("catalog/register", body.clone()).is(403, DENIED);
        other.put("catalog/deregister", json!({"Node": node})).is(403, DENIED);
    }
    let nodes = with(agent, &format!(r#"node "{node}" {{ policy = "write" }}"#));
    nodes.put("catalog/register", with_service.clone()).is(403, DENIED);
    nodes.put("catalog/register", body).is(200, "true");
    let both = with(agent, &format!(r#"node "{node}" {{ policy = "write" }} service "{node}" {{ policy = "write" }}"#));
    both.put("catalog/register", with_service).is(200, "true");
    both.put("catalog/deregister", json!({"Node": node})).is(200, "true");
}

fn services_of_the_agent(agent: &Target) {
    let name = unique("acl-svc");
    let denied = format!("Permission denied: Missing service:write on {name}");
    let reader = with(agent, &format!(r#"service "{name}" {{ policy = "read" }}"#));
    for other in powerless(agent).iter().chain([&reader]) {
        other.put("agent/service/register", json!({"Name": name})).is(403, &denied);
    }
    let writer = with(agent, &format!(r#"service "{name}" {{ policy = "write" }}"#));
    writer.put("agent/service/register", json!({"Name": name})).is(200, "");
    for other in powerless(agent) {
        other.put(&format!("agent/service/deregister/{name}"), Value::Null).is(403, &denied);
        other.get(&format!("agent/health/service/name/{name}")).is(403, DENIED);
        assert_eq!(other.get("agent/services").ok().get(&name), None);
        let says = "Permission denied: Missing node:write on node1";
        other.put("agent/check/register", json!({"Name": "c", "TTL": "30s"})).is(403, says);
    }
    assert!(reader.get("agent/services").ok().get(&name).is_some());
    reader.get(&format!("agent/health/service/name/{name}")).ok();
    writer.put(&format!("agent/service/deregister/{name}"), Value::Null).is(200, "");
}

fn an_unknown_token_is_refused_everywhere(agent: &Target) {
    let nothing = "session/destroy/00000000-0000-0000-0000-000000000000";
    for token in ["00000000-0000-0000-0000-0000000000ff", "nonsense"] {
        let unknown = agent.with_token(Some(token));
        for path in [
            "kv/a",
            "kv/?keys",
            "kv/?recurse",
            "session/list",
            "session/node/node1",
            "catalog/nodes",
            "catalog/node/node1",
            "catalog/services",
            "health/state/any",
            "agent/self",
            "agent/members",
            "agent/services",
            "agent/checks",
            "coordinate/node/node1",
            "event/list",
            "acl/token/self",
        ] {
            unknown.get(path).is(403, "ACL not found");
        }
        for (path, body) in [
            ("kv/a", json!("x")),
            ("session/create", json!({})),
            (nothing, Value::Null),
            ("catalog/register", json!({"Node": "a", "Address": "10.0.0.1"})),
            ("agent/service/register", json!({"Name": "web"})),
            ("txn", json!([{"KV": {"Verb": "get", "Key": "a"}}])),
        ] {
            unknown.put(path, body).is(403, "ACL not found");
        }
        unknown.delete("kv/a").is(403, "ACL not found");
    }
}

fn nobody_is_refused_the_state_of_the_cluster(agent: &Target) {
    for other in [agent.with_token(None), agent.with_token(Some("nonsense"))] {
        other.get("status/leader").ok();
        other.get("status/peers").ok();
        other.get("catalog/datacenters").ok();
    }
}

fn a_token_comes_in_one_of_three_ways(agent: &Target) {
    let root = folder(agent, &["a"]);
    let nobody = agent.with_token(None);
    let path = format!("kv/{root}/a");
    let bearer = format!("Bearer {MASTER}");
    for headers in [[("X-Consul-Token", MASTER)], [("Authorization", &*bearer)], [("authorization", &*bearer)]] {
        assert_eq!(nobody.send("GET", &path, &headers, b"").status, 200, "{headers:?}");
    }
    nobody.get(&format!("{path}?token={MASTER}")).ok();
    nobody.send("GET", &path, &[("X-Consul-Token", "")], b"").is(403, DENIED);
}

fn a_token_reads_itself(agent: &Target) {
    let token = with(agent, "");
    let read = token.get("acl/token/self").ok();
    assert!(read["SecretID"].is_string() && read["AccessorID"].is_string());
    assert_eq!(read["Policies"].as_array().map(Vec::len), Some(1));
    assert_eq!(read["Local"], false);
    let master = agent.get("acl/token/self").ok();
    assert_eq!(master["SecretID"], MASTER);
    assert_eq!(master["Policies"][0]["Name"], "global-management");
    agent.with_token(None).get("acl/token/self").is(403, "ACL not found");
}

fn rights_are_told_when_asked(agent: &Target) {
    let question = |resource: &str, access: &str, segment: &str| json!({"Resource": resource, "Access": access, "Segment": segment});
    let asked =
        [question("session", "read", "node1"), question("session", "write", "node1"), question("key", "write", "a")];
    let ask = |agent: &Target| agent.send("POST", "internal/acl/authorize", &[], json!(asked).to_string().as_bytes());
    let told = |agent: &Target| -> Vec<bool> {
        let answer = ask(agent).ok();
        let answer = answer.as_array().expect("a list");
        for (told, asked) in answer.iter().zip(&asked) {
            let mut expected = asked.clone();
            expected["Allow"] = told["Allow"].clone();
            assert_eq!(told, &expected);
        }
        answer.iter().map(|one| one["Allow"].as_bool().expect("a bool")).collect()
    };
    for other in powerless(agent) {
        assert_eq!(told(&other), [false; 3]);
    }
    assert_eq!(told(&with(agent, r#"session_prefix "" { policy = "read" }"#)), [true, false, false]);
    assert_eq!(told(&with(agent, r#"session "node1" { policy = "write" } key "a" { policy = "write" }"#)), [true; 3]);
    assert_eq!(told(agent), [true; 3]);
    ask(&agent.with_token(Some("nonsense"))).is(403, "ACL not found");
}

fn of_two_rules_for_one_thing_a_denial_prevails(agent: &Target) {
    let key = unique("acl-twice");
    let rule = |policy: &str| format!("key_prefix \"{key}\" {{ policy = \"{policy}\" }}\n");
    for (one, other, status) in
        [("deny", "write", 403), ("write", "deny", 403), ("write", "read", 200), ("read", "write", 200)]
    {
        let token = with(agent, &(rule(one) + &rule(other)));
        assert_eq!(token.put(&format!("kv/{key}"), "x").status, status, "{one}, then {other}");
    }
}

fn a_policy_may_be_of_another_datacenter(agent: &Target) {
    let key = unique("acl-far");
    for (datacenter, status) in [("dc1", 200), ("dc2", 403)] {
        let name = unique("far");
        let rules = r#"key_prefix "" { policy = "write" }"#;
        agent.put("acl/policy", json!({"Name": name, "Rules": rules, "Datacenters": [datacenter]})).ok();
        let token = agent.put("acl/token", json!({"Policies": [{"Name": name}]})).ok();
        let token = agent.with_token(token["SecretID"].as_str());
        assert_eq!(token.put(&format!("kv/{key}"), "x").status, status, "{datacenter}");
    }
}

fn tokens_and_policies_are_made(agent: &Target) {
    let name = unique("made");
    let policy = agent.put("acl/policy", json!({"Name": name, "Rules": r#"key "a" { policy = "read" }"#})).ok();
    assert_eq!((&policy["Name"], &policy["Rules"]), (&json!(name), &json!(r#"key "a" { policy = "read" }"#)));
    assert_eq!(policy["ID"].as_str().map(str::len), Some(36));
    let token = agent.put("acl/token", json!({"Description": "d", "Policies": [{"Name": name}]})).ok();
    assert_eq!(token["Policies"], json!([{"ID": policy["ID"], "Name": name}]));
    assert_eq!((&token["Description"], &token["Local"]), (&json!("d"), &json!(false)));
    for field in ["AccessorID", "SecretID"] {
        assert_eq!(token[field].as_str().map(str::len), Some(36), "{field}");
    }
    agent.put("acl/policy", json!({"Rules": ""})).is(500, "Invalid Policy: no Name is set");
    let bad = agent.put("acl/policy", json!({"Name": format!("{name}-bad"), "Rules": "zz {"}));
    assert_eq!(bad.status, 500);
    assert!(bad.text().starts_with("Failed to parse ACL rules"), "{bad:?}");
    let missing = agent.put("acl/token", json!({"Policies": [{"Name": format!("{name}-none")}]}));
    missing.is(500, &format!("No such ACL policy with name \"{name}-none\""));
    for other in powerless(agent) {
        other.put("acl/policy", json!({"Name": "x"})).is(403, DENIED);
        other.put("acl/token", json!({})).is(403, DENIED);
    }
}

fn events_take_their_right(agent: &Target) {
    let name = unique("event");
    for other in powerless(agent) {
        other.put(&format!("event/fire/{name}"), "x").is(403, DENIED);
        other.get("event/list").is(200, "[]");
    }
    let some = with(agent, &format!(r#"event "{name}" {{ policy = "write" }}"#));
    assert_eq!(some.put(&format!("event/fire/{name}"), "x").ok()["Name"], json!(name));
}
