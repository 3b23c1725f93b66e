//! Whose what is, as a shell sees it: `lictor destroy`, `export`, `adopt`, `owner`, `session doctor` and `session gc`.

mod support;

use serde_json::{Value, json};
use support::Agent;
use support::agent::Options;
use support::lab::{Lab, snapshot, until, value, world};

fn agent() -> Agent {
    Agent::start(Options::default())
}

#[test]
fn destroy_takes_what_is_declared_and_ours() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec(
        r#"
sessions:
  - {name: leader, node: node1, checks: []}
  - {name: kept, node: node1, checks: [], prevent_destroy: true}
keys:
  - {key: app/a, value: a}
  - {key: app/leader, value: x, session: leader}
  - {key: app/held, value: x}
  - {key: app/more, value: x}
services:
  - {name: web, node: node1, port: 80, checks: [{ttl: 10s}]}
"#,
    );
    lab.ok("apply s.yaml --yes");
    lab.file("others.yaml", "version: 1\nowner: others\nkeys: [{key: app/theirs, value: x}]\n");
    lab.ok("apply others.yaml --yes");
    agent.put("/v1/kv/app/nobodys", &json!("x"));
    let somebody = agent.create_session(&json!({"Name": "somebody", "Checks": []}));
    agent.lock("app/held", &somebody);
    let before = world(&agent);
    lab.file(
        "all.yaml",
        lab.read("s.yaml").replace(
            "  - {key: app/more, value: x}\n",
            "  - {key: app/theirs, value: x}\n  - {key: app/nobodys, value: x}\n",
        ),
    );
    let refused = lab.run("destroy all.yaml --yes");
    assert_eq!(world(&agent), before, "one that is protected protects the rest");
    lab.file(
        "some.yaml",
        lab.read("all.yaml").replace("  - {name: kept, node: node1, checks: [], prevent_destroy: true}\n", ""),
    );
    let limited = lab.run("destroy some.yaml --yes --max-delete 3");
    assert_eq!(world(&agent), before);
    let unasked = lab.run("destroy some.yaml");
    snapshot(
        "destroy",
        &[refused, limited, unasked, lab.run("destroy some.yaml --yes"), lab.run("destroy some.yaml --yes")],
    );
    let left: Vec<String> = world(&agent).into_keys().filter(|name| name.starts_with("key \"app")).collect();
    assert_eq!(left, ["key \"app/held\"", "key \"app/more\"", "key \"app/nobodys\"", "key \"app/theirs\""]);
    assert_eq!((agent.session_ids("kept").len(), agent.session_ids("leader").len()), (1, 0));
    // Protected by the record, though the spec does not say so any more.
    lab.file("bare.yaml", "version: 1\nowner: team\nsessions: [{name: kept, node: node1, checks: []}]\n");
    assert!(lab.run("destroy bare.yaml --yes").stdout.contains("prevent_destroy"));
    lab.ok("apply bare.yaml --yes");
    lab.ok("destroy bare.yaml --yes");
    assert_eq!(agent.session_ids("kept").len(), 0);
}

#[test]
fn a_session_that_holds_somebodys_key_is_destroyed_only_by_force() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("sessions: [{name: s, node: node1, checks: []}]");
    lab.ok("apply s.yaml --yes");
    agent.lock("theirs", &agent.session_ids("s")[0]);
    let before = world(&agent);
    let refused = lab.run("destroy s.yaml --yes");
    assert_eq!(world(&agent), before);
    snapshot("destroy_by_force", &[refused, lab.run("destroy s.yaml --yes --force")]);
    assert_eq!(agent.session_ids("s").len(), 0);
}

