//! The agent: what it says of itself, its services and their checks, maintenance.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::target::Target;
use crate::support::unique;

cases!(open:
    the_agent_says_who_it_is,
    the_members_of_both_pools,
    there_are_metrics,
    a_service_is_registered_read_and_deregistered,
    a_service_with_all_that_it_may_have,
    checks_of_a_service_have_ids_of_their_own,
    a_new_definition_replaces_the_checks_where_it_is_asked_to,
    what_is_no_service_is_refused,
    what_is_not_there,
    a_ttl_check_is_updated,
    a_ttl_check_is_passed_warned_and_failed,
    checks_of_the_node,
    what_is_no_check_is_refused,
    a_service_is_under_maintenance,
    the_health_of_its_services,
    what_the_agent_has_comes_into_the_catalog,
);

#[track_caller]
fn done(agent: &Target, path: &str, body: impl Into<Value>) {
    agent.put(path, body).is(200, "");
}

#[track_caller]
fn drop_service(agent: &Target, id: &str) {
    done(agent, &format!("agent/service/deregister/{id}"), Value::Null);
}

/// Waits until a read of the catalog has something that the agent has to bring there.
#[track_caller]
fn comes(agent: &Target, path: &str, has: impl Fn(&Value) -> bool) -> Value {
    let mut answer = agent.get(path);
    while !has(&answer.ok()) {
        let index = answer.index();
        let and = if path.contains('?') { '&' } else { '?' };
        answer = agent.get(&format!("{path}{and}index={index}&wait=20s"));
        assert!(answer.index() > index, "{path}: {}", answer.text());
    }
    answer.ok()
}

fn the_agent_says_who_it_is(agent: &Target) {
    let read = agent.get("agent/self").ok();
    let (config, member) = (&read["Config"], &read["Member"]);
    assert_eq!(
        (&config["Datacenter"], &config["NodeName"], &config["Server"]),
        (&json!("dc1"), &json!("node1"), &json!(true))
    );
    assert_eq!(config["NodeID"].as_str().map(str::len), Some(36));
    assert_eq!(config["NodeID"], agent.get("catalog/node/node1").ok()["Node"]["ID"]);
    let version = config["Version"].as_str().expect("a version");
    assert!(version.split('.').count() == 3 && !version.contains("ent"), "{version}");
    assert_eq!(
        (&member["Name"], &member["Addr"], &member["Status"]),
        (&json!("node1"), &json!("127.0.0.1"), &json!(1))
    );
    assert_eq!(read["Meta"], json!({"consul-network-segment": ""}));
    for part in ["DebugConfig", "Coord", "Stats"] {
        assert!(read[part].is_object(), "{part}");
    }
}

fn the_members_of_both_pools(agent: &Target) {
    for (path, name) in [("agent/members", "node1"), ("agent/members?wan=1", "node1.dc1")] {
        let members = agent.get(path).ok();
        assert_eq!(members.as_array().map(Vec::len), Some(1));
        let member = &members[0];
        assert_eq!(
            (&member["Name"], &member["Addr"], &member["Status"]),
            (&json!(name), &json!("127.0.0.1"), &json!(1))
        );
        assert!(member["Port"].as_u64().is_some_and(|port| port > 0));
        assert_eq!((&member["Tags"]["role"], &member["Tags"]["dc"]), (&json!("consul"), &json!("dc1")));
        assert!(member["Tags"].as_object().expect("tags").values().all(Value::is_string));
    }
}

fn there_are_metrics(agent: &Target) {
    let metrics = agent.get("agent/metrics").ok();
    assert!(metrics["Timestamp"].is_string());
    for list in ["Gauges", "Points", "Counters", "Samples"] {
        assert!(metrics[list].is_array(), "{list}");
    }
}

fn plain(name: &str) -> Value {
    json!({
        "ID": name, "Service": name, "Tags": [], "Meta": {}, "Port": 0, "Address": "",
        "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false
    })
}

