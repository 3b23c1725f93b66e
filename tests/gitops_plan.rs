//! `lictor plan` and `lictor diff`, as a shell sees them.

mod support;

use serde_json::{Value, json};
use support::Agent;
use support::agent::Options;
use support::lab::{Lab, snapshot, value, world};
use support::proxy::{Act, Proxy};

fn agent() -> Agent {
    Agent::start(Options::default())
}

/// A world in which the second spec finds everything that a plan can say.
fn before(lab: &Lab, agent: &Agent) {
    lab.spec(
        r#"
sessions:
  - {name: leader, node: node1, ttl: 60s, checks: []}
  - {name: gone, node: node1, checks: [], delay: 0s}
keys:
  - {key: web/leader, value: here, session: leader}
  - {key: web/config, value: {json: {replicas: 3}}, flags: 42}
  - {key: web/old, value: old}
  - {key: web/held, value: held}
  - {key: web/same, value: same}
services:
  - {name: web, id: web-1, node: node1, port: 8080, tags: [v1], checks: [{ttl: 10s}]}
  - {name: old, node: node1, checks: [{ttl: 10s}]}
"#,
    );
    lab.ok("apply s.yaml --yes");
    let somebody = agent.create_session(&json!({"Name": "somebody", "Checks": []}));
    agent.lock("web/held", &somebody);
    agent.put("/v1/kv/web/nobodys", &json!("as declared"));
    lab.spec(
        r#"
sessions:
  - {name: leader, node: node1, ttl: 30s, checks: []}
keys:
  - {key: web/leader, value: here, session: leader}
  - {key: web/config, value: {json: {replicas: 5}}, flags: 0}
  - {key: web/new, value: {env: PASSWORD}}
  - {key: web/same, value: same}
  - {key: web/nobodys, value: as declared}
services:
  - {name: web, id: web-1, node: node1, port: 8081, tags: [v1, v2], checks: [{ttl: 10s}]}
"#,
    );
}

#[test]
fn a_plan_in_every_form() {
    let agent = agent();
    let lab = Lab::of(&agent).env("PASSWORD", "a secret that nobody sees");
    before(&lab, &agent);
    let unchanged = world(&agent);
    let forms = ["text", "markdown", "github", "gitlab", "json"];
    let prunes = forms.map(|form| lab.run(&format!("plan s.yaml --prune --adopt unowned -o {form}")));
    snapshot("plan", &prunes);
    snapshot(
        "plan_without_prune",
        &[lab.run("plan s.yaml"), lab.run("plan s.yaml -o markdown"), lab.run("plan s.yaml -o github")],
    );
    snapshot("diff", &[lab.run("diff s.yaml --prune --adopt unowned")]);
    for line in ["plan s.yaml --out plan.json", "plan s.yaml --prune -o json", "diff s.yaml --prune"] {
        let said = lab.run(line).to_string() + &lab.path("plan.json").display().to_string();
        assert!(!said.contains("a secret"), "{said}");
    }
    assert!(!lab.read("plan.json").contains("a secret"));
    assert_eq!(world(&agent), unchanged, "planning writes nothing");
}

