//! Membership and double barriers of the library, against a real agent.

mod support;

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lictor::consul::{Client, Query};
use lictor::coordinate::{Cancel, DoubleBarrier, Error, MEMBER_FLAGS, Membership, Session, SessionOptions, Why};
use serde_json::{Value, json};
use support::recipe::client;
use support::{Agent, module, unique};

fn session(client: &Client) -> Session {
    Session::start(client, &Query::default(), &Membership::session()).unwrap()
}

fn party(client: &Client, path: &str) -> Membership {
    Membership::new(client, &Query::default(), path).unwrap()
}

fn names(party: &Membership) -> Vec<String> {
    party.members().unwrap().into_iter().map(|member| member.identifier).collect()
}

fn end(session: &Session) {
    Agent::shared().put(&format!("/v1/session/destroy/{}", session.id()), &json!(""));
}

#[test]
fn members_are_those_who_joined_and_have_not_left_or_been_killed() {
    let (client, path) = (client(), unique("party/members"));
    let (first, second, party) = (session(&client), session(&client), party(&client, &path));
    assert_eq!(names(&party), Vec::<String>::new());
    let b = party.join(&first, "b").unwrap();
    let a = party.join(&second, "a").unwrap();
    assert_eq!(names(&party), ["a", "b"]);
    let member = party.members().unwrap().remove(0);
    assert_eq!((member.session.as_str(), member.host.is_some(), member.since.is_some()), (second.id(), true, true));
    b.leave().unwrap();
    assert_eq!(names(&party), ["a"]);
    assert_eq!(Agent::shared().tree(&path).len(), 1, "whoever leaves takes its key along");
    end(&second);
    assert_eq!(names(&party), Vec::<String>::new(), "its session has ended");
    assert_eq!(a.lost().wait(), Why::KeyLost);
    assert!(matches!(a.leave(), Err(Error::SessionLost { .. })));
    assert_eq!(Agent::shared().tree(&path).len(), 0, "its key went with its session");
}

#[test]
fn a_key_without_a_live_session_is_no_member_nor_is_anything_else_below_the_path() {
    let (agent, client, path) = (Agent::shared(), client(), unique("party/keys"));
    let options = SessionOptions { delete_keys: false, ..Membership::session() };
    let ours = Session::start(&client, &Query::default(), &options).unwrap();
    let party = party(&client, &format!("{path}/"));
    let _place = party.join(&ours, "stays").unwrap();
    agent.put(&format!("/v1/kv/{path}/data?flags=0"), &json!("x"));
    let other = agent.create_session(&json!({"LockDelay": "0s"}));
    agent.lock(&format!("{path}/deeper/key"), &other);
    agent.lock(&format!("{path}-beside/key"), &other);
    agent.lock(&format!("{path}/plain"), &other);
    let barrier = DoubleBarrier::new(&client, &Query::default(), &path, 1).unwrap();
    let entered = barrier.enter(&ours, "at-the-barrier", None, None).unwrap().unwrap();
    assert_eq!(names(&party), ["plain", "stays"], "whoever acquires a key there by hand is there too");
    assert!(entered.leave(None, None).unwrap());
    end(&ours);
    assert_eq!(names(&party), ["plain"]);
    assert_eq!(agent.get(&format!("/v1/kv/{path}/stays"))[0]["Flags"], json!(MEMBER_FLAGS), "its key is still there");
    agent.put(&format!("/v1/session/destroy/{other}"), &json!(""));
}

#[test]
fn an_identifier_is_one_members_at_a_time() {
    let (agent, client, path) = (Agent::shared(), client(), unique("party/taken"));
    let (first, second, party) = (session(&client), session(&client), party(&client, &path));
    let place = party.join(&first, "a").unwrap();
    assert!(matches!(party.join(&second, "a"), Err(Error::Taken { .. })));
    assert!(party.join_or(&second, "a", Some(Duration::from_millis(50)), None).unwrap().is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| party.join_or(&second, "a", None, None).unwrap().is_some());
        place.leave().unwrap();
        assert!(waiter.join().unwrap());
    });
    for identifier in ["", "a/b", ".ready", "a\nb"] {
        party.join(&first, identifier).unwrap_err();
    }
    agent.put(&format!("/v1/kv/{path}/data?flags=42"), &json!("x"));
    assert!(matches!(party.join(&first, "data"), Err(Error::Conflict { .. })));
}

#[test]
fn whoever_waits_for_members_gets_the_list_that_was_long_enough() {
    let (client, path) = (client(), unique("party/wait"));
    let (ours, party) = (session(&client), party(&client, &path));
    let soon = Some(Duration::from_millis(50));
    assert!(party.wait_for(1, soon, None).unwrap().is_none());
    assert_eq!(party.wait_for(0, soon, None).unwrap(), Some(Vec::new()));
    let _one = party.join(&ours, "one").unwrap();
    assert!(party.wait_for(2, soon, None).unwrap().is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| party.wait_for(2, None, None).unwrap().unwrap());
        let _two = party.join(&ours, "two").unwrap();
        let members = waiter.join().unwrap();
        assert_eq!(members.iter().map(|member| member.identifier.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    });
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(party.wait_for(2, None, Some(&cancel)).unwrap().is_none());
}

