//! What each state of `consul_session` does to a real Consul.

mod support;

use serde_json::{Value, json};
use support::{Agent, consul_session, unique};

fn present(name: &str) -> support::Module {
    consul_session(json!({"name": name})).at(&Agent::shared().address())
}

fn warning(result: &Value) -> &str {
    result["warnings"][0].as_str().unwrap_or_else(|| panic!("no warning: {result}"))
}

#[test]
fn present_creates_once_and_is_unchanged_after() {
    let (agent, name) = (Agent::shared(), unique("once"));
    let first = present(&name).run().ok();
    assert_eq!((&first["changed"], &first["action"]), (&json!(true), &json!("created")));
    let second = present(&name).run().ok();
    assert_eq!((&second["changed"], &second["action"]), (&json!(false), &json!("unchanged")));
    assert_eq!(second["session_id"], first["session_id"]);
    let sessions = agent.sessions(&name);
    assert_eq!(sessions.len(), 1);
    assert_eq!((&sessions[0]["Node"], &sessions[0]["NodeChecks"]), (&json!(agent.node), &json!(["serfHealth"])));
}

#[test]
fn the_result_says_what_consul_now_has() {
    let (agent, name) = (Agent::shared(), unique("result"));
    let result = present(&name)
        .option("ttl", json!("90"))
        .option("delay", json!("20s"))
        .option("behavior", json!("delete"))
        .option("checks", json!("serfHealth"))
        .run()
        .ok();
    let expected = json!({
        "changed": true, "action": "created", "name": name, "node": agent.node, "delay": "20s", "ttl": "1m30s",
        "behavior": "delete", "checks": ["serfHealth"], "session": agent.sessions(&name)[0], "destroyed": [],
    });
    for (field, value) in expected.as_object().unwrap() {
        let found = result[field].clone();
        let found = if field == "session" { without_nulls(found) } else { found };
        assert_eq!(found, without_nulls(value.clone()), "{field}");
    }
}

/// Consul writes an empty list as `null` here and there.
fn without_nulls(mut session: Value) -> Value {
    if session.get("ServiceChecks").is_some_and(Value::is_null) {
        session["ServiceChecks"] = json!([]);
    }
    session
}

#[test]
fn durations_are_compared_as_durations() {
    let name = unique("durations");
    present(&name).option("ttl", json!("90s")).option("delay", json!("1500ms")).run().ok();
    for (ttl, delay) in [(json!("1m30s"), json!("1.5s")), (json!(90), json!(1.5)), (json!("90"), json!("1500000us"))] {
        let again = present(&name).option("ttl", ttl).option("delay", delay).run().ok();
        assert_eq!(again["action"], "unchanged");
    }
}

#[test]
fn no_checks_is_no_checks_and_warns_where_nothing_ends_the_session() {
    let (agent, name) = (Agent::shared(), unique("nochecks"));
    let result = present(&name).option("checks", json!([])).run().ok();
    assert!(warning(&result).contains("neither a ttl nor checks"), "{result}");
    assert_eq!(agent.sessions(&name)[0]["NodeChecks"], json!([]));
    let name = unique("nochecks");
    assert_eq!(present(&name).option("checks", json!([])).option("ttl", json!(10)).run().ok().get("warnings"), None);
}

#[test]
fn service_checks_are_registered_and_compared() {
    let (agent, name) = (Agent::shared(), unique("service"));
    agent.put("/v1/agent/service/register", &json!({"Name": name, "Check": {"TTL": "1h", "Status": "passing"}}));
    let check = format!("service:{name}");
    let created = present(&name).option("service_checks", json!([check])).run().ok();
    assert_eq!(created["session"]["ServiceChecks"][0]["ID"], json!(check));
    assert_eq!(created["session"]["NodeChecks"], json!(["serfHealth"]));
    let again = present(&name).option("service_checks", json!([{"id": check}])).run().ok();
    assert_eq!(again["action"], "unchanged");
}

