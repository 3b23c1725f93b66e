//! What each state of `consul_kv` does to a real Consul.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::agent::Options;
use support::proxy::{Act, Proxy};
use support::{Agent, module, unique};

fn kv(options: Value) -> support::Module {
    module("consul_kv", options).at(&Agent::shared().address())
}

fn pair(key: &str) -> Value {
    Agent::shared().get(&format!("/v1/kv/{key}"))[0].clone()
}

fn session(name: &str) -> String {
    Agent::shared().create_session(&json!({"Name": name, "LockDelay": "0s"}))
}

#[test]
fn present_creates_updates_and_is_unchanged_after() {
    let key = unique("present");
    for (options, action) in [
        (json!({"value": "a"}), "created"),
        (json!({"value": "a"}), "unchanged"),
        (json!({"value": "b", "flags": 7}), "updated"),
        (json!({"value": "b"}), "unchanged"),
        (json!({"value": "b", "flags": "8"}), "updated"),
        (json!({"flags": 18_446_744_073_709_551_615_u64}), "updated"),
        (json!({"value": "c"}), "updated"),
    ] {
        let run = |check: bool| {
            let module = kv(options.clone()).option("key", json!(key)).diff_mode();
            if check { module.check_mode() } else { module }.run().ok()
        };
        let foreseen = run(true);
        let result = run(false);
        assert_eq!((&foreseen["action"], &foreseen["changed"]), (&result["action"], &result["changed"]));
        assert_eq!(
            (&result["action"], &result["changed"]),
            (&json!(action), &json!(action != "unchanged")),
            "{options}"
        );
    }
    let stored = pair(&key);
    assert_eq!(
        (&stored["Value"], stored["Flags"].as_u64()),
        (&json!("Yw=="), Some(u64::MAX)),
        "flags stay where they are not named"
    );
}

