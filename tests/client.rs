//! The client library on a real agent: every call, and what its errors keep.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lictor::consul::{Client, Config, ConfigError, Error, Query, Secret, SessionEntry, SessionRequest, Settings};
use support::{Agent, unique};

fn client() -> Client {
    let settings = Settings { host: Some(Agent::shared().address()), ..Settings::default() };
    Client::new(settings.into_config().unwrap()).unwrap()
}

#[test]
fn a_session_from_its_creation_to_its_end() {
    let (client, query, name) = (client(), Query::default(), unique("client"));
    let api = client.session();
    let request = SessionRequest { name: Some(name.clone()), ttl: Some("30s".to_owned()), ..SessionRequest::default() };
    let id = api.create(&request, &query).unwrap();
    let session = api.read(&id, &query.consistent()).unwrap().0.unwrap();
    assert_eq!((session.name.as_str(), session.ttl.as_str(), session.lock_delay), (&*name, "30s", 15_000_000_000));
    assert!(api.list(&query).unwrap().contains(&session));
    assert!(api.list_node("node1", &query).unwrap().contains(&session));
    assert_eq!(api.list_node("no-such-node", &query).unwrap(), []);
    assert_eq!(api.renew(&id, &query).unwrap(), Some(session));
    api.destroy(&id, &query).unwrap();
    api.destroy(&id, &query).unwrap(); // no error: it is gone, as asked
    assert_eq!(api.read(&id, &query).unwrap().0, None);
    assert_eq!(api.renew(&id, &query).unwrap(), None);
}

#[test]
fn a_name_of_any_character_survives() {
    let (client, query) = (client(), Query::default());
    for name in ["a b+c%2F/d", "ünïcödé ✓", "\"quoted\\", "a&b=c?d#e"] {
        let request = SessionRequest { name: Some(name.to_owned()), ..SessionRequest::default() };
        let id = client.session().create(&request, &query).unwrap();
        assert_eq!(client.session().read(&id, &query).unwrap().0.unwrap().name, name);
        Agent::shared().external_node(name);
        let request =
            SessionRequest { node: Some(name.to_owned()), node_checks: Some(Vec::new()), ..SessionRequest::default() };
        let id = client.session().create(&request, &query).unwrap();
        assert_eq!(client.session().list_node(name, &query).unwrap()[0].id, id, "the node's name in the path");
        assert_eq!(client.catalog().node(name, &query).unwrap().unwrap().node.node, name);
    }
}

#[test]
fn the_agent_the_catalog_the_checks_and_the_leader() {
    let (client, query) = (client(), Query::default());
    let agent = client.agent().read_self().unwrap().config;
    assert_eq!((agent.node_name.as_str(), agent.datacenter.as_str(), agent.is_enterprise()), ("node1", "dc1", false));
    assert!(
        client.catalog().nodes(&query).unwrap().iter().any(|node| node.node == "node1" && node.datacenter == "dc1")
    );
    assert_eq!(client.catalog().node("no-such-node", &query).unwrap(), None);
    let checks = client.health().node("node1", &query).unwrap();
    assert!(checks.iter().any(|check| check.check_id == "serfHealth" && check.status == "passing"));
    let leader = client.status().leader(&query).unwrap().unwrap();
    assert_eq!(client.status().peers(&query).unwrap(), [leader]);
    assert!(!client.acl().is_enabled().unwrap());
}

#[test]
fn the_keys_that_sessions_hold() {
    let (client, query, name) = (client(), Query::default(), unique("held"));
    let agent = Agent::shared();
    let id = client.session().create(&SessionRequest::default(), &query).unwrap();
    agent.put(&format!("/v1/kv/{name}/free"), &"x".into());
    agent.lock(&format!("{name}/held"), &id);
    let (held, _) = client.kv().locked(&format!("{name}/"), &query).unwrap();
    let keys: Vec<_> = held.iter().map(|key| (key.key.clone(), key.session.clone().unwrap())).collect();
    assert_eq!(keys, [(format!("{name}/held"), id)]);
    assert_eq!(client.kv().locked("no/such/prefix/", &query).unwrap().0, []);
    assert!(client.kv().may_read("no/such/key", &query).unwrap());
}

