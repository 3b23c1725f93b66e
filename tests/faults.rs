//! Agents that refuse, hang, break off and lie; certificates; runs that are killed, and runs that race.

mod support;

use std::process::Child;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};
use support::agent::Options;
use support::proxy::{Act, Proxy, status};
use support::tls::Certificates;
use support::{Agent, consul_session, finish, unique};

fn list(address: &str) -> support::Module {
    consul_session(json!({"state": "list", "timeout": "30s"})).at(address)
}

/// An agent that answers everything in this way.
fn always(act: Act) -> Proxy {
    Proxy::start("", move |_| act.clone())
}

#[test]
fn an_agent_that_refuses_hangs_or_breaks_off_is_named_with_what_to_try() {
    let failure = list("127.0.0.1:1")
        .run()
        .fails_with(&["GET /v1/session/list at http://127.0.0.1:1: cannot connect", "CONSUL_HTTP_ADDR"]);
    assert_eq!(failure["reason"], "unreachable");
    list(&always(Act::Hang).address())
        .option("timeout", json!("1s"))
        .run()
        .fails_with(&["no answer within 1 s", "timeout"]);
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"ID\"".to_vec();
    list(&always(Act::Raw(half)).address()).run().fails_with(&["the connection broke"]);
    list(&always(Act::Raw(Vec::new())).address()).run().fails_with(&["the connection broke"]);
    list(&always(Act::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).address()).run().fails_with(&["the connection broke"]);
    list("no-such-host.invalid").run().fails_with(&["cannot connect"]);
    list("unix:///no/such/socket").run().fails_with(&["unix:///no/such/socket", "cannot connect", "No such file"]);
}

#[test]
fn answers_that_are_not_consuls_are_shown() {
    list(&always(status(200, "<html>Welcome</html>")).address()).run().fails_with(&["not Consul's", "<html>Welcome"]);
    list(&always(status(200, "[{\"ID\": \"x\"")).address()).run().fails_with(&["not Consul's", "EOF"]);
    list(&always(status(403, "Permission denied")).address())
        .run()
        .fails_with(&["status 403: Permission denied", "session \"NODE\""]);
    list(&always(status(400, "Client sent an HTTP request to an HTTPS server.")).address())
        .run()
        .fails_with(&["take https"]);
    let redirect =
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n".to_vec();
    list(&always(Act::Raw(redirect)).address())
        .run()
        .fails_with(&["status 301 redirects to \"http://127.0.0.1:1/elsewhere\""]);
}

#[test]
fn no_leader_is_waited_for_and_a_users_mistake_is_not() {
    let proxy = always(status(500, "No cluster leader"));
    let module = list(&proxy.address()).option("timeout", json!("2s"));
    module.run().fails_with(&["No cluster leader", "raft list-peers"]);
    assert!(proxy.seen().len() > 2, "tried again: {:?}", proxy.seen());
    let proxy = always(status(500, "Invalid Session TTL"));
    list(&proxy.address()).run().fails_with(&["Invalid Session TTL"]);
    assert_eq!(proxy.seen().len(), 1, "500 by itself is no reason to try again");

    let agent = Agent::shared();
    let failures = std::sync::atomic::AtomicUsize::new(2);
    let proxy = Proxy::start(&agent.address(), move |_| {
        let left = failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { status(500, "No cluster leader") } else { Act::Forward }
    });
    list(&proxy.address()).run().ok();
    assert_eq!(proxy.seen().len(), 3);
}

#[test]
fn a_create_whose_answer_is_lost_is_not_repeated_and_the_next_run_finds_it() {
    let (agent, name) = (Agent::shared(), unique("lost-answer"));
    let proxy = Proxy::start(&agent.address(), |line| {
        if line.starts_with("PUT /v1/session/create") { Act::ForwardAndClose } else { Act::Forward }
    });
    consul_session(json!({"name": name}))
        .at(&proxy.address())
        .run()
        .fails_with(&["PUT /v1/session/create", "the connection broke"]);
    assert_eq!(agent.sessions(&name).len(), 1);
    let next = consul_session(json!({"name": name})).at(&agent.address()).run().ok();
    assert_eq!(next["action"], "unchanged");
}