/// Texts which YAML, of whatever version, may read as something else; and others that are easily lost.
const ODD: &[&str] = &[
    "no",
    "on",
    "y",
    "null",
    "~",
    "1",
    "1.5",
    "1e3",
    "0x1f",
    "017",
    "1_000",
    "12:30:45",
    "2024-01-01",
    ".inf",
    "",
    " ",
    " a ",
    "a: b",
    "- a",
    "# a",
    "a #b",
    "'",
    "\"",
    "\\",
    "a\nb",
    "a\n",
    "\na",
    "a\n\n",
    "\t",
    "a\tb",
    "a\r\nb\r\n",
    "%",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "{a: 1}",
    "[1]",
    "@",
    "`",
    "---",
    "...",
    "é",
    "\u{1f600}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{0}",
    "\u{1b}[31m",
    "=",
    "<<",
    "true",
    "True",
    "trailing ",
    "a\n  b\n c",
];

#[test]
fn export_declares_what_is_there() {
    let agent = agent();
    let lab = Lab::of(&agent);
    for (number, text) in ODD.iter().enumerate() {
        agent.put(&format!("/v1/kv/odd/{number}"), &json!(text));
    }
    let bytes: Vec<u8> = (0..=255).collect();
    let url = format!("http://{}/v1/kv/binary?flags=18446744073709551615", agent.address());
    support::agent::http().put(&url).send(&bytes[..]).unwrap();
    for key in [
        "a b",
        "a%2Fb",
        "%",
        "a?b",
        "a#b",
        "é",
        "\u{1f600}",
        "a//b",
        "/leading",
        "folder/",
        "a'b\"c",
        "-",
        "~",
        "null",
        "12",
        "no",
        "a\\b",
        "a:b",
        "a,b",
        "*",
    ] {
        // In a transaction, for a path would be cleaned.
        agent.put("/v1/txn", &json!([{"KV": {"Verb": "set", "Key": key, "Value": "eA=="}}]));
    }
    let held = agent.create_session(
        &json!({"Name": "holder", "TTL": "60s", "LockDelay": "0s", "Behavior": "delete", "Checks": []}),
    );
    agent.lock("held", &held);
    for name in ["no", "a b", "a/b", "12", "é"] {
        agent.create_session(&json!({"Name": name, "LockDelay": "1m"}));
    }
    agent.create_session(&json!({"Checks": []}));
    let second = agent.create_session(&json!({"Name": "holder", "Checks": []}));
    agent.lock("held-by-second", &second);
    agent.put(
        "/v1/agent/service/register",
        &json!({"Name": "web", "ID": "web-1", "Port": 80, "Tags": ["on", "b a"], "Meta": {"k": "no"}, "Address": "10.0.0.1",
            "Weights": {"Passing": 3, "Warning": 2}, "EnableTagOverride": true,
            "Checks": [{"TTL": "10s"}, {"HTTP": "http://127.0.0.1:1/", "Interval": "10s"}]}),
    );
    agent.put("/v1/agent/service/register", &json!({"Name": "plain"}));
    agent.put(
        "/v1/catalog/register",
        &json!({"Node": "db1", "Address": "10.0.0.9", "NodeMeta": {"external-node": "true"},
            "Service": {"Service": "db", "Port": 5432}, "Check": {"CheckID": "db", "ServiceID": "db", "Status": "passing"}}),
    );
    until("the catalog knows the services", || {
        agent.get("/v1/catalog/service/plain").as_array().is_some_and(|found| !found.is_empty())
    });
    let before = world(&agent);
    for format in ["yaml", "json"] {
        let exported = lab.run(&format!("export -o {format}"));
        assert_eq!(exported.code, Some(0), "{exported}");
        let valid = lab.feed("validate -", &exported.stdout);
        assert_eq!(valid.code, Some(0), "{valid}");
        let planned = lab.feed("plan - --detailed-exitcode", &exported.stdout);
        assert!(planned.code == Some(0) && planned.stdout.ends_with("nothing to do; 0 unchanged\n"), "{planned}");
        let diff = lab.feed("diff - --detailed-exitcode", &exported.stdout);
        assert_eq!((diff.code, diff.stdout.as_str()), (Some(0), ""), "{diff}");
        lab.file(&format!("exported.{format}"), &exported.stdout);
        if format == "json" {
            snapshot("export_left_out", &[support::lab::Ran { stdout: String::new(), ..exported }]);
        }
    }
    assert_eq!(world(&agent), before);
    // What was exported is taken over, and is settled from then on.
    lab.ok("adopt exported.yaml --yes");
    // Services name their owner themselves, once they are applied; their checks stay as they are.
    lab.ok("apply exported.json --yes --prune");
    let planned = lab.run("plan exported.yaml --prune --detailed-exitcode");
    assert!(planned.code == Some(0) && planned.stdout.contains("exported: nothing to do; "), "{planned}");
    let after = world(&agent);
    assert_eq!((&after["checks node1"], &after["checks db1"]), (&before["checks node1"], &before["checks db1"]));
    // And made anew from nothing, it is the same.
    let fresh = Agent::start(Options::default());
    let copy = lab.with_files_at(&fresh);
    let made = copy.run("apply exported.yaml --yes");
    assert_eq!(made.code, Some(3), "{made}");
    assert!(
        made.stdout.contains("db1") && made.stderr.contains("node_address"),
        "the node of 'db' is not exported: {made}"
    );
    let without: String = lab.read("exported.yaml").replace("node: db1", "node: db1\n  node_address: 10.0.0.9");
    copy.file("exported.yaml", without);
    copy.ok("apply exported.yaml --yes");
    let values = |agent: &Agent| -> Vec<Value> {
        let mut keys = agent.tree("");
        let exported = |key: &str| !key.starts_with("lictor/") && key != "/leading" && key != "a//b";
        keys.retain(|key| exported(key["Key"].as_str().unwrap()));
        keys.into_iter().map(|key| json!([key["Key"], key["Value"], key["Flags"]])).collect()
    };
    assert_eq!(values(&agent), values(&fresh));
}