#[test]
fn a_ttl_is_renewed_by_each_run() {
    // Without the renewal the session would be gone after 2 x 10 s; that it is renewed shows in the request.
    let name = unique("renewed");
    let proxy = support::proxy::Proxy::start(&Agent::shared().address(), |_| support::proxy::Act::Forward);
    let module = || consul_session(json!({"name": name, "ttl": "10s"})).at(&proxy.address());
    let id = module().run().ok()["session_id"].as_str().unwrap().to_owned();
    assert!(!proxy.seen().iter().any(|line| line.contains("renew")));
    module().run().ok();
    assert_eq!(*proxy.seen().last().unwrap(), format!("PUT /v1/session/renew/{id}"));
    module().check_mode().run().ok();
    assert!(proxy.seen().last().unwrap().starts_with("GET "), "check mode renews nothing");
}

#[test]
fn an_unchanged_session_takes_two_requests_and_one_where_the_node_is_named() {
    let name = unique("requests");
    present(&name).run().ok();
    let proxy = support::proxy::Proxy::start(&Agent::shared().address(), |_| support::proxy::Act::Forward);
    consul_session(json!({"name": name})).at(&proxy.address()).run().ok();
    assert_eq!(proxy.seen(), ["GET /v1/agent/self", "GET /v1/session/node/node1"]);
    consul_session(json!({"name": name, "node": "node1"})).at(&proxy.address()).run().ok();
    assert_eq!(proxy.seen().len(), 3);
}

#[test]
fn drift_is_replaced_creating_first() {
    let (agent, name) = (Agent::shared(), unique("drift"));
    let old = present(&name).run().ok()["session_id"].clone();
    let result = present(&name).option("ttl", json!("30s")).diff_mode().run().ok();
    assert_eq!(
        (&result["changed"], &result["action"], &result["destroyed"]),
        (&json!(true), &json!("replaced"), &json!([old]))
    );
    assert_eq!(
        (&result["diff"][0]["before"]["ttl"], &result["diff"][0]["after"]["ttl"]),
        (&json!(null), &json!("30s"))
    );
    let left = agent.sessions(&name);
    assert_eq!((left.len(), &left[0]["ID"]), (1, &result["session_id"]));
    assert_eq!(present(&name).option("ttl", json!("30s")).run().ok()["action"], "unchanged");
    let notes = agent.sessions(&format!("lictor: replacing {}", old.as_str().unwrap()));
    assert_eq!(notes, Vec::<Value>::new(), "the note is gone");
}

#[test]
fn drift_is_refused_or_kept_where_asked() {
    let (agent, name) = (Agent::shared(), unique("policy"));
    present(&name).run().ok();
    let before = agent.sessions(&name);
    let drifted = |on_drift: &str| present(&name).option("ttl", json!("30s")).option("on_drift", json!(on_drift));
    let failure = drifted("fail").run().fails_with(&["exists with other properties: ttl is none, not 30s"]);
    assert_eq!((&failure["reason"], &failure["changed"]), (&json!("drifted"), &json!(false)));
    let kept = drifted("keep").run().ok();
    assert_eq!(
        (&kept["action"], &kept["ttl"]),
        (&json!("unchanged"), &json!(null)),
        "it says what is, not what was wished"
    );
    assert!(warning(&kept).contains("ttl is none, not 30s"));
    assert_eq!(agent.sessions(&name), before);
}

#[test]
fn a_failing_create_loses_nothing() {
    let (agent, name) = (Agent::shared(), unique("loses-nothing"));
    present(&name).run().ok();
    let before = agent.sessions(&name);
    present(&name).option("checks", json!(["no-such-check"])).run().fails_with(&["Missing check 'no-such-check'"]);
    assert_eq!(agent.sessions(&name), before);
    let id = before[0]["ID"].as_str().unwrap();
    assert_eq!(agent.sessions(&format!("lictor: replacing {id}")), Vec::<Value>::new(), "the note is gone");
}

