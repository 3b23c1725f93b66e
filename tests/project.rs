//! What the project promises about itself: the import law, schemas and documents that are current.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::Value;
use support::root;

/// What each room may use, beside itself.
const LAW: &[(&str, &[&str])] = &[
    ("duration", &[]),
    ("json", &[]),
    ("printable", &[]),
    ("sort", &[]),
    ("object", &["duration", "sort"]),
    ("consul", &["duration", "json"]),
    ("coordinate", &["consul", "duration", "json", "printable", "sort"]),
    ("plan", &["object", "duration", "sort"]),
    ("reconcile", &["plan", "object", "consul", "duration", "json", "sort"]),
    ("spec", &["object", "duration", "json", "sort", "consul"]),
    ("source", &["spec", "object"]),
    ("dev", &["duration", "json"]),
    ("render", &["reconcile", "plan", "object", "printable"]),
    (
        "ansible",
        &["reconcile", "coordinate", "plan", "object", "consul", "duration", "json", "spec", "source", "render"],
    ),
    (
        "cli",
        &[
            "reconcile",
            "coordinate",
            "plan",
            "object",
            "consul",
            "duration",
            "json",
            "printable",
            "sort",
            "ansible",
            "spec",
            "source",
            "render",
            "dev",
        ],
    ),
];

/// Of a face, another face may use what starts it, and nothing else.
const DOORS: &[&str] = &["ansible::run", "ansible::MODULES", "ansible;"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn each_room_uses_only_what_the_import_law_allows() {
    let law: BTreeMap<_, _> = LAW.iter().copied().collect();
    for file in sources(&root().join("src")) {
        let inside = file.strip_prefix(root().join("src")).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(allowed) = law.get(room) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices("crate::") {
            let path = &text[at + "crate::".len()..];
            let used = path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let fine = used == room || allowed.contains(&used);
            assert!(fine, "{}: {room} may not use {used}", inside.display());
            if room == "cli" && used == "ansible" {
                assert!(DOORS.iter().any(|door| path.starts_with(door)), "{}: a face is no library", inside.display());
            }
        }
    }
}

/// Compares a generated file with what it should be; writes it where LICTOR_GENERATE is set (`make generate`).
fn current(file: &str, wanted: &str) {
    let path = root().join(file);
    if std::env::var_os("LICTOR_GENERATE").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == wanted, "{file} is old: run `make generate`");
}

#[test]
fn the_schemas_are_current() {
    let plan = schemars::schema_for!(lictor::cli::SavedPlan);
    let schemas = lictor::ansible::schemas().chain([("plan", plan), ("spec", lictor::spec::schema())]);
    let (mut names, mut lines) = (String::new(), String::new());
    for (name, schema) in schemas {
        current(&format!("schemas/{name}.json"), &format!("{:#}\n", schema.as_value()));
        names += &format!("{name}\n");
        lines += &format!("{}\n", schema.as_value());
    }
    current("src/cli/schemas.txt", &names);
    // Another version of the library may compress in another way: what comes out of it counts.
    let path = root().join("src/cli/schemas.deflate");
    let stored = || std::fs::read(&path).ok().and_then(|stored| decompress_to_vec(&stored).ok()).unwrap_or_default();
    if std::env::var_os("LICTOR_GENERATE").is_some() && stored() != lines.as_bytes() {
        std::fs::write(&path, compress_to_vec(lines.as_bytes(), 10)).unwrap();
    }
    assert!(stored() == lines.as_bytes(), "src/cli/schemas.deflate is old: run `make generate`");
    current("src/spec/schema.json", &format!("{}\n", lictor::spec::bare_schema().as_value()));
}

#[test]
fn the_options_that_the_modules_read_are_current() {
    for (name, schema) in lictor::ansible::options() {
        current(&format!("src/ansible/options/{name}.json"), &format!("{}\n", schema.as_value()));
    }
}

#[test]
fn the_reference_of_the_modules_is_current() {
    let schemas: BTreeMap<_, _> = lictor::ansible::schemas().collect();
    for (module, done) in [
        ("consul_agent", "AgentResult"),
        ("consul_catalog_info", "CatalogResult"),
        ("consul_election", "ElectionResult"),
        ("consul_kv", "KvResult"),
        ("consul_lock", "LockResult"),
        ("consul_party_info", "PartyResult"),
        ("consul_service", "ServiceResult"),
        ("consul_session", "SessionResult"),
        ("consul_spec", "SpecResult"),
    ] {
        let options = schemas[module].as_value();
        let result = schemas[format!("{module}.result").as_str()].as_value();
        let page = format!(
            "# {module}\n\n{NOTE}## Options\n\n{}\n{}## Result\n\n{}\n## Result of a module that failed\n\n{}",
            option_table(&options["properties"]),
            element_tables(&options["properties"]),
            value_table(&result["$defs"][done]["properties"]),
            value_table(&result["$defs"]["Failure"]["properties"]),
        );
        current(&format!("docs/reference/{module}.md"), &page);
    }
}

