//! What is refused before anything is sent, the ids of checks, and the hash.

use super::*;
use serde_json::{Value, json};

fn web() -> Service {
    Service { id: "web1".to_owned(), name: "web".to_owned(), ..Service::default() }
}

fn checks(checks: Value) -> Option<Vec<Check>> {
    Some(serde_json::from_value(checks).unwrap())
}

fn spec(list: Value) -> Result<ServiceSpec, Refused> {
    ServiceSpec::new(web(), checks(list))
}

#[track_caller]
fn refused(result: Result<ServiceSpec, Refused>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn every_fault_of_a_check_is_named() {
    for (check, words) in [
        (json!({}), &["checks[0]: it checks nothing", "http, tcp, grpc"][..]),
        (json!({"name": "a", "http": "http://a", "ttl": "1s"}), &["checks[0] (a)", "several kinds (http, ttl)"]),
        (json!({"http": "http://a"}), &["kind http needs an interval"]),
        (json!({"tcp": "a:1"}), &["needs an interval"]),
        (json!({"id": "serfhealth", "ttl": "10s"}), &["\"serfhealth\" is that of a check of Consul's own"]),
        (json!({"id": "_node_maintenance", "ttl": "10s"}), &["Consul's own"]),
        (json!({"id": "_service_maintenance:web", "ttl": "10s"}), &["Consul's own"]),
        (json!({"name": "a//b", "ttl": "10s"}), &["the id of a check is", "a//b", "no path to Consul"]),
        (json!({"grpc": "a:1"}), &["needs an interval"]),
        (json!({"args": ["true"]}), &["needs an interval"]),
        (json!({"tcp": "a:1", "interval": "0"}), &["interval is 0s", "1s"]),
        (json!({"tcp": "a:1", "interval": "500ms"}), &["interval is 500ms", "1s"]),
        (json!({"ttl": "10s", "interval": "10s"}), &["interval means nothing", "ttl"]),
        (json!({"alias_node": "n", "interval": "10s"}), &["interval means nothing", "alias"]),
        (json!({"tcp": "a:1", "interval": "1s", "timeout": 0}), &["timeout is 0"]),
        (json!({"ttl": 0}), &["ttl is 0"]),
        (json!({"ttl": "1m", "deregister_critical_service_after": "59s"}), &["is 59s", "1m"]),
        (json!({"tcp": "a:1", "interval": "1s", "method": "GET"}), &["method means nothing"]),
        (json!({"tcp": "a:1", "interval": "1s", "header": {"a": "b"}}), &["header means nothing"]),
        (json!({"tcp": "a:1", "interval": "1s", "tls_skip_verify": true}), &["tls_skip_verify means nothing"]),
        (json!({"tcp": "a:1", "interval": "1s", "grpc_use_tls": true}), &["grpc_use_tls means nothing"]),
        (json!({"http": "localhost/health", "interval": "1s"}), &["http is", "https://"]),
        (json!({"tcp": "localhost", "interval": "1s"}), &["tcp is", "address:port"]),
        (json!({"id": "", "ttl": "1s"}), &["id is empty"]),
        (json!({"name": "a\nb", "ttl": "1s"}), &["control character"]),
    ] {
        refused(spec(json!([check])), words);
    }
    refused(spec(json!([{"id": "a", "ttl": "1s"}, {"id": "a", "ttl": "2s"}])), &["two checks have the id \"a\""]);
    refused(spec(json!([{"name": "a", "ttl": "1s"}, {"name": "a", "ttl": "2s"}])), &["\"service:web1:a\""]);
    let external = spec(json!([{"ttl": "1s"}])).unwrap().on_external_node();
    refused(external, &["kind ttl", "consul-esm"]);
}

#[test]
fn every_fault_of_a_service_is_named() {
    let meta = |key: &str, value: &str| Service { meta: [(key.to_owned(), value.to_owned())].into(), ..web() };
    let long = "x".repeat(513);
    let many = Service { meta: (0..63).map(|n| (n.to_string(), String::new())).collect(), ..web() };
    for (service, words) in [
        (Service { name: String::new(), ..web() }, &["name is empty"][..]),
        (Service { id: "a\u{7}".to_owned(), ..web() }, &["id holds", "control"]),
        (Service { id: "..".to_owned(), ..web() }, &["id is \"..\"", "no path to Consul"]),
        (Service { id: "a//b".to_owned(), ..web() }, &["id is \"a//b\""]),
        (Service { id: "/a".to_owned(), ..web() }, &["id is \"/a\""]),
        (Service { id: "consul".to_owned(), ..web() }, &["id is that of Consul's own service"]),
        (Service { name: "consul".to_owned(), ..web() }, &["name is that of Consul's own service"]),
        (Service { address: "0.0.0.0".to_owned(), ..web() }, &["address is 0.0.0.0", "nobody can connect"]),
        (Service { weights: Weights { passing: 0, warning: 1 }, ..web() }, &["passing is 0"]),
        (meta("a.b", ""), &["\"a.b\"", "letters, digits"]),
        (meta("ä", ""), &["letters, digits"]),
        (meta("", ""), &["0 characters"]),
        (meta(&long[..129], ""), &["129 characters"]),
        (meta("a", &long), &["513 bytes", "512"]),
        (meta("consul-a", ""), &["keeps `consul-`"]),
        (meta(HASH_KEY, "x"), &["lictor-hash is ours"]),
        (meta(OWNER_KEY, "x"), &["lictor-owner is ours"]),
        (many, &["63 pairs", "62"]),
    ] {
        refused(ServiceSpec::new(service, None), words);
    }
    assert!(ServiceSpec::new(meta(&long[..128], &long[..512]), None).is_ok());
    assert!(ServiceSpec::new(Service { id: "a/b...c/".to_owned(), ..web() }, None).is_ok());
}

fn ids(list: Value) -> Vec<String> {
    spec(list).unwrap().checks().unwrap().iter().map(|check| check.id.clone().unwrap()).collect()
}

#[test]
fn an_unchanged_check_keeps_its_id_wherever_it_stands() {
    let (a, b, c) = (json!({"name": "a", "ttl": "1s"}), json!({"ttl": "2s"}), json!({"id": "mine", "ttl": "3s"}));
    assert_eq!(ids(json!([a, b, c])), ["service:web1:a", "service:web1:ttl", "mine"]);
    assert_eq!(ids(json!([c, b, a])), ["mine", "service:web1:ttl", "service:web1:a"]);
    assert_eq!(ids(json!([b, b])), ["service:web1:ttl", "service:web1:ttl:2"]);
}

#[test]
fn the_hash_is_of_what_was_meant() {
    let hash = |list: Value| spec(list).unwrap().hash().to_owned();
    let ttl = hash(json!([{"ttl": "90s"}]));
    // The value itself is part of what users have in Consul: another would register every service anew.
    assert_eq!(ttl, "8f1771b945aeb67c6c22e0149ed02f02");
    assert_eq!(hash(json!([{"ttl": "1m30s", "tls_skip_verify": false}])), ttl);
    assert_eq!(hash(json!([{"ttl": 90, "id": "service:web1:ttl"}])), ttl, "the id that it has anyway");
    assert_ne!(hash(json!([{"ttl": "91s"}])), ttl);
    assert_ne!(hash(json!([])), ttl);
    let unmanaged = ServiceSpec::new(web(), None).unwrap().hash().to_owned();
    assert_ne!(unmanaged, hash(json!([])), "no checks, and the checks that it has, are two wishes");
}

#[test]
fn a_header_is_a_text_or_a_list() {
    let one = spec(json!([{"http": "http://a", "interval": 1, "header": {"a": "b"}}])).unwrap();
    let several = spec(json!([{"http": "http://a", "interval": 1, "header": {"a": ["b"]}}])).unwrap();
    assert_eq!(one, several);
}
