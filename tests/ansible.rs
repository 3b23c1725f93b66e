//! Through a real `ansible-playbook`: every playbook, as it stands, twice.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::agent::Options;
use support::{Agent, root, tool};

/// The binary that `make build` installs as this module.
fn binary(module: &str) -> &'static str {
    if module == "consul_spec" { env!("CARGO_BIN_EXE_lictor") } else { env!("CARGO_BIN_EXE_lictor-module") }
}

/// Runs a playbook of `playbooks/` with the binaries under test as the modules.
fn playbook(agent: &Agent, file: &Path, arguments: &[&str]) -> Output {
    let library = agent.folder().join("library");
    std::fs::create_dir_all(&library).unwrap();
    for name in lictor::ansible::MODULES {
        if !library.join(name).exists() {
            std::os::unix::fs::symlink(binary(name), library.join(name)).unwrap();
        }
    }
    let bin = tool("ansible");
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(bin.join("ansible-playbook"))
        .arg(file)
        .args(arguments)
        .current_dir(root().join("playbooks"))
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", agent.folder())
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_ASYNC_DIR", agent.folder().join("async"))
        .env("ANSIBLE_LIBRARY", &library)
        .env("CONSUL_HTTP_ADDR", agent.address())
        .output()
        .expect("ansible-playbook")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_playbook_runs_as_it_stands_and_again() {
    let agent = Agent::start(Options::default());
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("playbooks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        for round in ["first", "second"] {
            let output = playbook(&agent, &file, &[]);
            assert!(output.status.success(), "{} ({round} run):\n{}", file.display(), said(&output));
        }
    }
}

/// Writes a playbook of these tasks.
fn tasks(agent: &Agent, name: &str, tasks: &str) -> std::path::PathBuf {
    let file = agent.folder().join(name);
    let play = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n";
    std::fs::write(&file, format!("{play}{tasks}")).unwrap();
    file
}

#[test]
fn the_second_run_of_a_task_is_unchanged_and_check_and_diff_tell() {
    let agent = Agent::start(Options::default());
    let file = tasks(&agent, "play.yml", "    - consul_session: {name: web, ttl: 30s}\n");
    let checked = said(&playbook(&agent, &file, &["--check", "--diff"]));
    assert!(checked.contains("changed=1") && checked.contains("+    \"ttl\": \"30s\""), "{checked}");
    assert_eq!(agent.sessions("web").len(), 0, "check mode writes nothing");
    let first = said(&playbook(&agent, &file, &[]));
    assert!(first.contains("changed=1"), "{first}");
    let second = said(&playbook(&agent, &file, &[]));
    assert!(second.contains("ok=1") && second.contains("changed=0"), "{second}");
    assert_eq!(agent.sessions("web").len(), 1);
}

#[test]
fn values_from_templates_are_understood_and_failures_are_read() {
    let agent = Agent::start(Options::default());
    let file = tasks(
        &agent,
        "templates.yml",
        r#"    - consul_session:
        name: "{{ item }}"
        ttl: "{{ 30 }}"
        unique: "{{ 'yes' }}"
        checks: "serfHealth,{{ 'serfHealth' }}"
        port: "{{ lookup('env', 'CONSUL_HTTP_ADDR').split(':')[1] }}"
        token: hush-this-token
      loop: [a, b]
      register: made
    - assert: {that: ["made.results | map(attribute='action') | list == ['created', 'created']"]}
    - consul_session: {name: web, tll: 30s}
      register: typo
      ignore_errors: true
    - assert: {that: ["typo.msg is search('Unsupported parameters for .consul_session. module: tll')"]}
    - consul_session: name=key_value state=info
      register: empty
    - assert: {that: ["empty.sessions == []", "not empty.changed"]}
"#,
    );
    let output = playbook(&agent, &file, &["-vvv"]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"), "{said}");
}

#[test]
fn module_defaults_async_and_environment_reach_the_module() {
    let agent = Agent::start(Options::default());
    let file = tasks(
        &agent,
        "defaults.yml",
        r#"    - module_defaults: {consul_session: {ttl: 45s}}
      block:
        - consul_session: {name: from-defaults}
          async: 30
          poll: 1
          register: made
        - assert: {that: ["made.ttl == '45s'"]}
    - consul_session: {state: list}
      environment: {CONSUL_HTTP_ADDR: "127.0.0.1:1"}
      register: elsewhere
      ignore_errors: true
    - assert: {that: ["elsewhere.reason == 'unreachable'"]}
"#,
    );
    let output = playbook(&agent, &file, &[]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_spec_of_a_playbook_keeps_its_types_and_is_shown_object_by_object() {
    let agent = Agent::start(Options::default());
    let file = tasks(
        &agent,
        "spec.yml",
        r#"    - consul_spec:
        spec:
          - {version: 1, owner: play, keys: [{key: play/a, value: "{{ 5 | string }}", flags: "{{ '7' | int }}"}]}
          - {version: 1, owner: play, keys: [{key: play/b, value: {json: {b: 1, a: 2}}}]}
      register: made
    - consul_kv: {key: play/b}
      register: read
      check_mode: false
    - assert: {that: ["read.data.Value == '{\"b\":1,\"a\":2}'"]}
      when: not ansible_check_mode
    - consul_spec: {spec: {version: 1, owner: play, services: [{name: web, node: node1, port: "{{ '80' }}"}]}}
      register: faulty
      ignore_errors: true
    - assert: {that: ["faulty.faults[0] is search('spec.services.0..port: port is \"80\"')"]}
"#,
    );
    let checked = said(&playbook(&agent, &file, &["--check", "--diff"]));
    assert!(checked.contains("+++ after: key play/a") && checked.contains("+    \"flags\": \"7\""), "{checked}");
    assert_eq!(agent.tree("play/").len() + agent.tree("lictor/").len(), 0);
    let first = playbook(&agent, &file, &[]);
    assert!(first.status.success() && said(&first).contains("changed=1"), "{}", said(&first));
    let second = said(&playbook(&agent, &file, &[]));
    assert!(second.contains("changed=0"), "{second}");
}
