//! `lictor apply`, as a shell sees it: what it asks, what it guards, and what becomes of a run that is disturbed.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::agent::Options;
use support::lab::{Lab, snapshot, until, value, world};
use support::proxy::{Act, Proxy, status};
use support::{Agent, unique};

fn agent() -> Agent {
    Agent::start(Options::default())
}

/// A spec of so many sessions and keys.
fn many(sessions: usize, keys: usize) -> String {
    let sessions = (0..sessions).map(|n| format!("  - {{name: s{n:04}, node: node1, checks: []}}\n"));
    let keys = (0..keys).map(|n| format!("  - {{key: many/{n:04}, value: v}}\n"));
    format!("sessions:\n{}keys:\n{}", sessions.collect::<String>(), keys.collect::<String>())
}

/// What `many` made: how many sessions there are of its names, and whether none is there twice.
fn made(agent: &Agent) -> usize {
    let sessions = agent.get("/v1/session/list");
    let mut names: Vec<&str> = sessions.as_array().unwrap().iter().filter_map(|s| s["Name"].as_str()).collect();
    names.retain(|name| name.len() == 5 && name.starts_with('s'));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a session is there twice");
    count
}

/// Takes the lock of a run that was killed from it, as its ttl does within 20 s.
fn end_locks(agent: &Agent) {
    for session in agent.get("/v1/session/list").as_array().unwrap() {
        if session["Name"].as_str().is_some_and(|name| name.starts_with("lictor: ")) {
            agent.put(&format!("/v1/session/destroy/{}", session["ID"].as_str().unwrap()), &json!(""));
        }
    }
}

/// Nothing is left of a run but what it made, and the record.
#[track_caller]
fn assert_no_lock(agent: &Agent) {
    assert_eq!(agent.tree("lictor/locks/"), Vec::<Value>::new());
    let sessions = agent.get("/v1/session/list");
    let ours = sessions.as_array().unwrap().iter().filter(|s| s["Name"].as_str().unwrap_or("").starts_with("lictor"));
    assert_eq!(ours.count(), 0, "{sessions}");
}

#[test]
fn it_asks_on_a_terminal_and_takes_no_for_an_answer() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("keys: [{key: a, value: x}]");
    let before = world(&agent);
    assert_eq!(
        lab.terminal("apply s.yaml --color never", "n"),
        "+ key a\n    value: x\n\nteam: 1 to create; 0 unchanged\nDo this in 'dc1'? [y/N] n\nnothing was done\nexit code 1\n"
    );
    let interrupted = lab.terminal("apply s.yaml --color never", "^C");
    assert!(interrupted.ends_with("nothing was done\nexit code 1\n"), "{interrupted}");
    let empty = lab.terminal("apply s.yaml -o json", "");
    assert!(empty.contains("+ key a"), "the plan is shown before the question: {empty}");
    snapshot("apply_unasked", &[lab.run("apply s.yaml"), lab.run("destroy s.yaml")]);
    assert_eq!(world(&agent), before);
    let yes = lab.terminal("apply s.yaml --color never", "y");
    assert!(yes.ends_with("Done: 1 object changed.\nexit code 0\n"), "{yes:?}");
    assert_eq!(value(&agent, "a").as_deref(), Some("x"));
    assert_eq!(lab.ok("apply s.yaml"), "team: nothing to do; 1 unchanged\n", "nothing to ask for");
}

#[test]
fn a_progress_bar_on_a_terminal_only() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec(&many(299, 1));
    let shown = lab.terminal("apply s.yaml --yes --color never", "");
    assert!(shown.contains("/300") && shown.ends_with("Done: 300 objects changed.\nexit code 0\n"), "{shown:?}");
    let shown = lab.terminal("destroy s.yaml --yes", "");
    assert!(shown.contains("/300"), "{shown:?}");
    assert_eq!(lab.run("apply s.yaml --yes").stderr, "");
}

