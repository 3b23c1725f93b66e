//! What `consul_agent` and `consul_catalog_info` do on a real Consul, without and with ACLs.

mod support;

use std::sync::OnceLock;

use serde_json::{Value, json};
use support::agent::Options;
use support::proxy::{Act, Proxy};
use support::{Agent, Module, module, unique};

fn of_agent(agent: &Agent, options: Value) -> Module {
    module("consul_agent", options).at(&agent.address())
}

fn catalog(options: Value) -> Module {
    module("consul_catalog_info", options).at(&Agent::shared().address())
}

/// The reason of the maintenance of the node, or of a service, as Consul has it.
fn reason(agent: &Agent, check: &str) -> Value {
    agent.get("/v1/agent/checks")[check]["Notes"].clone()
}

/// `changed` and `action`.
fn outcome(result: &Value) -> (bool, &str) {
    (result["changed"].as_bool().unwrap(), result["action"].as_str().unwrap())
}

/// Registers a service of this id with tags and a TTL check, and waits until the catalog has it.
fn service(agent: &Agent, id: &str, name: &str, tags: &[&str], status: &str) {
    let check = json!({"TTL": "1h", "Status": status});
    agent.put("/v1/agent/service/register", &json!({"ID": id, "Name": name, "Tags": tags, "Check": check}));
    let start = std::time::Instant::now();
    let known = || agent.get(&format!("/v1/health/checks/{name}")).to_string().contains(&format!("service:{id}\""));
    while !known() {
        assert!(start.elapsed().as_secs() < 30, "the catalog does not hear of it");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn info_and_members_are_what_the_agent_says() {
    let agent = Agent::shared();
    let said = agent.get("/v1/agent/self")["Config"].clone();
    for options in [json!({}), json!({"state": "info"})] {
        let result = of_agent(agent, options).run().ok();
        assert_eq!(outcome(&result), (false, "read"));
        for field in ["Datacenter", "NodeName", "Server", "Version"] {
            assert_eq!(result["agent"][field], said[field], "{field}");
        }
        assert!(result["agent"]["Version"].is_string() && result.get("members").is_none(), "{result}");
    }
    let lan = of_agent(agent, json!({"state": "members"})).run().ok();
    assert_eq!((outcome(&lan), &lan["members"][0]["Name"]), ((false, "read"), &json!("node1")));
    assert_eq!(lan["members"][0]["Status"], 1);
    let wan = of_agent(agent, json!({"state": "members", "wan": "yes"})).run().ok();
    assert_eq!(wan["members"][0]["Name"], "node1.dc1");
}

#[test]
fn maintenance_of_the_node_begins_once_and_ends_once() {
    let agent = Agent::start(Options::default());
    let on = |reason: &str| of_agent(&agent, json!({"state": "maintenance", "reason": reason}));
    let off = || of_agent(&agent, json!({"state": "normal", "reason": "a template's"}));
    let state = |enabled: bool, reason: Value| json!({"enabled": enabled, "reason": reason, "service": Value::Null});

    let unchanged = off().run().ok();
    assert_eq!((outcome(&unchanged), &unchanged["maintenance"]), ((false, "unchanged"), &state(false, Value::Null)));

    let foreseen = on("disk & fan").check_mode().diff_mode().run().ok();
    assert_eq!(reason(&agent, "_node_maintenance"), Value::Null, "check mode writes nothing");
    let mut begun = on("disk & fan").diff_mode().run().ok();
    assert_eq!((outcome(&begun), &begun["maintenance"]), ((true, "started"), &state(true, json!("disk & fan"))));
    assert_eq!(
        begun["diff"],
        json!([{
            "before_header": "node", "after_header": "node",
            "before": {"maintenance": false, "reason": null}, "after": {"maintenance": true, "reason": "disk & fan"},
        }])
    );
    begun["invocation"] = foreseen["invocation"].clone();
    assert_eq!(foreseen, begun, "check mode gives the result that the run gives");
    assert_eq!(reason(&agent, "_node_maintenance"), "disk & fan");

    let again = on("disk & fan").diff_mode().run().ok();
    assert_eq!((outcome(&again), &again["diff"]), ((false, "unchanged"), &json!([])));
    for no_reason in [of_agent(&agent, json!({"state": "maintenance"})), on("")] {
        let any = no_reason.run().ok();
        assert_eq!((outcome(&any), &any["maintenance"]["reason"]), ((false, "unchanged"), &json!("disk & fan")));
    }

    // Consul itself takes a new reason well, and keeps the old one.
    assert_eq!(outcome(&on("new disk").check_mode().run().ok()), (true, "restarted"));
    assert_eq!(reason(&agent, "_node_maintenance"), "disk & fan");
    assert_eq!(outcome(&on("new disk").run().ok()), (true, "restarted"));
    assert_eq!(reason(&agent, "_node_maintenance"), "new disk");

    assert_eq!(outcome(&off().check_mode().run().ok()), (true, "ended"));
    assert_eq!(reason(&agent, "_node_maintenance"), "new disk");
    let ended = off().run().ok();
    assert_eq!((outcome(&ended), &ended["maintenance"]), ((true, "ended"), &state(false, Value::Null)));
    assert_eq!(reason(&agent, "_node_maintenance"), Value::Null);
    assert_eq!(outcome(&off().run().ok()), (false, "unchanged"));
}

#[test]
fn where_no_reason_is_given_check_mode_knows_the_one_that_consul_writes() {
    let agent = Agent::start(Options::default());
    service(&agent, "web-1", "web", &[], "passing");
    for options in [json!({"state": "maintenance"}), json!({"state": "maintenance", "service": "web-1"})] {
        let foreseen = of_agent(&agent, options.clone()).check_mode().run().ok();
        let done = of_agent(&agent, options).run().ok();
        assert_eq!(foreseen["maintenance"], done["maintenance"]);
        assert_eq!(done["action"], "started");
    }
}

#[test]
fn maintenance_of_a_service_leaves_the_node_and_other_services_alone() {
    let agent = Agent::shared();
    let (name, other) = (unique("maint"), unique("other"));
    let id = format!("{name}/1 ü"); // as odd as an id may be
    let check = format!("_service_maintenance:{id}");
    for id in [&id, &other] {
        agent.put("/v1/agent/service/register", &json!({"ID": id, "Name": name}));
    }
    let on = |reason: &str| of_agent(agent, json!({"state": "maintenance", "service": id, "reason": reason}));
    let off = || of_agent(agent, json!({"state": "normal", "service": id}));
    assert_eq!(outcome(&on("upgrade").check_mode().run().ok()), (true, "started"));
    assert_eq!(reason(agent, &check), Value::Null);
    let begun = on("upgrade").diff_mode().run().ok();
    assert_eq!(outcome(&begun), (true, "started"));
    assert_eq!(begun["maintenance"], json!({"enabled": true, "reason": "upgrade", "service": id}));
    assert_eq!(begun["diff"][0]["after_header"], json!(format!("service {id}")));
    assert_eq!(reason(agent, &check), "upgrade");
    assert_eq!(reason(agent, "_node_maintenance"), Value::Null);
    assert_eq!(reason(agent, &format!("_service_maintenance:{other}")), Value::Null);
    assert_eq!(outcome(&on("upgrade").run().ok()), (false, "unchanged"));
    assert_eq!(outcome(&on("rollback").run().ok()), (true, "restarted"));
    assert_eq!(reason(agent, &check), "rollback");
    assert_eq!(outcome(&off().run().ok()), (true, "ended"));
    assert_eq!(outcome(&off().run().ok()), (false, "unchanged"));
    assert_eq!(reason(agent, &check), Value::Null);
}

#[test]
fn a_service_that_does_not_exist_fails_in_check_mode_too() {
    let (agent, known, missing) = (Agent::shared(), unique("known"), unique("missing"));
    agent.put("/v1/agent/service/register", &json!({"Name": known}));
    for state in ["maintenance", "normal"] {
        let module = || of_agent(agent, json!({"state": state, "service": missing}));
        for module in [module(), module().check_mode()] {
            let failure = module.run().fails_with(&["no service with the id", &missing, &known]);
            assert_eq!((&failure["reason"], &failure["changed"]), (&json!("not_found"), &json!(false)));
        }
    }
}

#[test]
fn a_maintenance_that_is_cut_in_the_middle_says_so() {
    let agent = Agent::start(Options::default());
    agent.put("/v1/agent/maintenance?enable=true&reason=old", &json!(""));
    let proxy = Proxy::start(&agent.address(), |line| {
        if line.contains("enable=true") { support::proxy::status(400, "no more") } else { Act::Forward }
    });
    let options = || json!({"state": "maintenance", "reason": "new"});
    let failure = module("consul_agent", options()).at(&proxy.address()).run();
    let failure = failure.fails_with(&["the maintenance was ended", "no more", "the next run finishes this"]);
    assert_eq!(failure["changed"], true);
    assert_eq!(outcome(&of_agent(&agent, options()).run().ok()), (true, "started"));
}

#[test]
fn a_reason_that_another_run_set_meanwhile_is_noticed() {
    let agent = Agent::start(Options::default());
    let address = agent.address();
    // Another run begins first: Consul takes ours well, and keeps the other's reason.
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.contains("reason=ours") {
            let other = format!("http://{address}/v1/agent/maintenance?enable=true&reason=theirs");
            support::agent::http().put(other).send_empty().unwrap();
        }
        Act::Forward
    });
    let options = json!({"state": "maintenance", "reason": "ours"});
    let failure = module("consul_agent", options).at(&proxy.address()).run().fails_with(&["somebody else began"]);
    assert_eq!((&failure["reason"], &failure["changed"]), (&json!("stale"), &json!(true)));
}

