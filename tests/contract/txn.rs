//! Transactions.

use serde_json::{Value, json};

use crate::support::target::{Reply, Target};
use crate::support::unique;

cases!(open:
    writes_give_records_without_values,
    reads_give_values_and_say_where_they_are_from,
    a_mixture_is_a_write,
    what_fails_undoes_everything_and_is_named,
    deletes_give_nothing,
    cas_writes_what_is_as_it_was,
    locks_and_unlocks,
    what_is_checked_holds_or_fails,
    a_guarded_write_ends_with_the_lock,
    what_no_operation_says_is_nothing,
    unknown_verbs_and_keys_fail_in_their_place,
    a_key_may_be_anything,
    there_may_be_64,
    a_body_has_a_limit,
    what_is_no_transaction_is_refused,
    places_and_consistency,
    nodes_services_and_checks,
);

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Sends these operations on keys.
#[track_caller]
fn run<const N: usize>(agent: &Target, operations: [Value; N]) -> Reply {
    agent.put("txn", Value::Array(operations.map(|operation| json!({"KV": operation})).into()))
}

/// The records that came out, of a transaction that went well.
#[track_caller]
fn results(reply: &Reply) -> Vec<Value> {
    let mut answer = reply.ok();
    assert_eq!(answer["Errors"], Value::Null, "{answer}");
    let results = answer["Results"].as_array_mut().expect("a list");
    results.iter_mut().map(|result| result["KV"].take()).collect()
}

/// Asserts that it failed, with this index and this reason only.
#[track_caller]
fn fails(reply: &Reply, index: usize, what: &str) {
    assert_eq!(reply.status, 409, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["Results"], Value::Null);
    assert_eq!(answer["Errors"], json!([{"OpIndex": index, "What": what}]));
}

fn set(key: &str) -> Value {
    json!({"Verb": "set", "Key": key, "Value": "aGVsbG8="})
}

fn writes_give_records_without_values(agent: &Target) {
    let key = unique("txn/set");
    let reply = run(agent, [json!({"Verb": "set", "Key": key, "Value": "aGVsbG8=", "Flags": 7})]);
    let index = agent.key(&key)["ModifyIndex"].take();
    assert_eq!(
        reply.ok(),
        json!({
            "Results": [{"KV": {
                "LockIndex": 0, "Key": key, "Flags": 7, "Value": null, "CreateIndex": index, "ModifyIndex": index
            }}],
            "Errors": null
        })
    );
    assert_eq!(reply.header("x-consul-index"), None);
    assert_eq!(agent.key(&key)["Value"], "aGVsbG8=");
    // Without flags they are 0, and without a value there is none.
    let again = results(&run(agent, [json!({"Verb": "set", "Key": key})]));
    assert_eq!((&again[0]["Flags"], &again[0]["CreateIndex"]), (&json!(0), &index));
    assert_eq!(agent.key(&key)["Value"], Value::Null);
}

fn reads_give_values_and_say_where_they_are_from(agent: &Target) {
    let root = unique("txn/get");
    let (one, two) = (format!("{root}/1"), format!("{root}/2"));
    run(agent, [set(&one), set(&two)]).ok();
    let reply =
        run(agent, [json!({"Verb": "get", "Key": one}), json!({"Verb": "get-tree", "Key": format!("{root}/")})]);
    let (one, two) = (agent.key(&one), agent.key(&two));
    assert_eq!(one["ModifyIndex"], two["ModifyIndex"], "one transaction, one index");
    assert_eq!(
        reply.ok(),
        json!({
            "Results": [{"KV": one}, {"KV": one}, {"KV": two}], "Errors": null,
            "Index": 0, "LastContact": 0, "KnownLeader": true, "ConsistencyLevel": ""
        })
    );
    assert_eq!(reply.header("x-consul-knownleader"), Some("true"));
    assert_eq!(reply.header("x-consul-lastcontact"), Some("0"));
    assert_eq!(reply.header("x-consul-index"), None);
    fails(&run(agent, [json!({"Verb": "get", "Key": root})]), 0, &format!("key \"{root}\" doesn't exist"));
    assert_eq!(results(&run(agent, [json!({"Verb": "get-tree", "Key": format!("{root}/none")})])), [] as [Value; 0]);
}

