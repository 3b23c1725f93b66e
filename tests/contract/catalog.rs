//! The catalog: nodes without an agent, and what is on them.

use serde_json::{Value, json};

use crate::support::target::Target;
use crate::support::unique;

cases!(open:
    a_node_is_registered_changed_and_deregistered,
    the_agent_itself_is_in_the_catalog,
    what_is_not_there,
    a_service_is_registered_and_changed,
    a_service_is_found_by_its_tags,
    services_are_listed_with_all_tags,
    a_registration_may_leave_the_node_alone,
    checks_are_registered_with_or_without_a_service,
    parts_of_a_node_are_deregistered,
    deregistering_what_is_not_there_is_well,
    what_is_no_registration_is_refused,
    a_registration_of_the_same_changes_no_index,
    nodes_are_filtered_by_their_metadata,
    an_answer_says_where_it_is_from,
);

/// Registers, and gives the node's name.
#[track_caller]
fn register(agent: &Target, node: &str, further: Value) {
    let mut body = json!({"Node": node, "Address": "10.0.0.1"});
    for (name, value) in further.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let answer = agent.put("catalog/register", body);
    answer.is(200, "true");
    assert_eq!(answer.header("x-consul-index"), None);
}

fn node_record(name: &str, address: &str, tagged: Value, meta: Value, created: u64, modified: u64) -> Value {
    json!({
        "ID": "", "Node": name, "Address": address, "Datacenter": "dc1", "TaggedAddresses": tagged, "Meta": meta,
        "CreateIndex": created, "ModifyIndex": modified
    })
}

/// The number in this field.
#[track_caller]
fn index(record: &Value, field: &str) -> u64 {
    record[field].as_u64().expect("an index")
}