#[test]
fn a_reload_reads_the_files_and_is_a_change_each_time() {
    let agent = Agent::start(Options { config: json!({"services": [{"name": "first"}]}), ..Options::default() });
    let config = json!({"services": [{"name": "first"}, {"name": "second"}]});
    std::fs::write(agent.folder().join("config.json"), config.to_string()).unwrap();
    let reload = || of_agent(&agent, json!({"state": "reloaded"}));
    assert_eq!(outcome(&reload().check_mode().run().ok()), (true, "reloaded"));
    assert_eq!(agent.get("/v1/agent/services")["second"], Value::Null, "check mode reloads nothing");
    for _ in 0..2 {
        assert_eq!(outcome(&reload().run().ok()), (true, "reloaded"));
        assert_eq!(agent.get("/v1/agent/services")["second"]["Service"], "second");
    }
    let nobody = module("consul_agent", json!({"state": "reloaded"})).at("127.0.0.1:1").check_mode().run();
    assert_eq!(nobody.fails_with(&["cannot connect"])["reason"], "unreachable");
}

#[test]
fn the_catalog_is_read_as_consul_has_it() {
    let agent = Agent::shared();
    let (node, name) = (unique("external"), unique("web"));
    for (id, tags) in [("a", ["v1", "blue"]), ("b", ["v2", "blue"])] {
        let service = json!({"ID": id, "Service": name, "Tags": tags, "Port": 80});
        let registration = json!({"Node": node, "Address": "127.0.0.2", "NodeMeta": {"rack": "7"}, "Service": service});
        agent.put("/v1/catalog/register", &registration);
    }
    let read = |options: Value| {
        let result = catalog(options).run().ok();
        assert_eq!((&result["changed"], result.get("warnings")), (&json!(false), None), "{result}");
        result
    };
    assert_eq!(read(json!({"info": "datacenters"}))["datacenters"], json!(["dc1"]));
    let nodes = read(json!({}))["nodes"].clone();
    let found = nodes.as_array().unwrap().iter().find(|found| found["Node"] == node).unwrap();
    assert_eq!((&found["Address"], &found["Meta"]["rack"]), (&json!("127.0.0.2"), &json!("7")));
    let one = read(json!({"info": "node", "name": node}))["node"].clone();
    assert_eq!((&one["Node"]["Node"], &one["Services"]["a"]["Port"]), (&json!(node), &json!(80)));
    let absent = read(json!({"info": "node", "name": unique("absent")}));
    assert_eq!(absent.get("node"), Some(&Value::Null), "a node that is not there is null, and no failure");
    let mut tags = read(json!({"info": "services"}))["services"][&name].as_array().unwrap().clone();
    tags.sort_by_key(Value::to_string);
    assert_eq!(tags, [json!("blue"), json!("v1"), json!("v2")]);

    let ids = |options: Value| {
        let instances = read(options)["instances"].as_array().unwrap().clone();
        let mut ids: Vec<String> =
            instances.iter().map(|instance| instance["ServiceID"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(json!({"info": "service", "name": name})), ["a", "b"]);
    assert_eq!(ids(json!({"info": "service", "name": name, "tags": ["blue", "v2"]})), ["b"]);
    assert_eq!(ids(json!({"info": "service", "name": name, "tags": "v1,v2"})), [""; 0], "all have to match");
    assert_eq!(ids(json!({"info": "service", "name": unique("absent")})), [""; 0]);
    assert_eq!(catalog(json!({"info": "nodes"})).check_mode().run().ok()["nodes"], read(json!({}))["nodes"]);
}

#[test]
fn health_tells_which_instances_and_checks_pass() {
    let agent = Agent::start(Options::default());
    service(&agent, "web-1", "web", &["v1", "blue"], "passing");
    service(&agent, "web-2", "web", &["v2", "blue"], "critical");
    let read = |options: Value| module("consul_catalog_info", options).at(&agent.address()).run().ok();
    let ids = |options: Value| {
        let result = read(options);
        let instances = result["instances"].as_array().unwrap();
        let mut ids: Vec<String> = instances.iter().map(|i| i["Service"]["ID"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(json!({"info": "health", "name": "web"})), ["web-1", "web-2"]);
    assert_eq!(ids(json!({"info": "health", "name": "web", "passing": true})), ["web-1"]);
    assert_eq!(ids(json!({"info": "health", "name": "web", "tags": ["blue", "v2"]})), ["web-2"]);
    assert_eq!(ids(json!({"info": "health", "name": "web", "tags": ["blue", "v2"], "passing": true})), [""; 0]);
    assert_eq!(ids(json!({"info": "health", "name": "web", "node": "node1"})), ["web-1", "web-2"]);
    assert_eq!(ids(json!({"info": "health", "name": "web", "node": "other"})), [""; 0]);
    let checks = |options: Value| {
        let result = read(options);
        let checks = result["checks"].as_array().unwrap();
        checks.iter().map(|check| check["CheckID"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(checks(json!({"info": "health", "node": "node1"})), ["serfHealth", "service:web-1", "service:web-2"]);
    assert_eq!(checks(json!({"info": "health", "node": "node1", "passing": true})), ["serfHealth", "service:web-1"]);
}

#[test]
fn bad_options_fail_in_ansibles_words_and_nothing_is_sent() {
    let refused = |name: &str, options: Value, words: &[&str]| {
        let failure = module(name, options).at("127.0.0.1:1").run().fails_with(words);
        assert_eq!((&failure["reason"], &failure["changed"]), (&json!("arguments"), &json!(false)), "{failure}");
    };
    let agent = |options: Value, words: &[&str]| refused("consul_agent", options, words);
    agent(
        json!({"state": "present"}),
        &["value of state must be one of: info, maintenance, members, normal, reloaded, got: present"],
    );
    agent(
        json!({"state": "info", "services": "web"}),
        &["Unsupported parameters for (consul_agent) module: services."],
    );
    agent(json!({"datacenter": "dc2"}), &["Unsupported parameters for (consul_agent) module: datacenter."]);
    agent(json!({"state": "members", "wan": "maybe"}), &["argument 'wan' is of type str", "convert to bool"]);
    agent(json!({"state": "reloaded", "service": "web"}), &["service is for state maintenance and state normal only"]);
    agent(json!({"state": "normal", "service": ""}), &["service is empty"]);
    agent(json!({"state": "maintenance", "reason": "a\nb"}), &["reason holds a newline"]);
    agent(json!({"state": "maintenance", "reason": "a".repeat(10_000)}), &["reason is 10000 bytes long"]);
    let namespace = json!({"state": "maintenance", "service": "web", "namespace": "team"});
    agent(namespace, &["only a service of the default namespace", "leave namespace"]);

    let catalog = |options: Value, words: &[&str]| refused("consul_catalog_info", options, words);
    catalog(
        json!({"info": "all"}),
        &["value of info must be one of: datacenters, health, node, nodes, service, services, got: all"],
    );
    catalog(json!({"info": "service"}), &["info is service but all of the following are missing: name"]);
    catalog(json!({"info": "node"}), &["info is node but all of the following are missing: name"]);
    catalog(json!({"info": "health"}), &["info is health but any of the following are missing: name, node"]);
    catalog(json!({"state": "info"}), &["Unsupported parameters for (consul_catalog_info) module: state."]);
    catalog(json!({"info": "node", "name": ""}), &["name is empty"]);
    catalog(json!({"info": "nodes", "tags": ["a"]}), &["tags does nothing for info nodes"]);
    catalog(json!({"name": "web"}), &["name does nothing for info nodes"]);
    catalog(json!({"info": "service", "name": "web", "passing": true}), &["passing does nothing for info service"]);
    catalog(json!({"info": "health", "node": "n", "tags": "a"}), &["tags does nothing for info health"]);
}

const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";

/// An agent with ACLs on, default deny.
fn guarded() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let agent = Agent::start(Options {
            config: json!({"acl": {
                "enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}
            }}),
            token: Some(MASTER.to_owned()),
            ..Options::default()
        });
        agent.put("/v1/agent/service/register", &json!({"Name": "web"}));
        agent
    })
}

/// Runs a module with a token that has these rules; with none at all where they are empty.
fn with_rules(name: &str, options: Value, rules: &str) -> Module {
    let agent = guarded();
    let module = module(name, options).at(&agent.address());
    if rules.is_empty() {
        return module;
    }
    let policy = unique("policy");
    agent.put("/v1/acl/policy", &json!({"Name": policy, "Rules": rules}));
    let token: Value =
        serde_json::from_str(&agent.put("/v1/acl/token", &json!({"Policies": [{"Name": policy}]}))).unwrap();
    module.option("token", token["SecretID"].clone())
}

#[test]
fn each_refusal_names_the_rule_that_is_missing() {
    let denied = |options: Value, rules: &str, words: &[&str]| {
        let failure = with_rules("consul_agent", options, rules).run().fails_with(words);
        assert_eq!((&failure["reason"], &failure["changed"]), (&json!("denied"), &json!(false)), "{failure}");
    };
    let node_read = r#"node "node1" { policy = "read" }"#;
    let node_write = "`node \"NODE\" { policy = \"write\" }`";
    denied(json!({}), "", &["status 403", "agent:read"]);
    denied(json!({"state": "reloaded"}), r#"agent "node1" { policy = "read" }"#, &["`agent \"NODE\" {", "write"]);
    denied(json!({"state": "maintenance", "reason": "not the other test's"}), "", &["status 403", node_write]);
    denied(json!({"state": "maintenance", "reason": "not the other test's"}), node_read, &["status 403", node_write]);
    denied(json!({"state": "normal"}), "", &["status 403", node_write]);
    let service = || json!({"state": "maintenance", "service": "web", "reason": "not the other test's"});
    denied(service(), "", &["status 403", "`service \"NAME\" { policy = \"read\" }`"]);
    denied(
        service(),
        r#"service "web" { policy = "read" }"#,
        &["status 403", "`service \"NAME\" { policy = \"write\" }`"],
    );
    let members = with_rules("consul_agent", json!({"state": "members"}), "").run().ok();
    assert_eq!(members["members"], json!([]));
    assert!(members["warnings"][0].as_str().unwrap().contains("node:read"), "{members}");
}

#[test]
fn the_least_rights_that_a_maintenance_takes() {
    let write = r#"node "node1" { policy = "write" }"#;
    let normal = json!({"state": "normal"});
    let on = json!({"state": "maintenance", "reason": "x"});
    let run = |options: &Value, rules: &str| with_rules("consul_agent", options.clone(), rules);
    assert_eq!(outcome(&run(&normal, write).run().ok()), (false, "unchanged"));
    assert_eq!(outcome(&run(&on, write).run().ok()), (true, "started"));
    assert_eq!(outcome(&run(&on, write).run().ok()), (false, "unchanged"));
    // A token that does not see the maintenance must not say that there is none.
    run(&normal, "").run().fails_with(&["status 403"]);
    let blind = run(&normal, r#"agent "node1" { policy = "read" } node "other" { policy = "write" }"#);
    let blind = blind.check_mode().run().ok();
    assert!(blind["warnings"][0].as_str().unwrap().contains("check mode cannot tell"), "{blind}");
    let seeing = r#"agent "node1" { policy = "read" } node "node1" { policy = "write" }"#;
    assert_eq!(outcome(&run(&normal, seeing).check_mode().run().ok()), (true, "ended"));
    assert_eq!(outcome(&run(&normal, write).run().ok()), (true, "ended"));
    let sure = run(&normal, seeing).check_mode().run().ok();
    assert_eq!((outcome(&sure), sure.get("warnings")), ((false, "unchanged"), None));
    let service = json!({"state": "maintenance", "service": "web"});
    assert_eq!(outcome(&run(&service, r#"service "web" { policy = "write" }"#).run().ok()), (true, "started"));
}

#[test]
fn an_empty_list_under_acls_is_a_warning_and_no_failure() {
    for (options, key, empty) in [
        (json!({"info": "nodes"}), "nodes", json!([])),
        (json!({"info": "node", "name": "node1"}), "node", Value::Null),
        (json!({"info": "services"}), "services", json!({})),
        (json!({"info": "service", "name": "web"}), "instances", json!([])),
        (json!({"info": "health", "name": "web"}), "instances", json!([])),
        (json!({"info": "health", "node": "node1"}), "checks", json!([])),
    ] {
        let result = with_rules("consul_catalog_info", options.clone(), "").run().ok();
        assert_eq!(result.get(key), Some(&empty), "{options}: {result}");
        let warning = result["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.contains("the token may not see it") && warning.contains(":read"), "{options}: {result}");
        let all = r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#;
        let seen = with_rules("consul_catalog_info", options.clone(), all).run().ok();
        assert!(seen.get("warnings").is_none() && seen[key] != empty, "{options}: {seen}");
    }
}

#[test]
fn a_list_that_consul_calls_filtered_is_a_warning() {
    // Consul 1.11 and later sends this header; the packaged one does not.
    let body = r#"[{"Node": "n", "Address": "a", "Datacenter": "dc1"}]"#;
    let head = "HTTP/1.1 200 OK\r\nX-Consul-Results-Filtered-By-ACLs: true\r\nConnection: close\r\nContent-Length";
    let answer = format!("{head}: {}\r\n\r\n{body}", body.len()).into_bytes();
    let proxy = Proxy::start("", move |_| Act::Raw(answer.clone()));
    let result = module("consul_catalog_info", json!({})).at(&proxy.address()).run().ok();
    assert_eq!(result["nodes"][0]["Node"], "n");
    assert!(result["warnings"][0].as_str().unwrap().contains("Consul left something out"), "{result}");
}
