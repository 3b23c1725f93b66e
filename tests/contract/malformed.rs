//! What is no request, or no request that there is.

use serde_json::Value;

use crate::support::target::Target;
use crate::support::unique;

cases!(open:
    what_is_no_http_is_refused,
    a_body_that_is_too_long_is_refused_before_it_is_read,
    paths_that_there_are_not,
    a_method_that_nobody_knows,
    a_path_that_is_not_clean_is_redirected,
    control_characters_in_any_path,
    several_requests_on_one_connection,
    an_expectation_is_met,
    a_request_of_http_1_0_is_answered,
    a_query_with_what_nobody_asked_for,
    a_body_of_any_length_may_be_nothing,
);

/// The status of the answer to these lines.
#[track_caller]
fn status(agent: &Target, request: &str) -> u16 {
    let answer = agent.raw(request.as_bytes());
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// A request with these further lines.
fn lines(first: &str, further: &str) -> String {
    format!("{first} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{further}\r\n")
}

fn what_is_no_http_is_refused(agent: &Target) {
    for request in [
        "garbage\r\n\r\n".to_owned(),
        lines("GET /v1/kv/a b", ""),
        lines("PUT /v1/kv/a", "Content-Length: x\r\n"),
        lines("PUT /v1/kv/a", "Content-Length: -1\r\n"),
    ] {
        assert_eq!(status(agent, &request), 400, "{request}");
    }
    let long = lines("GET /v1/kv/a", &format!("X: {}\r\n", "y".repeat(1_100_000)));
    assert_eq!(status(agent, &long), 431);
    agent.get("status/leader").ok();
}

fn a_body_that_is_too_long_is_refused_before_it_is_read(agent: &Target) {
    for path in ["kv/a", "txn"] {
        let request = format!("{}abc", lines(&format!("PUT /v1/{path}"), "Content-Length: 1073741824\r\n"));
        assert_eq!(status(agent, &request), 413, "{path}");
    }
}

fn paths_that_there_are_not(agent: &Target) {
    for path in ["/v1", "/v1/", "/v1/nothing", "/nothing", "/V1/status/leader", "/v1/agent/nothing", "/v1/session"] {
        for method in ["GET", "PUT", "DELETE"] {
            agent.send_to(method, path, &[], b"").is(404, "");
        }
    }
    agent.get("status/leader/").is(404, "");
    agent.get("session/list/x").is(404, "");
    for path in ["session/info", "session/node", "catalog/node", "health/service", "agent/service"] {
        let answer = agent.get(path);
        assert_eq!((answer.status, answer.header("location")), (301, Some(&*format!("/v1/{path}/"))), "{path}");
    }
}

fn a_method_that_nobody_knows(agent: &Target) {
    for method in ["FOO", "PATCH", "HEAD"] {
        let answer = agent.send(method, "status/leader", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("OPTIONS,GET")), "{method}");
    }
}

fn a_path_that_is_not_clean_is_redirected(agent: &Target) {
    for path in ["/v1//session/list", "//v1/session/list", "/v1/session/./list", "/v1/session/x/../list"] {
        let answer = agent.send_to("GET", path, &[], b"");
        assert_eq!((answer.status, answer.header("location")), (301, Some("/v1/session/list")), "{path}");
    }
}

fn control_characters_in_any_path(agent: &Target) {
    for path in ["session/info/%00", "catalog/node/a%0Ab", "health/service/%7F", "agent/service/%1B"] {
        agent.get(path).is(400, "");
    }
}

fn several_requests_on_one_connection(agent: &Target) {
    let none = unique("none");
    let request = format!("GET /v1/kv/{none} HTTP/1.1\r\nHost: a\r\n\r\n{}", lines("GET /v1/catalog/datacenters", ""));
    let answer = agent.raw(request.as_bytes());
    let statuses: Vec<_> = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(statuses, ["HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"], "{answer}");
    assert!(answer.contains("\"dc1\""));
}

fn an_expectation_is_met(agent: &Target) {
    let key = unique("malformed/expect");
    let head = lines(&format!("PUT /v1/kv/{key}"), "Expect: 100-continue\r\nContent-Length: 3\r\n");
    let answer = agent.raw(format!("{head}abc").as_bytes());
    assert!(answer.contains("HTTP/1.1 200 OK\r\n"), "{answer}");
    agent.get(&format!("kv/{key}?raw")).is(200, "abc");
}

fn a_request_of_http_1_0_is_answered(agent: &Target) {
    assert_eq!(status(agent, "GET /v1/catalog/datacenters HTTP/1.0\r\n\r\n"), 200);
}

fn a_query_with_what_nobody_asked_for(agent: &Target) {
    let key = unique("malformed/query");
    agent.put(&format!("kv/{key}?nothing=1&pretty"), "x").is(200, "true");
    agent.get(&format!("kv/{key}?raw&&=&x=%25&pretty=false")).is(200, "x");
    agent.get("catalog/datacenters?x").ok();
}

fn a_body_of_any_length_may_be_nothing(agent: &Target) {
    for (path, says) in [
        ("catalog/register", "Request decode failed: EOF"),
        ("catalog/deregister", "Request decode failed: EOF"),
        ("agent/service/register", "Request decode failed: EOF"),
        ("agent/check/register", "Request decode failed: EOF"),
        ("agent/check/update/x", "Request decode failed: EOF"),
        ("txn", "Failed to parse body: EOF"),
    ] {
        agent.put(path, Value::Null).is(400, says);
        agent.put(path, "  \n ").is(400, says);
    }
}