#[test]
fn export_of_a_part_and_of_one_owner() {
    let agent = agent();
    let lab = Lab::of(&agent);
    agent.put("/v1/kv/app/a", &json!("x"));
    agent.put("/v1/kv/other/b", &json!("x"));
    let holder = agent.create_session(&json!({"Name": "holder"}));
    agent.lock("app/held", &holder);
    agent.put("/v1/agent/service/register", &json!({"Name": "web"}));
    lab.file(
        "others.yaml",
        "version: 1\nowner: others\nkeys: [{key: app/theirs, value: x}]\nservices: [{name: mine, node: node1}]\n",
    );
    lab.ok("apply others.yaml --yes");
    until("the catalog knows the service", || {
        agent.get("/v1/catalog/service/mine").as_array().is_some_and(|found| !found.is_empty())
    });
    snapshot(
        "export",
        &[
            lab.run("export --sessions"),
            lab.run("export --keys app/ --owner team"),
            lab.run("export --services --owner team"),
            lab.run("export --sessions --keys app/ --owner team -o json"),
            lab.run("export --services"),
            lab.run("export --keys app/ --owner 'not a name'"),
        ],
    );
    // Whoever has them, that it is so is no reason to do anything.
    for owner in ["others", "team"] {
        let exported = lab.ok(&format!("export --owner {owner}"));
        let planned = lab.feed("plan - --detailed-exitcode --prune", &exported);
        assert_eq!(planned.code, Some(0), "{planned}");
    }
}