#[test]
fn guards_refuse_and_not_a_byte_changes() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let keys = |count: usize| -> String { (0..count).map(|n| format!("  - {{key: app/{n}, value: x}}\n")).collect() };
    lab.spec(&format!(
        "sessions:\n  - {{name: kept, node: node1, checks: [], prevent_destroy: true}}\n  \
         - {{name: busy, node: node1, checks: [], delay: 0s}}\nkeys:\n{}  - {{key: app/kept, value: x, prevent_destroy: true}}\n",
        keys(10)
    ));
    lab.ok("apply s.yaml --yes");
    let busy = agent.session_ids("busy").remove(0);
    agent.lock("not-ours", &busy);
    lab.file("others.yaml", "version: 1\nowner: others\nkeys: [{key: app/theirs, value: x}]\n");
    lab.ok("apply others.yaml --yes");
    let before = world(&agent);
    let busy = "sessions:\n  - {name: kept, node: node1, checks: [], prevent_destroy: true}\n  - {name: busy, node: node1, checks: [], delay: 0s}\n";
    let kept = "  - {key: app/kept, value: x, prevent_destroy: true}\n";
    let mut ran = Vec::new();
    // Six of 13 are more than 5, and more than a fifth.
    lab.spec(&format!("{busy}keys:\n{}{kept}", keys(4)));
    ran.push(lab.run("apply s.yaml --yes --prune"));
    ran.push(lab.run("plan s.yaml --prune --max-delete 5 -o github"));
    ran.push(lab.run("apply s.yaml --yes --prune --max-delete 40%"));
    ran.push(lab.run("apply s.yaml --yes --prune --max-delete 0"));
    // An empty source.
    lab.spec("keys: []");
    ran.push(lab.run("apply s.yaml --yes --prune --max-delete 100%"));
    ran.push(lab.run("apply s.yaml --yes --prune --allow-empty"));
    // What another owner has.
    lab.spec(&format!("{busy}keys:\n{}{kept}  - {{key: app/theirs, value: y}}\n", keys(10)));
    ran.push(lab.run("apply s.yaml --yes"));
    ran.push(lab.run("apply s.yaml --yes --adopt unowned --force"));
    // What is never to be destroyed: declared no more, or to be replaced.
    lab.spec(&format!("sessions: [{{name: busy, node: node1, checks: [], delay: 0s}}]\nkeys:\n{}", keys(10)));
    ran.push(lab.run("apply s.yaml --yes --prune"));
    lab.spec(&format!("{}keys:\n{}{kept}", busy.replacen("checks: []", "checks: [], ttl: 60s", 1), keys(10)));
    ran.push(lab.run("apply s.yaml --yes --force"));
    // A session that holds a key which is declared nowhere.
    lab.spec(&format!("{}keys:\n{}{kept}", busy.replace("delay: 0s", "delay: 1s"), keys(10)));
    ran.push(lab.run("apply s.yaml --yes"));
    lab.spec(&format!(
        "{}keys:\n{}{kept}",
        busy.lines().take(2).map(|line| format!("{line}\n")).collect::<String>(),
        keys(10)
    ));
    ran.push(lab.run("apply s.yaml --yes --prune"));
    assert!(ran.iter().all(|ran| ran.code == Some(3)), "{ran:?}");
    snapshot("guards", &ran);
    assert_eq!(world(&agent), before);
    // And each with its flag.
    lab.spec(&format!("{}keys:\n{}{kept}", busy.replace("delay: 0s", "delay: 1s"), keys(4)));
    snapshot("guards_lifted", &[lab.run("apply s.yaml --yes --prune --max-delete 6 --force")]);
    lab.is_settled();
    lab.spec(
        &format!(
            "{}keys:\n{}  - {{key: app/theirs, value: y}}\n",
            busy.replace(", prevent_destroy: true", ""),
            keys(1)
        )
        .replace("keys:", "keys:\n  - {key: app/kept, value: x}"),
    );
    lab.ok("apply s.yaml --yes --adopt all");
    let owners = lab.ok("owner list");
    assert!(!owners.contains("others") && lab.ok("owner show team").contains("key app/theirs"), "{owners}");
    // What is not protected any more may go. So may everything, where that is said.
    lab.ok("apply s.yaml --yes --prune --max-delete 90% --force");
    lab.spec("keys: []");
    lab.ok("apply s.yaml --yes --prune --max-delete 100% --allow-empty --force");
    assert_eq!((agent.tree("app/"), agent.tree("lictor/")), (Vec::new(), Vec::new()));
}

