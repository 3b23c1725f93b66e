//! Elections of the library, against a real agent, and beside what a Go `consulapi` `Candidate` does on the wire.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lictor::consul::{Client, Operation, Query};
use lictor::coordinate::{Cancel, Candidate, Election, Error, LOCK_FLAGS, Lock, Session, SessionOptions, Why};
use serde_json::{Value, json};
use support::proxy::{Act, Proxy, status};
use support::recipe::client;
use support::{Agent, module, unique};

fn session(client: &Client) -> Session {
    named(client, "lictor")
}

fn named(client: &Client, name: &str) -> Session {
    let options = SessionOptions { name: name.to_owned(), lock_delay: Duration::ZERO, ..SessionOptions::default() };
    Session::start(client, &Query::default(), &options).unwrap()
}

fn election(client: &Client, key: &str) -> Election {
    Election::new(client, &Query::default(), key).unwrap()
}

fn contact(election: &Election) -> Option<String> {
    election.leader().unwrap().map(|leader| leader.contact)
}

#[test]
fn one_leads_and_says_how_to_reach_it_and_the_next_one_leads_when_it_resigns() {
    let (client, key) = (client(), unique("election/one"));
    let (first, second, election) = (session(&client), session(&client), election(&client, &key));
    assert_eq!(election.leader().unwrap(), None);
    let one = Candidate::new("http://one").description("the first").identifier("host-1");
    let leadership = election.campaign(&first, &one).unwrap();
    let leader = election.leader().unwrap().unwrap();
    assert_eq!((leader.contact.as_str(), leader.description.as_deref()), ("http://one", Some("the first")));
    assert_eq!((leader.identifier.as_deref(), leader.session.as_str()), (Some("host-1"), first.id()));
    assert_eq!(leader.token, leadership.token());
    assert!(leader.since.is_some_and(|since| since.ends_with('Z')));
    let two = Candidate::new("http://two");
    assert!(election.campaign_or(&second, &two, Some(Duration::from_millis(50)), None).unwrap().is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| election.campaign(&second, &two).unwrap());
        let token = leadership.token();
        leadership.resign().unwrap();
        let next = waiter.join().unwrap();
        assert!(next.token() > token);
        assert_eq!(contact(&election).as_deref(), Some("http://two"));
    });
    assert_eq!(election.leader().unwrap(), None, "dropped is resigned");
}

#[test]
fn a_function_leads_until_it_returns() {
    let (client, key) = (client(), unique("election/lead"));
    let (ours, election) = (session(&client), election(&client, &key));
    let term = election
        .lead(&ours, &Candidate::new("c"), None, |leadership| {
            assert_eq!(leadership.lost().why(), None);
            assert!(leadership.deadline() > std::time::Instant::now());
            (contact(&election), leadership.token())
        })
        .unwrap()
        .unwrap();
    term.end.unwrap();
    assert_eq!(term.value.0.as_deref(), Some("c"));
    assert_eq!(election.leader().unwrap(), None);
    let again = election.lead(&ours, &Candidate::new("c"), None, |leadership| leadership.token()).unwrap().unwrap();
    assert!(again.value > term.value.1);
}

#[test]
fn a_campaign_is_cancelled() {
    let (client, key) = (client(), unique("election/cancel"));
    let (first, second, election) = (session(&client), session(&client), election(&client, &key));
    let _leadership = election.campaign(&first, &Candidate::new("a")).unwrap();
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| election.lead(&second, &Candidate::new("b"), Some(&cancel), |_| ()));
        cancel.cancel();
        assert!(waiter.join().unwrap().unwrap().is_none());
    });
}

type End = fn(&Agent, &str, &Session);

