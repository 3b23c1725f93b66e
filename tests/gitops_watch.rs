//! `lictor apply --watch` and `--interval`, as a shell sees them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use support::Agent;
use support::agent::Options;
use support::lab::{Lab, Running, until, value};
use support::proxy::{Act, Proxy, status};

fn agent() -> Agent {
    Agent::start(Options::default())
}

const SPEC: &str = r#"
sessions: [{name: leader, node: node1, checks: [], delay: 0s}]
keys:
  - {key: app/a, value: a}
  - {key: app/leader, value: here, session: leader}
services: [{name: web, node: node1, port: 80}]
"#;

/// Ends it by a signal, which is no failure.
#[track_caller]
fn ends(mut watch: Running, signal: &str) {
    assert!(watch.is_running(), "{}{}", watch.stdout(), watch.stderr());
    watch.signal(signal);
    let ran = watch.end();
    assert!(ran.code == Some(0) && !ran.stderr.contains("panicked"), "{ran}");
}

#[test]
fn what_somebody_changes_is_put_right() {
    for flags in ["--watch", "--interval 1s", "--watch --interval 1h"] {
        let agent = agent();
        let lab = Lab::of(&agent);
        lab.spec(SPEC);
        let watch = lab.start(&format!("apply s.yaml --yes --prune {flags}"));
        let is = |wanted: &str| value(&agent, "app/a").as_deref() == Some(wanted);
        until("it is made", || is("a") && !agent.session_ids("leader").is_empty());
        let held = || agent.tree("app/leader").first().and_then(|key| key["Session"].as_str().map(ToOwned::to_owned));
        until("it is held", || held().is_some());

        agent.put("/v1/kv/app/a", &json!("somebody's"));
        until("a key is put right", || is("a"));
        agent.delete("/v1/kv/app/a");
        until("a key is back", || is("a"));

        let leader = agent.session_ids("leader").remove(0);
        agent.put(&format!("/v1/session/destroy/{leader}"), &json!(""));
        until("a session is back, and holds its key", || held().is_some_and(|id| id != leader));

        let port = || agent.get("/v1/agent/services")["web"]["Port"].as_u64();
        until("the service is there", || port() == Some(80));
        agent.put("/v1/agent/service/register", &json!({"Name": "web", "Port": 99}));
        until("a service is put right", || port() == Some(80));
        agent.put("/v1/agent/service/deregister/web", &json!(""));
        until("a service is back", || port() == Some(80));

        assert_eq!(watch.stderr(), "", "{}", watch.stdout());
        assert!(watch.stdout().matches("Done: ").count() >= 5, "{}", watch.stdout());
        ends(watch, if flags.len() % 2 == 0 { "INT" } else { "TERM" });
        assert_eq!(agent.tree("lictor/locks/").len(), 0);
    }
}

#[test]
fn specs_that_are_edited_count_from_the_next_round_and_broken_ones_end_nothing() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("sessions: [{name: short, node: node1, ttl: 10s, checks: []}]\nkeys: [{key: a, value: one}, {key: b, value: x}]");
    let watch = lab.start("apply s.yaml --yes --prune --watch --interval 1s");
    until("it is made", || value(&agent, "a").as_deref() == Some("one"));
    let short = agent.session_ids("short");

    lab.spec("sessions: [{name: short, node: node1, ttl: 10s, checks: []}]\nkeys: [{key: a, value: two}]");
    until("an edit counts", || value(&agent, "a").as_deref() == Some("two") && value(&agent, "b").is_none());

    lab.spec("key: [{key: a, value: three}]");
    until("a fault is told", || watch.stderr().contains("did you mean keys?"));
    // However long that takes, sessions are kept alive: Consul ends one after 10 to 20 s.
    std::thread::sleep(Duration::from_secs(24));
    assert_eq!(agent.session_ids("short"), short, "{}", watch.stderr());
    assert_eq!(watch.stderr().matches("did you mean keys?").count(), 1, "once is enough: {}", watch.stderr());
    assert_eq!(value(&agent, "a").as_deref(), Some("two"));

    agent.put("/v1/kv/theirs", &json!("x"));
    lab.spec("sessions: [{name: short, node: node1, ttl: 10s, checks: []}]\nkeys: [{key: theirs, value: y}]");
    until("a refusal is told", || watch.stdout().contains("it exists, is not as declared, and nobody's"));
    lab.spec("datacenter: dc2\nkeys: [{key: a, value: x}]");
    until("another place is refused", || watch.stderr().contains("another place than at the start"));

    lab.spec("sessions: [{name: short, node: node1, ttl: 10s, checks: []}]\nkeys: [{key: a, value: four}]");
    until("it goes on", || value(&agent, "a").as_deref() == Some("four"));
    assert_eq!(agent.session_ids("short"), short);
    ends(watch, "TERM");
}

