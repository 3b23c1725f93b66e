//! Holds that outlast their process: `lictor lock acquire|release|holders|why|resize|force-unlock`, and permits of `lock run`.

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lictor::consul::Query;
use lictor::coordinate::SEMAPHORE_FLAGS;
use serde_json::{Value, json};
use support::lab::{Lab, until};
use support::proxy::{Act, Proxy, status};
use support::recipe::client;
use support::{Agent, module, unique};

fn lab() -> Lab {
    Lab::of(Agent::shared()).env("PATH", &std::env::var("PATH").unwrap())
}

fn sessions_of(path: &str) -> Vec<Value> {
    let all = Agent::shared().get("/v1/session/list");
    let of = |session: &&Value| session["Name"].as_str().is_some_and(|name| name.contains(path));
    all.as_array().unwrap().iter().filter(of).cloned().collect()
}

fn keys_of(path: &str) -> Vec<String> {
    client().kv().keys(&format!("{path}/"), None, &Query::default()).unwrap()
}

#[test]
fn a_hold_is_taken_by_one_process_and_released_by_another() {
    let (lab, path) = (lab(), unique("hold/one"));
    let taken = lab.json(&format!("lock acquire {path} --identifier web1 --reason upgrade -o json"));
    assert_eq!((&taken["action"], &taken["key"]), (&json!("acquired"), &json!(format!("{path}/.lock"))));
    let again = lab.json(&format!("lock acquire {path} --identifier web1 -o json"));
    assert_eq!((&again["action"], &again["token"]), (&json!("unchanged"), &taken["token"]));
    let session = sessions_of(&path);
    assert_eq!(session.len(), 1);
    assert_eq!((&session[0]["NodeChecks"], &session[0]["TTL"]), (&json!(["serfHealth"]), &json!("")));
    let busy = lab.fails(&format!("lock acquire {path} --identifier web2 --try"), 120);
    assert!(busy.contains("held by \"web1\"") && busy.contains("upgrade"), "{busy}");
    lab.fails(&format!("lock acquire {path} --identifier web2 --timeout 50ms"), 124);
    let node = Agent::shared().get("/v1/agent/self")["Config"]["NodeName"].as_str().unwrap().to_owned();
    let other = lab.fails(&format!("lock release {path} --identifier web2"), 3);
    assert!(other.contains("web1") && other.contains(&format!("on node {node}")), "{other}");
    assert!(other.contains("without a ttl"), "{other}");
    assert_eq!(lab.ok(&format!("lock release {path} --identifier web1")), format!("released\t{path}/.lock\n"));
    assert_eq!(lab.ok(&format!("lock release {path} --identifier web1")), format!("unchanged\t{path}/.lock\n"));
    assert_eq!(sessions_of(&path), Vec::<Value>::new());
    assert_eq!(keys_of(&path), Vec::<String>::new());
    // There is no lock-delay.
    lab.ok(&format!("lock acquire {path} --identifier web2 --try"));
    lab.ok(&format!("lock release {path} --identifier web2"));
}

#[test]
fn a_permit_is_one_of_so_many_and_an_identifier_has_one() {
    let (lab, path) = (lab(), unique("hold/permits"));
    for name in ["a", "b", "a"] {
        lab.ok(&format!("lock acquire {path} --limit 2 --identifier {name}"));
    }
    let found = lab.json(&format!("lock holders {path} -o json"));
    let names: Vec<_> = found["holders"].as_array().unwrap().iter().map(|one| one["identifier"].clone()).collect();
    assert_eq!(
        (&found["layout"], &found["limit"], names),
        (&json!("semaphore"), &json!(2), vec![json!("a"), json!("b")])
    );
    let busy = lab.fails(&format!("lock acquire {path} --limit 2 --identifier c --try"), 120);
    assert!(busy.contains("\"a\"") && busy.contains("\"b\""), "{busy}");
    let forced = lab.run(&format!("lock acquire {path} --limit 2 --identifier c --try --force -o json"));
    assert!(forced.stdout.contains("\"over_limit\": true"), "{forced}");
    assert!(forced.stderr.contains("over the limit"), "{forced}");
    lab.fails(&format!("lock acquire {path} --limit 3 --identifier d"), 122);
    lab.fails(&format!("lock acquire {path} --identifier d"), 122);
    lab.fails(&format!("lock run {path} -- true"), 122);
    lab.fails(&format!("lock run {path} --limit 3 -- true"), 122);
    assert_eq!(lab.ok(&format!("lock resize {path} 4")), format!("resized\t{path}/.lock\t2\t4\n"));
    lab.ok(&format!("lock acquire {path} --limit 4 --identifier d --try"));
    lab.fails(&format!("lock acquire {path} --limit 4 --identifier e --try"), 120);
    assert_eq!(lab.ok(&format!("lock resize {path} 4")), format!("unchanged\t{path}/.lock\t4\t4\n"));
    for name in ["a", "b", "c", "d"] {
        lab.ok(&format!("lock release {path} --identifier {name}"));
    }
    lab.ok(&format!("lock release {path} --identifier d"));
    assert_eq!(keys_of(&path), Vec::<String>::new(), "with the last permit the semaphore goes");
    lab.fails(&format!("lock resize {path} 2"), 1);
    assert_eq!(sessions_of(&path), Vec::<Value>::new());
}

