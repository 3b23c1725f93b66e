//! Sessions: how they are made, how they live, and what ends them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::target::Target;
use crate::support::unique;

cases!(open:
    a_session_has_defaults,
    a_session_is_made_as_asked,
    names_of_fields_are_taken_in_any_case,
    what_is_no_session_is_refused,
    a_body_that_is_chunked_is_ignored,
    a_ttl_has_bounds_and_is_kept_as_written,
    a_lock_delay_is_a_duration_or_a_number,
    checks_are_defaulted_and_fixed_up,
    a_behavior_is_one_of_two_words,
    a_node_has_to_exist,
    service_checks_are_checks_of_the_node,
    the_lists_of_sessions,
    destroying_what_is_not_there_is_well,
    renewing_gives_the_session,
    ids_are_taken_in_capitals,
    a_session_that_ends_releases_its_keys,
    a_session_that_ends_deletes_its_keys,
    a_session_ends_with_its_node,
    a_session_ends_with_its_check,
    a_session_ends_when_its_check_turns_critical,
    a_check_of_an_ending_service_ends_the_session,
    a_lock_delay_outlives_the_key_and_stops_no_plain_write,
    a_release_leaves_no_lock_delay,
    methods_that_there_are_not,
);

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// A session as it is when nothing was asked for, of one index.
fn defaults(id: &str, index: u64) -> Value {
    json!({
        "ID": id, "Name": "", "Node": "node1", "LockDelay": 15_000_000_000_i64, "Behavior": "release", "TTL": "",
        "NodeChecks": ["serfHealth"], "ServiceChecks": null, "CreateIndex": index, "ModifyIndex": index
    })
}

/// A session as the agent has it.
#[track_caller]
fn info(agent: &Target, id: &str) -> Value {
    agent.get(&format!("session/info/{id}")).ok()[0].take()
}

/// Makes a session, and gives one field of it.
#[track_caller]
fn made(agent: &Target, session: &Value, field: &str) -> Value {
    let id = agent.session(session.clone());
    info(agent, &id)[field].take()
}

/// Registers a node without an agent, with a check that passes, and gives its name.
fn node(agent: &Target, check: &str) -> String {
    let node = unique("node");
    let check = json!({"CheckID": check, "Name": check, "Status": "passing"});
    agent.put("catalog/register", json!({"Node": node, "Address": "10.0.0.1", "Check": check})).is(200, "true");
    node
}

fn a_session_has_defaults(agent: &Target) {
    for body in ["", "{}", "null"] {
        let answer = agent.put("session/create", body);
        let created = answer.ok();
        let id = created["ID"].as_str().expect("an id");
        assert_eq!(created, json!({"ID": id}), "nothing but the id");
        assert_eq!(answer.header("x-consul-index"), None);
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        let read = agent.get(&format!("session/info/{id}"));
        let index = read.ok()[0]["CreateIndex"].as_u64().expect("an index");
        assert!(index <= read.index(), "the index is that of all sessions");
        assert_eq!(read.ok(), json!([defaults(id, index)]));
    }
}

fn a_session_is_made_as_asked(agent: &Target) {
    let id = agent.session(json!({
        "Name": "web", "Node": "node1", "LockDelay": "5s", "Behavior": "delete", "TTL": "30s", "NodeChecks": [],
        "ID": NOBODY, "CreateIndex": 5, "Namespace": "team", "Datacenter": "nope", "Nothing": [1]
    }));
    assert_ne!(id, NOBODY, "a client does not choose the id");
    let read = info(agent, &id);
    let index = &read["CreateIndex"];
    assert_eq!(
        read,
        json!({
            "ID": id, "Name": "web", "Node": "node1", "LockDelay": 5_000_000_000_i64, "Behavior": "delete",
            "TTL": "30s", "NodeChecks": [], "ServiceChecks": null, "CreateIndex": index, "ModifyIndex": index
        })
    );
}

