//! `lictor service`, as a shell sees it.

mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Agent, unique};

fn lictor(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lictor"))
        .args(arguments)
        .env_clear()
        .env("CONSUL_HTTP_ADDR", Agent::shared().address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()); // a command that fails early does not read
    child.wait_with_output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = lictor(arguments, "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], input: &str) -> (i32, String) {
    let output = lictor(arguments, input);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_service_by_command_from_its_registration_to_its_end() {
    let name = unique("cli-service");
    let register =
        ["service", "register", "--name", &name, "--port", "80", "--tag", "b", "--tag", "a", "--meta", "k=v=w"];
    let checked = [&register[..], &["--check-http", "http://127.0.0.1:1/", "--interval", "1h"]].concat();
    assert_eq!(ok(&checked), format!("registered\t{name}\n"));
    assert_eq!(ok(&checked), format!("unchanged\t{name}\n"));
    let row = format!("{name}\t{name}\t-\t80\ta,b\n");
    assert_eq!(ok(&["service", "list", "--name", &name]), row);
    let check = format!("service:{name}:http\tService '{name}' check\tcritical\thttp\t\n");
    assert_eq!(ok(&["service", "info", &name]), row + &check);
    let document: Value = serde_json::from_str(&ok(&["service", "info", &name, "-o", "json"])).unwrap();
    assert_eq!((&document["service"]["Meta"]["k"], &document["checks"][0]["Type"]), (&json!("v=w"), &json!("http")));
    assert_eq!(ok(&register), format!("unchanged\t{name}\n"), "without a check, those that it has stay");
    assert!(ok(&["service", "info", &name]).contains(&check));
    assert_eq!(ok(&["service", "deregister", &name, "nope"]), format!("deregistered\t{name}\n"));
    assert_eq!(ok(&["service", "deregister", &name]), "nothing to deregister\n");
    let (code, said) = fails(&["service", "info", &name], "");
    assert!(code == 1 && said.contains(&name), "{said}");
}

#[test]
fn a_definition_comes_from_a_file_and_is_that_of_the_module() {
    let name = unique("cli-file");
    let definition = json!({"name": name, "id": format!("{name}-1"), "service_port": 1, "checks": [{"ttl": "30s"}]});
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("web.json");
    std::fs::write(&file, definition.to_string()).unwrap();
    assert_eq!(ok(&["service", "register", "--file", file.to_str().unwrap()]), format!("registered\t{name}-1\n"));
    let again = lictor(&["service", "register", "--file", "-"], &definition.to_string());
    assert_eq!(String::from_utf8(again.stdout).unwrap(), format!("unchanged\t{name}-1\n"));
    let module = support::module("consul_service", definition).at(&Agent::shared().address()).run().ok();
    assert_eq!(module["changed"], false, "both faces make the same definition of it");
}

#[test]
fn a_service_on_a_node_without_an_agent_by_command() {
    let (name, node) = (unique("cli-db"), unique("cli-node"));
    let there = ["service", "register", "--name", &name, "--node", &node, "--node-address", "10.0.0.1"];
    assert_eq!(ok(&there), format!("registered\t{name}\n"));
    assert_eq!(ok(&["service", "list", "--node", &node]), format!("{name}\t{name}\t-\t-\t-\n"));
    assert_eq!(ok(&["service", "deregister", &name, "--node", &node]), format!("deregistered\t{name}\n"));
    let (code, said) = fails(&["service", "register", "--name", &name, "--node", "node1"], "");
    assert!(code == 3 && said.contains("has an agent") && said.contains("hint: "), "{code} {said}");
}

#[test]
fn wrong_usage_is_64() {
    for place in ["--datacenter", "--namespace"] {
        for verb in [&["list"][..], &["info", "a"], &["register", "--name", "a"], &["deregister", "a"]] {
            let (code, said) = fails(&[&["service"], verb, &[place, "elsewhere"]].concat(), "");
            assert!(code == 64 && said.contains("--node"), "{verb:?} {place}: {code} {said}");
        }
    }
    for (arguments, input) in [
        (&["service", "register"][..], ""),
        (&["service", "register", "--name", ""], ""),
        (&["service", "register", "--name", "a", "--port", "0"], ""),
        (&["service", "register", "--name", "a", "--port", "65536"], ""),
        (&["service", "register", "--name", "a", "--meta", "k"], ""),
        (&["service", "register", "--name", "a", "--meta", "k.x=v"], ""),
        (&["service", "register", "--name", "a", "--check-http", "localhost"], ""),
        (&["service", "register", "--name", "a", "--file", "b"], ""),
        (&["service", "register", "--file", "-"], "{"),
        (&["service", "register", "--file", "-"], r#"{"name": "a", "port": 1}"#),
        (&["service", "register", "--file", "-"], r#"{"name": "a", "checks": [{"tcp": "a:1"}]}"#),
        (&["service", "deregister"], ""),
        (&["service", "info"], ""),
    ] {
        let (code, said) = fails(arguments, input);
        assert!(code == 64 && !said.is_empty(), "{arguments:?} {input}: {code} {said}");
    }
    assert_eq!(fails(&["service", "register", "--file", "/no/such/file"], "").0, 1);
}