#[test]
fn an_empty_value_is_no_value_and_bytes_survive() {
    let key = unique("bytes");
    let put = |options: Value| kv(options).option("key", json!(key)).run().ok();
    assert_eq!(put(json!({"value": ""}))["action"], "created");
    assert_eq!(put(json!({"value": ""}))["action"], "unchanged");
    let bytes = put(json!({"value_base64": "/wAB"}));
    assert_eq!((&bytes["data"]["Value"], &bytes["data"]["ValueBase64"]), (&json!(null), &json!("/wAB")));
    assert_eq!(put(json!({"value_base64": "/wAB"}))["action"], "unchanged");
    assert_eq!(put(json!({"value_json": {"a": [1, true]}}))["data"]["Value"], r#"{"a":[1,true]}"#);
    let file = Agent::shared().folder().join("value");
    std::fs::write(&file, b"from a file\n").unwrap();
    assert_eq!(put(json!({"value_file": file}))["data"]["Value"], "from a file\n");
}

#[test]
fn odd_keys_are_written_under_their_own_name() {
    let folder = unique("odd");
    for name in ["a b", "a+b", "100%", "ünï", "a?b=c&d"] {
        let key = format!("{folder}/{name}");
        kv(json!({"key": key, "value": name})).run().ok();
        assert_eq!(kv(json!({"key": key, "state": "info"})).run().ok()["data"]["Value"], json!(name));
        kv(json!({"key": key, "state": "absent"})).run().ok();
    }
    assert_eq!(
        kv(json!({"key": format!("{folder}/"), "state": "info", "recurse": true})).run().ok()["pairs"],
        json!([])
    );
}

#[test]
fn a_character_that_does_not_print_is_named_where_consul_refuses_it() {
    for key in ["a\u{a0}b", "a\u{200b}b"] {
        kv(json!({"key": key, "value": "x"})).run().fails_with(&["status 400", "does not print"]);
    }
}

#[test]
fn bad_options_are_refused_before_anything_is_sent() {
    let refused = |options: Value, words: &[&str]| {
        let failure = module("consul_kv", options).at("127.0.0.1:1").run().fails_with(words);
        assert_eq!(failure["reason"], "arguments", "{failure}");
    };
    refused(json!({"value": "a"}), &["missing required arguments: key"]);
    refused(
        json!({"key": "a", "value": "a", "value_json": 1}),
        &["parameters are mutually exclusive: value|value_base64"],
    );
    refused(json!({"key": "a", "value_base64": "%"}), &["value_base64 is not base64"]);
    refused(json!({"key": "a", "value_json": "{"}), &["value_json is a text that is not JSON"]);
    refused(json!({"key": "a", "value_file": "/no/such/file"}), &["value_file: cannot read /no/such/file"]);
    refused(json!({"key": "a", "value": "a", "flags": -1}), &["value of flags must be at least 0, got: -1"]);
    refused(json!({"key": "a", "value": "a", "flags": "18446744073709551616"}), &["argument 'flags'"]);
    refused(
        json!({"key": "a", "state": "acquired"}),
        &["state is acquired but all of the following are missing: session"],
    );
    refused(
        json!({"key": "a", "state": "gone"}),
        &["value of state must be one of: absent, acquired, info, present, released"],
    );
    refused(json!({"key": "/a", "value": ""}), &["key \"/a\" is another key to Consul: write \"a\""]);
    refused(json!({"key": "a//b", "value": ""}), &["write \"a/b\""]);
    refused(json!({"key": "a/../b", "value": ""}), &["write \"b\""]);
    refused(json!({"key": "a\nb", "value": ""}), &["control character"]);
    refused(json!({"key": "", "value": ""}), &["the key is empty"]);
    for state in ["absent", "info"] {
        refused(json!({"key": "an", "state": state, "recurse": true}), &["with a slash behind it"]);
    }
    refused(json!({"key": "a", "value": "x".repeat(512 * 1024 + 1)}), &["524289 bytes", "524288 is the most"]);
}

#[test]
fn a_lock_is_decided_by_the_holder_and_never_by_the_value() {
    let (key, name) = (unique("lock"), unique("lock-session"));
    let (ours, theirs) = (session(&name), session(&unique("other")));
    kv(json!({"key": key, "value": "same"})).run().ok();
    let acquire = |session: &str| kv(json!({"key": key, "state": "acquired", "session": session, "value": "same"}));
    assert_eq!(acquire(&ours).run().ok()["action"], "acquired", "though the value is there already");
    assert_eq!(pair(&key)["Session"], json!(ours));
    assert_eq!(acquire(&name).run().ok()["action"], "unchanged", "by the session's name");
    let busy = acquire(&theirs).run().fails_with(&["is held by session", &ours, &name]);
    assert_eq!(busy["reason"], "busy");
    let skipped = acquire(&theirs).option("on_busy", json!("skip")).run().ok();
    assert_eq!((&skipped["skipped"], &skipped["changed"]), (&json!(true), &json!(false)));
    let release = |session: &str| kv(json!({"key": key, "state": "release", "session": session})).run().ok();
    assert_eq!(release(&theirs)["action"], "unchanged", "it does not hold it");
    assert_eq!(release(&ours)["action"], "released");
    let left = pair(&key);
    assert_eq!((left.get("Session"), &left["Value"]), (None, &json!("c2FtZQ==")), "the value stays");
    assert_eq!(release(&ours)["action"], "unchanged");
}

#[test]
fn what_another_session_holds_is_not_written_or_deleted_unless_forced() {
    let (key, holder) = (unique("held"), session(&unique("holder")));
    Agent::shared().lock(&key, &holder);
    for options in [json!({"value": "mine"}), json!({"state": "absent"}), json!({"flags": 3})] {
        let module = || kv(options.clone()).option("key", json!(key));
        module().run().fails_with(&["is held by session", &holder, "force"]);
        module().check_mode().run().fails_with(&["is held by session"]);
        assert_eq!(pair(&key)["Session"], json!(holder));
    }
    assert_eq!(kv(json!({"key": key, "value": "x"})).run().ok()["action"], "unchanged", "no write, no harm");
    let own = kv(json!({"key": key, "value": "theirs", "session": holder})).run().ok();
    assert_eq!((&own["action"], &own["data"]["Session"]), (&json!("updated"), &json!(holder)));
    assert_eq!(kv(json!({"key": key, "value": "mine", "force": true})).run().ok()["action"], "updated");
}

#[test]
fn waiting_ends_when_the_holder_gives_up_and_no_later_than_the_timeout() {
    let (key, holder, waiter) = (unique("wait"), session(&unique("holder")), session(&unique("waiter")));
    Agent::shared().lock(&key, &holder);
    let wait = |timeout: &str| {
        kv(json!({"key": key, "state": "acquired", "session": waiter, "on_busy": "wait", "timeout": timeout}))
    };
    wait("1s").run().fails_with(&["is held by session", &holder]);
    let child = wait("60s").spawn();
    Agent::shared().put(&format!("/v1/kv/{key}?release={holder}"), &json!("x"));
    assert_eq!(support::finish(child).ok()["action"], "acquired");
    assert_eq!(pair(&key)["Session"], json!(waiter));
}

#[test]
fn a_lock_delay_is_told_from_a_holder_and_waited_for() {
    let (key, waiter) = (unique("delay"), session(&unique("waiter")));
    let lost = Agent::shared().create_session(&json!({"LockDelay": "2s"}));
    Agent::shared().lock(&key, &lost);
    Agent::shared().put(&format!("/v1/session/destroy/{lost}"), &json!(""));
    let acquire = || kv(json!({"key": key, "state": "acquired", "session": waiter}));
    acquire().run().fails_with(&["is free, but cannot be locked yet"]);
    let waited = acquire().option("on_busy", json!("wait")).option("timeout", json!("60s")).run().ok();
    assert_eq!(waited["action"], "acquired");
}

#[test]
fn sessions_that_cannot_hold_are_named() {
    let (key, twice) = (unique("no-session"), unique("twice"));
    let ids = [session(&twice), session(&twice)];
    let acquire = |session: &str| kv(json!({"key": key, "state": "acquired", "session": session})).run();
    acquire("nobody").fails_with(&["there is no session nobody"]);
    acquire("00000000-0000-0000-0000-000000000000").fails_with(&["there is no session 00000000"]);
    acquire(&twice).fails_with(&["2 sessions", &ids[0], &ids[1]]);
}

#[test]
fn a_session_of_another_node_and_one_that_has_ended() {
    let (agent, key, node) = (Agent::shared(), unique("foreign"), unique("node"));
    agent.external_node(&node);
    let foreign = agent.create_session(&json!({"Name": node, "Node": node, "NodeChecks": [], "LockDelay": "0s"}));
    let acquire = |session: &str| kv(json!({"key": key, "state": "acquired", "session": session}));
    acquire(&node).run().fails_with(&["there is no session", &node, "session \"NODE\""]);
    assert_eq!(acquire(&foreign).run().ok()["data"]["Session"], json!(foreign), "an id is one of any node");
    agent.put(&format!("/v1/session/destroy/{foreign}"), &json!(""));
    for module in [acquire(&foreign), acquire(&foreign).check_mode()] {
        let failure = module.run().fails_with(&["there is no session", &foreign, "it has ended"]);
        assert_eq!((&failure["reason"], &failure["changed"]), (&json!("not_found"), &json!(false)));
    }
}

#[test]
fn the_longest_values_are_locked_too() {
    let (key, holder) = (unique("long"), session(&unique("long-session")));
    let value = "x".repeat(512 * 1024);
    let run = |state: &str, value: Option<&str>| {
        kv(json!({"key": key, "state": state, "session": holder, "value": value})).run().ok()
    };
    assert_eq!(run("acquired", Some(&value))["action"], "acquired");
    assert_eq!(run("acquired", None)["action"], "unchanged");
    assert_eq!(run("released", None)["action"], "released");
    assert_eq!(run("present", None)["data"]["Value"], json!(value));
    let nobody = json!({"key": unique("long"), "state": "acquired", "session": unknown(), "value": value});
    kv(nobody).run().fails_with(&["there is no session 00000000"]);
}

fn unknown() -> &'static str {
    "00000000-0000-0000-0000-000000000000"
}