#[test]
fn leadership_is_lost_with_the_session_with_the_key_and_with_a_release_by_others() {
    let (agent, client) = (Agent::shared(), client());
    let ends: [(&str, End); 3] = [
        ("session", |agent, _, session| drop(agent.put(&format!("/v1/session/destroy/{}", session.id()), &json!("")))),
        ("key", |agent, key, _| agent.delete(&format!("/v1/kv/{key}"))),
        ("release", |agent, key, session| {
            agent.put(&format!("/v1/kv/{key}?release={}", session.id()), &json!(""));
        }),
    ];
    for (name, end) in ends {
        let key = unique(&format!("election/lost-{name}"));
        let (ours, election) = (session(&client), election(&client, &key));
        let term = election
            .lead(&ours, &Candidate::new("c"), None, |leadership| {
                let mark = leadership.guard();
                end(agent, &key, &ours);
                let why = leadership.lost().wait();
                let write = [mark, Operation::set(&format!("{key}-data"), b"late", 0)];
                client.txn().once(&write, &Query::default()).unwrap_err();
                why
            })
            .unwrap()
            .unwrap();
        assert_eq!(term.value, Why::KeyLost, "{name}");
        assert!(matches!(term.end, Err(Error::SessionLost { why: Why::KeyLost, .. })), "{name}");
        assert_eq!(contact(&election), None);
    }
}

#[test]
fn whoever_observes_sees_each_leader_and_that_there_is_none() {
    let (client, key) = (client(), unique("election/observe"));
    let (ours, election) = (session(&client), election(&client, &key));
    let mut changes = election.observe().unwrap();
    let mut next = || changes.next().unwrap().unwrap().map(|leader| leader.contact);
    assert_eq!(next(), None);
    for name in ["http://one", "http://two"] {
        let leadership = election.campaign(&ours, &Candidate::new(name)).unwrap();
        assert_eq!(next().as_deref(), Some(name));
        leadership.resign().unwrap();
        assert_eq!(next(), None);
    }
    Agent::shared().delete(&format!("/v1/kv/{key}"));
    let _leadership = election.campaign(&ours, &Candidate::new("last")).unwrap();
    assert_eq!(next().as_deref(), Some("last"), "that the key was deleted is no news");
}

#[test]
fn a_go_candidate_and_we_keep_each_other_out() {
    let (agent, client, key) = (Agent::shared(), client(), unique("election/go"));
    let (ours, election) = (session(&client), election(&client, &key));
    // What consulapi's Candidate sends: no flags, the contact information as a JSON text, a session that deletes its keys.
    let theirs =
        agent.create_session(&json!({"Name": "default-leader-session", "Behavior": "delete", "LockDelay": "0s"}));
    let send = |verb: &str| agent.put(&format!("/v1/kv/{key}?{verb}={theirs}"), &json!("\"http://go\""));
    assert_eq!(send("acquire").trim(), "true");
    assert_eq!(contact(&election).as_deref(), Some("http://go"));
    let refused = election.campaign_or(&ours, &Candidate::new("c"), Some(Duration::from_millis(50)), None).unwrap();
    assert!(refused.is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| election.campaign(&ours, &Candidate::new("http://rust")).unwrap());
        assert_eq!(send("release").trim(), "true", "they abdicate");
        let leadership = waiter.join().unwrap();
        assert_eq!(agent.get(&format!("/v1/kv/{key}"))[0]["Flags"], json!(LOCK_FLAGS));
        assert_eq!(send("acquire").trim(), "false");
        leadership.resign().unwrap();
        assert_eq!(send("acquire").trim(), "true");
        assert_eq!(contact(&election).as_deref(), Some("http://go"));
    });
    agent.put(&format!("/v1/session/destroy/{theirs}"), &json!(""));
}

#[test]
fn a_lock_and_an_election_on_one_key_keep_each_other_out() {
    let (client, key) = (client(), unique("election/lock"));
    let (first, second, election) = (session(&client), session(&client), election(&client, &key));
    let lock = Lock::new(&first, &key).unwrap();
    let guard = lock.acquire().unwrap();
    let soon = Some(Duration::from_millis(50));
    assert!(election.campaign_or(&second, &Candidate::new("c"), soon, None).unwrap().is_none());
    guard.release().unwrap();
    let _leadership = election.campaign(&second, &Candidate::new("c")).unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
}