#[test]
fn a_session_on_a_node_that_does_not_exist_is_refused_before_a_write() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let before = world(&agent);
    let sessions = "sessions:\n  - {name: here, node: node1, checks: []}\n  - {name: there, node: ext, checks: []}\n";
    lab.spec(&format!("{sessions}keys: [{{key: app/a, value: x}}]"));
    for line in ["plan s.yaml", "apply s.yaml --yes"] {
        let ran = lab.run(line);
        assert_eq!(ran.code, Some(3), "{ran}");
        assert!(ran.to_string().contains("there is no node \"ext\"") && ran.stderr.contains("catalog nodes"), "{ran}");
    }
    // Of many, too; and Consul tells no nodes apart by upper and lower case.
    let many: String = (0..20).map(|n| format!("  - {{name: far, node: n{n}, checks: []}}\n")).collect();
    for more in ["", &many] {
        lab.spec(&format!(
            "sessions:\n  - {{name: here, node: NODE1, checks: []}}\n  - {{name: x, node: ext}}\n{more}"
        ));
        let refused = lab.run("plan s.yaml -o json");
        let refused: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!(refused["refused"].as_array().unwrap().len(), 1 + more.lines().count(), "{refused}");
        assert!(!refused["refused"].to_string().contains("NODE1"), "{refused}");
    }
    assert_eq!(world(&agent), before);
    // A node that the same spec makes is there in time.
    lab.spec(&format!("{sessions}services: [{{name: db, node: ext, node_address: 10.0.0.9}}]"));
    lab.ok("apply s.yaml --yes");
    assert_eq!(agent.session_ids("there").len(), 1);
    lab.is_settled();
}

#[test]
fn a_key_that_somebody_holds_is_not_pruned() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("keys: [{key: a, value: x}, {key: b, value: x}]");
    lab.ok("apply s.yaml --yes");
    let somebody = agent.create_session(&json!({"Name": "somebody", "LockDelay": "0s"}));
    agent.lock("b", &somebody);
    lab.spec("keys: [{key: a, value: x}]");
    let spared = lab.run("apply s.yaml --yes --prune");
    assert!(value(&agent, "b").is_some() && lab.ok("owner show team").contains("key b"));
    agent.put(&format!("/v1/kv/b?release={somebody}"), &json!("x"));
    snapshot("held_key", &[spared, lab.run("apply s.yaml --yes --prune")]);
    assert_eq!(value(&agent, "b"), None);
}

/// A proxy that gives the agent time, so that a run can be disturbed while it is at work.
fn slow(agent: &Agent) -> Proxy {
    Proxy::start(&agent.address(), |request| {
        if request.starts_with("PUT /v1/session/create") {
            std::thread::sleep(Duration::from_millis(20));
        }
        Act::Forward
    })
}

#[test]
fn a_run_that_is_stopped_says_what_is_done_and_the_next_one_finishes() {
    const ALL: usize = 400;
    for (signal, format) in [("TERM", "text"), ("INT", "json"), ("TERM", "markdown")] {
        let agent = agent();
        let lab = Lab::at(&slow(&agent).address());
        lab.spec(&many(ALL, 10));
        let running = lab.start(&format!("apply s.yaml --yes --parallelism 4 -o {format}"));
        until("some are made", || made(&agent) > 20);
        running.signal(signal);
        let ran = running.end();
        assert_eq!(ran.code, Some(1), "{ran}");
        let done = made(&agent);
        assert!((21..ALL).contains(&done), "{done}");
        let told =
            format!("error: {done} of {} objects were changed, the rest was not: it was asked to stop", ALL + 10);
        assert!(ran.stderr.contains(&told) && !ran.stderr.contains("panicked"), "{ran}");
        match format {
            "json" => {
                let document: Value = serde_json::from_str(&ran.stdout).unwrap();
                let count = |list: &str| document[list].as_array().unwrap().len();
                assert_eq!((count("done"), count("not_done")), (done, ALL + 10 - done));
                assert!(document["error"].as_str().unwrap().contains("asked to stop"));
            }
            "text" => assert_eq!(ran.stdout.matches("\n  done: ").count(), done),
            _ => assert_eq!(ran.stderr.matches("\n  not done: key many/").count(), 10),
        }
        assert_no_lock(&agent);
        let direct = lab.with_files_at(&agent);
        let report = direct.json("apply s.yaml --yes -o json");
        assert_eq!(report["done"].as_array().unwrap().len(), ALL + 10 - done);
        assert_eq!(made(&agent), ALL);
        direct.is_settled();
    }
}