fn names_of_fields_are_taken_in_any_case(agent: &Target) {
    let id = agent.session(json!({"name": "lower", "ttl": "15s", "BEHAVIOR": "delete"}));
    let session = info(agent, &id);
    assert_eq!(
        (&session["Name"], &session["TTL"], &session["Behavior"]),
        (&json!("lower"), &json!("15s"), &json!("delete"))
    );
}

fn what_is_no_session_is_refused(agent: &Target) {
    let unmarshal = |what: &str| format!("Request decode failed: json: cannot unmarshal {what}");
    let whole = "into Go value of type struct { LockDelay interface {}; *structs.Alias }";
    for (body, says) in [
        ("x", "Request decode failed: invalid character 'x' looking for beginning of value".to_owned()),
        ("[]", unmarshal(&format!("array {whole}"))),
        (r#""a""#, unmarshal(&format!("string {whole}"))),
        (r#"{"Name":1}"#, unmarshal("number into Go struct field .Name of type string")),
        (r#"{"TTL":10}"#, unmarshal("number into Go struct field .TTL of type string")),
        (r#"{"Checks":"a"}"#, unmarshal("string into Go struct field .Checks of type []types.CheckID")),
        (
            r#"{"ServiceChecks":["a"]}"#,
            unmarshal("string into Go struct field .ServiceChecks of type structs.ServiceCheck"),
        ),
    ] {
        agent.put("session/create", body).is(400, &says);
    }
    agent.put("session/create?dc=nope", "{}").is(500, "No path to datacenter");
    let enterprise = "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature";
    agent.put("session/create?ns=x", "{}").is(400, enterprise);
}

fn a_body_that_is_chunked_is_ignored(agent: &Target) {
    let body = r#"{"Name":"chunked"}"#;
    let answer = agent.raw(
        format!(
            "PUT /v1/session/create HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let id = answer.rsplit('"').nth(1).expect("an id");
    assert_eq!(info(agent, id)["Name"], "");
}

fn a_ttl_has_bounds_and_is_kept_as_written(agent: &Target) {
    for ttl in ["", "0", "0s", "10s", "1.5m", "86400s", "24h", "600000ms"] {
        assert_eq!(made(agent, &json!({"TTL": ttl}), "TTL"), json!(ttl));
    }
    assert_eq!(made(agent, &json!({"TTL": null}), "TTL"), "");
    for (ttl, nanoseconds) in [("9s", 9_000_000_000_i64), ("86401s", 86_401_000_000_000), ("-10s", -10_000_000_000)] {
        let says = format!("Invalid Session TTL '{nanoseconds}', must be between [10s=24h0m0s]");
        agent.put("session/create", json!({"TTL": ttl})).is(500, &says);
    }
    let says = "Session TTL '1d' invalid: time: unknown unit \"d\" in duration \"1d\"";
    agent.put("session/create", json!({"TTL": "1d"})).is(500, says);
    agent.put("session/create", json!({"TTL": "x"})).is(500, "Session TTL 'x' invalid: time: invalid duration \"x\"");
}

fn a_lock_delay_is_a_duration_or_a_number(agent: &Target) {
    for (delay, nanoseconds) in [
        (json!("0s"), 0_i64),
        (json!("0"), 0),
        (json!("1us"), 1000),
        (json!("20s"), 20_000_000_000),
        (json!("61s"), 61_000_000_000),
        (json!("2h"), 7_200_000_000_000),
        (json!(0), 0),
        (json!(15), 15_000_000_000),
        (json!(999), 999_000_000_000), // below 1000: seconds
        (json!(1000), 1000),           // nanoseconds
        (json!(1.5), 1_000_000_000),
        (json!("500ns"), 500_000_000_000), // as the number would be
        (json!("-5s"), -5_000_000_000_000_000_000),
        (json!(-3), -3_000_000_000),
        (json!(null), 15_000_000_000),
        (json!(true), 0),
    ] {
        assert_eq!(made(agent, &json!({"LockDelay": delay}), "LockDelay"), json!(nanoseconds), "{delay}");
    }
    let refused = |delay: &str, says: &str| {
        agent
            .put("session/create", json!({"LockDelay": delay}))
            .is(400, &format!("Request decode failed: time: {says}"));
    };
    refused("15", "missing unit in duration \"15\"");
    refused("", "invalid duration \"\"");
    refused("1d", "unknown unit \"d\" in duration \"1d\"");
}

fn checks_are_defaulted_and_fixed_up(agent: &Target) {
    let serf = json!(["serfHealth"]);
    for (session, checks) in [
        (json!({"Checks": null}), json!([])),
        (json!({"Checks": []}), json!([])),
        (json!({"Checks": [], "NodeChecks": ["serfHealth"]}), json!([])),
        (json!({"Checks": ["serfHealth"], "NodeChecks": []}), json!([])),
        (json!({"Checks": ["serfHealth"]}), serf.clone()),
        (json!({"Checks": ["serfHealth"], "NodeChecks": ["serfHealth"]}), serf.clone()),
        (json!({"NodeChecks": []}), json!([])),
        (json!({"NodeChecks": null}), json!(null)),
        (json!({"NodeChecks": ["serfHealth"]}), serf.clone()),
        (json!({"NodeChecks": ["serfHealth", "serfHealth"]}), json!(["serfHealth", "serfHealth"])),
        (json!({"ServiceChecks": []}), serf),
    ] {
        let id = agent.session(session.clone());
        let made = info(agent, &id);
        assert_eq!(made["NodeChecks"], checks, "{session}");
        assert_eq!(made.get("Checks"), None);
    }
    for session in
        [json!({"NodeChecks": ["nope"]}), json!({"Checks": ["nope"]}), json!({"ServiceChecks": [{"ID": "nope"}]})]
    {
        agent.put("session/create", session).is(500, "Missing check 'nope' registration");
    }
    let both = json!({"NodeChecks": ["second"], "Checks": ["first"]});
    agent.put("session/create", both).is(500, "Missing check 'first' registration");
}

fn a_behavior_is_one_of_two_words(agent: &Target) {
    for (behavior, made_of_it) in
        [(json!("release"), "release"), (json!("delete"), "delete"), (json!(""), "release"), (json!(null), "release")]
    {
        assert_eq!(made(agent, &json!({"Behavior": behavior}), "Behavior"), made_of_it);
    }
    for wrong in ["Delete", "RELEASE", "x"] {
        let says = format!("Invalid Behavior setting '{wrong}'");
        agent.put("session/create", json!({"Behavior": wrong})).is(500, &says);
    }
}

fn a_node_has_to_exist(agent: &Target) {
    agent.put("session/create", json!({"Node": "nope"})).is(500, "Missing node registration");
    agent.put("session/create", json!({"Node": ""})).is(500, "Must provide Node");
    assert_eq!(made(agent, &json!({"Node": "NODE1"}), "Node"), "NODE1", "found in any case, and kept as written");
    let node = node(agent, "up");
    // A node without an agent has no serfHealth.
    agent.put("session/create", json!({"Node": node})).is(500, "Missing check 'serfHealth' registration");
    assert_eq!(made(agent, &json!({"Node": node, "NodeChecks": ["up"]}), "Node"), json!(node));
}

fn service_checks_are_checks_of_the_node(agent: &Target) {
    let (service, check) = (unique("svc"), unique("chk"));
    let ttl = json!({"CheckID": check, "Name": "c", "TTL": "1h", "Status": "passing"});
    agent.put("agent/service/register", json!({"Name": service, "Check": ttl})).is(200, "");
    let id = agent.session(json!({"ServiceChecks": [{"ID": check}]}));
    let made = info(agent, &id);
    assert_eq!(made["ServiceChecks"], json!([{"ID": check, "Namespace": ""}]));
    assert_eq!(made["NodeChecks"], json!(["serfHealth"]));
    agent.put(&format!("agent/check/fail/{check}"), Value::Null).is(200, "");
    gone(agent, &id);
    let says = format!("Check '{check}' is in critical state");
    agent.put("session/create", json!({"ServiceChecks": [{"ID": check}]})).is(500, &says);
    agent.put(&format!("agent/service/deregister/{service}"), Value::Null).is(200, "");
}

fn the_lists_of_sessions(agent: &Target) {
    let node = node(agent, "up");
    agent.get(&format!("session/node/{node}")).is(200, "[]");
    let mut ids = [0; 3].map(|_| agent.session(json!({"Node": node, "NodeChecks": ["up"]})));
    ids.sort();
    let listed = agent.get(&format!("session/node/{node}"));
    assert!(listed.index() > 0);
    let listed = listed.ok();
    let of = |list: &Value| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|one| one["ID"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(of(&listed), ids, "in the order of their ids");
    let all = agent.get("session/list");
    assert_eq!(all.header("x-consul-knownleader"), Some("true"));
    let mut all = of(&all.ok());
    assert!(all.is_sorted());
    all.retain(|id| ids.contains(id));
    assert_eq!(all, ids);
    agent.get("session/node/nope").is(200, "[]");
    agent.get("session/node/").is(400, "Missing node name");
    let nobody = agent.get(&format!("session/info/{NOBODY}"));
    nobody.is(200, "[]");
    assert!(nobody.index() > 0);
    agent.get("session/info/").is(400, "Missing session");
    agent.get("session/info/abc").is(500, "failed session lookup: index error: UUID must be 36 characters");
    agent.get("session/list?dc=nope").is(500, "No path to datacenter");
    agent.get("session/list/x").is(404, "");
}

fn destroying_what_is_not_there_is_well(agent: &Target) {
    let id = agent.session(json!({}));
    for _ in 0..2 {
        let answer = agent.put(&format!("session/destroy/{id}"), Value::Null);
        answer.is(200, "true");
        assert_eq!(answer.header("x-consul-index"), None);
    }
    agent.get(&format!("session/info/{id}")).is(200, "[]");
    agent.put(&format!("session/destroy/{NOBODY}"), Value::Null).is(200, "true");
    agent.put("session/destroy/", Value::Null).is(400, "Missing session");
    let says = "failed session lookup: index error: UUID must be 36 characters";
    agent.put("session/destroy/abc", Value::Null).is(500, says);
}

fn renewing_gives_the_session(agent: &Target) {
    for ttl in ["", "10s"] {
        let id = agent.session(json!({"TTL": ttl, "Name": "r"}));
        let renewed = agent.put(&format!("session/renew/{id}"), Value::Null);
        assert_eq!(renewed.header("x-consul-index"), None);
        assert_eq!(renewed.ok(), json!([info(agent, &id)]), "a renewal changes no index");
    }
    let says = format!("Session id '{NOBODY}' not found");
    agent.put(&format!("session/renew/{NOBODY}"), Value::Null).is(404, &says);
    agent.put("session/renew/", Value::Null).is(400, "Missing session");
    let says = "failed session lookup: index error: UUID must be 36 characters";
    agent.put("session/renew/abc", Value::Null).is(500, says);
}

fn ids_are_taken_in_capitals(agent: &Target) {
    let id = agent.session(json!({}));
    let capitals = id.to_uppercase();
    assert_eq!(info(agent, &capitals)["ID"], json!(id));
    assert_eq!(agent.put(&format!("session/renew/{capitals}"), Value::Null).ok()[0]["ID"], json!(id));
    agent.put(&format!("session/destroy/{capitals}"), Value::Null).is(200, "true");
    agent.get(&format!("session/info/{id}")).is(200, "[]");
}

/// Locks a key of its own with this session, and gives the key.
#[track_caller]
fn locked(agent: &Target, id: &str) -> String {
    let key = unique("held");
    agent.put(&format!("kv/{key}?acquire={id}&flags=4"), "mine").is(200, "true");
    key
}

#[track_caller]
fn gone(agent: &Target, id: &str) {
    // The agent tells its servers of a check a moment later.
    let path = format!("session/info/{id}");
    let answer = agent.get(&path);
    if answer.ok() != json!([]) {
        agent.get(&format!("{path}?index={}&wait=10s", answer.index())).is(200, "[]");
    }
}

#[track_caller]
fn released(agent: &Target, key: &str) {
    let key = agent.key(key);
    let (session, lock_index) = (key.get("Session"), &key["LockIndex"]);
    assert_eq!((session, lock_index, &key["Value"], &key["Flags"]), (None, &json!(1), &json!("bWluZQ=="), &json!(4)));
    assert!(key["ModifyIndex"].as_u64() > key["CreateIndex"].as_u64());
}

fn a_session_that_ends_releases_its_keys(agent: &Target) {
    let id = agent.session(json!({"LockDelay": "0s"}));
    let (one, two) = (locked(agent, &id), locked(agent, &id));
    agent.put(&format!("session/destroy/{id}"), Value::Null).is(200, "true");
    released(agent, &one);
    released(agent, &two);
    assert_eq!(agent.key(&one)["ModifyIndex"], agent.key(&two)["ModifyIndex"], "in one step");
    let next = agent.session(json!({}));
    agent.put(&format!("kv/{one}?acquire={next}"), "x").is(200, "true");
    assert_eq!(agent.key(&one)["LockIndex"], 2);
}

fn a_session_that_ends_deletes_its_keys(agent: &Target) {
    let id = agent.session(json!({"LockDelay": "0s", "Behavior": "delete"}));
    let (held, left) = (locked(agent, &id), locked(agent, &id));
    agent.put(&format!("kv/{left}?release={id}"), "left").is(200, "true");
    agent.put(&format!("session/destroy/{id}"), Value::Null).is(200, "true");
    agent.get(&format!("kv/{held}")).is(404, "");
    assert_eq!(agent.key(&left)["Value"], "bGVmdA==", "what it had released stays");
}

fn a_session_ends_with_its_node(agent: &Target) {
    let node = node(agent, "up");
    let id = agent.session(json!({"Node": node, "NodeChecks": [], "LockDelay": "0s"}));
    let key = locked(agent, &id);
    agent.put("catalog/deregister", json!({"Node": node})).is(200, "true");
    agent.get(&format!("session/info/{id}")).is(200, "[]");
    agent.get(&format!("session/node/{node}")).is(200, "[]");
    released(agent, &key);
}

fn a_session_ends_with_its_check(agent: &Target) {
    let node = node(agent, "up");
    let tied = agent.session(json!({"Node": node, "NodeChecks": ["up"], "LockDelay": "0s"}));
    let free = agent.session(json!({"Node": node, "NodeChecks": [], "LockDelay": "0s"}));
    let key = locked(agent, &tied);
    agent.put("catalog/deregister", json!({"Node": node, "CheckID": "up"})).is(200, "true");
    released(agent, &key);
    let left = agent.get(&format!("session/node/{node}")).ok();
    assert_eq!((left[0]["ID"].as_str(), left.as_array().map(Vec::len)), (Some(&*free), Some(1)));
}

fn a_session_ends_when_its_check_turns_critical(agent: &Target) {
    let node = node(agent, "up");
    let id = agent.session(json!({"Node": node, "NodeChecks": ["up"], "LockDelay": "0s"}));
    let key = locked(agent, &id);
    let turn = |status: &str| {
        let check = json!({"CheckID": "up", "Name": "up", "Status": status});
        agent.put("catalog/register", json!({"Node": node, "Address": "10.0.0.1", "Check": check})).is(200, "true");
    };
    turn("warning");
    assert_eq!(agent.key(&key)["Session"], json!(id), "a warning is no end");
    turn("critical");
    released(agent, &key);
    agent.get(&format!("session/info/{id}")).is(200, "[]");
    let again = json!({"Node": node, "NodeChecks": ["up"]});
    agent.put("session/create", again.clone()).is(500, "Check 'up' is in critical state");
    turn("passing");
    agent.put("session/create", again).ok();
}

fn a_check_of_an_ending_service_ends_the_session(agent: &Target) {
    let node = node(agent, "up");
    let check = json!({"CheckID": "web-up", "Name": "w", "Status": "passing", "ServiceID": "web"});
    let service = json!({"Node": node, "Address": "10.0.0.1", "Service": {"Service": "web"}, "Check": check});
    agent.put("catalog/register", service).is(200, "true");
    let id = agent.session(json!({"Node": node, "NodeChecks": [], "ServiceChecks": [{"ID": "web-up"}]}));
    agent.put("catalog/deregister", json!({"Node": node, "ServiceID": "web"})).is(200, "true");
    agent.get(&format!("session/info/{id}")).is(200, "[]");
}

fn a_lock_delay_outlives_the_key_and_stops_no_plain_write(agent: &Target) {
    let id = agent.session(json!({}));
    let key = locked(agent, &id);
    agent.put(&format!("session/destroy/{id}"), Value::Null).is(200, "true");
    let next = agent.session(json!({}));
    let acquire = || {
        agent.put(&format!("kv/{key}?acquire={next}"), "x").is(200, "false");
    };
    acquire();
    // It is asked before the session is: even one that cannot be is told no more.
    for session in [NOBODY, "abc", "", &id] {
        agent.put(&format!("kv/{key}?acquire={session}"), "x").is(200, "false");
    }
    assert_eq!(agent.key(&key).get("Session"), None, "no API shows it");
    let lock = json!([{"KV": {"Verb": "lock", "Key": key, "Session": next}}]);
    let refused = agent.put("txn", lock);
    assert_eq!(refused.status, 409);
    let what = refused.json()["Errors"][0]["What"].take();
    assert!(what.as_str().is_some_and(|what| what.starts_with(&format!("failed to lock key \"{key}\""))), "{what}");
    agent.put(&format!("kv/{key}"), "plain").is(200, "true");
    acquire();
    agent.delete(&format!("kv/{key}")).is(200, "true");
    acquire();
    agent.get(&format!("kv/{key}")).is(404, "");
    let neighbour = format!("kv/{key}/below?acquire={next}");
    agent.put(&neighbour, "x").is(200, "true");
}

fn a_release_leaves_no_lock_delay(agent: &Target) {
    let (one, other) = (agent.session(json!({})), agent.session(json!({})));
    let key = locked(agent, &one);
    agent.put(&format!("kv/{key}?release={one}"), "x").is(200, "true");
    agent.put(&format!("session/destroy/{one}"), Value::Null).is(200, "true");
    agent.put(&format!("kv/{key}?acquire={other}"), "x").is(200, "true");
}

fn methods_that_there_are_not(agent: &Target) {
    for (method, path, allowed) in [
        ("GET", "session/create", "OPTIONS,PUT"),
        ("POST", "session/create", "OPTIONS,PUT"),
        ("GET", "session/destroy/x", "OPTIONS,PUT"),
        ("DELETE", "session/renew/x", "OPTIONS,PUT"),
        ("PUT", "session/info/x", "OPTIONS,GET"),
        ("PUT", "session/list", "OPTIONS,GET"),
        ("POST", "kv/a", "OPTIONS,GET,PUT,DELETE"),
        ("PATCH", "kv/a", "OPTIONS,GET,PUT,DELETE"),
        ("GET", "txn", "OPTIONS,PUT"),
        ("POST", "txn", "OPTIONS,PUT"),
        ("GET", "catalog/register", "OPTIONS,PUT"),
        ("DELETE", "catalog/deregister", "OPTIONS,PUT"),
        ("PUT", "catalog/nodes", "OPTIONS,GET"),
        ("PUT", "health/node/x", "OPTIONS,GET"),
        ("GET", "agent/service/register", "OPTIONS,PUT"),
        ("GET", "agent/reload", "OPTIONS,PUT"),
        ("PUT", "agent/self", "OPTIONS,GET"),
        ("PUT", "status/leader", "OPTIONS,GET"),
        ("GET", "internal/acl/authorize", "OPTIONS,POST"),
    ] {
        let answer = agent.send(method, path, &[], b"");
        answer.is(405, &format!("method {method} not allowed"));
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        let options = agent.send("OPTIONS", path, &[], b"");
        assert_eq!((options.status, options.header("allow")), (200, Some(allowed)), "{path}");
    }
}

/// Those in which time passes, a minute in one.
mod slow {
    use super::*;

    cases!(timed: a_session_lives_twice_its_ttl_after_it_was_renewed, a_lock_delay_lasts_as_it_was_asked_for_up_to_a_minute);

    fn seconds(agent: &Target, seconds: f64) {
        agent.pass(Duration::from_secs_f64(seconds));
    }

    fn a_session_lives_twice_its_ttl_after_it_was_renewed(agent: &Target) {
        let new = |ttl: &str| agent.session(json!({"TTL": ttl, "LockDelay": "0s"}));
        let (left, renewed, longer, forever) = (new("10s"), new("10s"), new("15s"), new("0s"));
        let keys = [&left, &renewed, &longer, &forever].map(|id| locked(agent, id));
        let lives = |id: &str| agent.get(&format!("session/info/{id}")).ok() != json!([]);
        seconds(agent, 11.0);
        agent.put(&format!("session/renew/{renewed}"), Value::Null).ok();
        seconds(agent, 8.0);
        assert_eq!([&left, &renewed, &longer].map(|id| lives(id)), [true; 3], "after 19 s");
        seconds(agent, 3.0);
        assert_eq!([&left, &renewed, &longer].map(|id| lives(id)), [false, true, true], "after 22 s");
        released(agent, &keys[0]);
        agent.put(&format!("session/renew/{left}"), Value::Null).is(404, &format!("Session id '{left}' not found"));
        assert_eq!(agent.key(&keys[1])["Session"], json!(renewed));
        seconds(agent, 10.0);
        assert_eq!([&renewed, &longer, &forever].map(|id| lives(id)), [false, false, true], "after 32 s");
        released(agent, &keys[1]);
    }

    fn a_lock_delay_lasts_as_it_was_asked_for_up_to_a_minute(agent: &Target) {
        // The delay that was asked for, and the seconds after which it must have ended.
        let delays = [json!(0), json!(1000), json!("-5s"), json!("5s"), json!(null), json!("2h")];
        let next = agent.session(json!({}));
        let mut keys = Vec::new();
        for delay in &delays {
            let id = agent.session(json!({"LockDelay": delay}));
            keys.push(locked(agent, &id));
            agent.put(&format!("session/destroy/{id}"), Value::Null).is(200, "true");
        }
        let free = || -> Vec<bool> {
            // A key that is acquired stays so.
            keys.iter().map(|key| agent.put(&format!("kv/{key}?acquire={next}"), "x").ok() == json!(true)).collect()
        };
        assert_eq!(free(), [true, true, true, false, false, false]);
        seconds(agent, 4.0);
        assert_eq!(free(), [true, true, true, false, false, false], "after 4 s");
        seconds(agent, 2.0);
        assert_eq!(free(), [true, true, true, true, false, false], "after 6 s");
        seconds(agent, 8.0);
        assert_eq!(free(), [true, true, true, true, false, false], "after 14 s");
        seconds(agent, 2.0);
        assert_eq!(free(), [true, true, true, true, true, false], "after 16 s");
        seconds(agent, 43.0);
        assert_eq!(free(), [true, true, true, true, true, false], "after 59 s");
        seconds(agent, 2.0);
        assert_eq!(free(), [true; 6], "after 61 s");
    }
}