fn a_service_is_registered_read_and_deregistered(agent: &Target) {
    let name = unique("svc");
    done(agent, "agent/service/register", json!({"Name": name}));
    assert_eq!(agent.get("agent/services").ok()[&name], plain(&name));
    let one = agent.get(&format!("agent/service/{name}"));
    let hash = one.header("x-consul-contenthash").expect("a hash").to_owned();
    let mut with_hash = plain(&name);
    with_hash["ContentHash"] = json!(hash);
    assert_eq!(one.ok(), with_hash);
    assert_eq!(one.header("x-consul-index"), None);
    done(agent, "agent/service/register", json!({"Name": name, "Port": 81}));
    assert_eq!(agent.get("agent/services").ok()[&name]["Port"], 81);
    assert_ne!(agent.get(&format!("agent/service/{name}")).ok()["ContentHash"], json!(hash));
    drop_service(agent, &name);
    assert_eq!(agent.get("agent/services").ok().get(&name), None);
    drop_service(agent, &name);
}

fn a_service_with_all_that_it_may_have(agent: &Target) {
    let name = unique("svc-all");
    let id = format!("{name}-1");
    done(
        agent,
        "agent/service/register",
        json!({
            "Name": name, "ID": id, "Port": 80, "Tags": ["b", "a"], "Meta": {"k": "v"}, "Address": "10.0.0.1",
            "EnableTagOverride": true, "Weights": {"Passing": 5, "Warning": 2}
        }),
    );
    let tagged = json!({"Address": "10.0.0.1", "Port": 80});
    assert_eq!(
        agent.get("agent/services").ok()[&id],
        json!({
            "ID": id, "Service": name, "Tags": ["b", "a"], "Meta": {"k": "v"}, "Port": 80, "Address": "10.0.0.1",
            "TaggedAddresses": {"lan_ipv4": tagged, "wan_ipv4": tagged}, "Weights": {"Passing": 5, "Warning": 2},
            "EnableTagOverride": true
        })
    );
    drop_service(agent, &id);
}

/// A check as the agent has it, of a service without tags or of the node.
fn check(id: &str, name: &str, status: &str, output: &str, service: &str) -> Value {
    json!({
        "Node": "node1", "CheckID": id, "Name": name, "Status": status, "Notes": "", "Output": output,
        "ServiceID": service, "ServiceName": service, "ServiceTags": [], "Type": "ttl", "Definition": {},
        "CreateIndex": 0, "ModifyIndex": 0
    })
}

/// The checks of a service.
#[track_caller]
fn checks(agent: &Target, service: &str) -> Vec<Value> {
    let checks = agent.get("agent/checks").ok();
    let of = |check: &&Value| check["ServiceID"] == service;
    let mut checks: Vec<_> = checks.as_object().expect("checks").values().filter(of).cloned().collect();
    checks.sort_by_key(|check| check["CheckID"].as_str().map(str::to_owned));
    checks
}

fn checks_of_a_service_have_ids_of_their_own(agent: &Target) {
    let name = unique("chk");
    let text = format!("Service '{name}' check");
    done(agent, "agent/service/register", json!({"Name": name, "Check": {"TTL": "1h"}}));
    let one = check(&format!("service:{name}"), &text, "critical", "", &name);
    assert_eq!(checks(agent, &name), std::slice::from_ref(&one));
    let named = json!({"CheckID": format!("a-{name}"), "Name": "nm", "TTL": "1h", "Status": "passing"});
    done(agent, "agent/service/register", json!({"Name": name, "Checks": [{"TTL": "1h"}, named]}));
    let first = check(&format!("service:{name}:1"), &text, "critical", "", &name);
    let named = check(&format!("a-{name}"), "nm", "passing", "", &name);
    assert_eq!(checks(agent, &name), [named, one, first], "the earlier one stays");
    drop_service(agent, &name);
    assert_eq!(checks(agent, &name), [] as [Value; 0]);
}