#[test]
fn a_kill_at_any_moment_then_a_run_comes_to_the_same_end() {
    let agent = agent();
    let lab = Lab::of(&agent);
    for round in 0..8_u64 {
        lab.spec(&many(60, 200).replace("value: v", &format!("value: v{round}")));
        let mut running = lab.start("apply s.yaml --yes --parallelism 2");
        // From before the lock to somewhere in the middle: what counts is that the end is the same wherever it was.
        std::thread::sleep(Duration::from_millis(15 + 35 * round));
        if running.is_running() {
            running.signal("KILL");
        }
        running.end();
        end_locks(&agent);
        if round % 2 == 1 {
            lab.ok("apply s.yaml --yes");
            assert_eq!(made(&agent), 60);
            assert_eq!(value(&agent, "many/0199"), Some(format!("v{round}")));
            assert_eq!(lab.ok("owner show team").matches("\towned\t").count(), 260);
            lab.is_settled();
            assert_no_lock(&agent);
        }
        if round == 3 {
            let mut running = lab.start("destroy s.yaml --yes");
            std::thread::sleep(Duration::from_millis(60));
            if running.is_running() {
                running.signal("KILL");
            }
            running.end();
            end_locks(&agent);
        }
    }
    lab.ok("destroy s.yaml --yes");
    assert_eq!((made(&agent), agent.tree("")), (0, Vec::new()));
}

#[test]
fn two_applies_at_once_come_one_after_the_other() {
    let agent = agent();
    let (one, other) = (Lab::of(&agent), Lab::of(&agent));
    one.spec(&many(100, 100));
    other.spec(&many(100, 100).replace("value: v", "value: w"));
    let (first, second) = (one.start("apply s.yaml --yes"), other.start("apply s.yaml --yes"));
    let (first, second) = (first.end(), second.end());
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{first}{second}");
    assert_eq!(made(&agent), 100);
    let last = value(&agent, "many/0000").unwrap();
    assert!(agent.tree("many/").iter().all(|key| key["Value"] == agent.tree("many/")[0]["Value"]), "not one of each");
    if last == "v" { &one } else { &other }.is_settled();
    assert_no_lock(&agent);
    // Whoever cannot wait is told who is at work.
    let holder = agent.create_session(&json!({"Name": "lictor: team (elsewhere 1)", "LockDelay": "0s"}));
    let told = json!({"host": "elsewhere", "pid": 1, "since": "2030-01-01T00:00:00Z"});
    agent.put(&format!("/v1/kv/lictor/locks/team?acquire={holder}"), &told);
    one.spec("keys: [{key: new, value: x}]");
    snapshot("locked", &[one.run("apply s.yaml --yes --lock-timeout 1s")]);
    let waiting = one.start("apply s.yaml --yes");
    until("it waits", || {
        agent.session_ids("lictor: team (elsewhere 1)").len() + agent.get("/v1/session/list").as_array().unwrap().len()
            > 102
    });
    waiting.signal("TERM");
    let ran = waiting.end();
    assert!(ran.code == Some(1) && ran.stderr.contains("asked to stop"), "{ran}");
    agent.put(&format!("/v1/session/destroy/{holder}"), &json!(""));
    one.ok("apply s.yaml --yes");
}