#[test]
fn check_mode_tells_what_a_run_that_waits_will_do() {
    let (key, holder, waiter) = (unique("foreseen"), session(&unique("holder")), session(&unique("waiter")));
    Agent::shared().lock(&key, &holder);
    for (options, action) in [
        (json!({"state": "absent"}), "deleted"),
        (json!({"state": "present", "value": "other"}), "updated"),
        (json!({"state": "acquired", "session": waiter}), "acquired"),
    ] {
        let foreseen = kv(options).option("key", json!(key)).option("on_busy", json!("wait")).check_mode().run().ok();
        assert_eq!((&foreseen["action"], &foreseen["changed"]), (&json!(action), &json!(true)));
        assert!(foreseen["warnings"][0].as_str().unwrap().contains("would wait"), "{foreseen}");
    }
}

#[test]
fn cas_writes_only_what_has_not_moved_and_of_two_one_wins() {
    let key = unique("cas");
    let cas = |index: Value, value: &str| kv(json!({"key": key, "value": value, "cas": index}));
    assert_eq!(cas(json!(0), "a").run().ok()["action"], "created");
    cas(json!(0), "b").run().fails_with(&["is not at index 0", "somebody changed it"]);
    let index = pair(&key)["ModifyIndex"].clone();
    let children: Vec<_> = (0..8).map(|n| cas(index.clone(), &format!("value-{n}")).spawn()).collect();
    let answers: Vec<_> = children.into_iter().map(support::finish).collect();
    let won: Vec<_> = answers.iter().filter(|answer| answer.code == 0).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert_eq!(pair(&key)["Value"], won[0].json["data"]["ValueBase64"]);
    assert!(answers.iter().filter(|answer| answer.code == 1).all(|answer| answer.json["reason"] == "stale"));
}