#[test]
fn adopt_takes_over_what_is_there_as_it_is() {
    let agent = agent();
    let lab = Lab::of(&agent);
    agent.put("/v1/kv/app/a", &json!("not as declared"));
    agent.create_session(&json!({"Name": "s", "Node": "node1", "Checks": []}));
    agent.put("/v1/agent/service/register", &json!({"Name": "web", "Port": 80}));
    lab.file("others.yaml", "version: 1\nowner: others\nkeys: [{key: app/theirs, value: x}, {key: app/kept, value: x}]\nservices: [{name: theirs, node: node1}]\n");
    lab.ok("apply others.yaml --yes");
    lab.spec(
        r#"
sessions: [{name: s, node: node1, checks: []}]
keys: [{key: app/a, value: x}, {key: app/theirs, value: x}, {key: app/none, value: x}]
services: [{name: web, node: node1, port: 80}]
"#,
    );
    let untouched = |agent: &Agent| {
        let mut world = world(agent);
        world.retain(|name, _| !name.contains("lictor/"));
        world
    };
    let before = untouched(&agent);
    let refused = lab.run("adopt s.yaml --yes");
    assert_eq!(lab.ok("owner list"), "others\t3\t0\n");
    let taken = lab.run("adopt s.yaml --from-others --yes");
    assert_eq!(untouched(&agent), before, "only records change");
    snapshot(
        "adopt",
        &[
            refused,
            taken,
            lab.run("adopt s.yaml --from-others --yes"),
            lab.run("owner show team"),
            lab.run("owner show others"),
        ],
    );
    // A service whose metadata names its owner is taken over by an apply.
    lab.file("service.yaml", "version: 1\nowner: team\nservices: [{name: theirs, node: node1}]\n");
    snapshot(
        "adopt_a_service",
        &[lab.run("adopt service.yaml --from-others --yes"), lab.run("apply service.yaml --adopt all --yes")],
    );
    lab.ok("apply s.yaml --yes");
    assert_eq!(value(&agent, "app/a").as_deref(), Some("x"));
    // Whoever had it refuses from now on.
    lab.file("others.yaml", "version: 1\nowner: others\nkeys: [{key: app/theirs, value: y}]\n");
    assert!(lab.run("apply others.yaml --yes --prune").stdout.contains("key app/theirs: it is \"team\"'s"));
    assert_eq!(value(&agent, "app/kept").as_deref(), Some("x"));
}

#[test]
fn owners_are_listed_and_hand_on_what_they_have() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("sessions: [{name: s, node: node1, checks: [], prevent_destroy: true}]\nkeys: [{key: a b, value: x}, {key: b, value: x}]");
    lab.ok("apply s.yaml --yes");
    snapshot(
        "owner",
        &[
            lab.run("owner list"),
            lab.run("owner list -o json"),
            lab.run("owner show team"),
            lab.run("owner show team -o json"),
            lab.run("owner show nobody"),
            lab.run("owner transfer team team --yes"),
            lab.run("owner transfer team 'no name' --yes"),
            lab.run("owner transfer team new"),
            lab.run("owner transfer team new --yes 'key c'"),
            lab.run("owner transfer team new --yes key"),
            lab.run("owner transfer team new --yes 'key a b' 'session node1/s'"),
            lab.run("owner show team"),
            lab.run("owner show new"),
            lab.run("owner transfer team new --yes -o json"),
            lab.run("owner transfer nobody new --yes"),
            lab.run("owner list"),
        ],
    );
    assert!(lab.run("apply s.yaml --yes").stdout.contains("nothing to do"), "as declared, so nothing is refused yet");
    lab.file("new.yaml", lab.read("s.yaml").replace("owner: team", "owner: new"));
    assert!(lab.ok("plan new.yaml --detailed-exitcode").contains("3 unchanged"));
}