fn a_new_definition_replaces_the_checks_where_it_is_asked_to(agent: &Target) {
    let name = unique("replace");
    done(agent, "agent/service/register", json!({"Name": name, "Checks": [{"TTL": "1h"}, {"TTL": "1h"}]}));
    assert_eq!(checks(agent, &name).len(), 2);
    done(agent, "agent/service/register", json!({"Name": name}));
    assert_eq!(checks(agent, &name).len(), 2);
    done(agent, "agent/service/register?replace-existing-checks=true", json!({"Name": name, "Check": {"TTL": "1h"}}));
    assert_eq!(checks(agent, &name)[0]["CheckID"], json!(format!("service:{name}")));
    done(agent, "agent/service/register?replace-existing-checks=true", json!({"Name": name}));
    assert_eq!(checks(agent, &name), [] as [Value; 0]);
    drop_service(agent, &name);
}

fn what_is_no_service_is_refused(agent: &Target) {
    let name = unique("no-svc");
    let decode = |what: &str| format!("Request decode failed: {what}");
    for (body, says) in [
        (json!("x"), decode("invalid character 'x' looking for beginning of value")),
        (json!("{}"), "Missing service name".to_owned()),
        (json!("null"), "Missing service name".to_owned()),
        (json!({"ID": name}), "Missing service name".to_owned()),
        (json!({"Name": name, "Nothing": 1}), decode("json: unknown field \"Nothing\"")),
        (
            json!({"Name": name, "Port": "80"}),
            decode("json: cannot unmarshal string into Go struct field .Port of type int"),
        ),
        (json!({"Name": name, "Check": {"TTL": "x"}}), decode("time: invalid duration \"x\"")),
        (
            json!({"Name": name, "Weights": {"Passing": 0, "Warning": 0}}),
            "Invalid Weights: Passing must be greater than 0".to_owned(),
        ),
        (
            json!({"Name": name, "Weights": {"Passing": 70000, "Warning": 0}}),
            "Invalid Weights: DNS Weight must be between 0 and 65535".to_owned(),
        ),
        (json!({"Name": name, "Address": "0.0.0.0"}), "Invalid service address".to_owned()),
        (
            json!({"Name": name, "Check": {"Interval": "10s"}}),
            "Invalid check: TTL must be > 0 for TTL checks".to_owned(),
        ),
        (
            json!({"Name": name, "Check": {"HTTP": "http://127.0.0.1:1"}}),
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks".to_owned(),
        ),
        (
            json!({"Name": name, "Check": {"TTL": "30s", "Status": "odd"}}),
            "Status for checks must 'passing', 'warning', 'critical'".to_owned(),
        ),
        (
            json!({"Name": name, "Meta": {"a b": "x"}}),
            "Invalid Service Meta: Couldn't load metadata pair ('a b', 'x'): Key contains invalid characters"
                .to_owned(),
        ),
    ] {
        agent.put("agent/service/register", body).is(400, &says);
    }
    let script = json!({"Name": name, "Check": {"Args": ["true"], "Interval": "10s"}});
    let says =
        "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true";
    agent.put("agent/service/register", script).is(500, says);
    agent.get(&format!("agent/service/{name}")).is(404, &format!("unknown service ID: {name}"));
}

fn what_is_not_there(agent: &Target) {
    agent.get("agent/service/nope").is(404, "unknown service ID: nope");
    agent.get("agent/service/").is(404, "unknown service ID: ");
    done(agent, "agent/service/deregister/nope", Value::Null);
    agent.put("agent/service/deregister/", Value::Null).is(500, "ServiceID missing");
    done(agent, "agent/check/deregister/nope", Value::Null);
    agent.put("agent/check/deregister/", Value::Null).is(500, "CheckID missing");
}