#[test]
fn a_session_that_holds_locks_is_replaced_only_by_force() {
    let (agent, name) = (Agent::shared(), unique("locks"));
    let old = present(&name).run().ok()["session_id"].as_str().unwrap().to_owned();
    let key = format!("{name}/lock");
    agent.lock(&key, &old);
    let drifted = || present(&name).option("ttl", json!("30s"));
    let failure = drifted().run().fails_with(&["holds the key", &key, "release"]);
    assert_eq!(failure["reason"], "locks_held");
    drifted().check_mode().run().fails_with(&["holds the key"]);
    assert_eq!(agent.session_ids(&name), [old.as_str()]);
    let elsewhere = drifted().option("lock_prefix", json!(format!("{name}/elsewhere"))).check_mode().run().ok();
    assert_eq!(elsewhere["action"], "replaced", "no lock is looked for outside the prefix");
    let forced = drifted().option("force", json!(true)).run().ok();
    assert!(warning(&forced).contains(&key), "{forced}");
    assert_eq!(agent.get(&format!("/v1/kv/{key}"))[0].get("Session"), None, "the lock is lost, as asked");
}

#[test]
fn duplicates_are_reported_or_destroyed_under_unique_unless_they_hold_locks() {
    let (agent, name) = (Agent::shared(), unique("duplicates"));
    let make = |delay: &str| agent.create_session(&json!({"Name": name, "LockDelay": delay}));
    let (different, equal, holder) = (make("1s"), make("15s"), make("15s"));
    agent.lock(&format!("{name}/lock"), &holder);
    let reported = present(&name).run().ok();
    assert_eq!(
        (&reported["action"], &reported["session_id"]),
        (&json!("unchanged"), &json!(equal)),
        "the equal one, though not the oldest"
    );
    assert!(warning(&reported).contains(&different) && warning(&reported).contains(&holder), "{reported}");
    let foreseen = present(&name).option("unique", json!(true)).check_mode().run().ok();
    assert_eq!((&foreseen["action"], &foreseen["destroyed"]), (&json!("pruned"), &json!([different])));
    assert_eq!(agent.sessions(&name).len(), 3);
    let pruned = present(&name).option("unique", json!(true)).run().ok();
    assert_eq!((&pruned["changed"], &pruned["destroyed"]), (&json!(true), &json!([different])));
    assert!(warning(&pruned).contains(&holder) && warning(&pruned).contains("/lock"), "{pruned}");
    assert_eq!(agent.session_ids(&name), [equal, holder]);
}

#[test]
fn where_none_of_several_equals_the_wish_the_oldest_is_replaced_and_the_rest_reported() {
    let (agent, name) = (Agent::shared(), unique("several"));
    let make = |delay: &str| agent.create_session(&json!({"Name": name, "LockDelay": delay}));
    let (oldest, younger) = (make("1s"), make("2s"));
    let result = present(&name).run().ok();
    assert_eq!((&result["action"], &result["destroyed"]), (&json!("replaced"), &json!([oldest])));
    assert!(warning(&result).contains(&younger));
    let again = present(&name).run().ok();
    assert_eq!((&again["action"], &again["changed"]), (&json!("unchanged"), &json!(false)));
    assert!(warning(&again).contains(&younger));
}

#[test]
fn an_id_has_to_exist_and_is_never_replaced() {
    let (agent, name) = (Agent::shared(), unique("by-id"));
    let id = present(&name).option("ttl", json!("30s")).run().ok()["session_id"].as_str().unwrap().to_owned();
    let by_id = |options: Value| consul_session(options).option("id", json!(id)).at(&agent.address());
    let found = by_id(json!({})).run().ok();
    assert_eq!((&found["action"], &found["name"]), (&json!("unchanged"), &json!(name)));
    assert_eq!(by_id(json!({"ttl": 30, "name": name})).run().ok()["action"], "unchanged");
    by_id(json!({"ttl": 31, "force": true})).run().fails_with(&["ttl is 30s, not 31s", "another id"]);
    assert_eq!(agent.session_ids(&name), [id.as_str()]);
    let unknown = "00000000-0000-0000-0000-000000000000";
    let failure = by_id(json!({})).option("id", json!(unknown)).run().fails_with(&["there is no session", unknown]);
    assert_eq!(failure["reason"], "not_found");
}

#[test]
fn without_a_name_every_run_creates_and_warns() {
    let agent = Agent::shared();
    let run = || consul_session(json!({"ttl": "10s"})).at(&agent.address()).run().ok();
    let (first, second) = (run(), run());
    assert!(warning(&first).contains("every run creates another session"));
    assert_ne!(first["session_id"], second["session_id"]);
    assert_eq!(second["action"], "created");
}