#[test]
fn a_hold_ends_with_the_node_with_its_ttl_or_never() {
    let (lab, path) = (lab(), unique("hold/ephemeral"));
    lab.ok(&format!("lock acquire {path}/ever --ephemeral false"));
    lab.ok(&format!("lock acquire {path}/ttl --ephemeral false --ttl 5m"));
    let by = |name: &str| sessions_of(&format!("{path}/{name}"))[0].clone();
    assert_eq!((&by("ever")["NodeChecks"], &by("ever")["TTL"]), (&json!([]), &json!("")));
    assert_eq!(by("ttl")["TTL"], json!("5m"));
    for name in ["ever", "ttl"] {
        lab.ok(&format!("lock release {path}/{name}"));
    }
}

#[test]
fn why_names_the_holder_or_the_lock_delay_and_writes_nothing() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/why"));
    let why = |code| {
        let ran = lab.run(&format!("lock why {path}"));
        assert_eq!(ran.code, Some(code), "{ran}");
        assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
        ran.stdout
    };
    assert_eq!(why(0), format!("{path}/.lock: free\n"));
    lab.ok(&format!("lock acquire {path} --identifier web1 --ttl 1h --reason upgrade"));
    let session = sessions_of(&path)[0]["ID"].as_str().unwrap().to_owned();
    let node = agent.get("/v1/agent/self")["Config"]["NodeName"].as_str().unwrap().to_owned();
    let held = why(120);
    for part in ["\"web1\"", &session, &node, "since 20", "ttl of 1h", "upgrade"] {
        assert!(held.contains(part), "{part} in {held}");
    }
    agent.put(&format!("/v1/session/destroy/{session}"), &json!(""));
    agent.put(&format!("/v1/kv/{path}/data"), &json!(1));
    let before = agent.get(&format!("/v1/kv/{path}/?recurse"));
    let barred = why(120);
    assert!(barred.contains("lock-delay bars it: for 60 s at most"), "{barred}");
    assert_eq!(agent.get(&format!("/v1/kv/{path}/?recurse")), before);
    assert_eq!(sessions_of(&path), Vec::<Value>::new());
}