fn a_ttl_check_is_updated(agent: &Target) {
    let name = unique("ttl");
    let id = format!("service:{name}");
    done(agent, "agent/service/register", json!({"Name": name, "Check": {"TTL": "1h"}}));
    let text = format!("Service '{name}' check");
    for status in ["passing", "warning", "critical"] {
        done(agent, &format!("agent/check/update/{id}"), json!({"Status": status, "Output": "said"}));
        assert_eq!(checks(agent, &name), [check(&id, &text, status, "said", &name)]);
    }
    // One that is registered again stays as it was reported.
    for query in ["", "?replace-existing-checks=true"] {
        let check_anew = json!({"TTL": "2h", "Status": "warning"});
        done(agent, &format!("agent/service/register{query}"), json!({"Name": name, "Check": check_anew}));
        assert_eq!(checks(agent, &name), [check(&id, &text, "critical", "said", &name)]);
    }
    agent.put(&format!("agent/check/update/{id}"), json!({"Status": "odd"})).is(400, "Invalid check status: 'odd'");
    agent.put(&format!("agent/check/update/{id}"), "{}").is(400, "Invalid check status: ''");
    let says = "CheckID \"nope\" does not have associated TTL";
    agent.put("agent/check/update/nope", json!({"Status": "passing"})).is(500, says);
    drop_service(agent, &name);
}

fn a_ttl_check_is_passed_warned_and_failed(agent: &Target) {
    let name = unique("pass");
    done(agent, "agent/service/register", json!({"Name": name, "Check": {"TTL": "1h"}}));
    for (verb, status) in [("pass", "passing"), ("warn", "warning"), ("fail", "critical")] {
        done(agent, &format!("agent/check/{verb}/service:{name}?note=said%20so"), Value::Null);
        let check = &checks(agent, &name)[0];
        assert_eq!((&check["Status"], &check["Output"]), (&json!(status), &json!("said so")));
    }
    agent.put("agent/check/fail/nope", Value::Null).is(500, "CheckID \"nope\" does not have associated TTL");
    drop_service(agent, &name);
}

fn checks_of_the_node(agent: &Target) {
    let name = unique("node-check");
    done(agent, "agent/check/register", json!({"Name": name, "TTL": "1h"}));
    let id = format!("{name}-id");
    done(
        agent,
        "agent/check/register",
        json!({"ID": id, "Name": name, "TTL": "1h", "Status": "passing", "Notes": "n"}),
    );
    let all = agent.get("agent/checks").ok();
    assert_eq!(all[&name], check(&name, &name, "critical", "", ""));
    let mut with_notes = check(&id, &name, "passing", "", "");
    with_notes["Notes"] = json!("n");
    assert_eq!(all[&id], with_notes);
    for id in [&name, &id] {
        done(agent, &format!("agent/check/deregister/{id}"), Value::Null);
    }
    assert_eq!(agent.get("agent/checks").ok().get(&name), None);
}

fn what_is_no_check_is_refused(agent: &Target) {
    let name = unique("no-check");
    for (body, says) in [
        (json!("x"), "Request decode failed: invalid character 'x' looking for beginning of value"),
        (json!("{}"), "Missing check name"),
        (
            json!({"CheckID": name, "Name": name, "TTL": "30s"}),
            "Request decode failed: json: unknown field \"CheckID\"",
        ),
        (json!({"Name": name}), "Invalid check: TTL must be > 0 for TTL checks"),
        (json!({"Name": name, "TTL": "30s", "Status": "odd"}), "Bad check status"),
        (
            json!({"Name": name, "TTL": "30s", "Interval": "3s", "HTTP": "http://127.0.0.1:1"}),
            "Invalid check: Interval and TTL cannot both be specified",
        ),
    ] {
        agent.put("agent/check/register", body).is(400, says);
    }
    let of_none = json!({"Name": name, "TTL": "30s", "ServiceID": "nope"});
    agent.put("agent/check/register", of_none).is(500, "ServiceID \"nope\" does not exist");
    assert_eq!(agent.get("agent/checks").ok().get(&name), None);
}