#[test]
fn absent_destroys_by_name_and_by_id_and_is_unchanged_after() {
    let (agent, name) = (Agent::shared(), unique("absent"));
    let absent = |options: Value| consul_session(options).option("state", json!("absent")).at(&agent.address());
    for by_id in [false, true] {
        let id = present(&name).run().ok()["session_id"].clone();
        let options = if by_id { json!({"id": id}) } else { json!({"name": name}) };
        let foreseen = absent(options.clone()).check_mode().run().ok();
        assert_eq!((&foreseen["action"], &foreseen["session_id"]), (&json!("destroyed"), &id));
        assert_eq!(agent.sessions(&name).len(), 1);
        let done = absent(options.clone()).diff_mode().run().ok();
        assert_eq!((&done["changed"], &done["session_id"], &done["name"]), (&json!(true), &id, &json!(name)));
        assert_eq!((&done["diff"][0]["before"]["name"], &done["diff"][0]["after"]), (&json!(name), &json!({})));
        assert_eq!(agent.sessions(&name).len(), 0);
        let again = absent(options).run().ok();
        assert_eq!((&again["changed"], &again["action"]), (&json!(false), &json!("unchanged")));
    }
}

#[test]
fn absent_touches_neither_another_node_nor_another_name() {
    let (agent, name, node) = (Agent::shared(), unique("mine"), unique("elsewhere"));
    agent.external_node(&node);
    let elsewhere = agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": []}));
    let longer = agent.create_session(&json!({"Name": format!("{name}-2")}));
    let absent = |options: Value| consul_session(options).option("state", json!("absent")).at(&agent.address()).run();
    assert_eq!(absent(json!({"name": name})).ok()["changed"], false);
    absent(json!({"id": longer, "name": name})).fails_with(&["name is", "not as asked for"]);
    assert_eq!(agent.session_ids(&name), [elsewhere]);
    assert_eq!(absent(json!({"name": name, "node": node})).ok()["changed"], true);
    assert_eq!(agent.session_ids(&format!("{name}-2")), [longer]);
}

