//! Bad arguments: a clear error on standard output, and Consul is not even asked.

mod support;

use serde_json::{Value, json};
use support::{consul_session, run_raw};

/// No agent listens there: a module that asked would say so.
const NOBODY: &str = "127.0.0.1:1";

#[track_caller]
fn refused(options: Value, words: &[&str]) {
    let failure = consul_session(options).at(NOBODY).run().fails_with(words);
    assert_eq!((&failure["reason"], &failure["changed"]), (&json!("arguments"), &json!(false)), "{failure}");
}

#[test]
fn what_is_no_json_object_is_refused() {
    run_raw(b"").fails_with(&["are empty"]);
    run_raw(b"name=web").fails_with(&["not JSON", "line 1 column 2"]);
    run_raw(b"{\"name\": \"web\",}").fails_with(&["not JSON"]);
    run_raw(b"[1, 2]").fails_with(&["JSON list"]);
    run_raw(b"\"web\"").fails_with(&["no object"]);
    run_raw(&(0..=255).cycle().take(10_000).collect::<Vec<u8>>()).fails_with(&["not UTF-8"]);
    run_raw("[".repeat(100_000).as_bytes()).fails_with(&["not JSON"]);
    run_raw(&vec![b' '; 10_000_000]).fails_with(&["longer than 4194304 bytes"]);
    run_raw(b"{\"name\": \"web\"}").fails_with(&["which module?", "consul_session"]);
    run_raw(b"{\"_ansible_module_name\": \"consul_nope\"}")
        .fails_with(&["no module \"consul_nope\"", "consul_session"]);
}

#[test]
fn options_fail_in_ansibles_own_words() {
    refused(
        json!({"foo": 1}),
        &["Unsupported parameters for (consul_session) module: foo. Supported parameters include: behavior, "],
    );
    refused(json!({"state": "gone"}), &["value of state must be one of: absent, info, list, node, present, got: gone"]);
    refused(json!({"state": "info"}), &["state is info but any of the following are missing: id, name"]);
    refused(json!({"state": "absent"}), &["state is absent but any of the following are missing: name, id"]);
    refused(json!({"port": "http"}), &["argument 'port' is of type str and we were unable to convert to int"]);
    refused(json!({"token": "a", "token_file": "b"}), &["parameters are mutually exclusive: token|token_file"]);
    refused(json!({"client_cert": "cert.pem"}), &["parameters are required together: client_cert, client_key"]);
    refused(json!({"service_checks": [1]}), &["service_checks: each is a check's id, or a dict"]);
    refused(json!({"service_checks": [{"id": "a", "ns": "b"}]}), &["service_checks: each is a check's id, or a dict"]);
}

#[test]
fn bounds_that_consul_does_not_keep_are_kept_here() {
    refused(json!({"name": "a", "ttl": "5s"}), &["ttl is 5s", "10s to 24h"]);
    refused(json!({"name": "a", "ttl": 86401}), &["ttl is 24h1s"]);
    refused(json!({"name": "a", "delay": 61}), &["delay is 1m1s", "0 to 60s"]);
    refused(json!({"name": "a", "delay": "500ns"}), &["delay is 500ns", "500 seconds"]);
    refused(json!({"name": "a", "delay": "-5s"}), &["argument 'delay'", "negative"]);
    refused(json!({"name": "a", "delay": "1d"}), &["argument 'delay'", "is not a duration", "20s"]);
    refused(json!({"name": "a", "timeout": 0}), &["timeout: is 0"]);
    refused(json!({"name": "a", "port": 70000}), &["port is out of range"]);
}

#[test]
fn names_that_cannot_be_meant_are_refused() {
    refused(json!({"name": "a".repeat(10_000)}), &["name is 10000 bytes long, and 1024 is the most"]);
    refused(json!({"name": "a\nb"}), &["name holds a newline", "a\\nb"]);
    refused(json!({"name": ""}), &["name is empty"]);
    refused(json!({"name": "a", "node": "n\u{0}"}), &["node holds a newline or another control character"]);
    refused(json!({"name": "a", "checks": "serfHealth,"}), &["checks is empty, or holds an empty name"]);
    refused(json!({"name": "a", "node": ".."}), &["node is \"..\""]);
    refused(json!({"name": "a", "lock_prefix": "a/./b"}), &["lock_prefix is \"a/./b\""]);
    let id = "00000000-0000-0000-0000-000000000000";
    refused(json!({"id": id, "unique": true}), &["parameters are mutually exclusive: id|unique"]);
    refused(json!({"id": "not-a-uuid"}), &["id \"not-a-uuid\" is not a session's id", "UUID"]);
    refused(json!({"name": "a", "lock_prefix": "/a"}), &["lock_prefix is \"/a\""]);
}

