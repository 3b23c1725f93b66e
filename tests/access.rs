//! A real agent with ACLs on, default deny, and tokens of graded rights: never act on what cannot be seen. And a
//! cluster of two datacenters.

mod support;

use std::sync::OnceLock;

use serde_json::{Value, json};
use support::agent::Options;
use support::{Agent, consul_session, unique};

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

/// A token with these rules.
fn token(rules: &str) -> String {
    let agent = guarded();
    let name = unique("policy");
    agent.put("/v1/acl/policy", &json!({"Name": name, "Rules": rules}));
    let made: Value =
        serde_json::from_str(&agent.put("/v1/acl/token", &json!({"Policies": [{"Name": name}]}))).unwrap();
    made["SecretID"].as_str().unwrap().to_owned()
}

fn module(options: Value, rules: &str) -> support::Module {
    consul_session(options).option("token", json!(token(rules))).at(&guarded().address())
}

#[test]
fn the_least_rights_that_each_state_takes() {
    let name = unique("least");
    let write = r#"session "node1" { policy = "write" }"#;
    let read = r#"session "node1" { policy = "read" }"#;
    let agent_read = r#"session "node1" { policy = "write" } agent "node1" { policy = "read" }"#;
    assert_eq!(module(json!({"name": name, "node": "node1"}), write).run().ok()["action"], "created");
    assert_eq!(
        module(json!({"name": name}), agent_read).run().ok()["action"],
        "unchanged",
        "the node's name takes agent:read"
    );
    let listed = module(json!({"state": "list", "name": name}), read).run().ok();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(
        module(json!({"state": "absent", "name": name, "node": "node1"}), write).run().ok()["action"],
        "destroyed"
    );
}

#[test]
fn a_refusal_names_the_rule_that_is_missing() {
    let name = unique("refused");
    let failure = module(json!({"name": name}), "").run().fails_with(&["status 403", "agent:read", "`node`"]);
    assert_eq!(failure["reason"], "denied");
    module(json!({"name": name, "node": "node1"}), "").run().fails_with(&["status 403", "session \"NODE\""]);
    assert_eq!(guarded().sessions(&name).len(), 0);
    let unknown =
        consul_session(json!({"name": name, "node": "node1", "token": "00000000-0000-0000-0000-0000000000ff"}));
    unknown.at(&guarded().address()).run().fails_with(&["ACL not found", "CONSUL_HTTP_TOKEN"]);
}

#[test]
fn a_session_is_not_replaced_where_its_locks_cannot_be_seen() {
    let (agent, name) = (guarded(), unique("blind"));
    let id = agent.create_session(&json!({"Name": name}));
    let key = format!("{name}/lock");
    agent.lock(&key, &id);
    let write = r#"session "node1" { policy = "write" }"#;
    let drifted = |rules: &str| module(json!({"name": name, "node": "node1", "ttl": "30s"}), rules);
    let failure = drifted(write).run().fails_with(&["may not see every key", "key_prefix \"\" = read", "lock_prefix"]);
    assert_eq!(failure["reason"], "denied");
    drifted(write).check_mode().run().fails_with(&["may not see every key"]);
    let some = format!("{write} key_prefix \"{name}/\" {{ policy = \"read\" }}");
    drifted(&some).run().fails_with(&["may not see every key"]);
    let narrowed = || drifted(&some).option("lock_prefix", json!(format!("{name}/")));
    narrowed().run().fails_with(&["holds the key", &key]);
    let all = format!("{write} key_prefix \"\" {{ policy = \"read\" }}");
    drifted(&all).run().fails_with(&["holds the key", &key]);
    let forced = drifted(write).option("force", json!(true)).check_mode().run().ok();
    assert_eq!(forced["action"], "replaced", "whoever forces it need not see the locks");
    assert_eq!(agent.session_ids(&name), [id]);
    agent.delete(&format!("/v1/kv/{key}"));
    assert_eq!(narrowed().run().ok()["action"], "replaced");
}

#[test]
fn check_mode_says_where_it_cannot_tell() {
    let name = unique("cannot-tell");
    let write = r#"session "node1" { policy = "write" }"#;
    let result = module(json!({"name": name, "node": "node1"}), write).check_mode().run().ok();
    assert_eq!(result["action"], "created");
    assert!(result["warnings"][0].as_str().unwrap().contains("cannot tell whether node 'node1' exists"), "{result}");
    let seeing = format!("{write} node \"node1\" {{ policy = \"read\" }}");
    let result = module(json!({"name": name, "node": "node1"}), &seeing).check_mode().run().ok();
    assert_eq!(result.get("warnings"), None);
}