#[test]
fn data_is_not_taken_for_an_election() {
    let (agent, client) = (Agent::shared(), client());
    let ours = session(&client);
    for flags in [0, 42] {
        let key = unique("election/data");
        agent.put(&format!("/v1/kv/{key}?flags={flags}"), &json!("\"data\""));
        let election = election(&client, &key);
        assert!(matches!(election.campaign(&ours, &Candidate::new("c")), Err(Error::Conflict { .. })));
        assert!(matches!(election.leader(), Err(Error::Conflict { .. })));
        assert_eq!(
            agent.get(&format!("/v1/kv/{key}"))[0]["ModifyIndex"],
            agent.get(&format!("/v1/kv/{key}"))[0]["CreateIndex"]
        );
    }
    assert!(Election::new(&client, &Query::default(), "a//b").is_err());
}

#[test]
fn no_session_is_left_behind() {
    let (client, name) = (client(), unique("election/left"));
    let election = election(&client, &unique("election/left"));
    let ours = named(&client, &name);
    election.lead(&ours, &Candidate::new("c"), None, |_| ()).unwrap();
    ours.release().unwrap();
    let ours = named(&client, &name);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = election.lead(&ours, &Candidate::new("c"), None, |_| panic!("the work fails"));
    }));
    assert!(panicked.is_err());
    assert_eq!(election.leader().unwrap(), None, "whoever panics resigns");
    drop(ours);
    assert_eq!(Agent::shared().sessions(&name), Vec::<Value>::new());
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

#[test]
fn a_command_leads_and_everybody_sees_it() {
    let key = unique("election/cli");
    assert_eq!(run(&["elect", "leader", &key]).0, 1, "nobody leads");
    let show = format!(
        "{} elect leader {key} -o json && echo $LICTOR_ELECTION_KEY $LICTOR_FENCING_TOKEN",
        env!("CARGO_BIN_EXE_lictor")
    );
    let flags = ["--contact", "http://a", "--description", "the a", "--identifier", "host-1", "--", "sh", "-c", &show];
    let (code, stdout, stderr) = run(&[&["elect", "run", &key], &flags[..]].concat());
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (document, variables) = stdout.trim_end().rsplit_once('\n').unwrap();
    let leader: Value = serde_json::from_str(document).unwrap();
    assert_eq!((&leader["contact"], &leader["identifier"]), (&json!("http://a"), &json!("host-1")));
    assert_eq!(variables, format!("{key} {}", leader["token"]));
    assert_eq!(run(&["elect", "leader", &key]).0, 1, "it has resigned");
    assert_eq!(Agent::shared().sessions(&format!("lictor elect {key}")), Vec::<Value>::new());
    assert_eq!(run(&["elect", "run", &key, "--contact", "c", "--", "sh", "-c", "exit 7"]).0, 7);
    assert_eq!(run(&["elect", "run", &key, "--contact", "c", "--", "no-such-command"]).0, 127);
    assert_eq!(run(&["elect", "run", &key, "--contact", "c", "--ttl", "5s", "--", "true"]).0, 64);
    assert_eq!(run(&["elect", "run", "a//b", "--contact", "c", "--", "true"]).0, 64);
}

#[test]
fn a_command_ends_with_its_leadership_and_who_watches_sees_all_of_it() {
    let (agent, key) = (Agent::shared(), unique("election/ends"));
    let mut watch = lictor(&["elect", "watch", &key, "-o", "json"]).spawn().unwrap();
    let mut changes = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&changes.next().unwrap().unwrap()).unwrap();
    assert_eq!(next(), Value::Null);
    let start = || {
        let flags = ["--contact", "c", "--identifier", "host-1", "--lock-delay", "0s", "--", "sleep", "600"];
        lictor(&[&["elect", "run", &key], &flags[..]].concat()).spawn().unwrap()
    };
    let ends: [&dyn Fn(&Value); 3] = [
        &|leader| drop(agent.put(&format!("/v1/session/destroy/{}", leader["session"].as_str().unwrap()), &json!(""))),
        &|_| agent.delete(&format!("/v1/kv/{key}")),
        &|_| {
            assert_eq!(run(&["elect", "resign", &key, "--identifier", "host-2"]).0, 3, "that is another");
            assert_eq!(run(&["elect", "resign", &key, "--identifier", "host-1"]).1, format!("resigned\t{key}\n"));
        },
    ];
    for end in ends {
        let child = start();
        let leader = next();
        assert_eq!(leader["identifier"], json!("host-1"));
        end(&leader);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(121), "{output:?}");
        assert_eq!(next(), Value::Null);
    }
    assert_eq!(run(&["elect", "resign", &key]).1, format!("unchanged\t{key}\n"));
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(agent.sessions(&format!("lictor elect {key}")), Vec::<Value>::new());
}