#[test]
fn absent_deletes_one_key_or_a_whole_tree_and_no_neighbour() {
    let stem = unique("tree");
    let keys = [format!("{stem}/a"), format!("{stem}/b/c"), format!("{stem}-neighbour"), stem.clone()];
    for key in &keys {
        kv(json!({"key": key, "value": "x"})).run().ok();
    }
    let tree = || kv(json!({"key": format!("{stem}/"), "state": "absent", "recurse": true}));
    let foreseen = tree().check_mode().run().ok();
    let deleted = tree().run().ok();
    assert_eq!((&deleted["action"], &deleted["deleted"]), (&json!("deleted"), &json!([keys[0], keys[1]])));
    assert_eq!(foreseen["deleted"], deleted["deleted"]);
    assert_eq!(tree().run().ok()["changed"], false);
    for key in &keys[2..] {
        assert_eq!(
            kv(json!({"key": key, "state": "absent"})).run().ok()["action"],
            "deleted",
            "the neighbours are there"
        );
        assert_eq!(kv(json!({"key": key, "state": "absent"})).run().ok()["action"], "unchanged");
    }
}

#[test]
fn a_tree_in_which_one_key_is_held_is_left_whole() {
    let (stem, holder) = (unique("held-tree"), session(&unique("holder")));
    for name in ["a", "b"] {
        kv(json!({"key": format!("{stem}/{name}"), "value": "x"})).run().ok();
    }
    Agent::shared().lock(&format!("{stem}/b"), &holder);
    let tree = || kv(json!({"key": format!("{stem}/"), "state": "absent", "recurse": true}));
    tree().run().fails_with(&["is held by session", &holder]);
    assert_eq!(pair(&format!("{stem}/a"))["Value"], "eA==");
    assert_eq!(tree().option("force", json!(true)).run().ok()["deleted"].as_array().unwrap().len(), 2);
}

#[test]
fn an_agent_that_dies_in_the_middle_of_a_tree() {
    let stem = unique("dying");
    for number in 0..100 {
        Agent::shared().put(&format!("/v1/kv/{stem}/{number:03}"), &json!("x"));
    }
    let batches = AtomicUsize::new(0);
    // 100 are too many for this Consul; the 64 that follow are deleted, and the answer is lost.
    let way = Proxy::start(&Agent::shared().address(), move |line| match line {
        "PUT /v1/txn" if batches.fetch_add(1, Ordering::Relaxed) > 0 => Act::ForwardAndClose,
        _ => Act::Forward,
    });
    let tree = || kv(json!({"key": format!("{stem}/"), "state": "absent", "recurse": true}));
    let failure = tree().at(&way.address()).run().fails_with(&[
        "0 of 100 keys were changed",
        "of the next 64",
        "all were or none",
        "answer was lost",
    ]);
    assert_eq!((&failure["reason"], &failure["changed"]), (&json!("unreachable"), &json!(true)));
    tree().run().ok();
    assert_eq!(tree().run().ok()["changed"], false, "the next run finished it");
}

