//! Saved plans, as a shell sees them: applied as they are, or not at all.

mod support;

use serde_json::{Value, json};
use support::Agent;
use support::agent::Options;
use support::lab::{Lab, snapshot, until, value, world};

fn agent() -> Agent {
    Agent::start(Options::default())
}

const SPEC: &str = r#"
sessions:
  - {name: leader, node: node1, checks: [], delay: 0s}
keys:
  - {key: app/a, value: a}
  - {key: app/leader, value: here, session: leader}
services:
  - {name: web, node: node1, port: 80}
"#;

#[test]
fn a_saved_plan_is_applied_as_it_is() {
    let agent = agent();
    let lab = Lab::of(&agent).env("PASSWORD", "first");
    lab.file("certs/tls.pem", "pem\n");
    lab.spec(&format!("{SPEC}  - {{name: old, node: node1}}\n"));
    lab.ok("apply s.yaml --yes");
    agent.put("/v1/kv/app/nobodys", &json!("x"));
    let more = "keys:\n  - {key: app/nobodys, value: x}\n  - {key: app/secret, value: {env: PASSWORD}}\n  - {key: app/file, value_file: certs/tls.pem}";
    lab.spec(&SPEC.replace("keys:", more).replace("port: 80", "port: 81"));
    let planned = lab.run("plan s.yaml --prune --adopt unowned --out plan.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&lab.path("plan.json").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "what it holds is not for everybody");
    let saved = lab.read("plan.json");
    assert!(!saved.contains("first") && !saved.contains("pem\\n"), "{saved}");
    // The specs do not count any more.
    lab.spec("keys: []");
    let unasked = lab.run("apply plan.json");
    snapshot("saved_plan", &[planned, unasked, lab.run("apply plan.json --yes"), lab.run("apply plan.json --yes")]);
    assert_eq!(value(&agent, "app/secret").as_deref(), Some("first"));
    assert_eq!(value(&agent, "app/file").as_deref(), Some("pem\n"));
    assert_eq!(agent.get("/v1/agent/services").as_object().unwrap().len(), 1);
    assert!(lab.ok("owner show team").contains("key app/nobodys\towned"));
}

#[test]
fn a_saved_plan_says_itself_what_may_be_done() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec(SPEC);
    lab.ok("plan s.yaml --out plan.json");
    let unchanged = world(&agent);
    snapshot(
        "saved_plan_and_flags",
        &[
            lab.run("apply plan.json --yes --prune"),
            lab.run("apply plan.json --yes --max-delete 50%"),
            lab.run("apply plan.json --yes --watch"),
            lab.run("apply plan.json --yes --interval 10s"),
            lab.run("apply plan.json s.yaml --yes"),
        ],
    );
    assert_eq!(world(&agent), unchanged);
    assert!(lab.ok("apply plan.json --yes --parallelism 2 -o json").contains("\"not_done\": []"));
}

/// Applies `plan.json`, which has to be refused as stale, naming all of `words`, with not a byte changed.
#[track_caller]
fn stale(agent: &Agent, lab: &Lab, words: &[&str]) {
    let before = world(agent);
    let ran = lab.run("apply plan.json --yes");
    assert_eq!(ran.code, Some(3), "{ran}");
    let fits = ran.stderr.starts_with("error: the saved plan is stale: ") && ran.stdout.is_empty();
    assert!(fits && words.iter().all(|word| ran.stderr.contains(word)), "{words:?}: {ran}");
    assert_eq!(world(agent), before, "{ran}");
}

#[test]
fn a_saved_plan_whose_world_has_moved_is_stale_and_not_a_byte_changes() {
    let agent = agent();
    let lab = Lab::of(&agent).env("PASSWORD", "first");
    let secret = "keys:\n  - {key: app/secret, value: {env: PASSWORD}}";
    lab.spec(SPEC);
    lab.ok("apply s.yaml --yes");
    lab.spec(&SPEC.replace("value: a", "value: b").replace("port: 80", "port: 81").replace("delay: 0s", "delay: 1s"));
    let plan = || lab.ok("plan s.yaml --out plan.json");

    plan();
    agent.put("/v1/kv/app/a", &json!("somebody's"));
    stale(&agent, &lab, &["key app/a has moved"]);

    plan();
    agent.delete("/v1/kv/app/a");
    stale(&agent, &lab, &["key app/a has moved"]);

    plan();
    agent.put("/v1/kv/app/a", &json!("made meanwhile"));
    stale(&agent, &lab, &["key app/a"]);

    plan();
    let leader = agent.session_ids("leader").remove(0);
    agent.put(&format!("/v1/session/destroy/{leader}"), &json!(""));
    stale(&agent, &lab, &["has moved"]);

    // Another of the same name and the same properties, which holds the same key.
    plan();
    agent.create_session(&json!({"Name": "leader", "Node": "node1", "Checks": [], "LockDelay": "0s"}));
    stale(&agent, &lab, &["has moved"]);

    plan();
    agent.put("/v1/agent/service/register", &json!({"Name": "web", "Port": 99, "Meta": {"lictor-owner": "team"}}));
    stale(&agent, &lab, &["service node1/web has moved"]);

    // Its owner made something else meanwhile.
    plan();
    lab.file("other.yaml", "version: 1\nowner: team\nkeys: [{key: app/other, value: x}]\n");
    lab.ok("apply other.yaml --yes");
    stale(&agent, &lab, &["the record of owner \"team\""]);

    // Another owner took one of the objects over.
    plan();
    lab.file("others.yaml", "version: 1\nowner: others\nkeys: [{key: app/leader, value: here}]\n");
    lab.ok("adopt others.yaml --from-others --yes");
    stale(&agent, &lab, &[]);
    lab.ok("owner transfer others team --yes");

    // What was as declared has moved, too.
    lab.spec("keys: [{key: app/other, value: x}, {key: app/new, value: y}]");
    plan();
    agent.put("/v1/kv/app/other", &json!("y"));
    stale(&agent, &lab, &["key app/other has moved"]);

    lab.spec(&SPEC.replace("keys:", secret));
    lab.ok("plan s.yaml --out plan.json");
    let lab = lab.env("PASSWORD", "second");
    stale(&agent, &lab, &["key app/secret has moved"]);
    let lab = lab.env("PASSWORD", "first");
    lab.ok("apply plan.json --yes");
}