fn a_service_is_under_maintenance(agent: &Target) {
    let name = unique("maintained");
    let path = format!("agent/service/maintenance/{name}");
    let id = format!("_service_maintenance:{name}");
    done(agent, "agent/service/register", json!({"Name": name}));
    done(agent, &format!("{path}?enable=true&reason=why%20not"), Value::Null);
    done(agent, &format!("{path}?enable=true&reason=other"), Value::Null);
    let mut under = check(&id, "Service Maintenance Mode", "critical", "", &name);
    under["Notes"] = json!("why not");
    under["Type"] = json!("maintenance");
    assert_eq!(checks(agent, &name), [under], "the earlier reason stays");
    done(agent, "agent/service/register", json!({"Name": name, "Port": 5}));
    assert_eq!(checks(agent, &name).len(), 1, "it outlives a new definition");
    for _ in 0..2 {
        done(agent, &format!("{path}?enable=false"), Value::Null);
        assert_eq!(checks(agent, &name), [] as [Value; 0]);
    }
    agent.put(&path, Value::Null).is(400, "Missing value for enable");
    agent.put(&format!("{path}?enable=x"), Value::Null).is(400, "Invalid value for enable: \"x\"");
    agent.put("agent/service/maintenance/?enable=true", Value::Null).is(400, "Missing service ID");
    let says = "No service registered with ID \"nope\"";
    agent.put("agent/service/maintenance/nope?enable=true", Value::Null).is(404, says);
    agent.put("agent/maintenance", Value::Null).is(400, "Missing value for enable");
    agent.put("agent/maintenance?enable=x", Value::Null).is(400, "Invalid value for enable: \"x\"");
    drop_service(agent, &name);
}

fn the_health_of_its_services(agent: &Target) {
    let name = unique("own-health");
    let path = format!("agent/health/service/name/{name}");
    let none = agent.get(&path);
    none.is(404, "[]");
    assert_eq!(none.header("x-consul-reason"), Some(&*format!("ServiceName {name} Not Found")));
    done(agent, "agent/service/register", json!({"Name": name, "Check": {"TTL": "1h"}}));
    for (status, http) in [("passing", 200), ("warning", 429), ("critical", 503)] {
        done(agent, &format!("agent/check/update/service:{name}"), json!({"Status": status}));
        let answer = agent.get(&path);
        assert_eq!((answer.status, answer.header("x-consul-reason")), (http, Some(status)));
        let all = answer.json();
        assert_eq!(all.as_array().map(Vec::len), Some(1));
        assert_eq!((&all[0]["AggregatedStatus"], &all[0]["Service"]["ID"]), (&json!(status), &json!(name)));
        assert_eq!(all[0]["Checks"][0]["Status"], json!(status));
        let one = agent.get(&format!("agent/health/service/id/{name}"));
        assert_eq!((one.status, &one.json()["AggregatedStatus"]), (http, &json!(status)));
        agent.get(&format!("{path}?format=text")).is(http, status);
    }
    done(agent, &format!("agent/service/maintenance/{name}?enable=true"), Value::Null);
    let answer = agent.get(&path);
    assert_eq!((answer.status, answer.header("x-consul-reason")), (503, Some("maintenance")));
    drop_service(agent, &name);
}

fn what_the_agent_has_comes_into_the_catalog(agent: &Target) {
    let name = unique("synced");
    let register = |port: u16| {
        let check = json!({"TTL": "1h", "Status": "passing"});
        done(agent, "agent/service/register", json!({"Name": name, "Port": port, "Check": check}));
    };
    register(80);
    let path = format!("catalog/service/{name}");
    let instances = comes(agent, &path, |list| list[0]["ServicePort"] == 80);
    assert_eq!((&instances[0]["Node"], &instances[0]["Address"]), (&json!("node1"), &json!("127.0.0.1")));
    let health = format!("health/checks/{name}");
    let mut checks = comes(agent, &health, |list| list[0]["Status"] == "passing");
    checks[0]["CreateIndex"] = json!(0);
    checks[0]["ModifyIndex"] = json!(0);
    let id = format!("service:{name}");
    assert_eq!(checks, json!([check(&id, &format!("Service '{name}' check"), "passing", "", &name)]));
    register(81);
    comes(agent, &path, |list| list[0]["ServicePort"] == 81);
    done(agent, &format!("agent/check/fail/{id}"), Value::Null);
    comes(agent, &health, |list| list[0]["Status"] == "critical");
    comes(agent, &format!("health/service/{name}"), |list| list[0]["Checks"][1]["Status"] == "critical");
    drop_service(agent, &name);
    comes(agent, &path, |list| list == &json!([]));
    comes(agent, &health, |list| list == &json!([]));
}