#[test]
fn what_may_have_been_done_is_repeated_only_where_twice_is_as_good_as_once() {
    let (agent, name) = (Agent::shared(), unique("left-open"));
    let left_open = |method: &'static str| {
        let first = std::sync::atomic::AtomicBool::new(true);
        Proxy::start(&agent.address(), move |line| {
            if line.starts_with(method) && first.swap(false, SeqCst) {
                return Act::ForwardAndSay(support::proxy::answer(500, "rpc error making call: stream closed"));
            }
            Act::Forward
        })
    };
    let run =
        |proxy: &Proxy, options: Value| consul_session(options).option("name", json!(name)).at(&proxy.address()).run();
    run(&left_open("PUT /v1/session/create"), json!({})).fails_with(&["PUT /v1/session/create", "rpc error"]);
    assert_eq!(agent.sessions(&name).len(), 1, "a create is not repeated: it may have been done, and here it was");
    assert_eq!(run(&left_open("GET /v1/session/node"), json!({})).ok()["action"], "unchanged");
    let absent = run(&left_open("PUT /v1/session/destroy"), json!({"state": "absent"}));
    assert_eq!(absent.ok()["action"], "destroyed");
}

#[test]
fn a_consul_that_makes_another_session_than_it_was_asked_for_is_caught() {
    // As Consul before 1.7 does with options that it does not know.
    let (agent, name) = (Agent::shared(), unique("other-make"));
    let body = json!({"Name": name}).to_string();
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.starts_with("PUT /v1/session/create") { Act::Rewrite(body.clone()) } else { Act::Forward }
    });
    let module = consul_session(json!({"name": name, "ttl": "30s"})).at(&proxy.address());
    module.run().fails_with(&["made another session than it was asked for", "ttl is none, not 30s", "1.7"]);
    assert_eq!(agent.sessions(&name).len(), 0, "it was destroyed again");
}

#[test]
fn a_create_that_cannot_be_looked_at_again_says_that_it_was_made() {
    let (agent, name) = (Agent::shared(), unique("unseen"));
    let proxy = Proxy::start(&agent.address(), |line| {
        if line.contains("consistent") { status(403, "Permission denied") } else { Act::Forward }
    });
    let failure =
        consul_session(json!({"name": name})).at(&proxy.address()).run().fails_with(&["was created", "next run"]);
    assert_eq!(failure["changed"], true, "something was written, and it says so");
    assert!(failure["msg"].as_str().unwrap().contains(&agent.session_ids(&name)[0]));
}

/// Runs a module through a proxy that hangs at the first request that begins with `stop`, and kills it there.
fn kill_at(agent: &Agent, options: Value, stop: &'static str) {
    let (reached, wait) = std::sync::mpsc::channel();
    let reached = std::sync::Mutex::new(reached);
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.starts_with(stop) {
            let _ = reached.lock().unwrap().send(());
            return Act::Hang;
        }
        Act::Forward
    });
    let mut child: Child = consul_session(options).at(&proxy.address()).spawn();
    wait.recv_timeout(Duration::from_secs(30)).expect("it came that far");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_replacement_killed_between_create_and_destroy_is_mended_by_the_next_run() {
    let (agent, name) = (Agent::shared(), unique("killed"));
    let old = consul_session(json!({"name": name})).at(&agent.address()).run().ok()["session_id"].clone();
    kill_at(agent, json!({"name": name, "ttl": "30s"}), "PUT /v1/session/destroy");
    assert_eq!(agent.sessions(&name).len(), 2, "both are there: nothing was lost");
    let next = || consul_session(json!({"name": name, "ttl": "30s"})).at(&agent.address()).run().ok();
    let mended = next();
    assert_eq!((&mended["action"], &mended["destroyed"]), (&json!("replaced"), &json!([old])));
    assert!(mended["warnings"][0].as_str().unwrap().contains("cut short"));
    assert_eq!(agent.session_ids(&name), [mended["session_id"].as_str().unwrap()]);
    assert_eq!(agent.sessions(&format!("lictor: replacing {}", old.as_str().unwrap())), Vec::<Value>::new());
    assert_eq!(next()["action"], "unchanged");
}