#[test]
fn whoever_stands_in_vain_says_so() {
    let (agent, key) = (Agent::shared(), unique("election/vain"));
    let (client, election) = (client(), election(&client(), &key));
    let ours = session(&client);
    let _leadership = election.campaign(&ours, &Candidate::new("c")).unwrap();
    let (code, _, stderr) = run(&["elect", "run", &key, "--contact", "d", "--timeout", "100ms", "--", "true"]);
    assert_eq!((code, stderr.contains("in time")), (124, true), "{stderr}");
    let data = unique("election/vain-data");
    agent.put(&format!("/v1/kv/{data}?flags=42"), &json!("x"));
    assert_eq!(run(&["elect", "run", &data, "--contact", "d", "--", "true"]).0, 122);
    assert_eq!(agent.sessions(&format!("lictor elect {key}")), Vec::<Value>::new());
    assert_eq!(agent.sessions(&format!("lictor elect {data}")), Vec::<Value>::new());
}

#[test]
fn the_module_tells_who_leads_and_ends_a_leadership_by_its_identifier_alone() {
    let (agent, key) = (Agent::shared(), unique("election/module"));
    let call = |options: Value| {
        let mut options = options;
        options["key"] = json!(key);
        module("consul_election", options).at(&agent.address())
    };
    assert_eq!(call(json!({})).run().ok()["leader"], Value::Null);
    assert_eq!(call(json!({"state": "resigned"})).run().ok()["changed"], json!(false));
    let (client, election) = (client(), election(&client(), &key));
    let ours = session(&client);
    let leadership = election.campaign(&ours, &Candidate::new("http://a").identifier("host-1")).unwrap();
    let leader = call(json!({})).run().ok()["leader"].clone();
    assert_eq!((&leader["contact"], &leader["token"]), (&json!("http://a"), &json!(leadership.token())));
    let refused = call(json!({"state": "resigned", "identifier": "host-2"})).run().fails_with(&["host-1", "host-2"]);
    assert_eq!(refused["reason"], json!("busy"));
    let resigned = json!({"state": "resigned", "identifier": "host-1"});
    assert_eq!(call(resigned.clone()).check_mode().run().ok()["changed"], json!(true));
    assert_eq!(leadership.lost().why(), None, "check mode writes nothing");
    assert_eq!(call(resigned.clone()).run().ok()["changed"], json!(true));
    assert_eq!(leadership.lost().wait(), Why::KeyLost);
    assert_eq!(call(resigned).run().ok()["changed"], json!(false));
    call(json!({"identifier": "host-1"})).run().fails_with(&["identifier does nothing"]);
    module("consul_election", json!({})).run().fails_with(&["missing required arguments: key"]);
    let lead = |name: &str, more: Value| {
        let mut options = json!({"state": "leading", "identifier": name, "contact": "http://b", "timeout": 0});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(options)
    };
    assert_eq!(lead("host-3", json!({})).check_mode().run().ok()["changed"], json!(true));
    assert_eq!(call(json!({})).run().ok()["leader"], Value::Null, "check mode writes nothing");
    let led = lead("host-3", json!({"description": "the third"})).run().ok();
    assert_eq!((&led["changed"], &led["leader"]["description"]), (&json!(true), &json!("the third")));
    assert_eq!(lead("host-3", json!({"ttl": "1m"})).run().ok()["changed"], json!(false), "it leads");
    lead("host-4", json!({})).run().fails_with(&["host-3", "host-4"]);
    lead("host-4", json!({})).check_mode().run().fails_with(&["host-3"]);
    let session = led["leader"]["session"].as_str().unwrap();
    assert_eq!(call(json!({"state": "resign", "identifier": "host-3"})).run().ok()["changed"], json!(true));
    assert_eq!(agent.get(&format!("/v1/session/info/{session}")), json!([]), "its session has ended too");
    assert_eq!(lead("host-4", json!({})).run().ok()["changed"], json!(true), "there is no lock-delay");
    call(json!({"state": "resigned", "identifier": "host-4"})).run().ok();
    call(json!({"state": "leading"})).run().fails_with(&["contact"]);
    call(json!({"contact": "http://a"})).run().fails_with(&["contact does nothing"]);
    let data = unique("election/module-data");
    agent.put(&format!("/v1/kv/{data}?flags=42"), &json!("x"));
    let other = module("consul_election", json!({"key": data})).at(&agent.address()).run();
    assert_eq!(other.fails_with(&["not an election"])["reason"], json!("conflict"));
}