/// A table for each option whose elements are dicts with options of their own.
fn element_tables(properties: &Value) -> String {
    let options = properties.as_object().unwrap().iter();
    let elements = options.map(|(name, schema)| (name, &schema["items"]["properties"]));
    let tables = elements.filter(|(_, fields)| fields.is_object());
    tables.map(|(name, fields)| format!("## Each of `{name}`\n\n{}\n", option_table(fields))).collect()
}

const NOTE: &str = "Written by `make generate` from the program itself. JSON Schemas of both stand in `schemas/`.\n\n\
    A *duration* is a text such as `20s`, `1m30s`, `500ms` (units ns, us, ms, s, m, h), or a number of seconds. Types are\n\
    converted as Ansible does for its own modules: `\"8500\"`, `\"yes\"`, `\"a,b\"`.\n\n";

fn text_of<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

/// The values that a schema names.
fn choices(schema: &Value) -> Vec<String> {
    let alternatives = ["oneOf", "anyOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten();
    alternatives.flat_map(choices).chain(schema["const"].as_str().map(|value| format!("`{value}`"))).collect()
}

fn type_of(schema: &Value) -> String {
    let names: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => Vec::new(),
    };
    let choices = choices(schema);
    match names.as_slice() {
        _ if !choices.is_empty() => choices.join(", "),
        ["string", "number"] => "duration".to_owned(),
        ["string"] if schema["x-path"] == true => "path".to_owned(),
        ["string"] => "str".to_owned(),
        ["integer"] => "int".to_owned(),
        ["boolean"] => "bool".to_owned(),
        ["array"] => "list".to_owned(),
        _ => "dict".to_owned(),
    }
}

fn option_table(properties: &Value) -> String {
    let mut table = "| option | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, schema) in properties.as_object().unwrap() {
        let default = match &schema["default"] {
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let variable = match text_of(schema, "x-env") {
            "" => String::new(),
            name => format!(
                " Where it is absent: {}.",
                name.split(", ").map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        table +=
            &format!("| `{name}` | {} | {default} | {}{variable} |\n", type_of(schema), text_of(schema, "description"));
    }
    table
}

fn value_table(properties: &Value) -> String {
    let mut table = "| key | type | meaning |\n|---|---|---|\n".to_owned();
    for (name, schema) in properties.as_object().unwrap() {
        table += &format!("| `{name}` | {} | {} |\n", type_of(schema), text_of(schema, "description"));
    }
    table
}

#[test]
fn the_makefile_installs_each_module() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let names = |list: &str| makefile.lines().find_map(|line| line.strip_prefix(list)).unwrap().split_whitespace();
    let installed: Vec<&str> = names("MODULES := ").chain(names("LARGE_MODULES := ")).collect();
    assert_eq!(installed, lictor::ansible::MODULES);
}

#[test]
fn the_reference_of_the_commands_is_current() {
    let mut page = "# Commands\n\nWritten by `make generate` from the program itself.\n\n\
        Exit codes: 0 done, 1 failed (a fault in specs is a failure; so is a no to a question), 2 changes are pending (with\n\
        `--detailed-exitcode`), 3 refused (too many deletes, what another owner has, a stale plan, a session that holds locks,\n\
        `--on-drift fail`, a node with an agent; nothing was written), 64 wrong usage. `lictor lock` and `lictor fence` have\n\
        codes of their own, from 120. `lictor module` ends as a module does: 0 or 1, with the reason in its result.\n"
        .to_owned();
    for verb in [
        "",
        "session",
        "session list",
        "session info",
        "session create",
        "session renew",
        "session destroy",
        "session doctor",
        "session gc",
        "agent",
        "agent self",
        "agent members",
        "agent maintenance",
        "agent maintenance on",
        "agent maintenance off",
        "agent reload",
        "catalog",
        "catalog datacenters",
        "catalog nodes",
        "catalog node",
        "catalog services",
        "catalog service",
        "kv",
        "kv get",
        "kv put",
        "kv ls",
        "kv rm",
        "service",
        "service list",
        "service info",
        "service register",
        "service deregister",
        "lock",
        "lock run",
        "lock acquire",
        "lock release",
        "lock holders",
        "lock why",
        "lock resize",
        "lock force-unlock",
        "fence",
        "fence verify",
        "elect",
        "elect run",
        "elect leader",
        "elect watch",
        "elect resign",
        "party",
        "party join",
        "party members",
        "party wait",
        "party barrier",
        "validate",
        "plan",
        "apply",
        "diff",
        "destroy",
        "export",
        "adopt",
        "owner",
        "owner list",
        "owner show",
        "owner transfer",
        "module",
        "schema",
        "completions",
    ] {
        let words: Vec<&str> = verb.split_whitespace().collect();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lictor"))
            .args(&words)
            .arg("--help")
            .env_clear()
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        page += &format!(
            "\n## `{}`\n\n```text\n{}\n```\n",
            ["lictor", verb].join(" ").trim_end(),
            help.join("\n").trim_end()
        );
    }
    current("docs/reference/commands.md", &page);
}