#[test]
fn a_replacement_killed_before_its_note_is_gone_leaves_none_behind() {
    // On a node of its own: each run on a node takes away the notes that are over.
    let (agent, name, node) = (Agent::shared(), unique("killed-late"), unique("killed-late"));
    agent.external_node(&node);
    let old = agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": []}));
    let wish = json!({"name": name, "node": node, "checks": [], "ttl": "30s"});
    let destroys = std::sync::atomic::AtomicUsize::new(0);
    let (reached, wait) = std::sync::mpsc::channel();
    let reached = std::sync::Mutex::new(reached);
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.starts_with("PUT /v1/session/destroy") && destroys.fetch_add(1, SeqCst) == 1 {
            let _ = reached.lock().unwrap().send(());
            return Act::Hang;
        }
        Act::Forward
    });
    let mut child = consul_session(wish.clone()).at(&proxy.address()).spawn();
    wait.recv_timeout(Duration::from_secs(30)).expect("it came that far");
    child.kill().unwrap();
    child.wait().unwrap();
    let note = format!("lictor: replacing {old}");
    assert_eq!((agent.sessions(&name).len(), agent.sessions(&note).len()), (1, 1));
    let next = || consul_session(wish.clone()).at(&agent.address());
    assert_eq!(next().check_mode().run().ok()["action"], "unchanged");
    assert_eq!(agent.sessions(&note).len(), 1, "check mode writes nothing");
    assert_eq!(next().run().ok()["action"], "unchanged");
    assert_eq!(agent.sessions(&note).len(), 0);
}

#[test]
fn a_replacement_killed_before_its_create_is_simply_done_by_the_next_run() {
    let (agent, name) = (Agent::shared(), unique("killed-early"));
    let old = agent.create_session(&json!({"Name": name}));
    // The second create: the first is the note.
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let (reached, wait) = std::sync::mpsc::channel();
    let reached = std::sync::Mutex::new(reached);
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.starts_with("PUT /v1/session/create") && seen.fetch_add(1, SeqCst) == 1 {
            let _ = reached.lock().unwrap().send(());
            return Act::Hang;
        }
        Act::Forward
    });
    let mut child = consul_session(json!({"name": name, "ttl": "30s"})).at(&proxy.address()).spawn();
    wait.recv_timeout(Duration::from_secs(30)).expect("it came that far");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(agent.session_ids(&name), std::slice::from_ref(&old));
    let next = consul_session(json!({"name": name, "ttl": "30s"})).at(&agent.address()).run().ok();
    assert_eq!((&next["action"], agent.sessions(&name).len()), (&json!("replaced"), 1));
    assert_eq!(agent.sessions(&format!("lictor: replacing {old}")), Vec::<Value>::new());
}

#[test]
fn a_lock_taken_while_a_replacement_is_under_way_is_not_lost() {
    let (agent, name) = (Agent::shared(), unique("late-lock"));
    let old = agent.create_session(&json!({"Name": name}));
    let key = format!("{name}/lock");
    let (address, lock, holder) = (agent.address(), key.clone(), old.clone());
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.contains("consistent") && line.contains("/session/node/") {
            let url = format!("http://{address}/v1/kv/{lock}?acquire={holder}");
            support::agent::http().put(url).send("x").unwrap(); // just after the create
        }
        Act::Forward
    });
    let module = consul_session(json!({"name": name, "ttl": "30s"})).at(&proxy.address());
    module.run().fails_with(&["holds the key", &key]);
    assert_eq!(agent.session_ids(&name), std::slice::from_ref(&old), "the new one was withdrawn");
    assert_eq!(agent.get(&format!("/v1/kv/{key}"))[0]["Session"], json!(old));
    assert_eq!(agent.sessions(&format!("lictor: replacing {old}")), Vec::<Value>::new());
}

