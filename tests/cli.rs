//! The commands, as a shell sees them: output, errors, exit codes.

mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Agent, unique};

/// Runs `lictor` in an environment that holds the agent's address, and nothing else.
fn lictor(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lictor"));
    command.args(arguments).env_clear().env("CONSUL_HTTP_ADDR", Agent::shared().address());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a command that succeeds.
#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = lictor(arguments);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// Exit code and standard error of one that fails, and prints nothing on standard output.
#[track_caller]
fn fails(arguments: &[&str]) -> (i32, String) {
    let output = lictor(arguments);
    assert_eq!(text(&output.stdout), "");
    (output.status.code().unwrap(), text(&output.stderr))
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(arguments)).unwrap()
}

#[test]
fn a_session_by_command_from_its_creation_to_its_end() {
    let name = unique("cli");
    let created = ok(&["session", "create", "--name", &name, "--ttl", "30s"]);
    let id = created.trim_end().strip_prefix("created\t").unwrap().to_owned();
    assert_eq!(ok(&["session", "create", "--name", &name, "--ttl", "30"]), format!("unchanged\t{id}\n"));
    let row = format!("{id}\t{name}\tnode1\t30s\t15s\trelease\tserfHealth\n");
    assert_eq!(ok(&["session", "list", "--name", &name]), row, "off a terminal: one line a session, parted by tabs");
    assert_eq!(ok(&["session", "list", "--node", "node1", "--name", &name]), row);
    assert_eq!(ok(&["session", "info", &id]), row);
    assert_eq!(ok(&["session", "info", &name]), row);
    assert_eq!(ok(&["session", "renew", &id]), row);
    assert_eq!(json_of(&["session", "list", "--name", &name, "-o", "json"])[0]["ID"], json!(id));
    assert_eq!(ok(&["session", "destroy", &id]), format!("destroyed\t{id}\n"));
    assert_eq!(ok(&["session", "destroy", &id]), "nothing to destroy\n");
    assert_eq!(fails(&["session", "info", &id]).0, 1);
    assert_eq!(fails(&["session", "renew", &id]).0, 1);
}

#[test]
fn create_goes_through_the_same_engine_as_the_module() {
    let (agent, name) = (Agent::shared(), unique("engine"));
    let old = agent.create_session(&json!({"Name": name}));
    let drifted = ["session", "create", "--name", &name, "--delay", "1s"];
    let (code, said) = fails(&[&drifted[..], &["--on-drift", "fail"]].concat());
    assert_eq!(code, 3, "refused as too dangerous");
    assert!(
        said.starts_with("error: ") && said.contains("delay is 15s, not 1s") && said.contains("\nhint: "),
        "{said}"
    );
    let key = format!("{name}/lock");
    agent.lock(&key, &old);
    let (code, said) = fails(&drifted);
    assert!(code == 3 && said.contains(&key), "{said}");
    let forced = lictor(&[&drifted[..], &["--force", "-o", "json"]].concat());
    let document: Value = serde_json::from_str(&text(&forced.stdout)).unwrap();
    assert_eq!((&document["action"], &document["destroyed"]), (&json!("replaced"), &json!([old])));
    assert!(text(&forced.stderr).starts_with("warning: ") && text(&forced.stderr).contains(&key));
    assert_eq!(ok(&["session", "destroy", "--name", &name]).matches('\t').count(), 1);
}