fn a_mixture_is_a_write(agent: &Target) {
    let key = unique("txn/mixed");
    let reply = run(agent, [set(&key), json!({"Verb": "get", "Key": key})]);
    assert_eq!(reply.ok().get("Index"), None);
    let results = results(&reply);
    assert_eq!(
        (&results[0]["Value"], &results[1]["Value"]),
        (&Value::Null, &json!("aGVsbG8=")),
        "it reads what it wrote"
    );
}

fn what_fails_undoes_everything_and_is_named(agent: &Target) {
    let (key, none) = (unique("txn/rolled-back"), unique("txn/none"));
    let reply = run(
        agent,
        [
            set(&key),
            json!({"Verb": "get", "Key": none}),
            json!({"Verb": "check-not-exists", "Key": key}),
            json!({"Verb": "delete", "Key": key}),
        ],
    );
    assert_eq!(reply.status, 409);
    assert_eq!(
        reply.json(),
        json!({"Results": null, "Errors": [
            {"OpIndex": 1, "What": format!("key \"{none}\" doesn't exist")},
            {"OpIndex": 2, "What": format!("key \"{key}\" exists")}
        ]})
    );
    agent.get(&format!("kv/{key}")).is(404, "");
}

fn deletes_give_nothing(agent: &Target) {
    let root = unique("txn/delete");
    let keys = ["a", "b/1", "b/2", "c"].map(|name| format!("{root}/{name}"));
    run(agent, [set(&keys[0]), set(&keys[1]), set(&keys[2]), set(&keys[3])]).ok();
    let index = agent.key(&keys[3])["ModifyIndex"].take();
    let reply = run(
        agent,
        [
            json!({"Verb": "delete", "Key": keys[0]}),
            json!({"Verb": "delete-tree", "Key": format!("{root}/b/")}),
            json!({"Verb": "delete-cas", "Key": keys[3], "Index": index}),
            json!({"Verb": "check-not-exists", "Key": keys[0]}),
        ],
    );
    assert_eq!(reply.ok(), json!({"Results": [], "Errors": null}));
    agent.get(&format!("kv/{root}?keys")).is(404, "");
    // What is not there is deleted well.
    let none = &keys[0];
    for operation in [
        json!({"Verb": "delete", "Key": none}),
        json!({"Verb": "delete-tree", "Key": none}),
        json!({"Verb": "delete-cas", "Key": none, "Index": 4}),
    ] {
        assert_eq!(run(agent, [operation]).ok()["Results"], json!([]));
    }
    run(agent, [set(none)]).ok();
    let stale = format!("failed to delete key \"{none}\", index is stale");
    fails(&run(agent, [json!({"Verb": "delete-cas", "Key": none, "Index": 4})]), 0, &stale);
}

fn cas_writes_what_is_as_it_was(agent: &Target) {
    let key = unique("txn/cas");
    let cas = |index: &Value| json!({"Verb": "cas", "Key": key, "Value": "aGVsbG8=", "Index": index});
    let stale = format!("failed to set key \"{key}\", index is stale");
    fails(&run(agent, [cas(&json!(9))]), 0, &stale);
    let made = results(&run(agent, [cas(&json!(0))]));
    assert_eq!(made[0]["Value"], Value::Null);
    fails(&run(agent, [cas(&json!(0))]), 0, &stale);
    run(agent, [cas(&made[0]["ModifyIndex"])]).ok();
}