#[test]
fn an_error_keeps_the_request_the_status_and_consuls_text() {
    let (client, query) = (client(), Query { datacenter: Some("dc9".to_owned()), ..Query::default() });
    let error = client.session().list(&query).unwrap_err();
    let call = error.call().unwrap();
    assert_eq!((call.method, call.path.as_str()), ("GET", "/v1/session/list?dc=dc9"));
    assert_eq!((error.status(), error.body()), (Some(500), Some("No path to datacenter")));
    assert!(!error.is_denied() && !error.is_not_found() && !error.is_retryable(true));
    let nobody = Settings { host: Some("127.0.0.1:1".to_owned()), ..Settings::default() };
    let error = Client::new(nobody.into_config().unwrap()).unwrap().session().list(&Query::default()).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && std::error::Error::source(&error).is_some(), "{error:?}");
}

#[test]
fn settings_that_cannot_work_fail_before_anything_is_sent() {
    let token = Settings { token: Some(Secret::new("a b")), ..Settings::default() };
    let error = token.into_config().unwrap_err();
    assert!(matches!(error, ConfigError::Invalid { setting: "token", .. }) && !error.to_string().contains("a b"));
    let half = Settings { client_cert: Some("cert.pem".into()), ..Settings::default() };
    assert!(half.into_config().unwrap_err().to_string().contains("required together"));
    let config = Config { timeout: std::time::Duration::from_secs(1), ..Config::default() };
    assert_eq!(Client::new(config).unwrap().address(), "http://localhost:8500");
}

/// A server that answers a request of each connection with `answer`, and closes it then unless it is to stay open. Each
/// connection is told of when it is answered, or closed. It is a stub, because an agent closes no idle connection.
fn stub(answer: &'static [&'static str], stays: bool) -> (Client, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = Settings {
        host: Some(listener.local_addr().unwrap().to_string()),
        timeout: Some(Duration::from_secs(1)),
        ..Settings::default()
    };
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0); // a small request comes whole
            for part in answer {
                if stream.write_all(part.as_bytes()).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            if stays {
                open.push(stream);
            } else {
                drop(stream);
            }
            let _ = tell.send(());
        }
    });
    (Client::new(settings.into_config().unwrap()).unwrap(), told)
}

#[test]
fn a_kept_connection_that_was_closed_is_not_used() {
    let (client, closed) = stub(&["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"ID\":\"a\"}"], false);
    for _ in 0..3 {
        // A create is sent once: on a connection that is gone it would fail, and nobody knew whether it was carried out.
        assert_eq!(client.session().create(&SessionRequest::default(), &Query::default()).unwrap(), "a");
        closed.recv().unwrap();
    }
}

#[test]
fn an_agent_that_stalls_in_the_middle_of_an_answer_is_not_waited_for() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    const TRICKLE: [&str; 101] = {
        let mut parts = ["x"; 101];
        parts[0] = HEAD;
        parts
    };
    for answer in [&["HTTP/1.1 200 OK\r\n"][..], &[HEAD, "{\"ID\""], &TRICKLE] {
        let (client, _told) = stub(answer, true);
        let error = client.session().create(&SessionRequest::default(), &Query::default()).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }
}

/// A server that answers one connection after the other, as an answer that breaks off is answered by no agent.
fn answers(answers: Vec<String>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = Some(listener.local_addr().unwrap().to_string());
    std::thread::spawn(move || {
        for (answer, mut stream) in answers.into_iter().zip(listener.incoming().flatten()) {
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Client::new(Settings { host, ..Settings::default() }.into_config().unwrap()).unwrap()
}

#[test]
fn a_long_list_that_breaks_off_is_asked_for_once_more() {
    let entry =
        |number: usize| SessionEntry { id: number.to_string(), node: "n".repeat(100), ..SessionEntry::default() };
    let entries: Vec<SessionEntry> = (0..4_000).map(entry).collect();
    let body = serde_json::to_string(&entries).unwrap();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for length in [200, 400_000, whole.len() - 1] {
        let cut = || whole[..length].to_owned();
        let list = |client: &Client| client.session().list_node_raw("n", &Query::default()).unwrap().map(|entry| entry);
        let read = list(&answers(vec![cut(), whole.clone()])).unwrap().0.concat();
        assert!(read == entries, "{length}: {}", read.len());
        let error = list(&answers(vec![cut(), cut()])).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{length}: {error}");
    }
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\nPermission denied".to_owned();
    let error = answers(vec![refused]).session().list_raw(&Query::default()).unwrap_err();
    assert!(error.to_string().contains("Permission denied") && error.status() == Some(403), "{error}");
}