/// What PyYAML, which reads YAML 1.1 as Ansible does, makes of these documents.
fn read_by_others(documents: &[String]) -> Vec<Value> {
    let read = "import json, sys, yaml; json.dump([yaml.safe_load(text) for text in json.load(sys.stdin)], sys.stdout)";
    let mut child = Command::new(support::tool("ansible").join("python"))
        .args(["-c", read])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), documents).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn yaml_says_what_json_says_whoever_reads_it() {
    let (agent, folder, node) = (Agent::shared(), unique("yaml"), unique("yaml-node"));
    agent.external_node(&node);
    let odd = [
        "no",
        "on",
        "y",
        "null",
        "~",
        "1",
        "1.5",
        "1e3",
        "0x1f",
        "017",
        "1_000",
        "12:30:45",
        "2024-01-01",
        ".inf",
        "+1",
        "- a",
        "a: b",
        "a #b",
        "&a",
        "*a",
        "!t",
        "|",
        "%d",
        "'",
        "\"",
        "a\nb\n\n",
        " a ",
        "\t",
        "\u{85}",
        "=",
        "<<",
        "{}",
        "---",
        "\u{1b}[31m",
        "é✓",
        "\u{feff}",
    ];
    for name in odd {
        agent.create_session(&json!({"Name": name, "Node": node, "NodeChecks": []}));
    }
    let meta: serde_json::Map<String, Value> =
        odd.iter().enumerate().map(|(place, text)| (format!("k{place}"), json!(text))).collect();
    agent.put("/v1/agent/service/register", &json!({"Name": folder, "Tags": odd.to_vec(), "Meta": meta}));
    let (key, long) = (format!("{folder}/yes"), format!("{folder}/1e3"));
    agent.put(&format!("/v1/kv/{key}?flags=18446744073709551615"), &json!("1"));
    agent.put(&format!("/v1/kv/{long}"), &json!("word ".repeat(1000)));
    let commands: &[&[&str]] = &[
        &["session", "list", "--node", &node],
        &["session", "destroy", "--name", &unique("none")],
        &["service", "info", &folder],
        &["service", "list"],
        &["service", "deregister", &unique("none")],
        &["kv", "get", &key],
        &["kv", "get", &long],
        &["kv", "ls", &folder],
        &["kv", "ls", &unique("none")],
        &["kv", "put", &key, "1"],
        &["kv", "rm", &unique("none")],
        &["agent", "self"],
        &["agent", "members"],
        &["agent", "maintenance", "off"],
        &["catalog", "nodes"],
        &["catalog", "node", &agent.node],
        &["catalog", "services"],
        &["catalog", "service", &folder],
        &["catalog", "datacenters"],
    ];
    let yaml: Vec<String> = commands.iter().map(|command| ok(&[command, &["-o", "yaml"][..]].concat())).collect();
    for (command, read) in commands.iter().zip(read_by_others(&yaml)) {
        assert_eq!(read, json_of(&[command, &["-o", "json"][..]].concat()), "{command:?}");
    }
    assert!(yaml[5].starts_with(&format!("Key: {key}\nFlags: 18446744073709551615\n")), "{}", yaml[5]);
}

#[test]
fn wrong_usage_is_64_and_never_2() {
    for arguments in [
        &["sessions"][..],
        &["session", "list", "--colour"],
        &["session", "destroy"],
        &["session", "info"],
        &["session", "destroy", "not-a-uuid"],
        &["session", "create", "--ttl", "soon"],
        &["session", "create", "--name", "a", "--ttl", "5s"],
        &["session", "list", "--http-addr", "ftp://a"],
        &["session", "list", "--client-cert", "a"],
        &["session", "create", "--name", ""],
        &["module", "consul_nope"],
        &["agent"],
        &["agent", "maintenance"],
        &["agent", "maintenance", "off", "--reason", "x"],
        &["agent", "maintenance", "on", "--reason", ""],
        &["agent", "self", "--datacenter", "dc2"],
        &["catalog", "node"],
        &["catalog", "service", ""],
        &[],
    ] {
        let (code, said) = fails(arguments);
        assert!(code == 64 && !said.is_empty(), "{arguments:?}: {code} {said}");
    }
}