#[test]
fn any_parallelism_comes_to_the_same() {
    let agent = agent();
    let lab = Lab::of(&agent);
    for parallelism in [1, 3, 64] {
        lab.spec(&many(50, 300));
        lab.ok(&format!("apply s.yaml --yes --parallelism {parallelism}"));
        assert_eq!((made(&agent), agent.tree("many/").len()), (50, 300));
        lab.is_settled();
        lab.ok(&format!("destroy s.yaml --yes --parallelism {parallelism}"));
        assert_eq!((made(&agent), agent.tree("")), (0, Vec::new()));
    }
}

/// A proxy which answers the request of this number, among those that begin so, in its own way.
fn answering(agent: &Agent, start: &'static str, number: usize, act: Act) -> Proxy {
    let count = AtomicUsize::new(0);
    Proxy::start(&agent.address(), move |request| {
        if request.starts_with(start) && count.fetch_add(1, Ordering::SeqCst) == number {
            act.clone()
        } else {
            Act::Forward
        }
    })
}

#[test]
fn an_agent_that_is_out_of_order_for_a_moment() {
    let no_leader = || status(500, "No cluster leader");
    let too_many = || status(429, "rate limit exceeded");
    // Consul says that it did nothing: the request is repeated.
    for (start, act) in [
        ("PUT /v1/session/create", no_leader()),
        ("PUT /v1/txn", no_leader()),
        ("PUT /v1/session/create", too_many()),
        ("PUT /v1/txn", too_many()),
        ("GET /v1/kv/many", no_leader()),
        ("GET /v1/session", too_many()),
    ] {
        let agent = agent();
        let lab = Lab::at(&answering(&agent, start, 2, act).address());
        lab.spec(&many(10, 200));
        let ran = lab.run("apply s.yaml --yes");
        assert_eq!((ran.code, made(&agent)), (Some(0), 10), "{start}: {ran}");
        lab.with_files_at(&agent).is_settled();
    }
}

#[test]
fn an_agent_that_fails_in_the_middle() {
    // Nobody knows what an agent did that says 500, or breaks off.
    for (start, number, act) in [
        ("PUT /v1/session/create", 5, status(500, "out of order")),
        ("PUT /v1/session/create", 5, Act::ForwardAndClose),
        ("PUT /v1/session/create", 5, Act::Raw(Vec::new())),
        ("PUT /v1/txn", 2, status(500, "out of order")),
        ("PUT /v1/txn", 2, Act::ForwardAndClose),
        ("PUT /v1/agent/service/register", 0, status(500, "out of order")),
        ("GET /v1/kv/many/0100", 0, status(500, "out of order")),
    ] {
        let agent = agent();
        let lab = Lab::at(&answering(&agent, start, number, act.clone()).address());
        lab.spec(&format!("services: [{{name: web, node: node1, port: 80}}]\n{}", many(10, 300)));
        let ran = lab.run("apply s.yaml --yes --parallelism 1");
        let case = format!("{start} {number} {act:?}");
        let direct = lab.with_files_at(&agent);
        if ran.code != Some(0) {
            assert_eq!(ran.code, Some(1), "{case}: {ran}");
            assert!(ran.stderr.starts_with("error: "), "{case}: {ran}");
            if start.starts_with("GET") {
                assert_eq!(
                    (made(&agent), agent.tree("")),
                    (0, Vec::new()),
                    "a read that failed comes before any write"
                );
            } else {
                assert!(ran.stdout.contains("not done: key many/0299"), "{case}: {ran}");
            }
            direct.ok("apply s.yaml --yes");
        }
        assert_eq!((made(&agent), agent.tree("many/").len()), (10, 300), "{case}");
        assert_eq!(direct.ok("owner show team").matches("\towned\t").count(), 311, "{case}");
        direct.is_settled();
        assert_no_lock(&agent);
    }
}