#[test]
fn why_tells_how_long_the_lock_delay_of_a_run_is_at_most() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/delay"));
    let mut run = lab
        .command(&format!("lock run {path} --lock-delay 7s -- sleep 600"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while lab.json(&format!("lock holders {path} -o json"))["holders"] == json!([]) {}
    let identifier = lab.json(&format!("lock holders {path} -o json"))["holders"][0]["identifier"].clone();
    // Though it has our identifier, a process's hold is not ours to release.
    let refused = lab.fails(&format!("lock release {path} --identifier {}", identifier.as_str().unwrap()), 3);
    assert!(refused.contains("nothing was done"), "{refused}");
    lab.fails(&format!("lock force-unlock {path}"), 64);
    lab.ok(&format!("lock force-unlock {path} --yes"));
    assert_eq!(run.wait().unwrap().code(), Some(121), "its command was ended");
    let barred = lab.run(&format!("lock why {path}"));
    assert!(barred.stdout.contains("for 7 s at most"), "{barred}");
    agent.delete(&format!("/v1/kv/{path}/.lock"));
}

#[test]
fn force_unlock_names_whom_it_cannot_choose_and_ends_one() {
    let (lab, path) = (lab(), unique("hold/force"));
    for name in ["a", "b"] {
        lab.ok(&format!("lock acquire {path} --limit 2 --identifier {name}"));
    }
    let refused = lab.fails(&format!("lock force-unlock {path} --yes"), 64);
    assert!(refused.contains("\"a\"") && refused.contains("\"b\""), "{refused}");
    lab.ok(&format!("lock force-unlock {path} --yes --identifier a"));
    lab.ok(&format!("lock acquire {path} --limit 2 --identifier c --try"));
    lab.fails(&format!("lock force-unlock {path} --yes --identifier a"), 1);
    for name in ["b", "c"] {
        lab.ok(&format!("lock force-unlock {path} --yes --identifier {name}"));
    }
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
}

#[test]
fn a_command_runs_under_a_permit() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/run"));
    let shown =
        lab.ok(&format!("lock run {path} --limit 2 --fair --shell -- 'echo $LICTOR_LOCK_KEY $LICTOR_FENCING_TOKEN'"));
    let key = shown.split(' ').next().unwrap();
    assert!(key.starts_with(&format!("{path}/")) && !key.ends_with(".lock"), "{shown}");
    assert_eq!(keys_of(&path), Vec::<String>::new());
    let start = || {
        let mut command = lab.command(&format!("lock run {path} --limit 2 -- sleep 600"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut runs = [start(), start()];
    let holders = || lab.json(&format!("lock holders {path} -o json"))["holders"].as_array().unwrap().clone();
    while holders().len() < 2 {}
    let busy = lab.fails(&format!("lock run {path} --limit 2 --try -- true"), 120);
    assert!(busy.contains("session "), "{busy}");
    let free = lab.run(&format!("lock why {path}"));
    assert!(free.stdout.contains("2 of 2 permits are held by"), "{free}");
    // The token of a permit is that of its own key.
    let holder = &holders()[0];
    let (session, token) = (holder["session"].as_str().unwrap(), holder["token"].as_u64().unwrap());
    lab.ok(&format!("fence verify {path}/{session} {token}"));
    lab.fails(&format!("fence verify {path}/{session} {}", token - 1), 121);
    for holder in holders() {
        agent.delete(&format!("/v1/kv/{path}/{}", holder["session"].as_str().unwrap()));
    }
    for run in &mut runs {
        assert_eq!(run.wait().unwrap().code(), Some(121), "its permit was taken away");
    }
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let lab = Lab::at("127.0.0.1:1");
    for line in [
        "lock acquire p --limit 0",
        "lock acquire p --ttl 9s",
        "lock acquire p --ttl 25h",
        "lock acquire p --identifier ''",
        "lock acquire p --force",
        "lock acquire a//b",
        "lock acquire /a",
        "lock run p --limit 0 -- true",
        "lock run a/../b -- true",
        "lock run p --ttl 5s -- true",
        "lock run p --ttl 10s --grace 6s -- true",
        "lock run p --lock-delay 61s -- true",
        "lock resize p 0",
        "lock why a//b",
        "lock holders ''",
    ] {
        let said = lab.fails(line, 64);
        assert!(!said.is_empty(), "{line}");
    }
    let lab = self::lab();
    lab.fails("lock run p -- no-such-command", 127);
    lab.fails("lock run p -- /etc/passwd", 126);
}

#[test]
fn the_module_takes_holds_and_releases_them() {
    let (agent, path) = (Agent::shared(), unique("hold/module"));
    let call = |options: Value| {
        let mut options = options;
        options["path"] = json!(path);
        module("consul_lock", options).at(&agent.address())
    };
    let nobody = call(json!({"state": "info"})).run().ok();
    assert_eq!((&nobody["layout"], &nobody["holders"]), (&json!("none"), &json!([])));
    let ours = json!({"identifier": "web1", "reason": "upgrade", "ttl": "5m"});
    let foreseen = call(ours.clone()).check_mode().run().ok();
    assert_eq!((&foreseen["changed"], &foreseen["held"]), (&json!(true), &json!(true)));
    assert_eq!(keys_of(&path), Vec::<String>::new(), "check mode writes nothing");
    assert_eq!(sessions_of(&path), Vec::<Value>::new());
    let taken = call(ours.clone()).run().ok();
    assert_eq!((&taken["changed"], &taken["held"], &taken["layout"]), (&json!(true), &json!(true), &json!("lock")));
    assert_eq!(taken["holders"][0]["reason"], json!("upgrade"));
    let again = call(ours).run().ok();
    assert_eq!((&again["changed"], &again["token"]), (&json!(false), &taken["token"]));
    let busy = call(json!({"identifier": "web2", "timeout": 0})).run().fails_with(&["web1", "upgrade"]);
    assert_eq!(busy["reason"], json!("busy"));
    let busy = call(json!({"identifier": "web2"})).check_mode().run().fails_with(&["web1"]);
    assert_eq!(busy["reason"], json!("busy"), "check mode does not wait");
    let other =
        call(json!({"state": "released", "identifier": "web2"})).run().fails_with(&["web1", "nothing was done"]);
    assert_eq!(other["reason"], json!("busy"));
    let conflict = call(json!({"identifier": "web1", "limit": 2})).run().fails_with(&["not a semaphore, but a lock"]);
    assert_eq!(conflict["reason"], json!("conflict"));
    let release = json!({"state": "released", "identifier": "web1"});
    assert_eq!(call(release.clone()).check_mode().run().ok()["changed"], json!(true));
    assert_eq!(keys_of(&path).len(), 1);
    let released = call(release.clone()).run().ok();
    assert_eq!(
        (&released["changed"], &released["held"], &released["holders"]),
        (&json!(true), &json!(false), &json!([]))
    );
    assert_eq!(call(release).run().ok()["changed"], json!(false));
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
}

#[test]
fn the_module_waits_for_its_turn_and_forces_it() {
    let (agent, path) = (Agent::shared(), unique("hold/module-wait"));
    let call = |options: Value| {
        let mut options = options;
        options["path"] = json!(path);
        module("consul_lock", options).at(&agent.address())
    };
    call(json!({"identifier": "a", "limit": 1, "fair": true})).run().ok();
    let forced = call(json!({"identifier": "b", "limit": 1, "force": true})).run().ok();
    assert_eq!((&forced["over_limit"], &forced["limit"]), (&json!(true), &json!(1)));
    assert!(forced["warnings"][0].as_str().unwrap().contains("over the limit"), "{forced}");
    std::thread::scope(|scope| {
        let third =
            scope.spawn(|| call(json!({"identifier": "c", "limit": 1, "fair": true, "timeout": "60s"})).run().ok());
        while call(json!({"state": "info"})).run().ok()["waiting"] != json!(1) {}
        for name in ["a", "b"] {
            call(json!({"state": "released", "identifier": name})).run().ok();
        }
        let taken = third.join().unwrap();
        assert_eq!((&taken["held"], &taken["over_limit"]), (&json!(true), &json!(false)));
    });
    call(json!({"state": "released", "identifier": "c"})).run().ok();
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
    for (options, problem) in [
        (json!({"limit": 0}), "limit"),
        (json!({"force": true}), "force"),
        (json!({"ttl": "5s"}), "10s to 24h"),
        (json!({"state": "info", "limit": 2}), "limit does nothing"),
        (json!({"state": "released", "fair": true}), "fair does nothing"),
        (json!({"path": "a//b"}), "a/b"),
        (json!({"reason": "x".repeat(600_000)}), "is the most that Consul takes"),
    ] {
        let mut options = options;
        options["path"] = options.get("path").cloned().unwrap_or(json!("p"));
        let failure = module("consul_lock", options).at(&agent.address()).run().fails_with(&[problem]);
        assert_eq!(failure["reason"], json!("arguments"), "{problem}");
    }
    module("consul_lock", json!({})).run().fails_with(&["missing required arguments: path"]);
}

/// Waits until somebody waits in line.
fn in_line(lab: &Lab, path: &str, count: u64) {
    until("they wait in line", || lab.json(&format!("lock holders {path} -o json"))["waiting"] == json!(count));
}

#[test]
fn a_waiter_that_is_killed_leaves_no_session_that_never_ends_and_the_next_in_line_is_served() {
    let path = unique("hold/killed");
    let (first, second, lab) = (lab(), lab(), lab());
    lab.ok(&format!("lock acquire {path} --identifier holder"));
    let killed = first.start(&format!("lock acquire {path} --identifier killed --fair"));
    in_line(&lab, &path, 1);
    let next = second.start(&format!("lock acquire {path} --identifier next --fair --timeout 60s"));
    in_line(&lab, &path, 2);
    killed.signal("KILL");
    killed.end();
    lab.ok(&format!("lock release {path} --identifier holder"));
    let ran = next.end();
    assert!(ran.code == Some(0) && ran.stdout.starts_with("acquired"), "{ran}");
    lab.ok(&format!("lock release {path} --identifier next"));
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
}

#[test]
fn who_waits_without_a_line_has_no_session_yet_and_a_signal_ends_the_wait() {
    let path = unique("hold/waits");
    let lab = lab();
    for (signal, flags) in [("TERM", ""), ("INT", "--fair"), ("TERM", "--limit 1 --fair"), ("INT", "--limit 1")] {
        let limit = flags.trim_end_matches("--fair");
        lab.ok(&format!("lock acquire {path} {limit} --identifier holder"));
        let waiter = self::lab();
        let waiter = waiter.start(&format!("lock acquire {path} {flags} --identifier waiter"));
        if flags.contains("fair") {
            in_line(&lab, &path, 1);
        } else {
            std::thread::sleep(std::time::Duration::from_millis(500)); // nothing shows that it waits
        }
        let never_ends = sessions_of(&path).iter().filter(|session| session["TTL"] == json!("")).count();
        assert_eq!(never_ends, 1, "the holder's alone");
        waiter.signal(signal);
        let ran = waiter.end();
        assert!(ran.code == Some(130) && ran.stderr.contains("nothing is held"), "{ran}");
        lab.ok(&format!("lock release {path} --identifier holder"));
        assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]), "{flags}");
    }
}