#[test]
fn sessions_with_a_ttl_live_on_while_another_run_holds_the_lock() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let spec = "sessions: [{name: short, node: node1, ttl: 10s, checks: []}]\nkeys: [{key: a, value: VALUE}]";
    lab.spec(&spec.replace("VALUE", "one"));
    let watch = lab.start("apply s.yaml --yes --watch --lock-timeout 2s");
    until("it is made", || value(&agent, "a").as_deref() == Some("one"));
    until("it rests", || watch.stdout().contains("Done"));
    let short = agent.session_ids("short");
    let other = agent.create_session(&json!({"Name": "other", "Checks": [], "LockDelay": "0s"}));
    until("the lock is free", || {
        agent.put(&format!("/v1/kv/lictor/locks/team?acquire={other}"), &json!("x")).trim() == "true"
    });
    agent.put("/v1/kv/a", &json!("somebody's"));
    until("it cannot be put right", || watch.stderr().contains("another run for owner \"team\" is at work"));
    std::thread::sleep(Duration::from_secs(22));
    assert_eq!(agent.session_ids("short"), short, "{}", watch.stderr());
    agent.put(&format!("/v1/session/destroy/{other}"), &json!(""));
    until("it is put right", || value(&agent, "a").as_deref() == Some("one"));
    ends(watch, "TERM");
    until("nobody renews it any more", || agent.session_ids("short").is_empty());
}

#[test]
fn an_agent_that_is_away_for_a_while() {
    let agent = agent();
    let away = Arc::new(AtomicBool::new(false));
    let is_away = away.clone();
    let proxy = Proxy::start(&agent.address(), move |_| match is_away.load(Ordering::SeqCst) {
        true => status(500, "No cluster leader"),
        false => Act::Forward,
    });
    let lab = Lab::at(&proxy.address());
    lab.spec(SPEC);
    let watch = lab.start("apply s.yaml --yes --watch --interval 1s --timeout 1s");
    // What somebody changes before the owner's record has it is refused, for it may be theirs.
    until("it is made and recorded", || watch.stdout().contains("Done"));
    away.store(true, Ordering::SeqCst);
    agent.put("/v1/kv/app/a", &json!("somebody's"));
    until("it is told", || watch.stderr().contains("No cluster leader"));
    assert_eq!(value(&agent, "app/a").as_deref(), Some("somebody's"));
    away.store(false, Ordering::SeqCst);
    until("it is put right", || value(&agent, "app/a").as_deref() == Some("a"));
    ends(watch, "TERM");
}

#[test]
fn an_agent_that_is_started_anew_and_knows_nothing() {
    let agent = agent();
    let port = agent.address().rsplit(':').next().unwrap().parse().unwrap();
    // So that the new agent's indexes are lower than those that the watch knows.
    for round in 0..50 {
        agent.put("/v1/kv/other", &json!(round));
    }
    let lab = Lab::of(&agent);
    lab.spec(SPEC);
    let watch = lab.start("apply s.yaml --yes --watch");
    until("it is made", || value(&agent, "app/leader").as_deref() == Some("here"));
    drop(agent);
    let agent = Agent::start(Options { at: Some(("127.0.0.1".to_owned(), port)), ..Options::default() });
    until("all is made anew", || value(&agent, "app/leader").as_deref() == Some("here"));
    ends(watch, "TERM");
}

#[test]
fn an_idle_watch_asks_each_thing_once_a_wait() {
    let agent = agent();
    let proxy = Proxy::start(&agent.address(), |_| Act::Forward);
    let lab = Lab::at(&proxy.address());
    lab.spec(SPEC);
    let watch = lab.start("apply s.yaml --yes --watch");
    until("it is made", || watch.stdout().contains("Done"));
    // What it has written itself is news to it, once.
    until("it rests", || {
        let before = proxy.seen().len();
        std::thread::sleep(Duration::from_secs(2));
        before == proxy.seen().len()
    });
    let rested = proxy.seen();
    std::thread::sleep(Duration::from_secs(40));
    let since = proxy.seen()[rested.len()..].to_vec();
    // Sessions of a node, a node's services, two keys, and the record: none more often than once in 60 s.
    for request in &since {
        assert!(request.contains("wait=60s"), "{since:?}");
        assert_eq!(since.iter().filter(|other| path(other) == path(request)).count(), 1, "{since:?}");
    }
    ends(watch, "TERM");
}

fn path(request: &str) -> &str {
    request.split('?').next().unwrap_or_default()
}

#[test]
fn two_watches_that_undo_each_other_go_on_until_they_are_stopped() {
    let agent = agent();
    let (one, other) = (Lab::of(&agent), Lab::of(&agent));
    one.spec("keys: [{key: a, value: one}]");
    other.spec("keys: [{key: a, value: other}]");
    let (first, second) = (one.start("apply s.yaml --yes --watch"), other.start("apply s.yaml --yes --watch"));
    let turns = |watch: &Running| watch.stdout().matches("Done").count();
    until("each has had several turns", || turns(&first) > 5 && turns(&second) > 5);
    ends(first, "TERM");
    until("the other one has the last word", || value(&agent, "a").as_deref() == Some("other"));
    ends(second, "TERM");
}