#[test]
fn a_key_without_a_value_is_read_as_the_incumbent_has_it() {
    let key = unique("read");
    let read = || kv(json!({"key": key})).run().ok();
    assert_eq!((&read()["data"], &read()["changed"]), (&json!(null), &json!(false)));
    kv(json!({"key": key, "value": "x", "retrieve": false})).run().ok();
    assert_eq!(read()["data"]["Value"], "x");
    kv(json!({"key": format!("{key}/below"), "value": "y"})).run().ok();
    let tree = kv(json!({"key": format!("{key}/"), "recurse": true})).run().ok();
    assert_eq!((&tree["pairs"][0]["Value"], &tree["pairs"][1]), (&json!("y"), &json!(null)));
}

#[test]
fn results_are_as_their_schema_says() {
    let key = unique("schema");
    let (_, schema) = lictor::ansible::schemas().find(|(name, _)| *name == "consul_kv.result").unwrap();
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for options in [
        json!({"value": "a"}),
        json!({"value": "a"}),
        json!({"value_base64": "/w=="}),
        json!({"state": "info"}),
        json!({"state": "info", "recurse": true, "key": format!("{key}/")}),
        json!({"state": "acquired"}),
        json!({"state": "absent"}),
    ] {
        let named = json!(options.get("key").unwrap_or(&json!(key)));
        let answer = kv(options).option("key", named).diff_mode().run();
        let faults: Vec<_> = validator.iter_errors(&answer.json).map(|error| error.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new(), "{}", answer.json);
    }
}

#[test]
fn a_tree_that_cannot_be_seen_is_not_taken_for_an_empty_one() {
    let master = "00000000-0000-0000-0000-00000000aaaa";
    let agent = Agent::start(Options {
        config: json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": master, "agent": master}}}),
        token: Some(master.to_owned()),
        ..Options::default()
    });
    agent.put("/v1/kv/app/a", &json!("x"));
    let session = agent.create_session(&json!({"Name": "mine"}));
    let as_nobody = |options: Value| module("consul_kv", options).at(&agent.address()).run();
    let unseen = as_nobody(json!({"key": "app/", "state": "info", "recurse": true})).ok();
    assert!(unseen["warnings"][0].as_str().unwrap().contains("may not read every key below \"app/\""), "{unseen}");
    let failure = as_nobody(json!({"key": "app/", "state": "absent", "recurse": true}))
        .fails_with(&["may not see every key below"]);
    assert_eq!(failure["reason"], "denied");
    as_nobody(json!({"key": "app/a", "state": "absent"})).fails_with(&["status 403"]);
    as_nobody(json!({"key": "app/b", "value": "x"})).fails_with(&["status 403", "key \"KEY\" { policy = \"read\" }"]);
    as_nobody(
        json!({"key": "app/", "state": "absent", "recurse": true, "token": "11111111-2222-3333-4444-555555555555"}),
    )
    .fails_with(&["ACL not found", "token is unknown here"]);
    agent.put("/v1/acl/policy", &json!({"Name": "reader", "Rules": "key_prefix \"app/\" { policy = \"read\" }"}));
    let reader: Value =
        serde_json::from_str(&agent.put("/v1/acl/token", &json!({"Policies": [{"Name": "reader"}]}))).unwrap();
    let rule = "key \"app/a\" { policy = \"write\" }";
    for (options, words) in [
        (json!({"value": "y"}), &["status 403", "policy = \"write\""][..]),
        (json!({"state": "absent"}), &["status 403", "policy = \"write\""]),
        (json!({"state": "acquired", "session": session}), &["cannot be written", rule]),
        (json!({"state": "acquired", "session": session, "on_busy": "wait"}), &["cannot be written", rule]),
        (json!({"key": "app/", "state": "absent", "recurse": true}), &["no key was changed", "policy = \"write\""]),
    ] {
        let mut arguments = json!({"key": "app/a", "token": reader["SecretID"]});
        arguments.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let failure = as_nobody(arguments).fails_with(words);
        assert_eq!((&failure["reason"], &failure["changed"]), (&json!("denied"), &json!(false)), "{failure}");
    }
    assert_eq!(agent.get("/v1/kv/app/a")[0]["Value"], "eA==");
}