#[test]
fn a_hold_that_ends_while_it_is_taken_again_is_not_called_unchanged() {
    let (agent, path) = (Agent::shared(), unique("hold/ended"));
    let lab = lab();
    for options in ["", "--ttl 5m"] {
        let take = format!("lock acquire {path} --limit 2 --identifier a {options}");
        lab.ok(&take);
        let session = sessions_of(&path)[0]["ID"].as_str().unwrap().to_owned();
        // Between the look at the keys and the renewal somebody ends the session.
        let proxy = Proxy::start(&agent.address(), move |line| {
            if line.contains("/v1/session/renew/") {
                agent.put(&format!("/v1/session/destroy/{session}"), &json!(""));
            }
            Act::Forward
        });
        let taken = Lab::at(&proxy.address()).ok(&take);
        assert!(taken.starts_with("acquired"), "{taken}");
        lab.ok(&format!("lock release {path} --identifier a"));
    }
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
}

#[test]
fn a_hold_is_renewed_by_who_takes_it_again_without_a_ttl() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/renewed"));
    lab.ok(&format!("lock acquire {path} --ttl 1h"));
    let proxy = Proxy::start(&agent.address(), |_| Act::Forward);
    assert!(Lab::at(&proxy.address()).ok(&format!("lock acquire {path}")).starts_with("unchanged"));
    assert!(proxy.seen().iter().any(|line| line.contains("/v1/session/renew/")), "{:?}", proxy.seen());
    lab.ok(&format!("lock release {path}"));
}