#[test]
fn a_failure_is_1_with_what_to_try() {
    let (code, said) = fails(&["session", "list", "--http-addr", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot connect") && said.contains("hint: ") && said.contains("CONSUL_HTTP_ADDR"), "{said}");
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let agent = Agent::shared();
    let node = unique("many");
    agent.external_node(&node);
    for _ in 0..1000 {
        agent.create_session(&json!({"Node": node, "NodeChecks": [], "Name": "x".repeat(200)}));
    }
    for format in ["text", "json", "yaml"] {
        let mut command = command(&["session", "list", "-o", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), String::new()), "{format}");
    }
}

#[test]
fn what_was_done_before_a_failure_is_said() {
    let agent = Agent::shared();
    let id = agent.create_session(&json!({"TTL": "30s"}));
    let unknown = "00000000-0000-0000-0000-000000000000";
    let output = lictor(&["session", "renew", &id, unknown]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with(&id) && text(&output.stderr).contains(unknown), "{output:?}");
}

#[test]
fn names_of_others_neither_break_lines_nor_speak_to_the_terminal() {
    let node = unique("odd");
    Agent::shared().external_node(&node);
    Agent::shared().create_session(&json!({"Name": "a\tb\n\u{1b}[31mred", "Node": node, "NodeChecks": []}));
    let listed = ok(&["session", "list", "--node", &node]);
    assert_eq!(listed.lines().count(), 1, "{listed:?}");
    assert!(listed.contains("a\\tb\\n\\u{1b}[31mred") && !listed.contains('\u{1b}'), "{listed:?}");
}

#[test]
fn a_token_that_comes_back_in_an_answer_is_not_shown() {
    let token = "3f1c7c1e-hush";
    let echo = support::proxy::Proxy::start("", move |_| support::proxy::status(500, token));
    let output =
        command(&["session", "list", "--http-addr", &echo.address()]).env("CONSUL_HTTP_TOKEN", token).output().unwrap();
    assert!(!text(&output.stderr).contains(token) && text(&output.stderr).contains("********"), "{output:?}");
}

#[test]
fn on_a_terminal_there_is_a_table() {
    let name = unique("terminal");
    ok(&["session", "create", "--name", &name]);
    let program = format!("'{}' session list --name {name}", env!("CARGO_BIN_EXE_lictor"));
    // script(1) gives it a terminal.
    let output = Command::new("script")
        .args(["-qec", &program, "/dev/null"])
        .env("CONSUL_HTTP_ADDR", Agent::shared().address())
        .stdin(Stdio::null())
        .output()
        .expect("script, of bsdutils");
    let shown = text(&output.stdout);
    assert!(
        shown.contains("ID") && shown.contains("NAME") && shown.contains(&name) && !shown.contains('\t'),
        "{shown}"
    );
}

#[test]
fn a_module_runs_by_command_and_by_its_own_name() {
    let options = json!({"state": "list"}).to_string();
    let run = |mut command: Command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(options.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["action"].clone()
    };
    assert_eq!(run(command(&["module", "consul_session"])), "read");
    assert_eq!(run(command(&["module", "consul_session", "-"])), "read");
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("options.json");
    std::fs::write(&file, &options).unwrap();
    assert_eq!(json_of(&["module", "consul_session", file.to_str().unwrap()])["action"], "read");
    for (binary, name) in [
        (env!("CARGO_BIN_EXE_lictor"), "consul_session"),
        (env!("CARGO_BIN_EXE_lictor"), "AnsiballZ_consul_session"),
        (env!("CARGO_BIN_EXE_lictor-module"), "AnsiballZ_consul_session"),
    ] {
        let link = folder.path().join(name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(binary, &link).unwrap();
        let mut command = Command::new(&link);
        command.arg(&file).env_clear().env("CONSUL_HTTP_ADDR", Agent::shared().address());
        assert_eq!(run(command), "read", "{binary} as {name}");
    }
    let missing = lictor(&["module", "consul_session", "/no/such/file"]);
    let answer: Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert!(answer["msg"].as_str().unwrap().contains("/no/such/file"));
}

#[test]
fn schemas_and_completions_are_printed() {
    assert_eq!(json_of(&["schema", "consul_session"])["properties"]["state"]["default"], "present");
    assert!(json_of(&["schema", "consul_session.result"])["$defs"].is_object());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(ok(&["completions", shell]).contains("session"), "{shell}");
    }
    assert!(ok(&["--version"]).starts_with("lictor "));
}

#[test]
fn the_agent_by_command() {
    let agent = Agent::start(support::agent::Options::default());
    agent.put("/v1/agent/service/register", &json!({"ID": "web-1", "Name": "web"}));
    let there = |arguments: &[&str]| ok(&[&["agent"], arguments, &["--http-addr", &agent.address()]].concat());
    let version = agent.get("/v1/agent/self")["Config"]["Version"].as_str().unwrap().to_owned();
    assert_eq!(there(&["self"]), format!("node1\tdc1\tserver\t{version}\n"));
    let said: Value = serde_json::from_str(&there(&["self", "-o", "json"])).unwrap();
    assert_eq!(said["NodeName"], "node1");
    let row = format!("node1\t127.0.0.1:{}\talive\tserver\tdc1\t{version}", agent.ports[0]);
    assert!(there(&["members"]).starts_with(&row), "{}", there(&["members"]));
    assert!(there(&["members", "--wan"]).starts_with("node1.dc1\t"));
    assert_eq!(there(&["reload"]), "reloaded\n");
    // The reload took the service away, which the agent had by API only.
    agent.put("/v1/agent/service/register", &json!({"ID": "web-1", "Name": "web"}));

    let notes = |check: &str| agent.get("/v1/agent/checks")[check]["Notes"].clone();
    assert_eq!(there(&["maintenance", "off"]), "unchanged\n");
    assert_eq!(there(&["maintenance", "on", "--reason", "new disk"]), "started\n");
    assert_eq!(there(&["maintenance", "on", "--reason", "new disk"]), "unchanged\n");
    assert_eq!(there(&["maintenance", "on", "--reason", "old disk"]), "restarted\n");
    assert_eq!(notes("_node_maintenance"), "old disk");
    let ended: Value = serde_json::from_str(&there(&["maintenance", "off", "-o", "json"])).unwrap();
    assert_eq!(ended, json!({"action": "ended", "enabled": false, "reason": null, "service": null}));
    assert_eq!(notes("_node_maintenance"), Value::Null);
    assert_eq!(there(&["maintenance", "on", "--service", "web-1", "--reason", "x"]), "started\n");
    assert_eq!(notes("_service_maintenance:web-1"), "x");
    assert_eq!(there(&["maintenance", "off", "--service", "web-1"]), "ended\n");
    let (code, said) = fails(&["agent", "maintenance", "on", "--service", "nope", "--http-addr", &agent.address()]);
    assert!(code == 1 && said.contains("no service with the id 'nope'") && said.contains("web-1"), "{said}");
}

#[test]
fn the_catalog_by_command() {
    let (agent, node, name) = (Agent::shared(), unique("external"), unique("web"));
    for (id, tags, status) in [("a", ["v1", "blue"], "passing"), ("b", ["v2", "blue"], "critical")] {
        let service = json!({"ID": id, "Service": name, "Tags": tags, "Port": 80});
        let check = json!({"CheckID": id, "Name": id, "ServiceID": id, "Status": status});
        let whole = json!({"Node": node, "Address": "127.0.0.2", "NodeMeta": {"rack": "7"}, "Service": service, "Check": check});
        agent.put("/v1/catalog/register", &whole);
    }
    let lines = |arguments: &[&str]| ok(&[&["catalog"], arguments].concat());
    assert_eq!(lines(&["datacenters"]), "dc1\n");
    assert!(lines(&["nodes"]).contains(&format!("{node}\t127.0.0.2\tdc1\track=7\n")), "{}", lines(&["nodes"]));
    assert!(lines(&["services"]).contains(&format!("{name}\tblue,v1,v2\n")), "{}", lines(&["services"]));
    let a = format!("{node}\ta\t127.0.0.2\t80\tpassing\tv1,blue\n");
    let b = format!("{node}\tb\t127.0.0.2\t80\tcritical\tv2,blue\n");
    assert_eq!(lines(&["service", &name]), format!("{a}{b}"));
    assert_eq!(lines(&["service", &name, "--passing"]), a);
    assert_eq!(lines(&["service", &name, "--tag", "blue", "--tag", "v2"]), b);
    assert_eq!(lines(&["service", &name, "--tag", "v1", "--tag", "v2"]), "");
    let row = |id: &str, tags: &str| format!("{id}\t{name}\t127.0.0.2\t80\t{tags}\n");
    assert_eq!(lines(&["node", &node]), row("a", "v1,blue") + &row("b", "v2,blue"));
    assert_eq!(json_of(&["catalog", "node", &node, "-o", "json"])["Services"]["a"]["Port"], 80);
    assert_eq!(json_of(&["catalog", "service", &name, "-o", "json"])[0]["Checks"][0]["Status"], "passing");
    let (code, said) = fails(&["catalog", "node", &unique("absent")]);
    assert!(code == 1 && said.contains("there is no node"), "{said}");
}

#[test]
fn a_key_by_command_from_its_creation_to_its_end() {
    let (agent, folder) = (Agent::shared(), unique("kv"));
    let key = format!("{folder}/a b");
    assert_eq!(ok(&["kv", "put", &key, "x"]), format!("created\t{key}\n"));
    assert_eq!(ok(&["kv", "put", &key, "x"]), format!("unchanged\t{key}\n"));
    assert_eq!(ok(&["kv", "get", &key]), "x", "byte for byte");
    assert_eq!(json_of(&["kv", "get", &key, "-o", "json"])["Value"], "eA==");
    ok(&["kv", "put", &format!("{folder}/sub/c"), "y"]);
    assert_eq!(ok(&["kv", "ls", &format!("{folder}/")]), format!("{key}\n{folder}/sub/c\n"));
    assert_eq!(ok(&["kv", "ls", &format!("{folder}/"), "--folders"]), format!("{key}\n{folder}/sub/\n"));
    let holder = agent.create_session(&json!({}));
    agent.lock(&key.replace(' ', "%20"), &holder);
    let (code, said) = fails(&["kv", "put", &key, "z"]);
    assert!(code == 3 && said.contains(&holder) && said.contains("force"), "{code} {said}");
    assert_eq!(fails(&["kv", "rm", &key]).0, 3);
    assert_eq!(fails(&["kv", "rm", "--recurse", &folder]).0, 64, "a tree ends in a slash");
    assert_eq!(fails(&["kv", "put", "/a", "x"]).0, 64);
    assert_eq!(ok(&["kv", "rm", "--recurse", "--force", &format!("{folder}/")]), "deleted\t2 keys\n");
    assert_eq!(ok(&["kv", "rm", &key]), "nothing to delete\n");
    assert_eq!(fails(&["kv", "get", &key]).0, 1);
}

#[test]
fn the_keys_that_a_word_may_become_come_from_the_agent() {
    let (agent, folder) = (Agent::shared(), unique("complete"));
    for key in ["web/config", "web/leader", "we%20b", "other"] {
        agent.put(&format!("/v1/kv/{folder}/{key}"), &json!("x"));
    }
    let keys = |words: &[&str]| ok(&[&["complete-key"], words].concat());
    let (we, web) = (format!("{folder}/we"), format!("{folder}/web/"));
    assert_eq!(keys(&["kv", "get", &we]), format!("{we} b\n{web}\n"), "a folder is one");
    for verb in ["get", "put", "ls", "rm"] {
        assert_eq!(keys(&["kv", verb, &web]), format!("{web}config\n{web}leader\n"), "{verb}");
    }
    let elsewhere = command(&["complete-key", "kv", "get", "--http-addr", &agent.address(), &web])
        .env("CONSUL_HTTP_ADDR", "127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(text(&elsewhere.stdout), format!("{web}config\n{web}leader\n"), "the agent that the line names");
    // It never answers: completion has to give up by itself.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    for words in [
        &[][..],
        &["kv"],
        &["kv", "get"],
        &["kv", "put", &we, &we],
        &["kv", "get", "--http-addr", &we],
        &["kv", "get", "--http-addr", "127.0.0.1:1", &we],
        &["kv", "get", "--http-addr", &mute, &we],
        &["kv", "get", "--http-addr", "ftp://a", &we],
        &["kv", "get", "/a"],
        &["kv", "get", &we, "--help"],
        &["session", "info", &we],
    ] {
        let output = lictor(&[&["complete-key"], words].concat());
        assert!(
            output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
            "{words:?}: {output:?}"
        );
    }
    for arguments in [&["--help"][..], &["completions", "powershell"]] {
        assert!(!ok(arguments).contains("complete-key"), "{arguments:?}: it is not for people");
    }
}

#[test]
fn a_shell_completes_keys() {
    let (agent, folder) = (Agent::shared(), unique("shell"));
    agent.put(&format!("/v1/kv/{folder}/web/a:b$(exit)%20c"), &json!("the value behind it"));
    for shell in ["bash", "fish", "zsh"] {
        assert!(ok(&["completions", shell]).contains("complete-key"), "{shell}");
    }
    let place = tempfile::TempDir::new().unwrap();
    std::fs::write(place.path().join("completions"), ok(&["completions", "bash"])).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_lictor")).parent().unwrap();
    let mut child = Command::new("script")
        .args(["-qec", "bash --noprofile --norc -i", "/dev/null"])
        .env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap()))
        .env("CONSUL_HTTP_ADDR", agent.address())
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of bsdutils");
    let typed =
        format!(". ./completions\nlictor kv get {folder}/w\t\t\nlictor session li\t --name {folder} -o json\nexit\n");
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let shown = text(&child.wait_with_output().unwrap().stdout);
    assert!(shown.contains("the value behind it"), "the folder, then the key in it: {shown}");
    assert!(shown.contains("[]"), "the verbs are completed as ever: {shown}");
}