fn locks_and_unlocks(agent: &Target) {
    let (one, other) = (agent.session(json!({})), agent.session(json!({})));
    let key = unique("txn/lock");
    let lock = |session: &str| json!({"Verb": "lock", "Key": key, "Session": session, "Value": "aGVsbG8=", "Flags": 3});
    let held = results(&run(agent, [lock(&one)]));
    assert_eq!(
        (&held[0]["LockIndex"], &held[0]["Session"], &held[0]["Flags"], &held[0]["Value"]),
        (&json!(1), &json!(one), &json!(3), &Value::Null)
    );
    assert_eq!(results(&run(agent, [lock(&one)]))[0]["LockIndex"], 1);
    let says = |what: &str| format!("failed to {what}");
    fails(&run(agent, [lock(&other)]), 0, &says(&format!("lock key \"{key}\", lock is already held")));
    fails(&run(agent, [lock(NOBODY)]), 0, &format!("invalid session \"{NOBODY}\""));
    fails(&run(agent, [lock("abc")]), 0, "failed session lookup: index error: UUID must be 36 characters");
    fails(&run(agent, [json!({"Verb": "lock", "Key": key})]), 0, "missing session");
    let unlock = |session: &str| json!({"Verb": "unlock", "Key": key, "Session": session, "Value": "eA=="});
    let not_held = says(&format!("unlock key \"{key}\", lock isn't held, or is held by another session"));
    fails(&run(agent, [unlock(&other)]), 0, &not_held);
    fails(&run(agent, [json!({"Verb": "unlock", "Key": key})]), 0, "missing session");
    let free = results(&run(agent, [unlock(&one)]));
    assert_eq!((&free[0]["LockIndex"], free[0].get("Session")), (&json!(1), None));
    assert_eq!(agent.key(&key)["Value"], "eA==");
    fails(&run(agent, [unlock(&one)]), 0, &not_held);
}

fn what_is_checked_holds_or_fails(agent: &Target) {
    let session = agent.session(json!({}));
    let (key, none) = (unique("txn/check"), unique("txn/none"));
    let index = results(&run(agent, [set(&key)]))[0]["ModifyIndex"].take();
    let check = |verb: &str, key: &str, field: &str, value: &Value| json!({"Verb": verb, "Key": key, field: value});
    let by_index = |key: &str, index: &Value| run(agent, [check("check-index", key, "Index", index)]);
    let by_session = |key: &str, session: &str| run(agent, [check("check-session", key, "Session", &json!(session))]);
    let held = results(&by_index(&key, &index));
    assert_eq!((&held[0]["Key"], &held[0]["Value"]), (&json!(key), &Value::Null));
    fails(
        &by_index(&key, &json!(1)),
        0,
        &format!("failed index check for key \"{key}\", current modify index {index} != 1"),
    );
    let missing = |what: &str| format!("failed to check {what}, key \"{none}\" doesn't exist");
    fails(&by_index(&none, &json!(0)), 0, &missing("index"));
    fails(&by_session(&none, &session), 0, &missing("session"));
    fails(
        &by_session(&key, &session),
        0,
        &format!("failed session check for key \"{key}\", current session \"\" != \"{session}\""),
    );
    assert_eq!(results(&by_session(&key, "")).len(), 1, "nobody holds it");
    agent.put(&format!("kv/{key}?acquire={session}"), "x").is(200, "true");
    assert_eq!(results(&by_session(&key, &session))[0]["Session"], json!(session));
    assert_eq!(run(agent, [json!({"Verb": "check-not-exists", "Key": none})]).ok()["Results"], json!([]));
    fails(&run(agent, [json!({"Verb": "check-not-exists", "Key": key})]), 0, &format!("key \"{key}\" exists"));
}

fn a_guarded_write_ends_with_the_lock(agent: &Target) {
    let (lock, data) = (unique("txn/guard"), unique("txn/data"));
    let session = agent.session(json!({"LockDelay": "0s"}));
    agent.put(&format!("kv/{lock}?acquire={session}"), "x").is(200, "true");
    let write = || run(agent, [json!({"Verb": "check-session", "Key": lock, "Session": session}), set(&data)]);
    write().ok();
    agent.put(&format!("session/destroy/{session}"), Value::Null).is(200, "true");
    let says = format!("failed session check for key \"{lock}\", current session \"\" != \"{session}\"");
    fails(&write(), 0, &says);
}