#[test]
fn addresses_that_make_no_sense_are_refused() {
    let at = |host: &str| consul_session(json!({"state": "list", "host": host})).run();
    at("ftp://consul").fails_with(&["scheme"]);
    at("consul:1:2").fails_with(&["two ports"]);
    at("consul:port").fails_with(&["no valid port"]);
    at("http://a b").fails_with(&["is no host"]);
    at("unix://").fails_with(&["names no socket"]);
    at("https://consul/path").fails_with(&["path"]);
}

#[test]
fn files_that_are_missing_are_named() {
    refused(
        json!({"state": "list", "token_file": "/no/such/token"}),
        &["token_file: cannot read /no/such/token", "No such file"],
    );
    let https = |option: &str| json!({"state": "list", "scheme": "https", option: "/no/such/file"});
    refused(https("ca_path"), &["ca_path: cannot read /no/such/file"]);
    let both = json!({"state": "list", "scheme": "https", "client_cert": "/no/cert", "client_key": "/no/key"});
    refused(both, &["client_cert: cannot read /no/cert"]);
}

#[test]
fn secrets_appear_nowhere() {
    let secret = "3f1c7c1e-secret";
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, secret).unwrap();
    for module in [
        consul_session(json!({"state": "list", "token": secret})),
        consul_session(json!({"state": "list", "token": secret, "foo": 1})),
        consul_session(json!({"state": secret, "token": secret})),
        consul_session(json!({"state": "list", "token": format!("{secret}\n")})),
        consul_session(json!({"state": "list", "token": [secret]})),
        consul_session(json!({"state": "list", "token_file": file})),
        consul_session(json!({"state": "list"})).env("CONSUL_HTTP_TOKEN", secret),
        consul_session(json!({"state": "list"})).env("CONSUL_HTTP_AUTH", &format!("me:{secret}")),
        consul_session(json!({"state": "list", "host": format!("http://me:{secret}@consul")})),
        consul_session(json!({"state": "list", "host": format!("http://@consul?token={secret}")})),
        consul_session(json!({"state": "list", "host": [format!("me:{secret}@consul")]})),
        consul_session(json!({"state": "list"})).env("CONSUL_HTTP_ADDR", &format!("http://@consul?token={secret}")),
    ] {
        let module = if format!("{module:?}").contains("@consul") { module } else { module.at(NOBODY) };
        let answer = module.run();
        assert_eq!(answer.code, 1);
        assert!(!format!("{answer:?}").contains(secret), "{answer:?}");
    }
    let echo = support::proxy::Proxy::start(NOBODY, |_| support::proxy::status(500, "what is 3f1c7c1e-secret?"));
    let answer = consul_session(json!({"state": "list", "token": secret})).at(&echo.address()).run();
    answer.fails_with(&["what is ********?"]);
}

#[test]
fn the_options_are_shown_as_they_were_understood() {
    let failure =
        consul_session(json!({"name": "a", "token": "hush", "checks": "a,b"})).at(NOBODY).run().fails_with(&[]);
    let shown = &failure["invocation"]["module_args"];
    assert_eq!(shown["token"], "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER");
    assert_eq!(
        (&shown["checks"], &shown["state"], &shown["force"]),
        (&json!(["a", "b"]), &json!("present"), &json!(false))
    );
}

#[test]
fn a_result_that_cannot_be_printed_is_a_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lictor-module"))
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// A panic cannot be caused from outside, so this test is its own child.
#[test]
fn a_panic_is_one_json_object_too() {
    if std::env::var_os("LICTOR_TEST_PANIC").is_some() {
        lictor::ansible::answer_panics();
        panic!("on purpose: hush");
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_is_one_json_object_too", "--nocapture"])
        .env("LICTOR_TEST_PANIC", "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["failed"], &last["reason"]), (&json!(true), &json!("internal")));
    assert!(!stdout.contains("hush") && stdout.contains("bad_input.rs"), "{stdout}");
    assert_eq!(output.status.code(), Some(1));
}