#[test]
fn at_a_barrier_nobody_begins_before_all_are_there_and_nobody_goes_on_before_all_are_done() {
    const MANY: usize = 8;
    const ROUNDS: usize = 3;
    let (client, path) = (client(), unique("barrier/many"));
    let barrier = DoubleBarrier::new(&client, &Query::default(), &path, MANY).unwrap();
    let (begun, done): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (AtomicUsize::new(0), AtomicUsize::new(0))).unzip();
    std::thread::scope(|scope| {
        for number in 0..MANY {
            let (barrier, begun, done, client) = (&barrier, &begun, &done, &client);
            scope.spawn(move || {
                let ours = session(client);
                for round in 0..ROUNDS {
                    begun[round].fetch_add(1, Ordering::SeqCst);
                    let entered = barrier.enter(&ours, &format!("n{number}"), None, None).unwrap().unwrap();
                    assert_eq!(begun[round].load(Ordering::SeqCst), MANY, "somebody is missing");
                    done[round].fetch_add(1, Ordering::SeqCst);
                    assert!(entered.leave(None, None).unwrap());
                    assert_eq!(done[round].load(Ordering::SeqCst), MANY, "somebody is not done");
                }
            });
        }
    });
    assert_eq!(Agent::shared().tree(&path), Vec::<Value>::new());
}

#[test]
fn whoever_is_killed_inside_a_barrier_holds_nobody_up_and_who_comes_late_waits_for_the_next_round() {
    let (client, path) = (client(), unique("barrier/killed"));
    let barrier = DoubleBarrier::new(&client, &Query::default(), &path, 2).unwrap();
    let (first, second, third) = (session(&client), session(&client), session(&client));
    let soon = Some(Duration::from_millis(300));
    assert!(barrier.enter(&first, "a", soon, None).unwrap().is_none(), "alone");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| barrier.enter(&second, "b", None, None).unwrap().unwrap());
        let ours = barrier.enter(&first, "a", None, None).unwrap().unwrap();
        let killed = other.join().unwrap();
        assert!(barrier.enter(&third, "late", soon, None).unwrap().is_none(), "the round is under way");
        assert!(matches!(barrier.enter(&third, "a", soon, None), Err(Error::Taken { .. })));
        let waiter = scope.spawn(|| ours.leave(None, None).unwrap());
        end(&second);
        assert!(waiter.join().unwrap());
        assert_eq!(killed.lost().wait(), Why::KeyLost);
        std::mem::forget(killed);
    });
    assert_eq!(Agent::shared().tree(&path), Vec::<Value>::new());
}

#[test]
fn a_round_whose_members_were_all_killed_is_cleared_away() {
    let (client, path) = (client(), unique("barrier/dead"));
    let barrier = DoubleBarrier::new(&client, &Query::default(), &path, 1).unwrap();
    let (first, second) = (session(&client), session(&client));
    std::mem::forget(barrier.enter(&first, "a", None, None).unwrap().unwrap());
    end(&first);
    let left = barrier.enter(&second, "b", None, None).unwrap().unwrap().leave(None, None).unwrap();
    assert!(left);
    assert_eq!(Agent::shared().tree(&path), Vec::<Value>::new());
}

#[test]
fn those_who_expect_other_numbers_are_told() {
    let (client, path) = (client(), unique("barrier/count"));
    let (first, second) = (session(&client), session(&client));
    let barrier = |count| DoubleBarrier::new(&client, &Query::default(), &path, count);
    assert!(barrier(0).is_err());
    let cancel = Cancel::new();
    let two = barrier(2).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| two.enter(&first, "a", None, Some(&cancel)).map(|entered| entered.is_none()));
        while Agent::shared().tree(&path).is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let told = barrier(3).unwrap().enter(&second, "b", None, None).map(drop);
        assert!(matches!(&told, Err(Error::Count { ours: 3, theirs: 2, .. })), "{told:?}");
        cancel.cancel();
        assert!(waiter.join().unwrap().unwrap(), "whoever came first is not disturbed");
    });
}

#[test]
fn no_session_is_left_behind() {
    let (client, name, path) = (client(), unique("party/left"), unique("party/left"));
    let options = SessionOptions { name: name.clone(), ..Membership::session() };
    let start = || Session::start(&client, &Query::default(), &options).unwrap();
    let (left, dropped) = (start(), start());
    let party = party(&client, &path);
    party.join(&left, "a").unwrap().leave().unwrap();
    left.release().unwrap();
    drop(party.join(&dropped, "b").unwrap());
    drop(dropped);
    assert_eq!(Agent::shared().sessions(&name), Vec::<Value>::new());
    assert_eq!(names(&party), Vec::<String>::new());
}