#[test]
fn a_session_that_ends_under_the_run_is_created_anew() {
    let (agent, name) = (Agent::shared(), unique("ended"));
    let module = |address: &str| consul_session(json!({"name": name, "ttl": "30s"})).at(address);
    let old = module(&agent.address()).run().ok()["session_id"].as_str().unwrap().to_owned();
    let (address, id) = (agent.address(), old.clone());
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.contains("/session/renew/") {
            support::agent::http().put(format!("http://{address}/v1/session/destroy/{id}")).send("").unwrap();
        }
        Act::Forward
    });
    let result = module(&proxy.address()).run().ok();
    assert_eq!(result["action"], "created");
    assert_ne!(result["session_id"], json!(old));
}

/// Starts `count` runs at once, and gives their results.
fn at_once(count: usize, module: impl Fn() -> support::Module) -> Vec<Value> {
    let children: Vec<Child> = (0..count).map(|_| module().spawn()).collect();
    children.into_iter().map(|child| finish(child).ok()).collect()
}

#[test]
fn twenty_runs_at_once_leave_exactly_one_session() {
    let agent = Agent::shared();
    for round in 0..5 {
        let name = unique(&format!("race-{round}"));
        let results = at_once(20, || consul_session(json!({"name": name})).at(&agent.address()));
        let ids = agent.session_ids(&name);
        assert_eq!(ids.len(), 1, "{ids:?}");
        let created = results.iter().filter(|result| result["action"] == "created").count();
        assert_eq!(created, 1, "one run created it, and the others know that they did not");
        assert!(results.iter().all(|result| result["session_id"] == json!(ids[0])), "all name the same one");
    }
}

#[test]
fn twenty_replacements_at_once_leave_exactly_one_session() {
    let (agent, name) = (Agent::shared(), unique("race-replace"));
    let old = agent.create_session(&json!({"Name": name}));
    at_once(20, || consul_session(json!({"name": name, "ttl": "60s"})).at(&agent.address()));
    let sessions = agent.sessions(&name);
    assert_eq!((sessions.len(), &sessions[0]["TTL"]), (1, &json!("1m")), "{sessions:?}");
    assert_eq!(agent.sessions(&format!("lictor: replacing {old}")), Vec::<Value>::new());
}

#[test]
fn over_tls_the_agent_is_verified_and_verifies_us() {
    let folder = tempfile::TempDir::new().unwrap();
    let certificates = Certificates::make(folder.path(), false);
    let (agent, port) = tls_agent(&certificates, true);
    let https = |options: Value| {
        let module = consul_session(options).option("state", json!("list")).option("port", json!(port));
        module.option("scheme", json!("https")).option("host", json!("localhost"))
    };
    let (cert, key) = &certificates.client;
    let identity = json!({"ca_path": certificates.ca, "client_cert": cert, "client_key": key});
    https(identity.clone()).run().ok();
    https(identity.clone()).option("ca_path", json!(certificates.ca.parent())).run().ok(); // a folder
    https(json!({"ca_path": certificates.ca})).run().fails_with(&["client_cert"]);
    https(json!({"client_cert": cert, "client_key": key})).run().fails_with(&[
        "cannot connect",
        "UnknownIssuer",
        "ca_path",
    ]);
    https(json!({"client_cert": cert, "client_key": key, "validate_certs": false})).run().ok();
    let by_address = https(identity.clone()).option("host", json!("127.0.0.1"));
    by_address.run().fails_with(&["certificate", "tls_server_name"]);
    https(identity.clone())
        .option("host", json!("127.0.0.1"))
        .option("tls_server_name", json!("server.dc1.consul"))
        .run()
        .ok();
    https(identity.clone())
        .option("client_key", json!(certificates.server.1))
        .run()
        .fails_with(&["client_key", "does not go with client_cert"]);
    https(identity)
        .option("port", json!(agent.address().rsplit(':').next().unwrap()))
        .run()
        .fails_with(&["take http "]);
    let plain = consul_session(json!({"state": "list"})).at(&format!("localhost:{port}"));
    plain.run().fails_with(&["status 400", "take https"]);
    let from_env = consul_session(json!({"state": "list"}))
        .env("CONSUL_HTTP_ADDR", &format!("https://localhost:{port}"))
        .env("CONSUL_CACERT", certificates.ca.to_str().unwrap())
        .env("CONSUL_CLIENT_CERT", cert.to_str().unwrap())
        .env("CONSUL_CLIENT_KEY", key.to_str().unwrap());
    from_env.run().ok();
}

