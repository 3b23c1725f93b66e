//! What `consul_service` does to a real agent.

mod support;

use serde_json::{Value, json};
use support::proxy::{Act, Proxy};
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

/// The agent's checks of a service: id and status.
fn checks(id: &str) -> Vec<(String, String)> {
    let all = Agent::shared().get("/v1/agent/checks");
    let of_service = all.as_object().unwrap().values().filter(|check| check["ServiceID"] == id);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_service.map(|check| (text(&check["CheckID"]), text(&check["Status"]))).collect()
}

fn report(check: &str, status: &str) {
    Agent::shared().put(&format!("/v1/agent/check/update/{check}"), &json!({"Status": status, "Output": "as told"}));
}

/// A check as the catalog has it, once it has this status there.
fn in_catalog(service: &str, check: &str, status: &str) -> Value {
    for _ in 0..100 {
        let found = Agent::shared().get(&format!("/v1/health/checks/{service}"));
        let of_id = found.as_array().unwrap().iter().find(|c| c["CheckID"] == check && c["Status"] == status);
        if let Some(check) = of_id {
            return check.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{check} does not become {status}: {}", Agent::shared().get(&format!("/v1/health/checks/{service}")));
}

fn every_kind(name: &str) -> Value {
    json!({
        "name": name, "id": format!("{name}-1"), "tags": ["v2", "blue"], "address": "127.0.0.1", "service_port": "8080",
        "meta": {"team": "web", "version": 1.25}, "weights": {"passing": "5"},
        "checks": [
            {"http": "http://127.0.0.1:1/", "interval": "1h", "timeout": 1, "method": "HEAD", "header": {"a": "b"},
             "tls_skip_verify": "yes", "deregister_critical_service_after": "2h"},
            {"tcp": "127.0.0.1:1", "interval": "1h"},
            {"grpc": "127.0.0.1:1/web", "interval": "1h", "grpc_use_tls": true},
            {"ttl": "1h", "name": "beat", "status": "passing"},
            {"alias_node": "node1"}
        ]
    })
}

#[test]
fn a_service_with_checks_of_every_kind_is_registered_once() {
    let name = unique("kinds");
    let first = service(every_kind(&name)).run().ok();
    assert_eq!((&first["changed"], &first["action"]), (&json!(true), &json!("registered")));
    let id = format!("{name}-1");
    let now = shown(&id);
    assert_eq!(
        (&now["Service"], &now["Tags"], &now["Port"], &now["Address"], &now["Weights"]),
        (&json!(name), &json!(["blue", "v2"]), &json!(8080), &json!("127.0.0.1"), &json!({"Passing": 5, "Warning": 1}))
    );
    assert_eq!((&now["Meta"]["team"], &now["Meta"]["version"]), (&json!("web"), &json!("1.25")));
    assert_eq!(first["service"]["Meta"], now["Meta"]);
    let mut ids: Vec<_> = checks(&id).into_iter().map(|(check, _)| check.replace(&id, "ID")).collect();
    ids.sort();
    assert_eq!(ids, ["service:ID:alias", "service:ID:beat", "service:ID:grpc", "service:ID:http", "service:ID:tcp"]);
    let second = service(every_kind(&name)).run().ok();
    assert_eq!((&second["changed"], &second["action"]), (&json!(false), &json!("unchanged")));
    assert_eq!(second["service"], first["service"]);
    let mut reordered = every_kind(&name);
    reordered["tags"] = json!("blue,v2");
    assert_eq!(service(reordered).run().ok()["action"], "unchanged", "the order of tags means nothing");
}

#[test]
fn an_unchanged_service_is_not_written_and_its_checks_do_not_move() {
    let name = unique("still");
    let wish = json!({"name": name, "checks": [{"ttl": "1h"}]});
    service(wish.clone()).run().ok();
    let check = format!("service:{name}:ttl");
    report(&check, "passing");
    let before = in_catalog(&name, &check, "passing");
    let proxy = Proxy::start(&Agent::shared().address(), |_| Act::Forward);
    let again = consul_service(wish).at(&proxy.address()).run().ok();
    assert_eq!(again["action"], "unchanged");
    assert_eq!(proxy.seen(), [format!("GET /v1/agent/service/{name}"), "GET /v1/agent/checks".to_owned()]);
    assert_eq!(again["checks"][0]["Status"], "passing");
    let after = in_catalog(&name, &check, "passing");
    assert_eq!(after, before, "its ModifyIndex included");
}

#[test]
fn an_update_keeps_the_status_of_checks_that_stay() {
    let name = unique("update");
    let (ttl, other) = (format!("service:{name}:ttl"), format!("service:{name}:other"));
    let wish = |port: u16, checks: Value| json!({"name": name, "service_port": port, "checks": checks});
    service(wish(1, json!([{"ttl": "1h"}, {"name": "other", "ttl": "1h"}]))).run().ok();
    report(&ttl, "passing");
    report(&other, "warning");
    let before = in_catalog(&name, &ttl, "passing");
    let result = service(wish(2, json!([{"name": "new", "ttl": "1h"}, {"ttl": "2h"}, {"name": "other", "ttl": "1h"}])));
    assert_eq!(result.run().ok()["action"], "updated");
    assert_eq!(shown(&name)["Port"], 2);
    let mut now = checks(&name);
    now.sort();
    let state = |id: &str, status: &str| (id.to_owned(), status.to_owned());
    let new = format!("service:{name}:new");
    assert_eq!(now, [state(&new, "critical"), state(&other, "warning"), state(&ttl, "passing")]);
    assert_eq!(in_catalog(&name, &ttl, "passing")["CreateIndex"], before["CreateIndex"], "it never went away");
    let fewer = service(wish(2, json!([{"ttl": "2h"}]))).run().ok();
    assert_eq!(fewer["action"], "updated");
    assert_eq!(checks(&name), [state(&ttl, "passing")], "checks that are wished for no more are gone");
    let none = service(wish(2, json!([]))).run().ok();
    assert_eq!((&none["checks"], checks(&name).len()), (&json!([]), 0));
}

#[test]
fn a_change_in_a_check_alone_is_drift_although_the_agent_does_not_show_it() {
    let name = unique("hidden");
    let wish = |interval: &str| {
        service(json!({"name": name, "checks": [{"tcp": "127.0.0.1:1", "interval": interval}]})).diff_mode()
    };
    wish("60m").run().ok();
    assert_eq!(wish("1h").run().ok()["action"], "unchanged", "the same duration");
    let result = wish("2h").run().ok();
    assert_eq!(result["action"], "updated");
    assert_ne!(result["diff"]["before"]["definition"], result["diff"]["after"]["definition"]);
}

#[test]
fn a_check_that_becomes_another_kind_is_made_anew() {
    let name = unique("becomes");
    service(json!({"name": name, "checks": [{"name": "c", "ttl": "1h", "status": "passing"}]})).run().ok();
    let tcp = json!({"name": name, "checks": [{"name": "c", "tcp": "127.0.0.1:1", "interval": "1h"}]});
    let result = service(tcp).run().ok();
    assert_eq!(result["action"], "updated");
    assert_eq!((&result["checks"][0]["Type"], &result["checks"][0]["Status"]), (&json!("tcp"), &json!("critical")));
}

#[test]
fn a_change_by_hand_is_drift() {
    let agent = Agent::shared();
    let name = unique("by-hand");
    let wish = json!({"name": name, "service_port": 80, "checks": [{"ttl": "1h", "status": "passing"}]});
    service(wish.clone()).run().ok();
    let hash = shown(&name)["Meta"]["lictor-hash"].clone();
    agent.put("/v1/agent/service/register", &json!({"Name": name, "Port": 81, "Meta": {"lictor-hash": hash}}));
    assert_eq!(service(wish.clone()).run().ok()["action"], "updated");
    assert_eq!(shown(&name)["Port"], 80);
    agent.put(&format!("/v1/agent/check/deregister/service:{name}:ttl"), &json!(""));
    assert_eq!(service(wish.clone()).run().ok()["action"], "updated");
    assert_eq!(checks(&name).len(), 1, "a check that was taken off is back");
    agent.put("/v1/agent/check/register", &json!({"Name": "more", "ServiceID": name, "TTL": "1h"}));
    assert_eq!(service(wish.clone()).run().ok()["action"], "updated");
    assert_eq!(checks(&name).len(), 1, "a check that was put on is gone");
    assert_eq!(service(wish).run().ok()["action"], "unchanged");
}

#[test]
fn checks_that_were_not_mentioned_stay() {
    let (agent, name) = (Agent::shared(), unique("others"));
    service(json!({"name": name})).run().ok();
    agent.put("/v1/agent/check/register", &json!({"ID": name, "Name": "more", "ServiceID": name, "TTL": "1h"}));
    report(&name, "passing");
    assert_eq!(service(json!({"name": name})).run().ok()["action"], "unchanged");
    assert_eq!(service(json!({"name": name, "service_port": 1})).run().ok()["action"], "updated");
    assert_eq!(checks(&name), [(name.clone(), "passing".to_owned())]);
}

#[test]
fn a_maintenance_lasts_over_an_update() {
    let (agent, name) = (Agent::shared(), unique("maintained"));
    let wish = |port: u16| service(json!({"name": name, "service_port": port, "checks": [{"ttl": "1h"}]}));
    wish(1).run().ok();
    agent.put(&format!("/v1/agent/service/maintenance/{name}?enable=true&reason=disk"), &json!(""));
    assert_eq!(wish(1).run().ok()["action"], "unchanged", "it is no drift");
    assert_eq!(wish(2).run().ok()["action"], "updated");
    assert_eq!(agent.get("/v1/agent/checks")[format!("_service_maintenance:{name}")]["Notes"], "disk");
}

#[test]
fn somebody_elses_service_is_registered_anew_once_where_its_checks_are_wished_for() {
    let (agent, name) = (Agent::shared(), unique("adopted"));
    let check = json!({"CheckID": format!("service:{name}:ttl"), "TTL": "1h"});
    agent.put("/v1/agent/service/register", &json!({"Name": name, "Port": 80, "Check": check}));
    let wish = json!({"name": name, "service_port": 80});
    assert_eq!(service(wish.clone()).run().ok()["action"], "unchanged", "all that is wished for is there to be seen");
    let wish = service(wish).option("checks", json!([{"ttl": "1h"}]));
    assert_eq!(wish.clone().run().ok()["action"], "updated", "nobody sees what its check does");
    assert_eq!(wish.run().ok()["action"], "unchanged");
}

#[test]
fn tags_that_others_may_change_are_no_drift() {
    let (agent, name) = (Agent::shared(), unique("override"));
    let wish = json!({"name": name, "tags": ["a"], "enable_tag_override": true});
    service(wish.clone()).run().ok();
    let mut other = json!({"Name": name, "Tags": ["b"], "EnableTagOverride": true});
    other["Meta"] = shown(&name)["Meta"].clone();
    agent.put("/v1/agent/service/register", &other);
    assert_eq!(service(wish).run().ok()["action"], "unchanged");
}

#[test]
fn absent_deregisters_by_id_and_is_unchanged_where_there_is_none() {
    let name = unique("absent");
    service(json!({"name": name, "id": format!("{name}-1"), "checks": [{"ttl": "1h"}]})).run().ok();
    let absent = |id: &str| service(json!({"state": "absent", "id": id}));
    let id = format!("{name}-1");
    assert_eq!(absent(&name).run().ok()["action"], "unchanged", "the name is not the id");
    let checked = absent(&id).check_mode().diff_mode().run().ok();
    assert_eq!((&checked["action"], &checked["diff"]["after"]), (&json!("deregistered"), &json!({})));
    assert_eq!(shown(&id)["ID"], json!(id));
    let gone = absent(&id).run().ok();
    assert_eq!((&gone["action"], &gone["service"]), (&json!("deregistered"), &json!(null)));
    assert_eq!(checks(&id).len(), 0);
    assert_eq!(absent(&id).run().ok()["changed"], false);
}

#[test]
fn check_mode_tells_and_writes_nothing() {
    let name = unique("check-mode");
    let proxy = Proxy::start(&Agent::shared().address(), |_| Act::Forward);
    let wish = || consul_service(json!({"name": name, "checks": [{"ttl": "1h"}]})).at(&proxy.address()).check_mode();
    let result = wish().diff_mode().run().ok();
    assert_eq!((&result["action"], &result["service"]), (&json!("registered"), &json!(null)));
    assert_eq!(result["diff"]["after"]["checks"], json!([format!("service:{name}:ttl")]));
    service(json!({"name": name, "service_port": 1})).run().ok();
    assert_eq!(wish().run().ok()["action"], "updated");
    let node = wish().option("node", json!(name)).option("node_address", json!("10.0.0.1"));
    node.option("checks", json!([])).run().ok();
    assert!(proxy.seen().iter().all(|line| line.starts_with("GET ")), "{:?}", proxy.seen());
}

#[test]
fn info_reads_one_or_all() {
    let name = unique("info");
    service(json!({"name": name, "checks": [{"ttl": "1h"}]})).run().ok();
    let one = service(json!({"state": "info", "name": name})).run().ok();
    assert_eq!((&one["action"], &one["changed"]), (&json!("read"), &json!(false)));
    assert_eq!((&one["service"]["ID"], &one["checks"][0]["Status"]), (&json!(name), &json!("critical")));
    assert_eq!(service(json!({"state": "info", "id": "nope"})).run().ok()["services"], json!([]));
    let all = service(json!({"state": "info"})).run().ok();
    assert!(all["services"].as_array().unwrap().iter().any(|service| service["ID"] == json!(name)));
}

#[test]
fn bad_options_are_refused_before_anything_is_sent() {
    for (options, words) in [
        (json!({}), &["state is present", "missing: name"][..]),
        (json!({"state": "absent"}), &["state is absent", "id, name"]),
        (json!({"name": ""}), &["name is empty"]),
        (json!({"name": "a", "service_port": 0}), &["service_port", "at least 1"]),
        (json!({"name": "a", "service_port": 65536}), &["service_port is 65536"]),
        (json!({"name": "a", "service_port": "http"}), &["'service_port'", "convert to int"]),
        (json!({"name": "a", "meta": {"a.b": 1}}), &["meta: the key \"a.b\""]),
        (json!({"name": "a", "meta": {"lictor-hash": "x"}}), &["lictor-hash is ours"]),
        (json!({"name": "a", "meta": {"a": []}}), &["'meta'", "not a string"]),
        (json!({"name": "a", "meta": ["a"]}), &["'meta'", "convert to dict"]),
        (json!({"name": "a", "weights": {"passing": 0}}), &["weights: passing is 0"]),
        (json!({"name": "a", "weights": {"passing": 70000}}), &["weights: "]),
        (json!({"name": "a", "weights": {"pasing": 1}}), &["weights: Unsupported parameters", "pasing"]),
        (json!({"name": "a", "checks": [{"http": "http://a"}]}), &["checks[0]", "needs an interval"]),
        (json!({"name": "a", "checks": [{"ttl": "1s"}, {}]}), &["checks[1]", "checks nothing"]),
        (json!({"name": "a", "checks": ["http"]}), &["checks[0]: write a dict"]),
        (json!({"name": "a", "checks": [{"ttl": "soon"}]}), &["checks[0]", "'ttl'", "not a duration"]),
        (json!({"name": "a", "checks": [{"url": "x"}]}), &["checks[0]: Unsupported parameters", "url", "http"]),
        (json!({"name": "a", "checks": [{"ttl": "1s", "status": "fine"}]}), &["checks[0]", "status must be one of"]),
        (json!({"name": "a", "node_address": "b"}), &["name it in 'node'"]),
        (json!({"name": "a", "datacenter": "b"}), &["name it in 'node'"]),
        (json!({"name": "a", "namespace": "b"}), &["namespace", "leave them out"]),
        (json!({"name": "a", "node": "n", "checks": [{"ttl": "1s"}]}), &["kind ttl", "consul-esm"]),
        (json!({"name": "a", "node": "n", "node_meta": {"a.b": "c"}}), &["node_meta: "]),
    ] {
        // Nothing listens there: whoever sent a thing would fail otherwise.
        let failure = consul_service(options.clone()).at("127.0.0.1:1").run().fails_with(words);
        assert_eq!(failure["reason"], "arguments", "{options}");
    }
}

#[test]
fn a_run_that_fails_half_way_says_what_it_did_and_the_next_one_finishes() {
    let name = unique("half");
    service(json!({"name": name, "checks": [{"ttl": "1h"}]})).run().ok();
    let refuse = |line: &str| {
        let refused = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndisk";
        if line.contains("/check/deregister/") { Act::Raw(refused.to_vec()) } else { Act::Forward }
    };
    let proxy = Proxy::start(&Agent::shared().address(), refuse);
    let wish = json!({"name": name, "checks": []});
    let failure = consul_service(wish.clone()).at(&proxy.address()).run();
    let failure = failure.fails_with(&[&format!("service '{name}' was registered; then: "), "disk", "next run"]);
    assert_eq!(failure["changed"], true);
    assert_eq!(service(wish.clone()).run().ok()["action"], "updated");
    assert_eq!((checks(&name).len(), service(wish).run().ok()["action"].clone()), (0, json!("unchanged")));
}

#[test]
fn a_check_id_of_another_service_is_not_taken_away() {
    let (owner, thief) = (unique("owner"), unique("thief"));
    service(json!({"name": owner, "checks": [{"id": owner, "ttl": "1h"}]})).run().ok();
    let taking = || service(json!({"name": thief, "checks": [{"id": owner, "ttl": "1h"}]}));
    let failure = taking().run().fails_with(&["check of the id", &format!("service '{owner}'"), "another `id`"]);
    assert_eq!(failure["reason"], "check_taken");
    taking().check_mode().run().fails_with(&["check of the id"]);
    assert_eq!(checks(&owner).len(), 1);
}

#[test]
fn what_consul_refuses_is_told_with_what_to_try() {
    let name = unique("script");
    let script = json!({"name": name, "checks": [{"args": ["true"], "interval": "1h"}]});
    let failure = service(script).run().fails_with(&["Scripts are disabled", "`enable_script_checks`"]);
    assert_eq!((&failure["changed"], &failure["reason"]), (&json!(false), &json!("consul")));
}