#[test]
fn force_does_not_wait_in_line() {
    let path = unique("hold/forced");
    let (lab, other) = (lab(), lab());
    lab.ok(&format!("lock acquire {path} --limit 1 --identifier a"));
    let waiter = other.start(&format!("lock acquire {path} --limit 1 --fair --identifier b"));
    in_line(&lab, &path, 1);
    let forced = lab.run(&format!("lock acquire {path} --limit 1 --fair --force --identifier c --timeout 5s"));
    assert!(forced.code == Some(0) && forced.stderr.contains("over the limit"), "{forced}");
    for name in ["a", "c"] {
        lab.ok(&format!("lock release {path} --identifier {name}"));
    }
    assert_eq!(waiter.end().code, Some(0));
    lab.ok(&format!("lock release {path} --identifier b"));
}

#[test]
fn who_waits_learns_of_a_resize_of_a_force_unlock_and_of_a_table_that_is_gone() {
    let path = unique("hold/moved");
    let lab = lab();
    let wait = |other: &Lab| other.start(&format!("lock acquire {path} --limit 1 --fair --identifier b"));
    let (first, second, third) = (self::lab(), self::lab(), self::lab());
    lab.ok(&format!("lock acquire {path} --limit 1 --identifier a"));
    let waiter = wait(&first);
    in_line(&lab, &path, 1);
    lab.ok(&format!("lock resize {path} 2"));
    let ran = waiter.end();
    assert!(ran.code == Some(122) && ran.stderr.contains("is for 1 here, and for 2 in Consul"), "{ran}");
    lab.ok(&format!("lock resize {path} 1"));
    let waiter = wait(&second);
    in_line(&lab, &path, 1);
    lab.ok(&format!("lock force-unlock {path} --yes"));
    assert_eq!(waiter.end().code, Some(0));
    let waiter = third.start(&format!("lock acquire {path} --limit 1 --fair --identifier c"));
    in_line(&lab, &path, 1);
    // By hand, half of it: the permit's key stays.
    Agent::shared().delete(&format!("/v1/kv/{path}/.lock"));
    assert_eq!(waiter.end().code, Some(0));
    lab.ok(&format!("lock release {path} --identifier c"));
    // What the table does not know of any more is released all the same, and only then unchanged.
    for said in ["released", "unchanged"] {
        assert_eq!(lab.ok(&format!("lock release {path} --identifier b")), format!("{said}\t{path}/.lock\n"));
    }
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
}

