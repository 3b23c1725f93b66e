//! Programs of others, which know nothing of `lictor dev`, against it.
//!
//! With `LICTOR_PEERS=real` they run against a real agent: what is expected here is what they do there.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use support::target::{Kind, Target, alone};
use support::tool;
use tempfile::TempDir;

fn agent() -> Target {
    alone(if std::env::var("LICTOR_PEERS").is_ok_and(|peer| peer == "real") { Kind::Real } else { Kind::Dev })
}

/// `consul` with these arguments, asking this agent.
fn consul(agent: &Target, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("consul"));
    command.args(arguments).env_clear().env("CONSUL_HTTP_ADDR", agent.address());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// What such a command prints, where it does well.
#[track_caller]
fn says(agent: &Target, arguments: &[&str]) -> String {
    let output = consul(agent, arguments).output().expect("consul");
    assert!(output.status.success(), "{arguments:?}: {}", shown(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The error that such a command ends with.
#[track_caller]
fn fails(agent: &Target, arguments: &[&str]) -> String {
    let output = consul(agent, arguments).output().expect("consul");
    assert!(!output.status.success(), "{arguments:?}: {}", shown(&output));
    shown(&output)
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn consul_kv_puts_gets_and_deletes() {
    let agent = agent();
    assert_eq!(says(&agent, &["kv", "put", "app/one", "first"]), "Success! Data written to: app/one\n");
    says(&agent, &["kv", "put", "-flags=42", "app/sub/two", "second"]);
    says(&agent, &["kv", "put", "-base64", "app/sub/three", "AP8="]);
    says(&agent, &["kv", "put", "app/empty"]);
    assert_eq!(says(&agent, &["kv", "get", "app/one"]), "first\n");
    assert_eq!(says(&agent, &["kv", "get", "-base64", "app/sub/three"]), "AP8=\n");
    assert_eq!(says(&agent, &["kv", "get", "-keys", "app/"]), "app/empty\napp/one\napp/sub/\n");
    assert_eq!(says(&agent, &["kv", "get", "-keys", "-separator=", "app/s"]), "app/sub/three\napp/sub/two\n");
    assert_eq!(says(&agent, &["kv", "get", "-recurse", "app/o"]), "app/one:first\n");
    let detailed = says(&agent, &["kv", "get", "-detailed", "app/sub/two"]);
    for (name, value) in [("Flags", "42"), ("LockIndex", "0"), ("Session", "-"), ("Value", "second")] {
        let line = detailed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {detailed}"));
        assert_eq!(line.split_whitespace().last(), Some(value), "{detailed}");
    }
    assert!(fails(&agent, &["kv", "get", "app/none"]).contains("No key exists at: app/none"));
    let index = agent.key("app/one")["ModifyIndex"].to_string();
    says(&agent, &["kv", "put", "-cas", &format!("-modify-index={index}"), "app/one", "cas"]);
    let stale = fails(&agent, &["kv", "put", "-cas", &format!("-modify-index={index}"), "app/one", "late"]);
    assert!(stale.contains("CAS failed"), "{stale}");
    let stale = fails(&agent, &["kv", "delete", "-cas", &format!("-modify-index={index}"), "app/one"]);
    assert!(stale.contains("CAS failed"), "{stale}");
    says(&agent, &["kv", "delete", "app/one"]);
    says(&agent, &["kv", "delete", "-recurse", "app/sub/"]);
    assert_eq!(says(&agent, &["kv", "get", "-keys", ""]), "app/\n");
}

#[test]
fn consul_kv_locks_with_a_session() {
    let agent = agent();
    let (one, other) = (agent.session(json!({})), agent.session(json!({})));
    says(&agent, &["kv", "put", "-acquire", &format!("-session={one}"), "held", "x"]);
    let refused = fails(&agent, &["kv", "put", "-acquire", &format!("-session={other}"), "held", "y"]);
    assert!(refused.contains("Did not acquire lock"), "{refused}");
    assert_eq!(agent.key("held")["Session"], json!(one));
    says(&agent, &["kv", "put", "-release", &format!("-session={one}"), "held", "z"]);
    assert_eq!((agent.key("held").get("Session"), says(&agent, &["kv", "get", "held"])), (None, "z\n".to_owned()));
}

#[test]
fn consul_kv_exports_what_it_imports() {
    let agent = agent();
    for number in 0..150 {
        let value = "x".repeat(number);
        agent.put(&format!("kv/tree/{number:03}?flags={number}"), value).is(200, "true");
    }
    agent.send("PUT", "kv/tree/bytes", &[], &[0, 159, 146, 150]).is(200, "true");
    let before = agent.get("kv/tree/?recurse").ok();
    let exported = says(&agent, &["kv", "export", "tree/"]);
    assert_eq!(serde_json::from_str::<Value>(&exported).expect("JSON").as_array().map(Vec::len), Some(151));
    agent.delete("kv/tree/?recurse").is(200, "true");
    let mut import =
        consul(&agent, &["kv", "import", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(exported.as_bytes()).unwrap();
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success() && shown(&output).contains("Imported: tree/000"), "{}", shown(&output));
    let without_indexes = |mut pairs: Value| {
        for pair in pairs.as_array_mut().expect("pairs") {
            pair["CreateIndex"] = json!(0);
            pair["ModifyIndex"] = json!(0);
        }
        pairs
    };
    assert_eq!(without_indexes(agent.get("kv/tree/?recurse").ok()), without_indexes(before));
}

/// `consul lock` with a command that says `in`, and lives until its standard input ends.
struct Contender {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Contender {
    fn new(agent: &Target, flags: &[&str], prefix: &str) -> Self {
        let mut command = consul(agent, &["lock", "-shell=false", "-pass-stdin"]);
        command.args(flags).arg(prefix).args(["sh", "-c", "echo in $CONSUL_LOCK_HELD; read -r _; echo out"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("consul lock");
        let lines = BufReader::new(process.stdout.take().expect("standard output"));
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line
    }

    #[track_caller]
    fn is_in(&mut self) {
        assert_eq!(self.line(), "in true\n");
    }

    #[track_caller]
    fn leaves(mut self) {
        drop(self.process.stdin.take());
        assert_eq!(self.line(), "out\n");
        assert!(self.process.wait().expect("an end").success());
    }
}

#[test]
fn consul_lock_excludes() {
    let agent = agent();
    let mut first = Contender::new(&agent, &[], "service/lock");
    first.is_in();
    let held = agent.key("service/lock/.lock");
    assert_eq!(held["Flags"], json!(0x2ddc_cbc0_58a5_0c18_u64));
    let session = held["Session"].as_str().expect("held").to_owned();
    let named = agent.get(&format!("session/info/{session}")).ok()[0].take();
    assert_eq!((&named["TTL"], &named["Behavior"]), (&json!("15s"), &json!("release")));
    let refused = fails(&agent, &["lock", "-try=100ms", "service/lock", "true"]);
    assert!(refused.contains("Shutdown triggered or timeout during lock acquisition"), "{refused}");
    let mut second = Contender::new(&agent, &[], "service/lock");
    assert_eq!(agent.key("service/lock/.lock")["Session"], json!(session));
    first.leaves();
    second.is_in();
    assert_ne!(agent.key("service/lock/.lock")["Session"], json!(session));
    second.leaves();
    // Their sessions are not looked at: `consul lock` ends its own beside its last request, and may be gone before
    // (1 run of 60, on a real Consul).
    agent.get("kv/service/lock/.lock").is(404, "");
}

#[test]
fn a_session_that_is_taken_away_ends_consul_lock() {
    let agent = agent();
    let mut first = Contender::new(&agent, &[], "taken");
    first.is_in();
    let session = agent.key("taken/.lock")["Session"].as_str().expect("held").to_owned();
    agent.put(&format!("session/destroy/{session}"), Value::Null).is(200, "true");
    let input = first.process.stdin.take();
    first.process.wait().expect("an end");
    drop(input);
    assert_eq!(first.line(), "", "it was ended, and did not leave");
}

#[test]
fn consul_lock_of_three_lets_three_in() {
    let agent = agent();
    let mut inside: Vec<Contender> = (0..3).map(|_| Contender::new(&agent, &["-n=3"], "pool")).collect();
    for contender in &mut inside {
        contender.is_in();
    }
    let holders = || -> Value {
        let value = agent.get("kv/pool/.lock?raw");
        serde_json::from_slice::<Value>(&value.body).expect("JSON")
    };
    let full = holders();
    assert_eq!((&full["Limit"], full["Holders"].as_object().map(|holders| holders.len())), (&json!(3), Some(3)));
    assert_eq!(agent.key("pool/.lock")["Flags"], json!(0xe0f6_9a2b_aa41_4de0_u64));
    let refused = fails(&agent, &["lock", "-n=3", "-try=100ms", "pool", "true"]);
    assert!(refused.contains("Shutdown triggered or timeout during lock acquisition"), "{refused}");
    let mut fourth = Contender::new(&agent, &["-n=3"], "pool");
    inside.remove(0).leaves();
    fourth.is_in();
    assert_eq!(holders()["Holders"].as_object().map(|holders| holders.len()), Some(3));
    inside.push(fourth);
    for contender in inside {
        contender.leaves();
    }
    agent.get("kv/pool/.lock").is(404, "");
}

#[test]
fn consul_shows_members_catalog_and_watches() {
    let agent = agent();
    let members = says(&agent, &["members"]);
    let line = members.lines().find(|line| line.starts_with("node1 ")).unwrap_or_else(|| panic!("{members}"));
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!((words[2], words[3], words[6]), ("alive", "server", "dc1"), "{members}");
    assert_eq!(says(&agent, &["catalog", "datacenters"]), "dc1\n");
    assert!(says(&agent, &["catalog", "nodes"]).contains("node1"));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("web.json");
    std::fs::write(&file, r#"{"service": {"name": "web", "port": 80, "tags": ["a"], "check": {"ttl": "1h"}}}"#)
        .unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(says(&agent, &["services", "register", file]), "Registered service: web\n");
    assert_eq!(agent.get("agent/services").ok()["web"]["Port"], 80);
    says(&agent, &["maint", "-enable", "-service=web", "-reason=why"]);
    assert!(says(&agent, &["maint"]).contains("why"));
    says(&agent, &["maint", "-disable", "-service=web"]);
    says(&agent, &["services", "deregister", file]);
    assert_eq!(agent.get("agent/services").ok(), json!({}));
    agent.put("kv/seen", "x").is(200, "true");
    let watched = says(&agent, &["watch", "-type=key", "-key=seen"]);
    assert_eq!(serde_json::from_str::<Value>(&watched).expect("JSON")["Value"], "eA==");
}

#[test]
fn py_consul_does_its_work() {
    let agent = agent();
    let (host, port) = agent.address().split_once(':').expect("host:port");
    let script = r#"
import sys, threading, consul
c = consul.Consul(host=sys.argv[1], port=int(sys.argv[2]))
assert c.kv.put('k', 'v', flags=7) is True
index, pair = c.kv.get('k')
assert (pair['Value'], pair['Flags'], int(index)) == (b'v', 7, pair['ModifyIndex']), pair
assert c.kv.get('none')[1] is None
assert c.kv.put('k', 'w', cas=0) is False and c.kv.put('k', 'w', cas=pair['ModifyIndex']) is True
threading.Timer(0.05, lambda: consul.Consul(host=sys.argv[1], port=int(sys.argv[2])).kv.put('k', 'later')).start()
index, pair = c.kv.get('k', index=c.kv.get('k')[0], wait='20s')
assert pair['Value'] == b'later', pair
c.kv.put('t/a', '1'); c.kv.put('t/b/c', '2')
assert c.kv.get('t/', keys=True, separator='/')[1] == ['t/a', 't/b/']
assert [p['Value'] for p in c.kv.get('t/', recurse=True)[1]] == [b'1', b'2']
s = c.session.create(name='py', ttl=3600, lock_delay=0, behavior='delete')
assert c.session.info(s)[1]['TTL'] == '3600s' and c.session.info(s)[1]['Behavior'] == 'delete'
assert [one['ID'] for one in c.session.list()[1]] == [s] == [one['ID'] for one in c.session.node('node1')[1]]
assert c.session.renew(s)['ID'] == s
assert c.kv.put('held', 'x', acquire=s) is True
assert c.kv.get('held')[1]['Session'] == s
assert c.session.destroy(s) is True and c.kv.get('held')[1] is None
try: c.session.renew(s)
except consul.NotFound: pass
else: raise AssertionError('renewed')
import base64
r = c.txn.put([{'KV': {'Verb': 'set', 'Key': 'txn', 'Value': base64.b64encode(b'x').decode()}}])
assert r['Results'][0]['KV']['Key'] == 'txn' and r['Errors'] is None, r
assert c.agent.service.register('web', port=80, check=consul.Check.ttl('1h')) is True
assert c.agent.check.ttl_pass('service:web') is True
assert c.agent.services()['web']['Port'] == 80
while not (found := c.health.service('web', passing=True))[1]: c.health.service('web', passing=True, index=found[0], wait='5s')
assert c.agent.service.deregister('web') is True
assert c.catalog.register('ext', '10.0.0.9') is True and 'ext' in [n['Node'] for n in c.catalog.nodes()[1]]
assert c.catalog.deregister('ext') is True
assert c.agent.self()['Config']['NodeName'] == 'node1' and c.agent.members()[0]['Name'] == 'node1'
assert c.status.leader() == c.status.peers()[0]
assert c.kv.delete('t/', recurse=True) is True and c.kv.get('t/', recurse=True)[1] is None
print('done')
"#;
    let python = tool("ansible-full").join("python");
    let output = Command::new(python).args(["-c", script, host, port]).env_remove("CONSUL_HTTP_ADDR").output().unwrap();
    assert!(output.status.success() && shown(&output).contains("done"), "{}", shown(&output));
}

#[test]
fn the_modules_of_community_general_do_their_work() {
    let agent = agent();
    let (host, port) = agent.address().split_once(':').expect("host:port");
    let folder = TempDir::new().unwrap();
    let play = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    community.general.consul_session: {host: HOST, port: PORT}
    community.general.consul_kv: {host: HOST, port: PORT}
  tasks:
    - community.general.consul_session: {name: incumbent, ttl: 600, delay: 5, behavior: delete}
      register: made
    - community.general.consul_session: {state: info, id: "{{ made.session_id }}"}
      register: info
    - community.general.consul_session: {state: list}
      register: listed
    - assert:
        that:
          - made is changed
          - info.sessions[0].Name == 'incumbent'
          - info.sessions[0].TTL == '600s'
          - info.sessions[0].LockDelay == 5000000000
          - info.sessions[0].Behavior == 'delete'
          - listed.sessions | length == 1
    - community.general.consul_kv: {key: app/one, value: first, flags: 3}
      register: first
    - community.general.consul_kv: {key: app/one, value: first, flags: 3}
      register: again
    - community.general.consul_kv: {key: app/one, value: locked, session: "{{ made.session_id }}", state: acquire}
      register: locked
    - community.general.consul_kv: {key: app/one, value: given, session: "{{ made.session_id }}", state: release}
      register: released
    - community.general.consul_kv: {key: app, recurse: true, state: absent}
      register: gone
    - community.general.consul_session: {state: absent, id: "{{ made.session_id }}"}
    - community.general.consul_session: {state: list}
      register: left
    - assert:
        that:
          - first is changed
          - again is not changed
          - locked is changed
          - released is changed
          - gone is changed
          - left.sessions == []
"#;
    let file = folder.path().join("play.yml");
    std::fs::write(&file, play.replace("HOST", host).replace("PORT", port)).unwrap();
    let bin = tool("ansible-full");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(bin.join("ansible-playbook"))
        .arg(&file)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", folder.path())
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_PYTHON_INTERPRETER", bin.join("python"))
        .output()
        .expect("ansible-playbook");
    assert!(output.status.success(), "{}", shown(&output));
}