/// Those in which time passes, or that change the agent as a whole.
mod apart {
    use super::*;

    mod slow {
        use super::*;

        cases!(timed: a_ttl_check_that_nobody_updates_is_critical);

        fn a_ttl_check_that_nobody_updates_is_critical(agent: &Target) {
            let name = unique("silent");
            let ttl = json!({"TTL": "4s", "Status": "passing"});
            done(agent, "agent/service/register", json!({"Name": name, "Check": ttl}));
            comes(agent, &format!("health/checks/{name}"), |list| list[0]["Status"] == "passing");
            let check = format!("service:{name}");
            let session = agent.session(json!({"ServiceChecks": [{"ID": check}]}));
            agent.pass(Duration::from_secs(3));
            done(agent, &format!("agent/check/update/{check}"), json!({"Status": "passing", "Output": "well"}));
            agent.pass(Duration::from_secs(3));
            assert_eq!(checks(agent, &name)[0]["Status"], "passing");
            agent.pass(Duration::from_secs(2));
            let late = &checks(agent, &name)[0];
            assert_eq!(
                (&late["Status"], &late["Output"]),
                (&json!("critical"), &json!("TTL expired (last output before timeout follows): well"))
            );
            comes(agent, &format!("session/info/{session}"), |list| list == &json!([]));
            drop_service(agent, &name);
        }
    }

    mod whole {
        use super::*;

        cases!(alone: a_node_is_under_maintenance_and_a_reload_forgets_services);

        fn a_node_is_under_maintenance_and_a_reload_forgets_services(agent: &Target) {
            done(agent, "agent/service/register", json!({"Name": "web"}));
            comes(agent, "health/service/web?passing=1", |list| list != &json!([]));
            let session = agent.session(json!({"NodeChecks": ["serfHealth"]}));
            done(agent, "agent/maintenance?enable=true", Value::Null);
            let under = agent.get("agent/checks").ok()["_node_maintenance"].take();
            let notes =
                "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.";
            let mut expected = check("_node_maintenance", "Node Maintenance Mode", "critical", "", "");
            expected["Notes"] = json!(notes);
            expected["Type"] = json!("maintenance");
            assert_eq!(under, expected);
            comes(agent, "health/service/web?passing=1", |list| list == &json!([]));
            assert_eq!(agent.get("agent/health/service/name/web").status, 503);
            assert_eq!(agent.get(&format!("session/info/{session}")).ok().as_array().map(Vec::len), Some(1));
            done(agent, "agent/maintenance?enable=true&reason=later", Value::Null);
            assert_eq!(agent.get("agent/checks").ok()["_node_maintenance"]["Notes"], notes);
            for _ in 0..2 {
                done(agent, "agent/maintenance?enable=false", Value::Null);
                assert_eq!(agent.get("agent/checks").ok(), json!({}));
            }
            comes(agent, "health/service/web?passing=1", |list| list != &json!([]));
            done(agent, "agent/maintenance?enable=true&reason=because", Value::Null);
            assert_eq!(agent.get("agent/checks").ok()["_node_maintenance"]["Notes"], "because");
            done(agent, "agent/maintenance?enable=false", Value::Null);
            done(agent, "agent/reload", Value::Null);
            assert_eq!(agent.get("agent/services").ok(), json!({}), "what came by API alone is gone");
            comes(agent, "catalog/service/web", |list| list == &json!([]));
        }
    }
}
