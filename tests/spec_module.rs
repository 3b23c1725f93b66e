//! `consul_spec` on a real Consul: everything that an owner declares, in one task.

mod support;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::proxy::{Act, Proxy, status};
use support::{Agent, Answer, Module, module, unique};

fn spec(options: Value) -> Module {
    module("consul_spec", options).at(&Agent::shared().address())
}

/// Runs it, and holds its answer against its schema.
#[track_caller]
fn run(module: Module) -> Answer {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let (_, schema) = lictor::ansible::schemas().find(|(name, _)| *name == "consul_spec.result").unwrap();
        jsonschema::validator_for(schema.as_value()).unwrap()
    });
    let answer = module.run();
    let faults: Vec<_> = SCHEMA.iter_errors(&answer.json).map(|error| error.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new(), "{}", answer.json);
    answer
}

/// A document of `owner` with these keys, each with a value.
fn keys(owner: &str, keys: &[(&str, &str)]) -> Value {
    let keys: Vec<Value> =
        keys.iter().map(|(key, value)| json!({"key": format!("{owner}/{key}"), "value": value})).collect();
    json!({"version": 1, "owner": owner, "keys": keys})
}

/// A document with an object of each kind.
fn everything(owner: &str) -> Value {
    json!({
        "version": 1, "owner": owner, "defaults": {"session": {"node": "node1"}, "service": {"node": "node1"}},
        "sessions": [{"name": owner, "delay": "0s"}],
        "keys": [{"key": format!("{owner}/a"), "value": "one", "flags": 7}, {"key": format!("{owner}/leader"), "session": owner}],
        "services": [{"name": owner, "port": 8080}],
    })
}

/// The values below `owner`, by what follows it.
fn tree(owner: &str) -> Vec<String> {
    let pairs = Agent::shared().tree(&format!("{owner}/"));
    pairs.iter().map(|pair| pair["Key"].as_str().unwrap().split_once('/').unwrap().1.to_owned()).collect()
}

fn has_record(owner: &str) -> bool {
    !Agent::shared().tree(&format!("lictor/owners/{owner}")).is_empty()
}