/// Checks against one of the generated schemas.
#[track_caller]
fn assert_valid(schema: &Value, document: &Value) {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {document:#}");
}

#[test]
fn documents_are_as_their_schema_says() {
    let agent = agent();
    let lab = Lab::of(&agent).env("PASSWORD", "p");
    before(&lab, &agent);
    let schema: Value = serde_json::from_str(&lab.ok("schema plan")).unwrap();
    lab.ok("plan s.yaml --prune --adopt unowned --max-delete 3 --out plan.json");
    let saved: Value = serde_json::from_str(&lab.read("plan.json")).unwrap();
    assert_valid(&schema, &saved);
    let document = json!({"$ref": "#/$defs/PlanDocument", "$defs": schema["$defs"]});
    assert_valid(&document, &lab.json("plan s.yaml --prune --adopt unowned -o json"));
    agent.put("/v1/kv/web/nobodys", &json!("not as declared"));
    let refused = lab.json("plan s.yaml -o json");
    assert_valid(&document, &refused);
    assert_eq!(refused["summary"]["refused"], 1);
    assert_valid(&document, &lab.json("apply s.yaml --yes --adopt all -o json"));
    let names = lab.ok("schema");
    assert!(names.lines().any(|name| name == "plan") && names.lines().any(|name| name == "spec"), "{names}");
}

#[test]
fn exit_codes() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("keys: [{key: a, value: x}]");
    assert!(lab.ok("plan s.yaml").contains("1 to create"));
    lab.fails("plan s.yaml --detailed-exitcode", 2);
    lab.fails("diff s.yaml --detailed-exitcode", 2);
    lab.ok("apply s.yaml --yes");
    assert_eq!(lab.ok("plan s.yaml --detailed-exitcode"), "team: nothing to do; 1 unchanged\n");
    assert_eq!(lab.ok("diff s.yaml --detailed-exitcode"), "");
    agent.put("/v1/kv/b", &json!("somebody's"));
    lab.spec("keys: [{key: a, value: x}, {key: b, value: y}]");
    snapshot(
        "exit_codes",
        &[
            lab.run("plan s.yaml"),
            lab.run("plan s.yaml --detailed-exitcode -o github"),
            lab.run("diff s.yaml"),
            lab.run("apply s.yaml --yes"),
            lab.run("plan missing.yaml"),
            lab.run("plan"),
            lab.run("plan s.yaml --max-delete some"),
            lab.run("plan s.yaml -o xml"),
            lab.run("apply s.yaml"),
            lab.run("apply s.yaml --watch"),
            lab.run("apply s.yaml --interval 1s"),
            lab.run("apply s.yaml --yes --interval 10ms"),
            lab.run("apply s.yaml --yes --parallelism 0"),
        ],
    );
    lab.file("faults.yaml", "version: 1\nowner: team\nkey: [{key: a}]\n");
    snapshot("plan_of_faults", &[lab.run("plan faults.yaml"), lab.run("validate faults.yaml")]);
    let nobody = Lab::at("127.0.0.1:1");
    nobody.spec("keys: [{key: a, value: x}]");
    let said = nobody.fails("plan s.yaml", 1);
    assert!(said.starts_with("error: ") && said.contains("\nhint: is the agent running there?"), "{said}");
    lab.spec("datacenter: dc9\nkeys: [{key: a, value: x}]");
    assert!(lab.fails("plan s.yaml", 1).contains("No path to datacenter"));
    assert!(lab.fails("plan s.yaml --datacenter dc1", 64).contains("\"dc9\""));
}

#[test]
fn colours_only_where_somebody_sees_them_or_asked_for_them() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("keys: [{key: a, value: x}]");
    let colourful = |lab: &Lab, line: &str| lab.ok(line).contains('\x1b');
    assert!(!colourful(&lab, "plan s.yaml"));
    assert!(colourful(&lab, "plan s.yaml --color always") && colourful(&lab, "diff s.yaml --color always"));
    let forced = Lab::of(&agent).env("CLICOLOR_FORCE", "1");
    forced.spec("keys: [{key: a, value: x}]");
    assert!(colourful(&forced, "plan s.yaml"));
    assert!(!colourful(&forced, "plan s.yaml --color never") && !colourful(&forced, "plan s.yaml -o json"));
    let without = forced.env("NO_COLOR", "1");
    assert!(!colourful(&without, "plan s.yaml"));
    let on_terminal = lab.terminal("plan s.yaml", "");
    assert!(on_terminal.contains("\x1b[32m+ key a"), "{on_terminal:?}");
    let plain = Lab::of(&agent).env("NO_COLOR", "1");
    plain.spec("keys: [{key: a, value: x}]");
    assert!(!plain.terminal("plan s.yaml", "").contains('\x1b'));
}