#[test]
fn a_leadership_beyond_its_process_is_waited_for_without_a_session_and_leaves_none_behind() {
    let (agent, key) = (Agent::shared(), unique("election/beyond"));
    let at = |address: &str, options: Value| {
        let mut options = options;
        options["key"] = json!(key);
        module("consul_election", options).at(address)
    };
    let lead = |name: &str| json!({"state": "leading", "identifier": name, "contact": "http://b", "timeout": "60s"});
    let (resign, address) = (|name: &str| json!({"state": "resigned", "identifier": name}), agent.address());
    let named = |name: &str| agent.sessions(&format!("lictor hold {key} {name}")).len();
    at(&address, lead("a")).run().ok();
    let seen = Proxy::start(&address, |_| Act::Forward);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| at(&seen.address(), lead("b")).run().ok());
        // It waits once it has asked for the key twice: to look, and to be told.
        while seen.seen().iter().filter(|line| line.contains("/v1/kv/")).count() < 2 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!((named("a"), named("b")), (1, 0));
        // Its answer is lost, and yet it is done.
        let cut =
            Proxy::start(&address, |line| if line.contains("/v1/txn") { Act::ForwardAndClose } else { Act::Forward });
        assert_eq!(at(&cut.address(), resign("a")).run().ok()["changed"], json!(true));
        let led = next.join().unwrap();
        assert_eq!((&led["changed"], &led["leader"]["identifier"]), (&json!(true), &json!("b")));
    });
    assert_eq!((named("a"), named("b")), (0, 1));
    // Between the look at the key and the renewal somebody ends the session.
    let session = at(&address, json!({})).run().ok()["leader"]["session"].as_str().unwrap().to_owned();
    let ended = Proxy::start(&address, move |line| {
        if line.contains("/v1/session/renew/") {
            agent.put(&format!("/v1/session/destroy/{session}"), &json!(""));
        }
        Act::Forward
    });
    let again = at(&ended.address(), lead("b")).run().ok();
    assert_eq!(again["changed"], json!(true), "it is another leadership");
    at(&address, resign("b")).run().ok();
    assert_eq!((named("a"), named("b")), (0, 0));
}

#[test]
fn who_has_time_to_lead_outlasts_a_cluster_without_a_leader() {
    let (agent, key) = (Agent::shared(), unique("election/shaken"));
    let tries = AtomicUsize::new(0);
    let proxy = Proxy::start(&agent.address(), move |line| {
        if !line.contains("/v1/txn") {
            return Act::Forward;
        }
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => status(500, "No cluster leader"),
            1 => Act::ForwardAndClose, // it is done, and nobody says so
            _ => Act::Forward,
        }
    });
    let lead = json!({"key": key, "state": "leading", "identifier": "a", "contact": "http://a", "timeout": "60s"});
    let led = module("consul_election", lead.clone()).at(&proxy.address()).run().ok();
    assert_eq!(led["leader"]["identifier"], "a");
    let again = module("consul_election", lead).at(&agent.address()).run().ok();
    assert_eq!(again["changed"], json!(false));
    assert_eq!(agent.sessions(&format!("lictor hold {key} a")).len(), 1);
}