fn what_no_operation_says_is_nothing(agent: &Target) {
    for body in ["[]", "null", "[{}]", r#"[{"KV": null}]"#] {
        let says = json!({
            "Results": [], "Errors": null, "Index": 0, "LastContact": 0, "KnownLeader": true, "ConsistencyLevel": ""
        });
        assert_eq!(agent.put("txn", body).ok(), says, "{body}");
    }
}

fn unknown_verbs_and_keys_fail_in_their_place(agent: &Target) {
    let key = unique("txn/verb");
    for verb in ["nope", "", "SET", "Get"] {
        let says = format!("unknown KV verb \"{verb}\"");
        fails(&run(agent, [json!({"Verb": verb, "Key": key})]), 0, &says);
        fails(&run(agent, [set(&key), json!({"Verb": verb, "Key": key})]), 1, &says);
    }
    agent.get(&format!("kv/{key}")).is(404, "");
    let alone = run(agent, [json!({"Verb": "nope", "Key": key})]);
    assert_eq!(alone.json()["ConsistencyLevel"], "", "what is no write is a read");
    assert_eq!(alone.header("x-consul-knownleader"), Some("true"));
    fails(&run(agent, [json!({"Verb": "set", "Key": ""})]), 0, "Must provide key");
    fails(&run(agent, [json!({"Verb": "set"})]), 0, "Must provide key");
    fails(&run(agent, [json!({"Verb": "get", "Key": ""})]), 0, "Must provide key");
    fails(&run(agent, [json!({})]), 0, "Must provide key");
}

fn a_key_may_be_anything(agent: &Target) {
    // No path is cleaned here: such a key cannot be read by its path.
    let root = unique("txn/odd");
    let keys = [format!("{root}//a"), format!("{root}/\n"), format!("{root}/../b")];
    run(agent, keys.clone().map(|key| set(&key))).ok();
    let mut listed: Vec<String> = serde_json::from_value(agent.get(&format!("kv/{root}/?keys")).ok()).expect("keys");
    listed.sort();
    assert_eq!(listed, [keys[1].clone(), keys[2].clone(), keys[0].clone()]);
    run(agent, [json!({"Verb": "delete-tree", "Key": root})]).ok();
}

fn there_may_be_64(agent: &Target) {
    let root = unique("txn/many");
    let many = |count: usize| {
        let operations: Vec<_> = (0..count).map(|number| json!({"KV": set(&format!("{root}/{number}"))})).collect();
        agent.put("txn", Value::Array(operations))
    };
    many(65).is(413, "Transaction contains too many operations (65 > 64)");
    agent.get(&format!("kv/{root}?keys")).is(404, "");
    assert_eq!(results(&many(64)).len(), 64);
}