#[test]
fn a_plan_crops_values_and_a_diff_shows_them_line_by_line() {
    let agent = agent();
    let lab = Lab::of(&agent).env("SECRET", "first");
    let lines = |changed: &str| -> String {
        (1..60).map(|n| format!("line {n}{}\n", if n == 40 { changed } else { "" })).collect()
    };
    lab.file("long.txt", lines(""));
    let spec = r#"
keys:
  - {key: long, value: {text: LONG}}
  - {key: binary, value: {base64: "/wAB"}}
  - {key: end, value: "a\n"}
  - {key: returns, value: "a\r\nb\r\n"}
  - {key: steers, value: "\e[31mred\e[0m\n::error::no|`x`"}
  - {key: secret, value: {env: SECRET}}
"#;
    let with = |text: &str, binary: &str, end: &str, returns: &str| {
        let long = serde_json::to_string(text).unwrap();
        spec.replace("LONG", &long).replace("/wAB", binary).replace("\"a\\n\"", end).replace("a\\r\\nb\\r\\n", returns)
    };
    lab.spec(&with(&lines(""), "/wAB", "\"a\\n\"", "a\\r\\nb\\r\\n"));
    snapshot(
        "values_new",
        &[lab.run("plan s.yaml"), lab.run("plan s.yaml -o markdown"), lab.run("plan s.yaml -o github")],
    );
    lab.ok("apply s.yaml --yes");
    lab.spec(&with(&lines(" is another"), "/wAC", "a", "a\\nb\\n"));
    let lab = lab.env("SECRET", "second");
    snapshot("values_changed", &[lab.run("plan s.yaml"), lab.run("diff s.yaml")]);
    assert!(lab.ok("diff s.yaml").lines().count() < 100, "the hash of what does not differ is all that is left out");
}

/// What a plan most likely reads is sent before the specs are read: it is not read again.
#[test]
fn everything_is_read_once() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.spec("defaults: {session: {node: node1}}\nsessions:\n  - {name: a}\n  - {name: b, node: \"node1\"}\nkeys:\n  - {key: k, value: v}\n");
    lab.ok("apply s.yaml --yes");
    let proxy = Proxy::start(&agent.address(), |_| Act::Forward);
    for command in ["plan s.yaml", "diff s.yaml", "apply s.yaml --yes"] {
        let before = proxy.seen().len();
        Lab::at(&proxy.address()).file("s.yaml", lab.read("s.yaml")).ok(command);
        let mut reads = proxy.seen().split_off(before);
        reads.sort();
        let expected = [
            "GET /v1/agent/self",
            "GET /v1/kv/k?consistent",
            "GET /v1/kv/lictor/owners/",
            "GET /v1/kv/lictor/owners/?consistent&recurse",
            "GET /v1/session/node/node1?consistent",
        ];
        assert_eq!(reads, expected, "{command}");
    }
}

#[test]
fn what_is_only_taken_over_is_a_change_in_every_form() {
    let agent = agent();
    let lab = Lab::of(&agent);
    agent.put("/v1/kv/a", &json!("x"));
    lab.spec("keys: [{key: a, value: x}]");
    let forms = ["plan s.yaml", "plan s.yaml -o markdown", "plan s.yaml -o github", "diff s.yaml"];
    snapshot("take_over", &forms.map(|form| lab.run(&format!("{form} --adopt unowned --detailed-exitcode"))));
}

#[test]
fn a_comment_holds_the_plan_of_very_many_objects() {
    const LONGEST: usize = 65_536; // GitHub's for a comment
    let agent = agent();
    let lab = Lab::of(&agent);
    let keys = |value: &str| -> String {
        (0..3000).map(|n| format!("  - {{key: many/a-key-with-a-long-name/{n:05}, value: {value}}}\n")).collect()
    };
    lab.spec(&format!("keys:\n{}", keys("x")));
    let markdown = |line: &str, code| {
        let ran = lab.run(line);
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stdout.len() < LONGEST && ran.stdout.contains(" more"), "{}", ran.stdout.len());
    };
    markdown("plan s.yaml -o markdown", 0);
    lab.ok("apply s.yaml --yes");
    agent.delete("/v1/kv/lictor/owners/team");
    markdown("plan s.yaml -o markdown", 0); // spared
    markdown("plan s.yaml -o markdown --adopt unowned", 0);
    lab.spec(&format!("keys:\n{}", keys("y")));
    markdown("plan s.yaml -o markdown", 3);
}