#[test]
fn an_expired_certificate_is_refused_by_that_word() {
    let folder = tempfile::TempDir::new().unwrap();
    let certificates = Certificates::make(folder.path(), true);
    let (_agent, port) = tls_agent(&certificates, false);
    let module =
        consul_session(json!({"state": "list", "ca_path": certificates.ca})).at(&format!("https://localhost:{port}"));
    module.run().fails_with(&["cannot connect", "certificate expired", "renew it"]);
}

/// An agent that speaks TLS on a port of its own.
fn tls_agent(certificates: &Certificates, verify_incoming: bool) -> (Agent, u16) {
    let port = support::agent::free_ports(1)[0];
    let (cert, key) = &certificates.server;
    let agent = Agent::start(Options {
        config: json!({
            "ports": {"https": port}, "ca_file": certificates.ca, "cert_file": cert, "key_file": key,
            "verify_incoming_https": verify_incoming,
        }),
        ..Options::default()
    });
    (agent, port)
}

#[test]
fn over_a_unix_socket_everything_is_the_same() {
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("consul.sock");
    let addresses = format!("127.0.0.1 unix://{}", socket.display());
    let _agent = Agent::start(Options { config: json!({"addresses": {"http": addresses}}), ..Options::default() });
    let at_socket = |options: Value| consul_session(options).at(&format!("unix://{}", socket.display()));
    assert_eq!(at_socket(json!({"name": "a", "ttl": "30s"})).run().ok()["action"], "created");
    assert_eq!(at_socket(json!({"name": "a", "ttl": "30s"})).run().ok()["action"], "unchanged");
    assert_eq!(at_socket(json!({"state": "list"})).run().ok()["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_replacement_whose_create_is_not_answered_is_finished_by_the_next_run() {
    let (agent, name) = (Agent::shared(), unique("unanswered"));
    let old = agent.create_session(&json!({"Name": name}));
    let creates = std::sync::atomic::AtomicUsize::new(0);
    let proxy = Proxy::start(&agent.address(), move |line| {
        let second = line.starts_with("PUT /v1/session/create") && creates.fetch_add(1, SeqCst) == 1;
        if second { Act::ForwardAndClose } else { Act::Forward } // the first is the note
    });
    let wish = || consul_session(json!({"name": name, "ttl": "30s"}));
    wish().at(&proxy.address()).run().fails_with(&["PUT /v1/session/create", "run it again"]);
    let next = wish().at(&agent.address()).run().ok();
    assert_eq!((&next["action"], &next["destroyed"]), (&json!("replaced"), &json!([old])));
    assert_eq!(agent.sessions(&name).len(), 1);
}

#[test]
fn a_run_that_fails_leaves_the_note_of_another_run() {
    let (agent, name, node) = (Agent::shared(), unique("others-note"), unique("others-note"));
    agent.external_node(&node);
    let old = agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": []}));
    let wish = json!({"name": name, "node": node, "checks": [], "ttl": "30s"});
    kill_at(agent, wish.clone(), "PUT /v1/session/destroy");
    let failing = json!({"name": name, "node": node, "checks": ["no-such-check"]});
    consul_session(failing).at(&agent.address()).run().fails_with(&["Missing check"]);
    let mended = consul_session(wish).at(&agent.address()).run().ok();
    assert_eq!(mended["destroyed"], json!([old]));
}

#[test]
fn a_finish_that_fails_claims_no_create() {
    let (agent, name) = (Agent::shared(), unique("unfinished"));
    agent.create_session(&json!({"Name": name}));
    let wish = json!({"name": name, "ttl": "30s"});
    kill_at(agent, wish.clone(), "PUT /v1/session/destroy");
    let proxy = Proxy::start(&agent.address(), |line| {
        if line.starts_with("PUT /v1/session/destroy") { status(403, "Permission denied") } else { Act::Forward }
    });
    let failure = consul_session(wish).at(&proxy.address()).run().fails_with(&["status 403"]);
    assert_eq!(failure["changed"], false);
    assert!(!failure["msg"].as_str().unwrap().contains("was created"), "{failure}");
}

#[test]
fn a_session_that_is_named_like_a_note_is_nobodys_note() {
    let (agent, name, node) = (Agent::shared(), unique("no-note"), unique("no-note"));
    agent.external_node(&node);
    let old = agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": []}));
    let named = |id: &str| {
        agent.create_session(&json!({"Name": format!("lictor: replacing {id}"), "Node": node, "NodeChecks": []}))
    };
    let (about_old, about_none) = (named(&old), named("8f3c7a3e-1d2b-4c5d-8e9f-0a1b2c3d4e5f"));
    let equal = agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": [], "TTL": "30s"}));
    let wish = json!({"name": name, "node": node, "checks": [], "ttl": "30s"});
    let result = consul_session(wish).at(&agent.address()).run().ok();
    assert_eq!((&result["action"], &result["session_id"]), (&json!("unchanged"), &json!(equal)));
    assert_eq!(agent.session_ids(&name), [old, equal]);
    for id in [about_old, about_none] {
        assert_eq!(agent.get(&format!("/v1/session/info/{id}")).as_array().unwrap().len(), 1, "it is somebody's");
    }
    let taken = consul_session(json!({"name": "lictor: replacing me"})).at(&agent.address());
    taken.run().fails_with(&["take another name"]);
}

#[test]
fn many_duplicates_are_destroyed_with_few_looks_for_locks() {
    let (agent, name) = (Agent::shared(), unique("many"));
    for _ in 0..120 {
        agent.create_session(&json!({"Name": name}));
    }
    let proxy = Proxy::start(&agent.address(), |_| Act::Forward);
    let result = consul_session(json!({"name": name, "unique": true})).at(&proxy.address()).run().ok();
    assert_eq!((result["destroyed"].as_array().unwrap().len(), agent.sessions(&name).len()), (119, 1));
    let looks = proxy.seen().iter().filter(|line| line.contains("recurse")).count();
    assert_eq!(looks, 4, "one for the plan, then one for each fifty");
}

#[test]
fn two_runs_that_destroy_each_others_session_do_not_leave_none() {
    let (agent, name) = (Agent::shared(), unique("mutual"));
    let kept = agent.create_session(&json!({"Name": name, "TTL": "30s"}));
    agent.create_session(&json!({"Name": name, "TTL": "60s"}));
    let (address, id) = (agent.address(), kept.clone());
    let proxy = Proxy::start(&agent.address(), move |line| {
        if line.starts_with("PUT /v1/session/destroy") {
            support::agent::http().put(format!("http://{address}/v1/session/destroy/{id}")).send("").unwrap();
        }
        Act::Forward
    });
    let module = consul_session(json!({"name": name, "ttl": "30s", "unique": true})).at(&proxy.address());
    let result = module.run().ok();
    assert_eq!(agent.session_ids(&name), [result["session_id"].as_str().unwrap()]);
    assert_ne!(result["session_id"], json!(kept));
}

#[test]
fn a_list_that_is_none_of_sessions_is_refused() {
    for body in ["[1, 2]", "{}", "\"[{}]\"", "[[]]"] {
        list(&always(status(200, body)).address()).run().fails_with(&["not Consul's"]);
    }
    list(&always(status(200, " [ ] ")).address()).run().ok();
}