#[test]
fn the_token_comes_from_a_file_or_the_environment_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{MASTER}\n")).unwrap();
    let name = unique("token");
    guarded().create_session(&json!({"Name": name}));
    let list = || consul_session(json!({"state": "list", "name": name})).at(&guarded().address());
    let count = |module: support::Module| module.run().ok()["sessions"].as_array().unwrap().len();
    assert_eq!(count(list()), 0, "without a token the list is empty");
    assert_eq!(count(list().option("token_file", json!(file))), 1);
    assert_eq!(count(list().env("CONSUL_HTTP_TOKEN_FILE", file.to_str().unwrap())), 1);
    assert_eq!(count(list().env("CONSUL_HTTP_TOKEN", MASTER)), 1);
    assert_eq!(count(list().option("token", json!(MASTER)).env("CONSUL_HTTP_TOKEN_FILE", "/no/such/file")), 1);
    assert_eq!(count(list().env("CONSUL_HTTP_TOKEN_FILE", file.to_str().unwrap()).env("CONSUL_HTTP_TOKEN", "x")), 1);
}

#[test]
fn an_answer_that_consul_calls_filtered_is_no_ground_to_create_or_to_rest() {
    // Consul 1.11 and later sends this header; the packaged one does not.
    let filtered = b"HTTP/1.1 200 OK\r\nX-Consul-Results-Filtered-By-ACLs: true\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
    let proxy = support::proxy::Proxy::start("", |_| support::proxy::Act::Raw(filtered.to_vec()));
    for options in [json!({"name": "a"}), json!({"name": "a", "state": "absent"})] {
        let failure = consul_session(options).option("node", json!("n")).at(&proxy.address()).run();
        failure.fails_with(&["may not see the sessions of node 'n'", "session \"n\" = read"]);
    }
    assert!(proxy.seen().iter().all(|line| line.starts_with("GET ")));
}