#[test]
fn from_standard_input_several_files_and_folders() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.file("specs/a.yaml", "version: 1\nowner: team\nkeys: [{key: a, value: x}]\n---\nversion: 1\nowner: team\nkeys: [{key: b, value: x}]\n")
        .file("specs/deep/c.json", r#"{"version": 1, "owner": "team", "keys": [{"key": "c", "value": "x"}]}"#)
        .file("more.yml", "version: 1\nowner: team\nkeys: [{key: d, value: x}]\n");
    assert!(lab.ok("plan specs more.yml").contains("4 to create"));
    let ran = lab.feed("plan - -o github", "version: 1\nowner: team\nkeys: [{key: a, value: x}]\n");
    assert_eq!(ran.stdout, "::notice file=-,line=3,col=8,title=create key a::value: x\n", "{ran}");
    let ran = lab.feed("apply /dev/stdin --yes", "version: 1\nowner: team\nkeys: [{key: piped, value: x}]\n");
    assert_eq!((ran.code, value(&agent, "piped").as_deref()), (Some(0), Some("x")), "{ran}");
    lab.file("more.yml", "version: 1\nowner: others\nkeys: [{key: d, value: x}]\n");
    assert!(lab.fails("plan specs more.yml", 1).contains("others"));
}

/// The commands of `lictor` in a document, as they stand there.
fn commands_of(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(support::root().join("docs/ci").join(document)).unwrap();
    let commands = text.lines().map(str::trim).filter_map(|line| {
        let line = line.trim_start_matches("- ").trim_start_matches("run: ").trim_start_matches("entry: ");
        line.starts_with("lictor ").then(|| line.to_owned())
    });
    commands.collect()
}

#[test]
fn the_jobs_for_pipelines_do_what_they_say() {
    let agent = agent();
    for (document, count) in [("github.yml", 4), ("gitlab.yml", 4), ("pre-commit.yaml", 1)] {
        let lab = Lab::of(&agent);
        lab.file("consul/a.yaml", format!("version: 1\nowner: {document}\nkeys: [{{key: {document}, value: x}}]\n"));
        let folder = std::path::Path::new(env!("CARGO_BIN_EXE_lictor")).parent().unwrap();
        let shell = |line: &str| {
            let mut command = lab.command("");
            let environment: Vec<_> =
                command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
            command = std::process::Command::new("bash");
            command.args(["-e", "-c", line]).current_dir(lab.path("")).env_clear();
            for (name, value) in environment {
                command.env(name, value.unwrap_or_default());
            }
            let path = format!("{}:/usr/bin:/bin", folder.display());
            command.env("PATH", path).env("GITHUB_STEP_SUMMARY", lab.path("summary.md")).output().unwrap()
        };
        let commands = commands_of(document);
        assert_eq!(commands.len(), count, "{commands:?}");
        for line in &commands {
            let output = shell(line);
            assert!(output.status.success(), "{line}: {output:?}");
        }
        if document != "pre-commit.yaml" {
            assert_eq!(value(&agent, document).as_deref(), Some("x"));
        }
        // A refusal is seen in each form, and fails the job.
        agent.put(&format!("/v1/kv/theirs-{document}"), &json!("x"));
        lab.file(
            "consul/a.yaml",
            format!("version: 1\nowner: {document}\nkeys: [{{key: theirs-{document}, value: y}}]\n"),
        );
        let codes: Vec<_> = commands.iter().map(|line| shell(line).status.code().unwrap()).collect();
        let (summary, report) = (lab.path("summary.md"), lab.path("codequality.json"));
        match document {
            "github.yml" => {
                assert_eq!(codes, [0, 3, 3, 3]);
                let summary = std::fs::read_to_string(summary).unwrap();
                assert!(summary.contains("1 to create") && summary.contains("**Refused**"), "{summary}");
            }
            "gitlab.yml" => {
                assert_eq!(codes, [0, 0, 3, 3]);
                let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
                assert_eq!(report[0]["severity"], "blocker");
            }
            _ => assert_eq!(codes, [0]),
        }
    }
}