#[test]
fn doctor_finds_and_gc_takes_what_nobody_can_need() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let forever = |name: &str| agent.create_session(&json!({"Name": name, "Node": "node1", "Checks": []}));
    lab.spec("sessions: [{name: owned, node: node1, checks: []}]");
    lab.ok("apply s.yaml --yes");
    let holds = forever("holds");
    agent.lock("held", &holds);
    forever("idle");
    agent.create_session(&json!({"Name": "fine", "TTL": "3600s", "Checks": []}));
    agent.create_session(&json!({"Name": "twice", "TTL": "3600s"}));
    agent.create_session(&json!({"Name": "twice", "TTL": "3600s"}));
    agent.put("/v1/agent/check/register", &json!({"Name": "warns", "TTL": "3600s", "Status": "warning"}));
    until("the catalog knows the check", || {
        agent.get("/v1/health/state/warning").as_array().is_some_and(|found| !found.is_empty())
    });
    agent.create_session(&json!({"Name": "near", "NodeChecks": ["serfHealth", "warns"], "TTL": "3600s"}));
    let before = world(&agent);
    snapshot(
        "doctor",
        &[
            lab.run("session doctor"),
            lab.run("session doctor --name idle -o json"),
            lab.run("session doctor --node nowhere"),
            lab.run("session gc --check"),
            lab.run("session gc"),
            lab.run("session gc --yes --max-delete 1"),
            lab.run("session gc --yes --check"),
        ],
    );
    assert_eq!(world(&agent), before);
    let asked = lab.terminal("session gc", "n");
    assert!(asked.ends_with("Destroy 2 sessions? [y/N] n\nnothing was done\nexit code 1\n"), "{asked}");
    assert_eq!(world(&agent), before);
    snapshot(
        "gc",
        &[lab.run("session gc --yes --name idle"), lab.run("session gc --yes"), lab.run("session gc --yes -o json")],
    );
    let names = |name: &str| agent.session_ids(name).len();
    assert_eq!(["owned", "holds", "idle", "fine", "twice", "near"].map(names), [1, 1, 0, 1, 1, 1]);
}

#[test]
fn gc_looks_again_at_what_is_held() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let agent = agent();
    let lazy = agent.create_session(&json!({"Name": "lazy", "Node": "node1", "Checks": []}));
    let idle = agent.create_session(&json!({"Name": "idle", "Node": "node1", "Checks": []}));
    // The first look at the keys finds nothing; then, just before the second one, somebody locks.
    let (looks, address, session) = (AtomicUsize::new(0), agent.address(), lazy.clone());
    let proxy = support::proxy::Proxy::start(&agent.address(), move |request| {
        let look = request.starts_with("GET /v1/kv/?");
        if look && looks.fetch_add(1, Ordering::SeqCst) == 1 {
            let url = format!("http://{address}/v1/kv/late?acquire={session}");
            support::agent::http().put(&url).send("x").unwrap();
        }
        support::proxy::Act::Forward
    });
    let lab = Lab::at(&proxy.address());
    let ran = lab.run("session gc --yes --max-delete 100%");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "destroyed\t1 session\n"), "{ran} {:?}", proxy.seen());
    assert_eq!((agent.session_ids("lazy"), agent.session_ids("idle")), (vec![lazy], Vec::new()), "{idle}");
}

#[test]
fn the_guide_works_as_written() {
    let guide = std::fs::read_to_string(support::root().join("docs/gitops.md")).unwrap();
    let block = |start: &str| guide.split(start).nth(1).unwrap().split("```").next().unwrap();
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.file("consul/web.yaml", block("```yaml\n"));
    lab.ok("validate consul");
    lab.ok("plan consul --prune --out plan.json");
    lab.ok("apply plan.json --yes");
    assert!(lab.ok("apply consul").contains("nothing to do"));
    lab.ok("owner show platform/web");
    lab.ok("owner transfer platform/web platform/edge 'key service/web/config' --yes");
    lab.ok("owner transfer platform/edge platform/web --yes");
    // On a cluster that is there already.
    agent.delete("/v1/kv/lictor?recurse");
    let export = guide.lines().find(|line| line.starts_with("lictor export")).unwrap();
    let (export, _) = export.trim_start_matches("lictor ").split_once(" > ").unwrap();
    let exported = lab.ok(export);
    lab.file("consul/web.yaml", exported);
    assert!(lab.ok("plan consul --detailed-exitcode").contains("nothing to do"));
    lab.ok("adopt consul --yes");
    assert!(lab.ok("plan consul --prune --detailed-exitcode").contains("3 unchanged"));
}