fn a_node_is_registered_changed_and_deregistered(agent: &Target) {
    let name = unique("node");
    register(agent, &name, json!({}));
    let read = agent.get(&format!("catalog/node/{name}"));
    // Other nodes, which other cases register, count for the index of the answer, too.
    let created = index(&read.ok()["Node"], "CreateIndex");
    assert!(created <= read.index());
    let record = node_record(&name, "10.0.0.1", Value::Null, Value::Null, created, created);
    assert_eq!(read.ok(), json!({"Node": record, "Services": {}}));
    let listed = agent.get("catalog/nodes").ok();
    assert!(listed.as_array().is_some_and(|nodes| nodes.contains(&record)));
    let names: Vec<_> = listed.as_array().expect("a list").iter().map(|node| node["Node"].as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let further = json!({"Address": "10.0.0.2", "NodeMeta": {"k": "v"}, "TaggedAddresses": {"lan": "10.0.0.2"}});
    register(agent, &name, further);
    let read = agent.get(&format!("catalog/node/{name}"));
    let changed = index(&read.ok()["Node"], "ModifyIndex");
    let record = node_record(&name, "10.0.0.2", json!({"lan": "10.0.0.2"}), json!({"k": "v"}), created, changed);
    assert_eq!(read.ok()["Node"], record);
    assert!(created < changed && changed <= read.index());
    agent.put("catalog/deregister", json!({"Node": name})).is(200, "true");
    agent.get(&format!("catalog/node/{name}")).is(200, "null");
}

fn the_agent_itself_is_in_the_catalog(agent: &Target) {
    let read = agent.get("catalog/node/node1").ok();
    let node = &read["Node"];
    assert_eq!(
        (&node["Node"], &node["Address"], &node["Datacenter"]),
        (&json!("node1"), &json!("127.0.0.1"), &json!("dc1"))
    );
    assert_eq!(node["ID"].as_str().map(str::len), Some(36));
    assert_eq!(node["TaggedAddresses"]["lan"], "127.0.0.1");
    assert_eq!(node["Meta"], json!({"consul-network-segment": ""}));
    let consul = &read["Services"]["consul"];
    assert_eq!((&consul["ID"], &consul["Service"], &consul["Tags"]), (&json!("consul"), &json!("consul"), &json!([])));
    let leader = agent.get("status/leader").ok();
    assert_eq!(json!(format!("127.0.0.1:{}", consul["Port"])), leader);
    assert_eq!(agent.get("catalog/services").ok()["consul"], json!([]));
    let instances = agent.get("catalog/service/consul").ok();
    assert_eq!((&instances[0]["Node"], &instances[0]["ServicePort"]), (&json!("node1"), &consul["Port"]));
    assert_eq!(instances[0]["ID"], node["ID"]);
}

fn what_is_not_there(agent: &Target) {
    agent.get("catalog/node/nope").is(200, "null");
    agent.get("catalog/service/nope").is(200, "[]");
    for path in ["catalog/node/nope", "catalog/service/nope"] {
        assert!(agent.get(path).index() > 0, "{path}");
    }
    agent.get("catalog/node/").is(400, "Missing node name");
    agent.get("catalog/service/").is(400, "Missing service name");
    for path in ["catalog/nodes", "catalog/services", "catalog/node/node1", "catalog/service/consul"] {
        agent.get(&format!("{path}?dc=nope")).is(500, "No path to datacenter");
    }
}

fn a_service_is_registered_and_changed(agent: &Target) {
    let name = unique("with-service");
    let service = json!({
        "ID": "web-1", "Service": name, "Tags": ["b", "a"], "Address": "10.1.1.1", "Port": 80, "Meta": {"k": "v"},
        "Weights": {"Passing": 3, "Warning": 2}, "EnableTagOverride": true
    });
    register(agent, &name, json!({"Service": service, "NodeMeta": {"m": "1"}}));
    let read = agent.get(&format!("catalog/node/{name}")).ok();
    let made = &read["Services"]["web-1"];
    let created = index(made, "CreateIndex");
    assert_eq!(
        made,
        &json!({
            "ID": "web-1", "Service": name, "Tags": ["b", "a"], "Address": "10.1.1.1", "Meta": {"k": "v"}, "Port": 80,
            "Weights": {"Passing": 3, "Warning": 2}, "EnableTagOverride": true,
            "Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {}, "CreateIndex": created, "ModifyIndex": created
        })
    );
    let instances = agent.get(&format!("catalog/service/{name}"));
    assert_eq!(
        instances.ok(),
        json!([{
            "ID": "", "Node": name, "Address": "10.0.0.1", "Datacenter": "dc1", "TaggedAddresses": null,
            "NodeMeta": {"m": "1"}, "ServiceKind": "", "ServiceID": "web-1", "ServiceName": name,
            "ServiceTags": ["b", "a"], "ServiceAddress": "10.1.1.1", "ServiceWeights": {"Passing": 3, "Warning": 2},
            "ServiceMeta": {"k": "v"}, "ServicePort": 80, "ServiceEnableTagOverride": true,
            "ServiceProxy": {"MeshGateway": {}, "Expose": {}}, "ServiceConnect": {},
            "CreateIndex": created, "ModifyIndex": created
        }])
    );
    // Without an id it is the name, and what is not said is empty.
    register(agent, &name, json!({"Service": {"Service": name}}));
    let plain = agent.get(&format!("catalog/node/{name}")).ok()["Services"][&name].take();
    let created = index(&plain, "CreateIndex");
    assert_eq!(
        plain,
        json!({
            "ID": name, "Service": name, "Tags": [], "Address": "", "Meta": null, "Port": 0,
            "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false,
            "Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {}, "CreateIndex": created, "ModifyIndex": created
        })
    );
    register(agent, &name, json!({"Service": {"Service": name, "Port": 81}}));
    let changed = agent.get(&format!("catalog/node/{name}")).ok()["Services"][&name].take();
    assert_eq!((&changed["Port"], index(&changed, "CreateIndex")), (&json!(81), created));
    assert!(index(&changed, "ModifyIndex") > created);
    let ids: Vec<_> = agent.get(&format!("catalog/service/{name}")).ok().as_array().expect("a list").to_vec();
    assert_eq!(ids.iter().map(|one| one["ServiceID"].as_str().unwrap_or_default()).collect::<Vec<_>>().len(), 2);
}

fn a_service_is_found_by_its_tags(agent: &Target) {
    let name = unique("tagged");
    register(agent, &format!("{name}-1"), json!({"Service": {"Service": name, "Tags": ["a", "b"]}}));
    register(agent, &format!("{name}-2"), json!({"Service": {"Service": name, "Tags": ["b"]}}));
    let nodes = |tags: &str| -> Vec<String> {
        let instances = agent.get(&format!("catalog/service/{name}{tags}")).ok();
        let node = |one: &Value| one["Node"].as_str().expect("a node").rsplit('-').next().expect("a number").to_owned();
        instances.as_array().expect("a list").iter().map(node).collect()
    };
    assert_eq!(nodes(""), ["1", "2"]);
    assert_eq!(nodes("?tag=b"), ["1", "2"]);
    assert_eq!(nodes("?tag=a"), ["1"]);
    assert_eq!(nodes("?tag=A"), ["1"], "in any case");
    assert_eq!(nodes("?tag=a&tag=b"), ["1"]);
    assert_eq!(nodes("?tag=c"), [] as [&str; 0]);
    assert_eq!(nodes("?tag=b&tag=c"), [] as [&str; 0]);
}

fn services_are_listed_with_all_tags(agent: &Target) {
    let name = unique("listed");
    register(agent, &format!("{name}-1"), json!({"Service": {"Service": name, "Tags": ["a", "b"]}}));
    register(agent, &format!("{name}-2"), json!({"Service": {"Service": name, "Tags": ["b", "c"]}}));
    let mut tags: Vec<String> = serde_json::from_value(agent.get("catalog/services").ok()[&name].take()).expect("tags");
    tags.sort();
    assert_eq!(tags, ["a", "b", "c"]);
    for node in ["1", "2"] {
        agent.put("catalog/deregister", json!({"Node": format!("{name}-{node}")})).is(200, "true");
    }
    assert_eq!(agent.get("catalog/services").ok().get(&name), None);
}

fn a_registration_may_leave_the_node_alone(agent: &Target) {
    let name = unique("skip");
    register(agent, &name, json!({"NodeMeta": {"k": "v"}}));
    let before = agent.get(&format!("catalog/node/{name}")).ok()["Node"].take();
    register(agent, &name, json!({"Address": "10.9.9.9", "SkipNodeUpdate": true, "Service": {"Service": "web"}}));
    let after = agent.get(&format!("catalog/node/{name}")).ok();
    assert_eq!((&after["Node"], after["Services"].get("web").is_some()), (&before, true));
    register(agent, &name, json!({"Service": {"Service": "web"}}));
    let after = agent.get(&format!("catalog/node/{name}")).ok()["Node"].take();
    assert_eq!(after["Meta"], Value::Null, "else what is not said is gone");
}

/// A check as the catalog has it.
fn check_record(node: &str, id: &str, status: &str, service: &str, index: u64) -> Value {
    json!({
        "Node": node, "CheckID": id, "Name": id, "Status": status, "Notes": "", "Output": "",
        "ServiceID": service, "ServiceName": service, "ServiceTags": [], "Type": "", "Definition": {},
        "CreateIndex": index, "ModifyIndex": index
    })
}

fn checks_are_registered_with_or_without_a_service(agent: &Target) {
    let name = unique("checked");
    register(
        agent,
        &name,
        json!({
            "Service": {"Service": name},
            "Check": {"Node": name, "CheckID": "b", "Name": "b", "Status": "passing"},
            "Checks": [{"CheckID": "a", "Name": "a", "Status": "warning", "ServiceID": name}]
        }),
    );
    let checks = agent.get(&format!("health/node/{name}")).ok();
    let created = index(&checks[0], "CreateIndex");
    let (a, b) =
        (check_record(&name, "a", "warning", &name, created), check_record(&name, "b", "passing", "", created));
    assert_eq!(checks, json!([a, b]), "in the order of their ids");
    // A check without a status is critical, and one without an id has its name.
    register(agent, &name, json!({"Check": {"Name": "named"}}));
    let mut named = agent.get(&format!("health/node/{name}")).ok()[2].take();
    assert_eq!((&named["CheckID"], &named["Status"]), (&json!("named"), &json!("critical")));
    let definition = json!({"HTTP": "http://10.0.0.1", "Interval": "10s"});
    let check = json!({"Name": "named", "Status": "odd", "Notes": "n", "Output": "o", "Definition": definition});
    register(agent, &name, json!({"Check": check}));
    named = agent.get(&format!("health/node/{name}")).ok()[2].take();
    assert_eq!((&named["Status"], &named["Notes"], &named["Output"]), (&json!("odd"), &json!("n"), &json!("o")));
    assert_eq!(named["Definition"], definition);
    assert_eq!(named["Type"], "http");
    let refused = |check: Value, says: &str| {
        agent.put("catalog/register", json!({"Node": name, "Address": "10.0.0.1", "Check": check})).is(500, says);
    };
    let says = format!("check node \"other\" does not match node \"{name}\"");
    refused(json!({"Node": "other", "CheckID": "c", "Status": "passing"}), &says);
    let says = format!("failed inserting check: Missing service registration on node \"{name}\"");
    refused(json!({"CheckID": "c", "ServiceID": "nope", "Status": "passing"}), &says);
}

fn parts_of_a_node_are_deregistered(agent: &Target) {
    let name = unique("parts");
    register(agent, &name, json!({"Service": {"Service": "one"}, "Check": {"CheckID": "n", "Status": "passing"}}));
    register(
        agent,
        &name,
        json!({"Service": {"Service": "two"}, "Check": {"CheckID": "t", "Status": "passing", "ServiceID": "two"}}),
    );
    let take = |further: Value| {
        let mut body = json!({"Node": name});
        for (field, value) in further.as_object().expect("an object") {
            body[field] = value.clone();
        }
        agent.put("catalog/deregister", body).is(200, "true");
    };
    let has = || {
        let services = agent.get(&format!("catalog/node/{name}")).ok()["Services"].take();
        let services: Vec<_> = services.as_object().expect("services").keys().cloned().collect();
        let checks = agent.get(&format!("health/node/{name}")).ok();
        let checks = checks
            .as_array()
            .expect("checks")
            .iter()
            .map(|check| check["CheckID"].as_str().unwrap_or_default().to_owned());
        (services, checks.collect::<Vec<_>>())
    };
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(has(), (texts(&["one", "two"]), texts(&["n", "t"])));
    take(json!({"ServiceID": "one", "CheckID": "n"}));
    assert_eq!(has(), (texts(&["two"]), texts(&["n", "t"])), "of both, the service");
    take(json!({"CheckID": "n"}));
    assert_eq!(has(), (texts(&["two"]), texts(&["t"])));
    take(json!({"ServiceID": "two"}));
    assert_eq!(has(), (texts(&[]), texts(&[])), "a service goes with its checks");
}

fn deregistering_what_is_not_there_is_well(agent: &Target) {
    let name = unique("thin");
    register(agent, &name, json!({}));
    let before = agent.get(&format!("catalog/node/{name}")).text();
    for body in [
        json!({"Node": format!("{name}-none")}),
        json!({"Node": name, "ServiceID": "nope"}),
        json!({"Node": name, "CheckID": "nope"}),
    ] {
        agent.put("catalog/deregister", body).is(200, "true");
    }
    assert_eq!(agent.get(&format!("catalog/node/{name}")).text(), before);
    agent.put("catalog/deregister", "{}").is(500, "Must provide node");
    agent
        .put("catalog/deregister", "x")
        .is(400, "Request decode failed: invalid character 'x' looking for beginning of value");
    agent.put("catalog/deregister", json!({"Node": name, "Datacenter": "nope"})).is(500, "No path to datacenter");
}

fn what_is_no_registration_is_refused(agent: &Target) {
    let name = unique("refused");
    let body = |further: Value| {
        let mut body = json!({"Node": name, "Address": "10.0.0.1"});
        for (field, value) in further.as_object().expect("an object") {
            body[field] = value.clone();
        }
        body
    };
    let decode = |what: &str| format!("Request decode failed: {what}");
    for (body, status, says) in [
        (json!("x"), 400, decode("invalid character 'x' looking for beginning of value")),
        (json!("{}"), 500, "Must provide node".to_owned()),
        (json!("null"), 500, "Must provide node".to_owned()),
        (json!({"Address": "10.0.0.1"}), 500, "Must provide node".to_owned()),
        (json!({"Node": name}), 500, "Must provide address if SkipNodeUpdate is not set".to_owned()),
        (body(json!({"ID": "zz"})), 500, "Bad node ID: uuid string is wrong length".to_owned()),
        (body(json!({"Datacenter": "nope"})), 500, "No path to datacenter".to_owned()),
        (body(json!({"Service": {"ID": "x"}})), 500, "Must provide service name with ID".to_owned()),
        (body(json!({"Nothing": 3})), 400, decode("json: unknown field \"Nothing\"")),
        (
            body(json!({"Service": "web"})),
            400,
            decode(
                "json: cannot unmarshal string into Go struct field RegisterRequest.Service of type structs.NodeService",
            ),
        ),
        (
            body(json!({"Service": {"Service": "web", "Port": "80"}})),
            400,
            decode("json: cannot unmarshal string into Go struct field NodeService.Service.Port of type int"),
        ),
    ] {
        agent.put("catalog/register", body).is(status, &says);
    }
    agent.get(&format!("catalog/node/{name}")).is(200, "null");
}

fn a_registration_of_the_same_changes_no_index(agent: &Target) {
    let name = unique("same");
    let check = json!({"CheckID": "c", "Name": "c", "Status": "passing", "ServiceID": name});
    let all = json!({"NodeMeta": {"k": "v"}, "Service": {"Service": name, "Port": 1}, "Check": check});
    register(agent, &name, all.clone());
    let paths = [format!("catalog/node/{name}"), format!("catalog/service/{name}"), format!("health/service/{name}")];
    let read = || paths.clone().map(|path| agent.get(&path).json());
    let before = read();
    register(agent, &name, all);
    assert_eq!(read(), before);
}

fn nodes_are_filtered_by_their_metadata(agent: &Target) {
    let name = unique("meta");
    register(agent, &name, json!({"NodeMeta": {"rack": name}, "Service": {"Service": name}}));
    let nodes = agent.get(&format!("catalog/nodes?node-meta=rack:{name}")).ok();
    assert_eq!((nodes.as_array().map(Vec::len), &nodes[0]["Node"]), (Some(1), &json!(name)));
    assert_eq!(agent.get(&format!("catalog/services?node-meta=rack:{name}")).ok(), json!({name: []}));
    agent.get("catalog/nodes?node-meta=rack:none").is(200, "[]");
}

fn an_answer_says_where_it_is_from(agent: &Target) {
    for path in
        ["catalog/nodes", "catalog/services", "catalog/node/node1", "catalog/service/consul", "health/state/any"]
    {
        for consistency in ["", "?stale", "?consistent"] {
            let answer = agent.get(&format!("{path}{consistency}"));
            assert_eq!(answer.status, 200);
            assert!(answer.index() > 0);
            assert_eq!(answer.header("x-consul-knownleader"), Some("true"), "{path}");
            assert_eq!(answer.header("x-consul-lastcontact"), Some("0"), "{path}");
        }
    }
}