#[test]
fn a_run_that_cannot_begin_leaves_no_key_and_a_semaphore_without_permits_is_told_so() {
    let (lab, path) = (lab(), unique("hold/begin"));
    for limit in ["", "--limit 2"] {
        lab.fails(&format!("lock run {path} {limit} --result-file /no/such/folder/x -- true"), 125);
        assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]), "{limit}");
    }
    let table = json!({"Limit": 0, "Holders": null});
    Agent::shared().put(&format!("/v1/kv/{path}/.lock?flags={SEMAPHORE_FLAGS}"), &table);
    let why = lab.run(&format!("lock why {path}"));
    assert!(
        why.code == Some(120) && why.stdout.ends_with("it has 0 permits: `lictor lock resize` gives more\n"),
        "{why}"
    );
    Agent::shared().delete(&format!("/v1/kv/{path}/.lock"));
}

#[test]
fn why_is_one_line_whatever_people_wrote() {
    let (lab, path) = (lab(), unique("hold/line"));
    lab.ok(&format!("lock acquire {path} --identifier 'a\nb' --reason 'one\ntwo\u{1b}[2J'"));
    let why = lab.run(&format!("lock why {path}"));
    assert_eq!((why.code, why.stdout.lines().count()), (Some(120), 1), "{why}");
    assert!(why.stdout.contains(r"one\ntwo\u{1b}[2J") && !why.stdout.contains('\u{1b}'), "{why}");
    let busy = lab.fails(&format!("lock acquire {path} --identifier c --try"), 120);
    assert_eq!(busy.lines().count(), 1, "{busy}");
    lab.ok(&format!("lock release {path} --identifier 'a\nb'"));
    let long = "x".repeat(100_000);
    lab.ok(&format!("lock acquire {path} --reason {long}"));
    assert!(lab.run(&format!("lock why {path}")).stdout.contains(&long));
    lab.ok(&format!("lock release {path}"));
    assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]));
}

#[test]
fn the_time_of_a_run_is_that_at_which_it_got_the_lock() {
    let (lab, path) = (lab(), unique("hold/since"));
    let since = |path: &str| {
        let found = lab.json(&format!("lock holders {path} -o json"));
        found["holders"][0]["since"].as_str().map(ToOwned::to_owned)
    };
    lab.ok(&format!("lock acquire {path} --identifier a"));
    let other = self::lab();
    let _run = other.start(&format!("lock run {path} -- sleep 600"));
    until("it waits", || sessions_of(&path).len() == 2);
    let began = since(&path).unwrap();
    until("a second has passed", || {
        lab.ok(&format!("lock acquire {path}/clock"));
        let now = since(&format!("{path}/clock")).unwrap();
        lab.ok(&format!("lock release {path}/clock"));
        now[..19] > began[..19] && now[17..19] != began[17..19]
    });
    lab.ok(&format!("lock acquire {path}/clock"));
    let moment = since(&format!("{path}/clock")).unwrap();
    lab.ok(&format!("lock release {path}/clock"));
    lab.ok(&format!("lock release {path} --identifier a"));
    until("it has it", || since(&path).is_some());
    assert!(since(&path).unwrap() >= moment, "{:?} is before {moment}", since(&path));
}