#[test]
fn a_datacenter_counts_for_every_request_of_a_call() {
    let east = Agent::start(Options::default());
    let west = Agent::start(Options {
        config: json!({"datacenter": "dc2", "retry_join_wan": [format!("127.0.0.1:{}", east.ports[1])]}),
        node: Some("node2".to_owned()),
        ..Options::default()
    });
    let ready = || east.get("/v1/catalog/datacenters").as_array().is_some_and(|all| all.len() == 2);
    let reachable = || ready() && east.get("/v1/catalog/nodes?dc=dc2").is_array();
    let start = std::time::Instant::now();
    while !std::panic::catch_unwind(std::panic::AssertUnwindSafe(reachable)).unwrap_or(false) {
        assert!(start.elapsed().as_secs() < 60, "the datacenters do not meet");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let run = |options: Value| consul_session(options).option("datacenter", json!("dc2")).at(&east.address()).run();
    let wish = json!({"name": "there", "node": "node2", "ttl": "30s"});
    assert_eq!(run(wish.clone()).ok()["action"], "created");
    assert_eq!(run(wish).ok()["action"], "unchanged");
    let drifted = json!({"name": "there", "node": "node2", "ttl": "40s"});
    assert_eq!(run(drifted).ok()["action"], "replaced");
    assert_eq!((west.sessions("there").len(), east.sessions("there").len()), (1, 0));
    assert_eq!(run(json!({"state": "list"})).ok()["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(run(json!({"state": "absent", "name": "there", "node": "node2"})).ok()["action"], "destroyed");
    assert_eq!(west.sessions("there").len(), 0);
    run(json!({"name": "there"})).fails_with(&["datacenter 'dc1'", "name a node there"]);
    let typo = consul_session(json!({"name": "a", "datacenter": "dc9"})).at(&east.address());
    typo.run().fails_with(&["'dc9'; the datacenters are: dc1, dc2"]);
    let nowhere = consul_session(json!({"name": "a", "node": "n", "datacenter": "dc9"})).at(&east.address());
    nowhere.run().fails_with(&["No path to datacenter", "catalog datacenters"]);
}

#[test]
fn namespaces_and_partitions_are_refused_where_consul_has_none() {
    let agent = guarded();
    let refused = |option: &str, words: &[&str]| {
        let options = json!({"name": "a", "node": "node1", "token": MASTER, option: "team"});
        consul_session(options).at(&agent.address()).run().fails_with(words);
    };
    refused("namespace", &["Consul Enterprise feature", "Leave `namespace`"]);
    refused("partition", &["no admin partitions", "would ignore 'team'"]);
    assert_eq!(agent.sessions("a").len(), 0);
}

#[test]
fn duplicates_whose_locks_cannot_be_seen_stay_even_by_force() {
    let (agent, name) = (guarded(), unique("hidden"));
    let make = || agent.create_session(&serde_json::json!({"Name": name}));
    let (first, second) = (make(), make());
    agent.lock(&format!("{name}/lock"), &second);
    let write = r#"session "node1" { policy = "write" }"#;
    let options = json!({"name": name, "node": "node1", "unique": true, "force": true});
    let result = module(options, write).run().ok();
    assert_eq!((&result["action"], &result["destroyed"]), (&json!("unchanged"), &json!([])));
    assert!(result["warnings"][0].as_str().unwrap().contains("does not show whether it holds locks"), "{result}");
    assert_eq!(agent.session_ids(&name), [first, second]);
}

#[test]
fn an_empty_answer_that_consul_calls_filtered_is_no_proof_that_no_lock_is_held() {
    // Consul sends its headers with a 404 too.
    let (agent, name) = (guarded(), unique("filtered"));
    let id = agent.create_session(&json!({"Name": name}));
    agent.lock(&format!("{name}/secret"), &id);
    let filtered =
        b"HTTP/1.1 404 X\r\nX-Consul-Results-Filtered-By-ACLs: true\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let proxy = support::proxy::Proxy::start(&agent.address(), move |line| {
        if line.contains("recurse") {
            support::proxy::Act::Raw(filtered.to_vec())
        } else {
            support::proxy::Act::Forward
        }
    });
    let module =
        consul_session(json!({"name": name, "node": "node1", "ttl": "30s", "token": MASTER})).at(&proxy.address());
    module.run().fails_with(&["may not see every key"]);
    assert_eq!(agent.session_ids(&name), [id]);
}

#[test]
fn a_hold_that_the_token_may_not_see_is_not_taken_for_free() {
    let path = unique("hold");
    let session = r#"session "node1" { policy = "write" } agent "node1" { policy = "read" }"#;
    let keys = |policy: &str| format!(r#"{session} key_prefix "{path}/" {{ policy = "{policy}" }}"#);
    let call = |options: Value, rules: &str| {
        let mut options = options;
        options["path"] = json!(path);
        support::module("consul_lock", options).option("token", json!(token(rules))).at(&guarded().address())
    };
    for options in [json!({"state": "info"}), json!({"state": "released"}), json!({"timeout": 0})] {
        let failure = call(options, session).run().fails_with(&[&path]);
        assert_eq!(failure["reason"], json!("denied"));
    }
    let failure = call(json!({"timeout": 0}), &keys("read")).run().fails_with(&["Permission denied"]);
    assert_eq!(failure["reason"], json!("denied"));
    let failure = call(json!({"timeout": 0}), &format!(r#"key_prefix "{path}/" {{ policy = "write" }}"#));
    assert_eq!(failure.run().fails_with(&["session"])["reason"], json!("denied"));
    assert_eq!(call(json!({"identifier": "a"}), &keys("write")).run().ok()["changed"], json!(true));
    let seen = call(json!({"state": "info"}), &keys("read")).run().ok();
    assert_eq!(seen["holders"][0]["identifier"], json!("a"));
    assert_eq!(
        call(json!({"state": "released", "identifier": "a"}), &keys("write")).run().ok()["changed"],
        json!(true)
    );
    let all = guarded().get("/v1/session/list");
    let left = all.as_array().unwrap().iter().filter(|one| one["Name"].as_str().unwrap().contains(&path)).count();
    assert_eq!(left, 0, "no session is left behind: {all}");
}

#[test]
fn members_that_the_token_may_not_see_are_warned_of() {
    let path = unique("party");
    let party = |rules: &str| {
        let options = json!({"path": path, "token": token(rules)});
        support::module("consul_party_info", options).at(&guarded().address()).run().ok()
    };
    let blind = party("");
    assert!(blind["warnings"][0].as_str().unwrap().contains("may not read"), "{blind}");
    let seen = party(&format!(r#"key_prefix "{path}/" {{ policy = "read" }}"#));
    assert_eq!((&seen["members"], &seen["warnings"]), (&json!([]), &Value::Null));
}

#[test]
fn permits_whose_keys_the_token_may_not_see_are_not_taken_for_dead() {
    let path = unique("permits");
    let agent = guarded();
    let lab = |rules: &str| support::lab::Lab::of(agent).env("CONSUL_HTTP_TOKEN", &token(rules));
    let all = lab(&format!(
        r#"session "node1" {{ policy = "write" }} agent "node1" {{ policy = "read" }}
        key_prefix "{path}/" {{ policy = "write" }}"#
    ));
    for name in ["a", "b"] {
        all.ok(&format!("lock acquire {path} --limit 2 --identifier {name}"));
    }
    let table = lab(&format!(r#"session "node1" {{ policy = "write" }} key "{path}/.lock" {{ policy = "write" }}"#));
    for line in ["holders", "why", "release --identifier a", "acquire --limit 2 --try"] {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let said = table.fails(&format!("lock {verb} {path} {rest}"), 123);
        assert!(said.contains("may not read all"), "{line}: {said}");
    }
    table.fails(&format!("lock resize {path} 3"), 123);
    let held = all.json(&format!("lock holders {path} -o json"));
    assert_eq!((&held["limit"], held["holders"].as_array().unwrap().len()), (&json!(2), 2), "{held}");
    for name in ["a", "b"] {
        all.ok(&format!("lock release {path} --identifier {name}"));
    }
}