#[test]
fn a_record_that_is_not_as_it_was_written() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("keys: [{key: a, value: x}, {key: b, value: x}]");
    lab.ok("apply s.yaml --yes");
    let record = value(&agent, "lictor/owners/team").unwrap();
    lab.spec("keys: [{key: a, value: y}]");
    lab.file("others.yaml", "version: 1\nowner: others\nkeys: [{key: c, value: x}]\n");
    let mut ran = Vec::new();
    for damaged in [
        record.replace("\"key b\"", "\"key c\""),
        record[..record.len() / 2].to_owned(),
        record.replace("\"version\": 1", "\"version\": 2"),
        "not JSON".to_owned(),
    ] {
        agent.put("/v1/kv/lictor/owners/team", &json!(damaged));
        let before = world(&agent);
        ran.push(lab.run("apply s.yaml --yes --prune"));
        // Nobody can tell what it has: so nobody else makes anything either.
        assert_eq!(lab.run("apply others.yaml --yes").code, Some(1));
        assert_eq!(lab.run("owner list").code, Some(1));
        assert_eq!(world(&agent), before);
    }
    snapshot("record_damaged", &ran);
    agent.put("/v1/kv/lictor/owners/team", &json!(record));
    lab.ok("apply s.yaml --yes --prune");
}

#[test]
fn a_token_that_may_read_but_not_write() {
    const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";
    let tokens = json!({"master": MASTER, "agent": MASTER});
    let config = json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": tokens}});
    let agent = Agent::start(Options { config, token: Some(MASTER.to_owned()), ..Options::default() });
    let token = |rules: &str| {
        let name = unique("policy");
        agent.put("/v1/acl/policy", &json!({"Name": name, "Rules": rules}));
        let made = agent.put("/v1/acl/token", &json!({"Policies": [{"Name": name}]}));
        serde_json::from_str::<Value>(&made).unwrap()["SecretID"].as_str().unwrap().to_owned()
    };
    let read = r#"key_prefix "" { policy = "read" } node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }
        session_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;
    let reader = token(read);
    let lab = Lab::of(&agent).env("CONSUL_HTTP_TOKEN", &reader);
    lab.spec(
        "sessions: [{name: s, node: node1}]\nkeys: [{key: a, value: x, session: s}]\nservices: [{name: web, node: node1}]",
    );
    let before = world(&agent);
    let planned = lab.run("plan s.yaml --out plan.json");
    let said = lab.run("apply s.yaml --yes");
    assert!(planned.code == Some(0) && said.code == Some(1), "{planned}{said}");
    assert!(said.stderr.contains("\nhint: the token needs `session \"NODE\" { policy = \"write\" }`"), "{said}");
    assert!(!format!("{said}{planned}{}", lab.read("plan.json")).contains(&reader));
    assert_eq!(world(&agent), before);
    // It may keep the books, and nothing else.
    let books =
        token(&format!(r#"{read} key_prefix "lictor/" {{ policy = "write" }} session "node1" {{ policy = "write" }}"#));
    let lab = lab.env("CONSUL_HTTP_TOKEN", &books);
    let said = lab.run("apply s.yaml --yes");
    assert!(said.code == Some(1) && said.stderr.contains("no object was changed"), "{said}");
    assert!(
        said.stderr.contains("service node1/web") && said.stderr.contains("hint: the token needs `service"),
        "{said}"
    );
    let lab = lab.env("CONSUL_HTTP_TOKEN", MASTER);
    lab.ok("apply s.yaml --yes");
    // A node that a token may not see may be there.
    let blind = token(
        r#"key_prefix "" { policy = "read" } session_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#,
    );
    let lab = lab.env("CONSUL_HTTP_TOKEN", &blind);
    lab.file("other.yaml", "version: 1\nowner: other\nsessions: [{name: o, node: node1}]\n");
    let said = lab.ok("plan other.yaml");
    assert!(said.contains("1 to create") && !said.contains("refused"), "{said}");
    // One that sees nothing finds nothing out.
    let lab = lab.env("CONSUL_HTTP_TOKEN", &token(r#"agent_prefix "" { policy = "read" }"#));
    let said = lab.fails("plan s.yaml --prune", 1);
    assert!(said.contains("may not see") || said.contains("Permission denied"), "{said}");
}