#[test]
fn reads_give_a_list_and_change_nothing() {
    let (agent, name, node) = (Agent::shared(), unique("read"), unique("read-node"));
    agent.external_node(&node);
    let make = |name: &str| agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": []}));
    let (first, second, other) = (make(&name), make(&name), make(&unique("other")));
    let read = |options: Value| {
        let result = consul_session(options).at(&agent.address()).run().ok();
        assert_eq!((&result["changed"], &result["action"]), (&json!(false), &json!("read")));
        let ids =
            result["sessions"].as_array().unwrap().iter().map(|session| session["ID"].as_str().unwrap().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let ids = |ids: &[&String]| ids.iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(read(json!({"state": "info", "id": first})), ids(&[&first]));
    assert_eq!(read(json!({"state": "info", "id": "00000000-0000-0000-0000-000000000000"})), ids(&[]));
    assert_eq!(read(json!({"state": "info", "name": name, "node": node})), ids(&[&first, &second]));
    assert_eq!(read(json!({"state": "info", "name": name})), ids(&[]), "not on the agent's own node");
    assert_eq!(read(json!({"state": "node", "node": node})), ids(&[&first, &second, &other]));
    assert_eq!(read(json!({"state": "node", "node": node, "name": name})), ids(&[&first, &second]));
    assert_eq!(read(json!({"state": "list", "name": name})), ids(&[&first, &second]));
    assert_eq!(read(json!({"state": "list", "node": node})), ids(&[&first, &second, &other]));
    assert!(read(json!({"state": "list"})).contains(&other));
}

#[test]
fn a_session_looks_the_same_however_it_is_read() {
    let (agent, name) = (Agent::shared(), unique("same"));
    let odd = format!("{name} \"ServiceChecks\":null, \\ \"NodeChecks\": null");
    let id = agent.create_session(&json!({"Name": odd, "NodeChecks": null}));
    let read = |options: Value| {
        let result = consul_session(options).at(&agent.address()).run().ok();
        let sessions = result["sessions"].as_array().unwrap().clone();
        sessions.into_iter().find(|session| session["ID"] == json!(id)).unwrap()
    };
    let session = read(json!({"state": "info", "id": id}));
    assert_eq!((&session["ServiceChecks"], &session["NodeChecks"]), (&json!([]), &json!([])), "never null");
    for options in [json!({"state": "list"}), json!({"state": "node"}), json!({"state": "list", "name": odd})] {
        assert_eq!(read(options), session);
    }
}

#[test]
fn the_incumbents_way_to_name_the_node_is_understood_and_deprecated() {
    let (agent, node) = (Agent::shared(), unique("old-way"));
    agent.external_node(&node);
    let id = agent.create_session(&json!({"Node": node, "NodeChecks": []}));
    let result = consul_session(json!({"state": "node", "name": node})).at(&agent.address()).run().ok();
    assert_eq!((result["sessions"].as_array().unwrap().len(), &result["sessions"][0]["ID"]), (1, &json!(id)));
    assert!(result["deprecations"][0]["msg"].as_str().unwrap().contains("'node'"));
    let both = consul_session(json!({"state": "node", "name": node, "node": node})).at(&agent.address()).run().ok();
    assert_eq!(both["sessions"].as_array().unwrap().len(), 1, "the node's name written twice is no filter");
    let other = consul_session(json!({"state": "node", "name": "x", "node": node})).at(&agent.address()).run().ok();
    assert_eq!(other["sessions"], json!([]));
    assert!(warning(&other).contains("the older module ignored it"));
}

#[test]
fn check_mode_says_the_same_and_writes_nothing() {
    let (agent, name) = (Agent::shared(), unique("check-mode"));
    let proxy = support::proxy::Proxy::start(&agent.address(), |_| support::proxy::Act::Forward);
    let run = |options: Value, check: bool| {
        let module = consul_session(options).option("name", json!(name)).at(&proxy.address()).diff_mode();
        let mut result = if check { module.check_mode() } else { module }.run().ok();
        for of_this_run in ["invocation", "session", "session_id"] {
            result.as_object_mut().unwrap().remove(of_this_run);
        }
        result
    };
    for options in [json!({}), json!({}), json!({"ttl": "30s"}), json!({"state": "absent"}), json!({"state": "absent"})]
    {
        let before = proxy.seen().len();
        let foreseen = run(options.clone(), true);
        assert!(proxy.seen()[before..].iter().all(|line| line.starts_with("GET ")), "{:?}", proxy.seen());
        assert_eq!(foreseen, run(options, false));
    }
}

#[test]
fn check_mode_foresees_what_consul_would_refuse() {
    let (agent, name) = (Agent::shared(), unique("foreseen"));
    let foresee =
        |options: Value| consul_session(options).option("name", json!(name)).at(&agent.address()).check_mode().run();
    foresee(json!({"node": "no-such-node"})).fails_with(&["there is no node 'no-such-node'"]);
    let foreseen = foresee(json!({"checks": ["nope"]})).fails_with(&["no check 'nope'", "serfHealth"]);
    let real = consul_session(json!({"name": name, "checks": ["nope"]})).at(&agent.address()).run();
    assert_eq!(real.fails_with(&["Missing check 'nope'"])["reason"], foreseen["reason"]);
    agent.put("/v1/agent/check/register", &json!({"Name": name, "TTL": "1h"})); // critical until somebody says else
    foresee(json!({"checks": [name]})).fails_with(&["critical"]);
    consul_session(json!({"name": name, "checks": [name]})).at(&agent.address()).run().fails_with(&["critical state"]);
    agent.put(&format!("/v1/agent/check/deregister/{name}"), &json!(""));
}

#[test]
fn the_environment_stands_in_for_absent_options_and_options_win() {
    let agent = Agent::shared();
    let list = || consul_session(json!({"state": "list"}));
    list().env("CONSUL_HTTP_ADDR", &agent.address()).run().ok();
    list().env("CONSUL_HTTP_ADDR", &format!("http://{}", agent.address())).run().ok();
    list().env("CONSUL_HTTP_ADDR", "127.0.0.1:1").run().fails_with(&["127.0.0.1:1"]);
    list().at(&agent.address()).env("CONSUL_HTTP_ADDR", "127.0.0.1:1").run().ok();
    let port: u16 = agent.address().rsplit(':').next().unwrap().parse().unwrap();
    list().option("port", json!(port)).env("CONSUL_HTTP_ADDR", "127.0.0.1:1").run().ok();
    list().option("port", json!(port.to_string())).run().ok();
    list().at(&agent.address()).env("CONSUL_HTTP_SSL_VERIFY", "maybe").run().fails_with(&["CONSUL_HTTP_SSL_VERIFY"]);
}

#[test]
fn upper_and_lower_case_of_nodes_and_checks_make_no_drift() {
    // Consul does not tell them apart, and keeps what it was given.
    let name = unique("case");
    let first = present(&name).option("node", json!("NODE1")).option("checks", json!(["SERFHEALTH"]));
    assert_eq!(first.run().ok()["action"], "created");
    assert_eq!(present(&name).run().ok()["action"], "unchanged");
    let mixed = present(&name).option("node", json!("Node1")).option("checks", json!(["serfHealth"]));
    assert_eq!(mixed.run().ok()["action"], "unchanged");
    let foreseen = present(&unique("case")).option("checks", json!(["SERFHEALTH"])).check_mode().run().ok();
    assert_eq!(foreseen["action"], "created");
}

#[test]
fn an_empty_namespace_of_a_service_check_is_none() {
    let (agent, name) = (Agent::shared(), unique("empty-ns"));
    agent.put("/v1/agent/check/register", &json!({"Name": name, "TTL": "1h", "Status": "passing"}));
    let module = || present(&name).option("service_checks", json!([{"id": name, "namespace": ""}]));
    assert_eq!(module().run().ok()["action"], "created");
    assert_eq!(module().run().ok()["action"], "unchanged");
}

#[test]
fn reads_by_id_keep_to_what_else_was_named() {
    let (agent, name) = (Agent::shared(), unique("narrow"));
    let id = agent.create_session(&json!({"Name": name}));
    let count = |options: Value| {
        let result = consul_session(options).option("id", json!(id)).at(&agent.address()).run().ok();
        result["sessions"].as_array().unwrap().len()
    };
    assert_eq!(count(json!({"state": "info", "node": "NODE1"})), 1);
    assert_eq!(count(json!({"state": "info", "node": "elsewhere"})), 0);
    assert_eq!(count(json!({"state": "list"})), 1);
    assert_eq!(count(json!({"state": "node", "node": "node1"})), 1);
}

#[test]
fn a_text_for_check_mode_is_check_mode() {
    let name = unique("check-text");
    present(&name).option("_ansible_check_mode", json!("true")).run().ok();
    assert_eq!(Agent::shared().sessions(&name).len(), 0);
}

#[test]
fn results_are_as_their_schema_says() {
    let (agent, name) = (Agent::shared(), unique("schema"));
    let (_, schema) = lictor::ansible::schemas().find(|(name, _)| *name == "consul_session.result").unwrap();
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for options in [
        json!({}),
        json!({}),
        json!({"ttl": "30s", "checks": []}),
        json!({"ttl": "30s", "on_drift": "keep", "delay": 1}),
        json!({"ttl": "5s"}),
        json!({"foo": 1}),
        json!({"state": "info"}),
        json!({"state": "list"}),
        json!({"state": "node"}),
        json!({"state": "absent"}),
        json!({"state": "absent"}),
    ] {
        for check in [true, false] {
            let module = consul_session(options.clone()).option("name", json!(name)).at(&agent.address()).diff_mode();
            let answer = if check { module.check_mode() } else { module }.run();
            let faults: Vec<_> = validator.iter_errors(&answer.json).map(|error| error.to_string()).collect();
            assert_eq!(faults, Vec::<String>::new(), "{}", answer.json);
        }
    }
    let garbage = support::run_raw(b"[]");
    assert!(validator.is_valid(&garbage.json), "{}", garbage.json);
}