fn a_body_has_a_limit(agent: &Target) {
    let body = |length: usize| {
        let text = format!(r#"[{{"KV":{{"Verb":"set","Key":"{}"}}}}"#, unique("txn/long"));
        format!("{text}{}]", " ".repeat(length - text.len() - 1))
    };
    agent.put("txn", body(524_288)).ok();
    let answer = agent.put("txn", body(524_289));
    assert_eq!(answer.status, 413);
    assert!(answer.text().starts_with("Request body(524289 bytes) too large, max size: 524288 bytes."), "{answer:?}");
}

fn what_is_no_transaction_is_refused(agent: &Target) {
    let key = unique("txn/refused");
    let field = |field: &str| format!(r#"[{{"KV":{{"Verb":"set","Key":"{key}",{field}}}}}]"#);
    let unmarshal = |what: &str| format!("json: cannot unmarshal {what}");
    for (body, says) in [
        (String::new(), "EOF".to_owned()),
        ("x".to_owned(), "invalid character 'x' looking for beginning of value".to_owned()),
        ("{}".to_owned(), unmarshal("object into Go value of type api.TxnOps")),
        ("[1]".to_owned(), unmarshal("number into Go value of type api.TxnOp")),
        (r#"[{"KV":[]}]"#.to_owned(), unmarshal("array into Go struct field TxnOp.KV of type api.KVTxnOp")),
        (r#"[{"Session":{"Verb":"x"}}]"#.to_owned(), "json: unknown field \"Session\"".to_owned()),
        (field(r#""Nothing":1"#), "json: unknown field \"Nothing\"".to_owned()),
        (field(r#""Value":"%%%""#), "illegal base64 data at input byte 0".to_owned()),
        (field(r#""Value":5"#), unmarshal("number into Go struct field KVTxnOp.KV.Value of type []uint8")),
        (field(r#""Flags":"7""#), unmarshal("string into Go struct field KVTxnOp.KV.Flags of type uint64")),
        (field(r#""Flags":-1"#), unmarshal("number -1 into Go struct field KVTxnOp.KV.Flags of type uint64")),
    ] {
        agent.put("txn", body).is(400, &format!("Failed to parse body: {says}"));
    }
    agent.get(&format!("kv/{key}")).is(404, "");
    // The names of fields are taken in any case.
    agent.put("txn", json!([{"kv": {"verb": "set", "KEY": key}}])).ok();
    agent.get(&format!("kv/{key}")).ok();
}

fn places_and_consistency(agent: &Target) {
    let key = unique("txn/place");
    let body = |verb: &str| json!([{"KV": {"Verb": verb, "Key": key}}]);
    agent.put("txn?dc=nope", body("set")).is(500, "No path to datacenter");
    agent.put("txn?dc=nope", body("get")).is(500, "No path to datacenter");
    for parameters in ["", "?stale", "?consistent", "?dc=dc1"] {
        agent.put(&format!("txn{parameters}"), body("set")).ok();
        agent.put(&format!("txn{parameters}"), body("get")).ok();
    }
    agent.put("txn?index=x", "[]").is(400, "Invalid index");
}

fn nodes_services_and_checks(agent: &Target) {
    let node = unique("txn-node");
    let one = |operation: Value| agent.put("txn", json!([operation]));
    let made = one(json!({"Node": {"Verb": "set", "Node": {"Node": node, "Address": "10.0.0.1"}}})).ok();
    let index = made["Results"][0]["Node"]["ModifyIndex"].clone();
    let record = json!({
        "ID": "", "Node": node, "Address": "10.0.0.1", "Datacenter": "dc1", "TaggedAddresses": null, "Meta": null,
        "CreateIndex": index, "ModifyIndex": index
    });
    assert_eq!(made["Results"], json!([{"Node": record}]));
    let read = one(json!({"Node": {"Verb": "get", "Node": {"Node": node}}})).ok();
    assert_eq!(read["Results"], json!([{"Node": record}]));
    let made = one(json!({"Service": {"Verb": "set", "Node": node, "Service": {"Service": "web", "Port": 80}}})).ok();
    let service = &made["Results"][0]["Service"];
    assert_eq!((&service["ID"], &service["Port"]), (&json!("web"), &json!(80)));
    let check = json!({"Node": node, "CheckID": "up", "Name": "up", "Status": "passing"});
    let made = one(json!({"Check": {"Verb": "set", "Check": check}})).ok();
    assert_eq!(made["Results"][0]["Check"]["Status"], "passing");
    assert_eq!(one(json!({"Node": {"Verb": "delete", "Node": {"Node": node}}})).ok()["Results"], json!([]));
    fails(&one(json!({"Node": {"Verb": "get", "Node": {"Node": node}}})), 0, &format!("node \"{node}\" doesn't exist"));
    fails(&one(json!({"Node": {"Verb": "zap", "Node": {"Node": node}}})), 0, "unknown Node verb \"zap\"");
}