#[test]
fn an_answer_that_is_lost_leaves_nothing_behind_that_nobody_knows_of() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/cut"));
    for limit in ["", "--limit 2"] {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let proxy = Proxy::start(&agent.address(), move |line| {
            let cut = line.contains("/v1/txn") && !done.swap(true, std::sync::atomic::Ordering::Relaxed);
            if cut { Act::ForwardAndClose } else { Act::Forward }
        });
        let cut = Lab::at(&proxy.address());
        cut.fails(&format!("lock acquire {path} {limit} --identifier a --try"), 125);
        assert_eq!(sessions_of(&path), Vec::<Value>::new(), "{limit}");
        // What it may have held is free: at once, or once the lock-delay is over.
        lab.ok(&format!("lock acquire {path} {limit} --identifier b"));
        lab.ok(&format!("lock release {path} --identifier b"));
        assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]), "{limit}");
        // A release whose answer is lost is done, and its session is ended too.
        lab.ok(&format!("lock acquire {path} {limit} --identifier a"));
        let proxy =
            Proxy::start(
                &agent.address(),
                |line| {
                    if line.contains("/v1/txn") { Act::ForwardAndClose } else { Act::Forward }
                },
            );
        Lab::at(&proxy.address()).ok(&format!("lock release {path} --identifier a"));
        assert_eq!(keys_of(&path), Vec::<String>::new(), "{limit}");
        lab.ok(&format!("lock acquire {path} {limit} --identifier b --try"));
        lab.ok(&format!("lock release {path} --identifier b"));
        assert_eq!(sessions_of(&path), Vec::<Value>::new(), "{limit}");
    }
}

#[test]
fn the_ttl_of_a_session_that_the_token_may_not_see_is_not_told() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/unseen"));
    lab.ok(&format!("lock acquire {path} --identifier web1 --ttl 1h"));
    let unseen = Proxy::start(&agent.address(), |line| {
        if line.contains("/v1/session/info/") { status(200, "[]") } else { Act::Forward }
    });
    for (address, told) in [(agent.address(), true), (unseen.address(), false)] {
        let other = Lab::at(&address).fails(&format!("lock release {path} --identifier web2"), 3);
        assert_eq!((other.contains("with a ttl of 1h"), other.contains("ttl")), (told, told), "{other}");
    }
    lab.ok(&format!("lock release {path} --identifier web1"));
}

#[test]
fn who_has_time_outlasts_a_cluster_without_a_leader() {
    let (agent, lab, path) = (Agent::shared(), lab(), unique("hold/election"));
    for limit in ["", "--limit 2"] {
        let tries = Arc::new(AtomicUsize::new(0));
        let proxy = Proxy::start(&agent.address(), move |line| {
            if !line.contains("/v1/txn") {
                return Act::Forward;
            }
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => status(500, "No cluster leader"),
                1 => status(500, "rpc error making call: EOF"),
                2 => Act::ForwardAndClose, // it is done, and nobody says so
                _ => Act::Forward,
            }
        });
        let shaken = Lab::at(&proxy.address());
        shaken.fails(&format!("lock acquire {path} {limit} --identifier a --try"), 125);
        assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]), "{limit}");
        let taken = shaken.ok(&format!("lock acquire {path} {limit} --identifier a --timeout 5m"));
        assert!(taken.starts_with("acquired"), "{taken}");
        assert_eq!(sessions_of(&path).len(), 1, "{limit}");
        let again = lab.ok(&format!("lock acquire {path} {limit} --identifier a"));
        assert_eq!(again, taken.replace("acquired", "unchanged"), "{limit}");
        lab.ok(&format!("lock release {path} --identifier a"));
        assert_eq!((keys_of(&path), sessions_of(&path)), (vec![], vec![]), "{limit}");
    }
}