/// Runs `lictor` in an environment that holds the agent's address and a path, and nothing else.
fn lictor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lictor"));
    command.args(arguments).env_clear().env("CONSUL_HTTP_ADDR", Agent::shared().address()).env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = lictor(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Waits until the party has this many members.
fn has(party: &Membership, count: usize) {
    assert!(party.wait_for(count, Some(Duration::from_secs(30)), None).unwrap().is_some());
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
}

#[test]
fn by_command_one_is_there_until_a_signal_or_the_end_of_its_command() {
    let (client, path) = (client(), unique("party/cli"));
    let party = party(&client, &path);
    let stays = lictor(&["party", "join", &path, "--identifier", "stays"]).spawn().unwrap();
    has(&party, 1);
    let (code, members, _) = run(&["party", "members", &path, "-o", "json"]);
    let members: Value = serde_json::from_str(&members).unwrap();
    assert_eq!((code, &members[0]["identifier"]), (0, &json!("stays")));
    assert_eq!(run(&["party", "join", &path, "--identifier", "stays"]).0, 120);
    assert_eq!(run(&["party", "join", &path, "--identifier", "stays", "--timeout", "50ms"]).0, 124);
    assert_eq!(run(&["party", "wait", &path, "--min", "2", "--timeout", "50ms"]).0, 124);
    assert!(run(&["party", "wait", &path, "--min", "1"]).1.starts_with("stays\t"));
    let list = format!("{} party members {path}", env!("CARGO_BIN_EXE_lictor"));
    let (code, both, _) =
        run(&["party", "join", &path, "--identifier", "other", "--", "sh", "-c", &format!("{list}; exit 5")]);
    assert_eq!((code, both.lines().count()), (5, 2));
    assert_eq!(names(&party), ["stays"]);
    terminate(&stays);
    let output = stays.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"joined\tstays\n"[..]), "{output:?}");
    assert_eq!(names(&party), Vec::<String>::new());
    let killed = lictor(&["party", "join", &path, "--", "sleep", "600"]).spawn().unwrap();
    has(&party, 1);
    let session = party.members().unwrap().remove(0).session;
    Agent::shared().put(&format!("/v1/session/destroy/{session}"), &json!(""));
    assert_eq!(killed.wait_with_output().unwrap().status.code(), Some(121), "its place was lost");
    assert_eq!(Agent::shared().sessions(&format!("lictor party {path}")), Vec::<Value>::new());
}

#[test]
fn by_command_all_meet_at_a_barrier() {
    let path = unique("barrier/cli");
    let start = |name: &str| {
        lictor(&["party", "barrier", &path, "--count", "2", "--identifier", name, "--", "sh", "-c", "exit 4"])
            .spawn()
            .unwrap()
    };
    assert_eq!(run(&["party", "barrier", &path, "--count", "2", "--timeout", "50ms", "--", "true"]).0, 124);
    for child in [start("a"), start("b")] {
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(4));
    }
    assert_eq!(run(&["party", "barrier", &path, "--count", "0", "--", "true"]).0, 64);
    assert_eq!(Agent::shared().tree(&path), Vec::<Value>::new());
    assert_eq!(Agent::shared().sessions(&format!("lictor party {path}")), Vec::<Value>::new());
}

#[test]
fn the_module_tells_who_is_there_and_waits_for_enough() {
    let (agent, client, path) = (Agent::shared(), client(), unique("party/module"));
    let call = |options: Value| {
        let mut options = options;
        options["path"] = json!(path);
        module("consul_party_info", options).at(&agent.address())
    };
    let none = call(json!({})).run().ok();
    assert_eq!((&none["members"], &none["met"], &none["changed"]), (&json!([]), &json!(false), &json!(false)));
    let late = call(json!({"blocking": true, "timeout": "300ms"}));
    assert_eq!(late.clone().run().fails_with(&["fewer than 1"])["reason"], json!("too_few"));
    assert_eq!(late.check_mode().run().ok()["met"], json!(false), "check mode does not wait");
    let (ours, party) = (session(&client), party(&client, &path));
    let waiting = call(json!({"min_nodes": 2, "blocking": true, "timeout": "30s"})).spawn();
    let _places = ["a", "b"].map(|name| party.join(&ours, name).unwrap());
    let found = support::finish(waiting).ok();
    assert_eq!((&found["identifiers"], &found["met"]), (&json!(["a", "b"]), &json!(true)));
    assert_eq!(found["members"][0]["session"], json!(ours.id()));
    assert_eq!(call(json!({"min_nodes": 3})).run().ok()["met"], json!(false));
    end(&ours);
    assert_eq!(call(json!({"min_nodes": 0})).run().ok()["identifiers"], json!([]), "they were killed");
    module("consul_party_info", json!({})).run().fails_with(&["missing required arguments: path"]);
    call(json!({"min_nodes": -1})).run().fails_with(&["min_nodes"]);
    module("consul_party_info", json!({"path": "a//b"})).at(&agent.address()).run().fails_with(&["a/b"]);
}