#[test]
fn a_secret_that_is_gone_and_a_file_that_changed() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.file("secret.txt", "first");
    lab.spec("keys: [{key: a, value: {env: HOME_OF_SECRETS}}, {key: b, value_file: secret.txt}]");
    let with = |value: &str| Lab::of(&agent).env("HOME_OF_SECRETS", value);
    let elsewhere = with("x");
    elsewhere.file("secret.txt", "first");
    elsewhere.file("s.yaml", lab.read("s.yaml"));
    elsewhere.ok("plan s.yaml --out plan.json");
    lab.file("plan.json", elsewhere.read("plan.json"));
    snapshot("saved_plan_without_its_secret", &[lab.run("plan s.yaml"), lab.run("apply plan.json --yes")]);
    elsewhere.file("secret.txt", "second");
    stale(&agent, &elsewhere, &["key b has moved"]);
    std::fs::remove_file(elsewhere.path("secret.txt")).unwrap();
    assert!(elsewhere.fails("apply plan.json --yes", 1).contains("secret.txt"));
}

#[test]
fn a_session_that_expires_while_the_plan_waits_for_review() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let spec = "sessions: [{name: short, node: node1, ttl: 10s, checks: [], delay: 0s}]\nkeys: [{key: k, value: VALUE, session: short}]";
    lab.spec(&spec.replace("VALUE", "one"));
    lab.ok("apply s.yaml --yes");
    lab.spec(&spec.replace("VALUE", "two"));
    lab.ok("plan s.yaml --out plan.json");
    until("the session has ended", || agent.session_ids("short").is_empty());
    stale(&agent, &lab, &["session node1/short has moved"]);
    lab.ok("apply s.yaml --yes");
    lab.is_settled();
}

#[test]
fn a_saved_plan_is_for_one_cluster() {
    let (agent, other) = (agent(), agent());
    let elsewhere = Agent::start(Options { config: json!({"datacenter": "dc2"}), ..Options::default() });
    let lab = Lab::of(&agent);
    lab.spec(SPEC);
    lab.ok("plan s.yaml --out plan.json");
    for cluster in [&other, &elsewhere] {
        let lab = lab.with_files_at(cluster);
        let before = world(cluster);
        let said = lab.fails("apply plan.json --yes", 3);
        assert!(said.contains("it was made for another cluster, in datacenter 'dc1'"), "{said}");
        assert_eq!(world(cluster), before);
    }
}

#[test]
fn a_saved_plan_that_is_not_as_it_was_written() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec(SPEC);
    lab.ok("plan s.yaml --out plan.json");
    let whole = lab.read("plan.json");
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut plan: Value = serde_json::from_str(&whole).unwrap();
        edit(&mut plan);
        plan.to_string()
    };
    let files = [
        ("truncated.json", whole[..whole.len() / 2].to_owned()),
        ("newer.json", edited(&|plan| plan["version"] = json!(2))),
        ("value.json", whole.replace("\"value\": \"a\"", "\"value\": \"b\"")),
        ("policy.json", edited(&|plan| plan["policy"]["force"] = json!(true))),
        ("cluster.json", edited(&|plan| plan["cluster"] = json!([]))),
        ("unknown.json", edited(&|plan| plan["more"] = json!(1))),
        ("without.json", edited(&|plan| drop(plan.as_object_mut().unwrap().remove("digest")))),
    ];
    let before = world(&agent);
    let ran: Vec<_> = files
        .iter()
        .map(|(name, content)| {
            assert_ne!(*content, whole, "{name}");
            lab.file(name, content);
            lab.run(&format!("apply {name} --yes"))
        })
        .collect();
    snapshot("saved_plan_damaged", &ran);
    assert_eq!(world(&agent), before);
    // Only its form has changed.
    lab.file("compact.json", edited(&|_| ()));
    lab.ok("apply compact.json --yes");
}