fn objects(result: &Value, list: &str) -> Vec<String> {
    result[list].as_array().unwrap().iter().map(|each| each["object"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn everything_is_made_once_and_check_mode_tells_the_same_and_writes_nothing() {
    let owner = unique("all");
    let proxy = Proxy::start(&Agent::shared().address(), |_| Act::Forward);
    let foreseen = run(spec(json!({"spec": everything(&owner)})).at(&proxy.address()).check_mode().diff_mode()).ok();
    let written: Vec<_> = proxy.seen().into_iter().filter(|line| !line.starts_with("GET ")).collect();
    assert_eq!(written, Vec::<String>::new());

    let made = run(spec(json!({"spec": everything(&owner)})).diff_mode()).ok();
    for result in [&foreseen, &made] {
        assert_eq!(
            (&result["changed"], &result["owner"], &result["datacenter"]),
            (&json!(true), &json!(owner), &json!("dc1"))
        );
        assert_eq!(
            result["summary"],
            json!({"create": 4, "update": 0, "replace": 0, "delete": 0, "adopt": 0, "unchanged": 0, "refused": 0})
        );
    }
    assert_eq!(foreseen["changes"], made["changes"]);
    assert_eq!(foreseen["diff"], made["diff"]);
    assert_eq!(made["changes"][0]["at"], json!(null), "an inline spec has no lines that anybody has seen");
    assert_eq!(tree(&owner), ["a", "leader"]);
    let session = Agent::shared().session_ids(&owner);
    assert_eq!(json!([Agent::shared().get(&format!("/v1/kv/{owner}/leader"))[0]["Session"]]), json!(session));
    assert_eq!(Agent::shared().get("/v1/agent/services")[&owner]["Port"], 8080);

    let again = run(spec(json!({"spec": everything(&owner)})).diff_mode()).ok();
    assert_eq!((&again["changed"], &again["changes"], &again["diff"]), (&json!(false), &json!([]), &json!([])));
    assert_eq!(again["summary"]["unchanged"], 4);
}

#[test]
fn a_change_shows_what_differs_and_its_fallout() {
    let owner = unique("differs");
    let mut wish = everything(&owner);
    run(spec(json!({"spec": wish}))).ok();
    wish["keys"][0]["value"] = json!("two");
    wish["sessions"][0]["behavior"] = json!("delete");
    wish["keys"].as_array_mut().unwrap().remove(1);
    run(spec(json!({"spec": wish})).check_mode()).fails_with(&["it would be destroyed, but holds"]);
    let result = run(spec(json!({"spec": wish, "force": true})).diff_mode()).ok();
    let change = result["changes"].as_array().unwrap().iter().find(|each| each["object"] == format!("key {owner}/a"));
    let change = change.unwrap();
    assert_eq!(change["action"], "update");
    assert_eq!(change["differences"], json!([{"field": "value", "before": "one", "after": "two"}]));
    let diff = result["diff"].as_array().unwrap();
    let key = diff.iter().find(|each| each["after_header"] == format!("key {owner}/a")).unwrap();
    assert_eq!((&key["before"], &key["after"]), (&json!({"value": "one"}), &json!({"value": "two"})));
    let session = &result["changes"][0];
    assert_eq!((&session["action"], result["summary"]["replace"].as_u64()), (&json!("replace"), Some(1)));
    let fallout = session["fallout"][0].as_str().unwrap();
    assert!(fallout.contains(&format!("releases 1 key: {owner}/leader")), "{fallout}");
    assert_eq!(objects(&result, "spared"), [format!("key {owner}/leader")]);
}

#[test]
fn files_and_folders_are_read_on_the_host_and_values_from_there_are_not_shown() {
    let (owner, folder) = (unique("files"), tempfile::tempdir().unwrap());
    let text = format!(
        "version: 1\nowner: {owner}\nkeys:\n  - key: {owner}/env\n    value: {{env: LICTOR_TEST_SECRET}}\n  - key: {owner}/file\n    value: {{file: secret}}\n"
    );
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    std::fs::write(folder.path().join("b.yml"), keys(&owner, &[("more", "x")]).to_string()).unwrap();
    std::fs::write(folder.path().join("secret"), "hush-in-the-file").unwrap();
    let by_folder = || spec(json!({"src": folder.path()})).diff_mode();
    let fault = run(by_folder()).fails_with(&["LICTOR_TEST_SECRET", "is not set"]);
    assert_eq!(fault["reason"], "arguments");

    let result = run(by_folder().env("LICTOR_TEST_SECRET", "hush-in-the-environment")).ok();
    assert!(!result.to_string().contains("hush"), "{result}");
    let [env, ..] = result["changes"].as_array().unwrap().as_slice() else { panic!("{result}") };
    assert_eq!((&env["at"]["line"], &env["differences"][0]["field"]), (&json!(4), &json!("value")));
    assert!(env["differences"][0]["after"].as_str().unwrap().starts_with("hash "), "{env}");
    assert_eq!(tree(&owner), ["env", "file", "more"]);
    let again = run(by_folder().env("LICTOR_TEST_SECRET", "hush-in-the-environment")).ok();
    assert_eq!(again["changed"], false);
    run(spec(json!({"src": folder.path().join("none.yaml")}))).fails_with(&["none.yaml: can't be read"]);
    run(spec(json!({"src": "-"}))).fails_with(&["src is a file or a folder"]);
}

#[test]
fn an_inline_spec_is_not_echoed_and_takes_secrets_from_the_host() {
    let (owner, folder) = (unique("inline"), tempfile::tempdir().unwrap());
    let file = folder.path().join("value");
    std::fs::write(&file, "hush-in-the-file").unwrap();
    let mut wish = keys(&owner, &[("env", ""), ("file", "")]);
    wish["keys"][0]["value"] = json!({"env": "LICTOR_TEST_SECRET"});
    wish["keys"][1]["value"] = json!({"file": file});
    let result = run(spec(json!({"spec": wish})).env("LICTOR_TEST_SECRET", "hush-in-the-environment")).ok();
    assert_eq!(result["invocation"]["module_args"]["spec"], "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER");
    assert!(!result.to_string().contains("hush"), "{result}");
    let value = |key: &str| Agent::shared().get(&format!("/v1/kv/{owner}/{key}"))[0]["Value"].clone();
    assert_eq!(
        (value("env"), value("file")),
        (json!("aHVzaC1pbi10aGUtZW52aXJvbm1lbnQ="), json!("aHVzaC1pbi10aGUtZmlsZQ=="))
    );
}

#[test]
fn every_fault_is_told_with_its_path_and_nothing_is_sent() {
    let owner = unique("faulty");
    let good = keys(&owner, &[("a", "x")]);
    let mut bad = keys(&owner, &[("a", "x"), ("b", "y")]);
    bad["keys"][1]["flgs"] = json!(1);
    bad["sessions"] = json!([{"name": "s", "node": "n", "ttl": "soon"}]);
    bad["datacenter"] = json!("dc9");
    let options = json!({"spec": [good, bad]});
    let failure = module("consul_spec", options).at("127.0.0.1:1").run().fails_with(&["and 3 more: see 'faults'"]);
    assert_eq!((&failure["reason"], &failure["changed"]), (&json!("arguments"), &json!(false)));
    let faults: Vec<&str> = failure["faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap()).collect();
    for (path, words) in [
        ("spec[1].keys[1].flgs: ", "did you mean flags?"),
        ("spec[1].sessions[0].ttl: ", "\"soon\""),
        ("spec[1].datacenter: ", "datacenter is \"dc9\", but left out at spec[0]: "),
        ("spec[1].keys[0]: ", "is declared twice: at spec[0].keys[0] too"),
    ] {
        let found = faults.iter().find(|fault| fault.starts_with(path));
        assert!(found.is_some_and(|fault| fault.contains(words)), "{path}{words} is not in {faults:#?}");
    }
    let one = run(spec(json!({"spec": {"version": 1, "owner": owner, "keys": [{"key": 5}]}})));
    one.fails_with(&["spec.keys[0].key: key is 5, which is a number", "nothing was done"]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let wish = keys("nobody", &[("a", "x")]);
    for (options, words) in [
        (json!({}), "one of the following is required: spec, src"),
        (json!({"spec": wish, "src": "/tmp"}), "parameters are mutually exclusive: spec|src"),
        (json!({"spec": "version: 1"}), "spec: write a dict, or a list of dicts"),
        (json!({"spec": []}), "spec: write a dict, or a list of dicts"),
        (json!({"spec": [wish, 5]}), "spec: write a dict, or a list of dicts"),
        (json!({"spec": wish, "parallelism": 65}), "parallelism is 65: write 1 to 64"),
        (json!({"spec": wish, "parallelism": 0}), "value of parallelism must be at least 1"),
        (json!({"spec": wish, "max_delete": "120%"}), "max_delete: write a number of objects such as 5"),
        (json!({"spec": wish, "adopt": "some"}), "value of adopt must be one of: all, ours, unowned, got: some"),
        (json!({"spec": wish, "state": "absent", "prune": true}), "go with state present only"),
        (json!({"spec": wish, "state": "absent", "adopt": "all"}), "go with state present only"),
    ] {
        let failure = module("consul_spec", options).at("127.0.0.1:1").run().fails_with(&[words]);
        assert_eq!(failure["reason"], "arguments");
    }
    let mut elsewhere = wish;
    elsewhere["datacenter"] = json!("dc2");
    run(spec(json!({"spec": elsewhere, "datacenter": "dc1"}))).fails_with(&["the specs are for datacenter \"dc2\""]);
}

#[test]
fn what_is_declared_no_more_goes_with_prune_within_the_limit() {
    let owner = unique("prune");
    let many: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "x")).collect();
    run(spec(json!({"spec": keys(&owner, &many)}))).ok();
    let few = keys(&owner, &many[..2]);
    let kept = run(spec(json!({"spec": few}))).ok();
    assert_eq!((&kept["changed"], objects(&kept, "spared").len()), (&json!(false), 6));

    let refused = run(spec(json!({"spec": few, "prune": true})))
        .fails_with(&["6 of the owner's 8 objects would be deleted", "`max_delete` says"]);
    assert_eq!((&refused["reason"], &refused["changed"]), (&json!("refused"), &json!(false)));
    assert_eq!(refused["refused"].as_array().unwrap().len(), 1);
    assert_eq!(tree(&owner).len(), 8);
    let pruned = run(spec(json!({"spec": few, "prune": "yes", "max_delete": 6})).diff_mode()).ok();
    assert_eq!(pruned["summary"]["delete"], 6);
    assert_eq!(pruned["diff"][0]["after"], json!({"state": "absent"}));
    assert_eq!(tree(&owner), ["0", "1"]);

    let nothing = json!({"version": 1, "owner": owner});
    let refused = run(spec(json!({"spec": nothing, "prune": true}))).fails_with(&["nothing is declared"]);
    assert_eq!(refused["reason"], "refused");
    run(spec(json!({"spec": nothing, "prune": true, "allow_empty": true}))).ok();
    assert_eq!((tree(&owner), has_record(&owner)), (Vec::new(), false));
}

#[test]
fn what_is_not_ours_is_refused_by_name_unless_it_may_be_taken_over() {
    let (owner, other) = (unique("adopt"), unique("other"));
    Agent::shared().put(&format!("/v1/kv/{owner}/a"), &json!("theirs"));
    Agent::shared().put(&format!("/v1/kv/{owner}/b"), &json!("b"));
    let wish = keys(&owner, &[("a", "ours"), ("b", "b")]);
    let refused = run(spec(json!({"spec": wish}))).fails_with(&["nobody's", "`adopt: unowned`"]);
    assert_eq!((&refused["reason"], objects(&refused, "refused")), (&json!("refused"), vec![format!("key {owner}/a")]));
    assert!(!has_record(&owner));
    let taken = run(spec(json!({"spec": wish, "adopt": "unowned"}))).ok();
    assert_eq!((&taken["summary"]["update"], &taken["adopted"]), (&json!(1), &json!([format!("key {owner}/b")])));
    assert_eq!(run(spec(json!({"spec": wish}))).ok()["changed"], false);

    let mut theirs = wish;
    theirs["owner"] = json!(other);
    run(spec(json!({"spec": theirs, "adopt": "unowned"}))).fails_with(&[&format!("it is \"{owner}\"'s")]);
}

#[test]
fn absent_takes_away_what_is_the_owners() {
    let owner = unique("absent");
    run(spec(json!({"spec": everything(&owner)}))).ok();
    let key = format!("{owner}/by-hand");
    Agent::shared().put(&format!("/v1/kv/{key}"), &json!("x"));
    let mut wish = everything(&owner);
    wish["keys"].as_array_mut().unwrap().push(json!({"key": key}));
    let absent = || spec(json!({"spec": wish, "state": "absent"}));
    let foreseen = run(absent().check_mode()).ok();
    let gone = run(absent()).ok();
    assert_eq!((&foreseen["changes"], gone["summary"]["delete"].as_u64()), (&gone["changes"], Some(4)));
    assert_eq!(objects(&gone, "spared"), [format!("key {key}")]);
    assert_eq!((tree(&owner), Agent::shared().sessions(&owner).len()), (vec!["by-hand".to_owned()], 0));
    assert_eq!(Agent::shared().get("/v1/agent/services")[&owner], Value::Null);
    assert!(!has_record(&owner));
    assert_eq!(run(absent()).ok()["changed"], false);
}

#[test]
fn a_run_that_stops_says_what_is_done_and_the_next_one_finishes() {
    let owner = unique("stops");
    let mut wish = keys(&owner, &[("a", "x")]);
    wish["sessions"] = (0..4).map(|number| json!({"name": format!("{owner}-{number}"), "node": "node1"})).collect();
    let created = AtomicUsize::new(0);
    let proxy = Proxy::start(&Agent::shared().address(), move |line| {
        // The first session is that of the lock.
        match line.starts_with("PUT /v1/session/create") && created.fetch_add(1, Ordering::SeqCst) == 3 {
            true => status(500, "no more"),
            false => Act::Forward,
        }
    });
    let options = json!({"spec": wish, "parallelism": 1});
    let failure =
        run(spec(options.clone()).at(&proxy.address())).fails_with(&["2 of 5 objects were changed", "no more"]);
    assert_eq!((&failure["changed"], &failure["reason"]), (&json!(true), &json!("consul")));
    assert_eq!(failure["done"], json!([format!("session node1/{owner}-0"), format!("session node1/{owner}-1")]));
    assert_eq!(failure["not_done"].as_array().unwrap().len(), 3);
    let rest = run(spec(options.clone())).ok();
    assert_eq!((&rest["summary"]["create"], &rest["summary"]["unchanged"]), (&json!(3), &json!(2)));
    assert_eq!(run(spec(options)).ok()["changed"], false);
}

#[test]
fn another_run_for_the_owner_is_waited_for_no_longer_than_asked() {
    let owner = unique("busy");
    let session = Agent::shared().create_session(&json!({"Name": owner}));
    Agent::shared().lock(&format!("lictor/locks/{owner}"), &session);
    let wish = keys(&owner, &[("a", "x")]);
    let busy = run(spec(json!({"spec": wish, "lock_timeout": "1s"})));
    let busy = busy.fails_with(&[&format!("another run for owner \"{owner}\" is at work")]);
    assert_eq!((&busy["reason"], tree(&owner)), (&json!("busy"), Vec::new()));
    assert_eq!(run(spec(json!({"spec": wish})).check_mode()).ok()["changed"], true, "a look needs no lock");
}

#[test]
fn a_record_that_was_damaged_is_told() {
    // One of its own: everybody else reads all records, for they may claim what is declared.
    let agent = Agent::start(support::agent::Options::default());
    agent.put("/v1/kv/lictor/owners/me", &json!("{\"version\": 1"));
    let wish = json!({"spec": keys("me", &[("a", "x")])});
    let damaged = run(spec(wish).at(&agent.address())).fails_with(&["Put the record back"]);
    assert_eq!(damaged["reason"], "record");
}

#[test]
fn the_rights_that_the_guide_names_suffice_and_without_them_nothing_is_written() {
    let master = "00000000-0000-0000-0000-00000000aaaa";
    let agent = Agent::start(support::agent::Options {
        config: json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": master, "agent": master}}}),
        token: Some(master.to_owned()),
        ..support::agent::Options::default()
    });
    let guide = std::fs::read_to_string(support::root().join("docs/ansible.md")).unwrap();
    let section = guide.split_once("\n## Everything at once").unwrap().1.split("\n## ").next().unwrap();
    let rules = section.split_once("```hcl\n").unwrap().1.split_once("```").unwrap().0;
    let token = |name: &str, rules: &str| {
        agent.put("/v1/acl/policy", &json!({"Name": name, "Rules": rules}));
        let token = agent.put("/v1/acl/token", &json!({"Policies": [{"Name": name}]}));
        serde_json::from_str::<Value>(&token).unwrap()["SecretID"].clone()
    };
    let wish = keys("me", &[("a", "x")]);
    let with = |token: Value| spec(json!({"spec": wish, "token": token})).at(&agent.address());
    let may_not_write = token("reader", &rules.replace("write", "read"));
    let denied = run(with(may_not_write)).fails_with(&["Permission denied"]);
    assert_eq!((&denied["reason"], &denied["changed"]), (&json!("denied"), &json!(false)));
    let may_write = token("writer", &format!("{rules}\nkey_prefix \"me/\" {{ policy = \"write\" }}"));
    assert_eq!(run(with(may_write.clone())).ok()["summary"]["create"], 1);
    assert_eq!(run(with(may_write.clone())).ok()["changed"], false);
    let objects_alone =
        token("other", "key_prefix \"me/\" { policy = \"write\" }\nagent_prefix \"\" { policy = \"read\" }");
    assert_eq!(run(with(objects_alone)).fails_with(&["lictor/owners/"])["reason"], "denied");
}

#[test]
fn a_long_value_is_cut_in_the_changes_and_whole_in_the_diff() {
    let (owner, long) = (unique("long"), "0123456789".repeat(50));
    let result = run(spec(json!({"spec": keys(&owner, &[("a", &long)])})).diff_mode()).ok();
    assert!(
        result["changes"][0]["differences"][0]["after"].as_str().unwrap().contains("... (500 bytes, hash"),
        "{result}"
    );
    assert_eq!(result["diff"][0]["after"]["value"], json!(long));
}
