//! `lictor kv import` and `lictor kv export`, beside Consul's own, on a real agent.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lictor::consul::{Client, KvPair, PutOptions, Query, QueryMeta, Settings};
use serde_json::{Value, json};
use support::agent::Options;
use support::proxy::{Act, Proxy};
use support::{Agent, unique};

/// Consul's limit of operations in a transaction is 64 or 128, so that this takes several of either.
const MANY: usize = 500;

fn run(program: &str, arguments: &[&str], address: &str, input: &[u8], token: Option<&str>) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("CONSUL_HTTP_ADDR", address)
        .envs(token.map(|token| ("CONSUL_HTTP_TOKEN", token)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input); // a command that fails early does not read
    child.wait_with_output().unwrap()
}

fn lictor_at(address: &str, arguments: &[&str], input: &[u8]) -> Output {
    run(env!("CARGO_BIN_EXE_lictor"), arguments, address, input, None)
}

/// The standard output of a command that does not fail.
#[track_caller]
fn stdout(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
fn lictor(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    stdout(lictor_at(&Agent::shared().address(), arguments, input))
}

#[track_caller]
fn consul(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let program = support::tool("consul");
    stdout(run(program.to_str().unwrap(), arguments, &Agent::shared().address(), input, None))
}

/// What an import reports: created, updated, unchanged.
#[track_caller]
fn import(file: &Value) -> (usize, usize, u64) {
    counts(&lictor(&["kv", "import", "-", "-o", "json"], file.to_string().as_bytes()))
}

#[track_caller]
fn counts(output: &[u8]) -> (usize, usize, u64) {
    let document: Value = serde_json::from_slice(output).unwrap();
    let length = |name: &str| document[name].as_array().unwrap().len();
    (length("created"), length("updated"), document["unchanged"].as_u64().unwrap())
}

/// The exit code and the error of an import that fails, and prints nothing else.
#[track_caller]
fn refused(address: &str, file: &[u8], arguments: &[&str]) -> (i32, String) {
    let output = lictor_at(address, &[&["kv", "import", "-"], arguments].concat(), file);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn client() -> Client {
    let settings = Settings { host: Some(Agent::shared().address()), ..Settings::default() };
    Client::new(settings.into_config().unwrap()).unwrap()
}

fn tree(prefix: &str) -> (Vec<KvPair>, QueryMeta) {
    client().kv().recurse(prefix, &Query::default()).unwrap()
}

/// The values of the tree of `folder`, as text, by what follows it.
fn values(folder: &str) -> BTreeMap<String, String> {
    let strip = |pair: KvPair| (pair.key[folder.len()..].to_owned(), pair.text().unwrap().to_owned());
    tree(folder).0.into_iter().map(strip).collect()
}

fn entry(key: &str, flags: u64, value: &[u8]) -> Value {
    json!({"key": key, "flags": flags, "value": BASE64.encode(value)})
}

fn many(folder: &str, value: &str) -> Value {
    (0..MANY).map(|number| entry(&format!("{folder}{number:04}"), 0, value.as_bytes())).collect()
}

/// Keys and values of every kind.
fn odd(folder: &str) -> Value {
    let bytes: Vec<u8> = (0..=255).collect();
    let names = ["plain", "with space", "a+b", "100%", "%2F", "ünï/cödé ✓", "a?b=c&d#e", "\"quoted\\", "folder/"];
    let mut entries: Vec<Value> =
        names.iter().map(|name| entry(&format!("{folder}{name}"), 0, name.as_bytes())).collect();
    entries.push(entry(&format!("{folder}bytes"), 42, &bytes));
    entries.push(entry(&format!("{folder}empty"), u64::MAX, b""));
    entries.push(entry(&format!("{folder}long"), 1, &vec![7; 512 * 1024]));
    entries.into()
}

#[test]
fn what_is_exported_imports_again_whatever_the_keys_and_values_are() {
    let folder = format!("{}/", unique("round"));
    let file = odd(&folder);
    assert_eq!(import(&file), (12, 0, 0));
    let exported = lictor(&["kv", "export", &folder], b"");
    let mut sorted = file.as_array().unwrap().clone();
    sorted.sort_by_key(|entry| entry["key"].as_str().unwrap().to_owned());
    assert_eq!(serde_json::from_slice::<Value>(&exported).unwrap(), Value::from(sorted));
    lictor(&["kv", "rm", "--recurse", &folder], b"");
    let again = lictor(&["kv", "import", "-"], &exported);
    assert_eq!(String::from_utf8(again).unwrap(), "created\t12\nupdated\t0\nunchanged\t0\n");
    assert_eq!(lictor(&["kv", "export", &folder], b""), exported);
    assert_eq!(lictor(&["kv", "export", "no-such-prefix/"], b""), b"[]\n");
}

#[test]
fn the_files_are_those_of_consuls_own_commands() {
    let folder = format!("{}/", unique("consul"));
    let file = odd(&folder);
    import(&file);
    let (ours, theirs) = (lictor(&["kv", "export", &folder], b""), consul(&["kv", "export", &folder], b""));
    let document = |file: &[u8]| serde_json::from_slice::<Value>(file).unwrap();
    assert!(document(&ours) == document(&theirs), "the same, but for how & is written in JSON");
    let before = tree(&folder).0;
    let check = lictor(&["kv", "import", "-", "-o", "json"], &theirs);
    assert_eq!(counts(&check), (0, 0, 12), "theirs is ours");
    lictor(&["kv", "rm", "--recurse", &folder], b"");
    consul(&["kv", "import", "-"], &ours);
    let after = tree(&folder).0;
    assert_eq!(after.len(), before.len());
    for pair in after {
        let same = |other: &&KvPair| other.key == pair.key && other.value == pair.value && other.flags == pair.flags;
        assert!(before.iter().any(|other| same(&other)), "{}", pair.key);
    }
}

#[test]
fn what_is_unchanged_is_not_written_and_what_differs_is() {
    let folder = format!("{}/", unique("unchanged"));
    let mut file = many(&folder, "x");
    assert_eq!(import(&file), (MANY, 0, 0));
    let (before, meta) = tree(&folder);

    let proxy = Proxy::start(&Agent::shared().address(), |_| Act::Forward);
    let again = lictor_at(&proxy.address(), &["kv", "import", "-", "-o", "json"], file.to_string().as_bytes());
    assert_eq!(counts(&stdout(again)), (0, 0, 500));
    let seen = proxy.seen();
    assert!(seen.len() <= 3 && seen.iter().all(|line| line.starts_with("GET ")), "{seen:?}");
    assert_eq!(tree(&folder), (before.clone(), meta.clone()), "no index has moved");

    file[7] = entry(&before[7].key, 0, b"y");
    file[8] = entry(&before[8].key, 9, b"x");
    file.as_array_mut().unwrap().push(entry(&format!("{folder}new"), 0, b"z"));
    let checked = lictor(&["kv", "import", "-", "--check"], file.to_string().as_bytes());
    let (a, b) = (&before[7].key, &before[8].key);
    let foreseen = format!(
        "would be created\t{folder}new\nwould be updated\t{a}\nwould be updated\t{b}\ncreated\t1\nupdated\t2\nunchanged\t498\n"
    );
    assert_eq!(String::from_utf8(checked).unwrap(), foreseen);
    assert_eq!(tree(&folder), (before.clone(), meta), "a check writes nothing");
    assert_eq!(import(&file), (1, 2, 498));
    let after = tree(&folder).0;
    let moved: Vec<&str> =
        after.iter().filter(|pair| !before.contains(pair)).map(|pair| &pair.key[folder.len()..]).collect();
    assert_eq!(moved, ["0007", "0008", "new"]);
    assert_eq!((after[7].text().unwrap(), after[8].flags), ("y", 9));
}

#[test]
fn a_large_tree_is_not_read_for_a_few_keys_in_it() {
    let folder = format!("{}/", unique("large"));
    for logs in ["logs/", "more-logs/"] {
        import(&many(&format!("{folder}{logs}"), "x"));
    }
    let proxy = Proxy::start(&Agent::shared().address(), |_| Act::Forward);
    let few: Value =
        ["logs/0001", "logs", "other/key"].iter().map(|name| entry(&format!("{folder}{name}"), 0, b"x")).collect();
    stdout(lictor_at(&proxy.address(), &["kv", "import", "-"], few.to_string().as_bytes()));
    let seen = proxy.seen();
    assert!(seen.iter().all(|line| !line.contains("keys") && !line.contains("recurse")), "{seen:?}");
    assert_eq!(values(&folder).len(), 2 * MANY + 2);

    // Of many, the names in their folder, and the values of what is wanted.
    let (config, proxy) = (format!("{folder}config/"), Proxy::start(&Agent::shared().address(), |_| Act::Forward));
    let mut file: Vec<Value> = (0..80).map(|number| entry(&format!("{config}{number:02}"), 0, b"x")).collect();
    file.push(entry(&format!("{folder}logs/0001"), 0, b"x"));
    import(&file.clone().into());
    let again = lictor_at(&proxy.address(), &["kv", "import", "-", "-o", "json"], json!(file).to_string().as_bytes());
    assert_eq!(counts(&stdout(again)), (0, 0, 81));
    let wide: Vec<String> = proxy.seen().into_iter().filter(|line| line.contains("recurse")).collect();
    assert!(wide.len() == 1 && wide[0].contains(&config), "{wide:?}");
}

#[test]
fn a_key_that_somebody_changes_meanwhile_is_not_overwritten_but_named() {
    for (what, place) in [("one", 3), ("late", 499)] {
        let folder = format!("{}/", unique(what));
        import(&many(&folder, "old"));
        let (agent, key) = (Agent::shared().address(), format!("{folder}{place:04}"));
        let (theirs, transactions) = (key.clone(), AtomicUsize::new(0));
        let proxy = Proxy::start(&agent, move |line| {
            if line.contains("/v1/txn") && transactions.fetch_add(1, SeqCst) == 0 {
                let put = client().kv().put(&theirs, b"theirs", &PutOptions::default(), &Query::default());
                assert!(put.unwrap());
            }
            Act::Forward
        });
        let (code, said) = refused(&proxy.address(), many(&folder, "new").to_string().as_bytes(), &[]);
        assert!(code == 1 && said.contains(&format!("{key:?}")) && said.contains("stale"), "{code} {said}");
        let after = values(&folder);
        assert_eq!(after[&format!("{place:04}")], "theirs");
        let written = after.values().filter(|value| *value == "new").count();
        let counted =
            if written == 0 { "no key was changed".to_owned() } else { format!("{written} of 500 keys were changed") };
        assert!(said.contains(&counted), "{written}: {said}");
        assert_eq!(written > 0, place == 499, "whole transactions: {written}");
        assert!(!said.contains("answer was lost"), "{said}");
    }
    // A new key that somebody else made first; and one too long for a transaction.
    let key = unique("new");
    let made = key.clone();
    let proxy = Proxy::start(&Agent::shared().address(), move |line| {
        if line.starts_with("PUT") {
            client().kv().put(&made, b"theirs", &PutOptions::default(), &Query::default()).unwrap();
        }
        Act::Forward
    });
    for value in [vec![1], vec![1; 500_000]] {
        let (code, said) = refused(&proxy.address(), json!([entry(&key, 0, &value)]).to_string().as_bytes(), &[]);
        assert!(code == 1 && said.contains(&key) && said.contains("no key was changed"), "{code} {said}");
        assert_eq!(client().kv().get(&key, &Query::default()).unwrap().unwrap().value, b"theirs");
        client().kv().delete(&key, None, &Query::default()).unwrap();
    }
}

#[test]
fn an_agent_that_is_lost_between_two_transactions_leaves_no_doubt_that_is_not_named() {
    // (the third transaction is carried out, and its answer lost) or (it does not arrive)
    for carried_out in [true, false] {
        let folder = format!("{}/", unique("lost"));
        let transactions = AtomicUsize::new(0);
        let proxy = Proxy::start(&Agent::shared().address(), move |line| {
            // A first one of 128 is more than Consul 1.8 takes, and is sent anew.
            let number = if line.contains("/v1/txn") { transactions.fetch_add(1, SeqCst) } else { 0 };
            match number {
                3 if carried_out => Act::ForwardAndClose,
                3.. => Act::Raw(Vec::new()),
                _ => Act::Forward,
            }
        });
        let file = many(&folder, "x").to_string();
        let (code, said) = refused(&proxy.address(), file.as_bytes(), &[]);
        assert_eq!(code, 1);
        let done: usize = said.split("error: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let number = |after: &str| said.split(after).nth(1).unwrap().split('"').nth(1).unwrap().to_owned();
        assert_eq!(number("in their order"), format!("{folder}{:04}", done - 1), "{said}");
        let open: usize = said.split("of the next ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(number("of the next"), format!("{folder}{:04}", done + open - 1), "{said}");
        assert!(done >= 128 && open >= 64, "{said}");
        assert!(said.contains(&format!("the last {} were not", MANY - done - open)), "{said}");
        let there = values(&folder).len();
        assert_eq!(there, if carried_out { done + open } else { done }, "{said}");
        assert!(said.contains("the connection broke") && said.contains("run it again"), "{said}");
        assert_eq!(
            counts(&lictor(&["kv", "import", "-", "-o", "json"], file.as_bytes())),
            (MANY - there, 0, there as u64)
        );
    }
}

#[test]
fn a_key_that_a_session_holds_is_left_unless_forced() {
    let (agent, folder) = (Agent::shared(), format!("{}/", unique("held")));
    let file: Value = ["a", "b"].iter().map(|name| entry(&format!("{folder}{name}"), 0, b"new")).collect();
    let holder = agent.create_session(&json!({"Name": "the-holder"}));
    agent.lock(&format!("{folder}b"), &holder);
    let (code, said) = refused(&agent.address(), file.to_string().as_bytes(), &[]);
    assert!(code == 3 && said.contains(&holder) && said.contains("the-holder"), "{code} {said}");
    assert_eq!(refused(&agent.address(), file.to_string().as_bytes(), &["--check"]).0, 3);
    assert_eq!(values(&folder), BTreeMap::from([("b".to_owned(), "x".to_owned())]), "nothing was written");
    let forced = lictor(&["kv", "import", "-", "--force", "-o", "json"], file.to_string().as_bytes());
    assert_eq!(counts(&forced), (1, 1, 0));
    assert_eq!(agent.get(&format!("/v1/kv/{folder}b"))[0]["Session"], json!(holder), "it stays held");
    assert_eq!(import(&file), (0, 0, 2), "what is held and does not differ is in nobody's way");
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_its_place_before_anything_is_sent() {
    let good = entry("a/good", 0, b"x");
    let long = entry("a/long", 0, &vec![0; 512 * 1024 + 1]);
    for (file, words) in [
        (json!([good, {"key": "a/b", "value": "eA="}]).to_string(), &["entry 2", "a/b", "not base64"][..]),
        (json!([good, {"key": "/a", "value": ""}]).to_string(), &["entry 2", "\"/a\"", "write \"a\""]),
        (json!([good, {"key": "a//b"}]).to_string(), &["entry 2", "write \"a/b\""]),
        (json!([{"key": ""}]).to_string(), &["entry 1", "empty"]),
        (json!([{"key": "a\nb"}]).to_string(), &["entry 1", "control character"]),
        (json!([good, good]).to_string(), &["entry 2", "twice", "a/good"]),
        (json!([good, long]).to_string(), &["entry 2", "a/long", "524289 bytes"]),
        (json!([{"key": "a", "namespace": "team"}]).to_string(), &["entry 1", "namespace \"team\"", "--namespace"]),
        ("[\n {\"key\": \"a\"},\n {\"key\": 7}\n]".to_owned(), &["line 3", "consul kv export"]),
        ("[{\"key\": \"a\", \"flags\": -1}]".to_owned(), &["line 1", "-1"]),
        ("[{\"value\": \"\"}]".to_owned(), &["missing field `key`"]),
        ("[{\"key\": \"a\"}".to_owned(), &["EOF"]),
        ("{}".to_owned(), &["consul kv export"]),
        (String::new(), &["EOF"]),
    ] {
        let (code, said) = refused("127.0.0.1:1", file.as_bytes(), &[]);
        assert_eq!(code, 64, "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }
    assert!(refused("127.0.0.1:1", b"\xff\xfe", &[]).0 == 64);
    let missing = lictor_at("127.0.0.1:1", &["kv", "import", "/no/such/file"], b"");
    assert!(missing.status.code() == Some(1) && String::from_utf8_lossy(&missing.stderr).contains("/no/such/file"));
    assert_eq!(import(&json!([])), (0, 0, 0));
}

#[test]
fn a_token_for_some_keys_of_a_folder_is_enough_for_those_keys() {
    const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";
    let agent = Agent::start(Options {
        config: json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}}}),
        token: Some(MASTER.to_owned()),
        ..Options::default()
    });
    agent.put("/v1/acl/policy", &json!({"Name": "some", "Rules":
        r#"key_prefix "app/a/" { policy = "write" } key_prefix "app/b/" { policy = "write" } key "app/c" { policy = "read" }"#}));
    let token: Value =
        serde_json::from_str(&agent.put("/v1/acl/token", &json!({"Policies": [{"Name": "some"}]}))).unwrap();
    let as_token = |file: &[Value]| {
        let (program, file) = (env!("CARGO_BIN_EXE_lictor"), json!(file).to_string());
        run(
            program,
            &["kv", "import", "-", "-o", "json"],
            &agent.address(),
            file.as_bytes(),
            token["SecretID"].as_str(),
        )
    };
    agent.put("/v1/kv/app/a/00", &json!("x"));
    let mut file: Vec<Value> = ["a", "b"]
        .iter()
        .flat_map(|part| (0..40).map(move |n| entry(&format!("app/{part}/{n:02}"), 0, b"x")))
        .collect();
    assert_eq!(counts(&stdout(as_token(&file))), (79, 0, 1), "a list of app/ would have shown nothing");
    assert_eq!(counts(&stdout(as_token(&file))), (0, 0, 80));
    file.push(entry("app/c", 0, b"x"));
    let failed = String::from_utf8(as_token(&file).stderr).unwrap();
    assert!(failed.contains("app/c") && failed.contains("Permission denied"), "{failed}");
    file.push(entry("app/d", 0, b"x"));
    let failed = String::from_utf8(as_token(&file).stderr).unwrap();
    assert!(
        failed.contains("app/d") && failed.contains("status 403") && failed.contains("policy = \"read\""),
        "{failed}"
    );
}
