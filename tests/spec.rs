//! Specs: what they declare, what is wrong with them, and what is said about it.
//!
//! `tests/specs/valid/` and `invalid/` have one rule a file, named after it. Beside each stands what is made of it: the
//! objects, or what `lictor validate` prints. LICTOR_GENERATE=1 writes these anew; then read what has changed.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lictor::object::{DesiredState, KeyContent, Object, ObjectId, Secret};
use lictor::source::{self, ValueFiles};
use lictor::spec::{self, Values};
use serde_json::{Value, json};
use support::root;
use tempfile::TempDir;

fn validate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lictor"))
        .arg("validate")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Exit code, standard output and standard error.
fn told(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = validate(folder, arguments);
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// What `validate` says is wrong; it has to fail with 1.
#[track_caller]
fn faults(folder: &Path, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = told(folder, arguments);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    stderr
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

const SESSION: &str = "version: 1\nowner: platform/web\nsessions: [{name: a, node: web1}]\n";
const KEY: &str = "version: 1\nowner: platform/web\nkeys: [{key: k, value: v}]\n";

fn cases(kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/specs").join(kind)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "json"));
    paths.sort();
    assert!(paths.len() > 10, "the cases of {kind} are not here");
    paths
}

/// Compares with the file that stands beside a case, and says where they differ.
fn as_expected(case: &Path, found: &str) -> Option<String> {
    let path = case.with_extension("expected");
    if std::env::var_os("LICTOR_GENERATE").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    (expected != found).then(|| format!("{}\n--- expected\n{expected}\n--- found\n{found}", case.display()))
}

/// The objects of a state, a line each.
fn shown(state: &DesiredState) -> String {
    let mut lines = format!("{} {:?}\n", state.owner, state.place);
    for (id, declared) in &state.objects {
        let protected = if declared.prevent_destroy { ", protected" } else { "" };
        let object = match &declared.object {
            Object::Key { content: KeyContent { value, flags }, holder, secret } => {
                let value = value.as_ref().map(|value| value.escape_ascii().to_string());
                format!("value {value:?}, flags {flags:?}, holder {holder:?}, secret {secret:?}")
            }
            other => format!("{other:?}"),
        };
        lines += &format!("{id} at {}:{}{protected}: {object}\n", declared.at.line, declared.at.column);
    }
    lines
}

#[test]
fn each_valid_spec_declares_what_stands_beside_it() {
    let mut wrong = Vec::new();
    for case in cases("valid") {
        let (texts, faults) = source::read(std::slice::from_ref(&case));
        assert_eq!(faults, []);
        let found = match spec::read(&texts, Values { files: &ValueFiles, variable: None }) {
            Ok(state) => shown(&state).replace(&format!("{}/", case.parent().unwrap().display()), ""),
            Err(faults) => panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        };
        wrong.extend(as_expected(&case, &found));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_invalid_spec_is_told_what_stands_beside_it() {
    let mut wrong = Vec::new();
    for case in cases("invalid") {
        let name = case.file_name().unwrap().to_str().unwrap();
        wrong.extend(as_expected(&case, &faults(case.parent().unwrap(), &[name])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The documents of a spec, as another reader of YAML has them.
fn documents(case: &Path) -> Vec<Value> {
    serde_yaml::from_str_multiple(&fs::read_to_string(case).unwrap()).unwrap()
}

#[test]
fn what_editors_know_of_specs_is_what_validate_knows() {
    let validator = jsonschema::validator_for(lictor::spec::schema().as_value()).unwrap();
    for case in cases("valid") {
        for document in documents(&case) {
            let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", case.display());
        }
    }
    let shapes: Vec<_> =
        cases("invalid").into_iter().filter(|case| case.to_string_lossy().contains("/shape_")).collect();
    assert!(shapes.len() > 10);
    for case in shapes {
        assert!(!validator.is_valid(&documents(&case)[0]), "{}: an editor takes it for sound", case.display());
    }
}

#[test]
fn what_is_fine_is_counted() {
    let folder =
        folder(&[("a.yaml", SESSION), ("deeper/b.yml", KEY), ("deeper/c.txt", "not a spec"), (".git/d.yaml", "?")]);
    let here = folder.path();
    assert_eq!(told(here, &["."]), (0, "2 objects in 2 files are valid\n".to_owned(), String::new()));
    assert_eq!(told(here, &["a.yaml"]).1, "1 object in 1 file is valid\n");
    assert_eq!(told(here, &["a.yaml", ".", "./a.yaml"]).1, "2 objects in 2 files are valid\n", "a file is read once");
    let (code, stdout, _) = told(here, &["-o", "json", "."]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, document), (0, json!({"valid": true, "objects": 2, "files": 2, "faults": []})));
}

#[test]
fn wrong_usage_is_64() {
    let folder = folder(&[]);
    assert_eq!(told(folder.path(), &[]).0, 64);
    assert_eq!(told(folder.path(), &["--no-such-option", "."]).0, 64);
}

#[test]
fn faults_of_all_files_are_told_at_once_and_in_order() {
    let broken = "version: 1\nowner: platform/web\nkeys: [{key: k, vlaue: v}]\n";
    let folder = folder(&[("a.yaml", "version: [\n"), ("b.yaml", broken), ("c.yaml", KEY), ("d.yaml", broken)]);
    let said = faults(folder.path(), &["d.yaml", "missing.yaml", "."]);
    let places: Vec<&str> = said.lines().filter(|line| line.contains(".yaml:")).collect();
    let expected = [
        "missing.yaml: can't be read: No such file or directory (os error 2)",
        "d.yaml:3:17: a key has no field \"vlaue\"",
        "a.yaml:1:10: not YAML: ",
        "b.yaml:3:17: a key has no field \"vlaue\"",
    ];
    assert_eq!(places.len(), expected.len(), "{said}");
    for (place, expected) in places.iter().zip(expected) {
        assert!(place.starts_with(expected), "{place}, not {expected}");
    }
    assert!(said.ends_with("error: the specs have 4 faults\n"), "{said}");
}

#[test]
fn faults_as_a_document() {
    let folder = folder(&[("a.yaml", "version: 1\nowner: web\nkeys:\n  - {kye: a}\n"), ("b.yaml", "")]);
    let (code, stdout, stderr) = told(folder.path(), &["-o", "json", "a.yaml", "b.yaml"]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["valid"], false);
    assert_eq!(
        document["faults"][0],
        json!({
            "file": "a.yaml", "line": 4, "column": 6, "message": "a key has no field \"kye\"",
            "source_line": "  - {kye: a}", "hint": "did you mean key?",
        })
    );
    assert_eq!(document["faults"][1]["line"], 0, "about the file as a whole");
}

#[test]
fn all_files_together_are_one_state() {
    let other = "version: 1\nowner: platform/db\n";
    let folder = folder(&[("a.yaml", SESSION), ("b.yaml", SESSION), ("c.yaml", other)]);
    let said = faults(folder.path(), &["a.yaml", "b.yaml"]);
    assert!(said.contains("b.yaml:3:12: session web1/a is declared twice: at a.yaml:3:12 too"), "{said}");
    let said = faults(folder.path(), &["a.yaml", "c.yaml"]);
    assert!(said.contains("c.yaml:2:8: owner is \"platform/db\", but \"platform/web\" at a.yaml:2:8"), "{said}");
}

#[test]
fn standard_input_is_a_file_too() {
    let folder = folder(&[("value", "secret")]);
    let run = |input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lictor"))
            .args(["validate", "-"])
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let spec = "version: 1\nowner: web\nkeys: [{key: a, value_file: value}]\n";
    assert_eq!(run(spec), (Some(0), "1 object in 1 file is valid\n".to_owned()));
    let (code, said) = run("version: 1\n");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("-:1:1: the document has no owner"), "{said}");
}

#[test]
fn line_ends_and_byte_order_marks_of_windows_change_nothing() {
    let text = "\u{feff}version: 1\r\nowner: web\r\nkeys:\r\n  - {key: a,\r\n     valeu: b}\r\n";
    let folder = folder(&[("a.yaml", text)]);
    let said = faults(folder.path(), &["a.yaml"]);
    assert!(
        said.starts_with("a.yaml:5:6: a key has no field \"valeu\"\n  |      valeu: b}\n  |      ^^^^^\n"),
        "{said}"
    );
    fs::write(folder.path().join("a.yaml"), text.replace("valeu", "value")).unwrap();
    assert_eq!(told(folder.path(), &["a.yaml"]).0, 0);
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_fills_the_memory() {
    let folder = folder(&[("b.yaml", KEY)]);
    let file = fs::File::create(folder.path().join("a.yaml")).unwrap();
    file.set_len(100 * 1024 * 1024).unwrap();
    let said = faults(folder.path(), &["."]);
    assert!(said.starts_with("a.yaml: larger than 64 MB\n  = split it: a call takes several files\n"), "{said}");
}

#[test]
fn a_bomb_takes_neither_time_nor_memory() {
    let case = root().join("tests/specs/invalid/yaml_bomb.yaml");
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 2000000; exec \"$0\" validate \"$1\"",
            env!("CARGO_BIN_EXE_lictor"),
            case.to_str().unwrap(),
        ])
        .env_clear()
        .env("PATH", "/bin:/usr/bin")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_folder_without_specs_is_a_fault() {
    let folder = folder(&[("notes.txt", "")]);
    let said = faults(folder.path(), &["."]);
    assert!(
        said.starts_with(".: no file of specs in this folder\n  = files of specs end in .yaml, .yml, .json"),
        "{said}"
    );
}

#[test]
fn a_folder_may_be_called_as_a_file_is() {
    let folder = folder(&[("x.yaml/a.yaml", KEY)]);
    assert_eq!(told(folder.path(), &["."]).1, "1 object in 1 file is valid\n");
}

#[test]
fn bytes_that_are_not_utf_8_are_told_with_their_place() {
    let folder = folder(&[]);
    fs::write(folder.path().join("a.yaml"), b"version: 1\nowner: \xc3\xa4\xff\n").unwrap();
    let said = faults(folder.path(), &["a.yaml"]);
    assert!(said.starts_with("a.yaml:2:9: not UTF-8\n"), "{said}");
}

#[cfg(unix)]
mod links {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_loop_of_links_is_told_and_the_rest_is_read() {
        let folder = folder(&[("deeper/a.yaml", KEY), ("b.yaml", "version: 1\n")]);
        symlink("..", folder.path().join("deeper/back")).unwrap();
        let said = faults(folder.path(), &["."]);
        assert!(said.contains("deeper/back: this link leads back to a folder that it is in"), "{said}");
        assert!(said.contains("b.yaml:1:1: the document has no owner"), "{said}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_and_the_rest_is_read() {
        let folder = folder(&[("b.yaml", "version: 1\n")]);
        symlink("nowhere", folder.path().join("broken.yaml")).unwrap();
        symlink("itself.yaml", folder.path().join("itself.yaml")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join("pipe.yaml")).status().unwrap().success());
        let said = faults(folder.path(), &["."]);
        assert!(said.contains("broken.yaml: can't be read: No such file or directory"), "{said}");
        assert!(said.contains("itself.yaml: can't be read: Too many levels of symbolic links"), "{said}");
        assert!(said.contains("pipe.yaml: this is no file"), "{said}");
        assert!(said.contains("b.yaml:1:1: the document has no owner"), "{said}");
    }

    #[test]
    fn values_come_from_within_the_tree_and_links_do_not_lead_out_of_it() {
        let spec = "version: 1\nowner: web\nkeys:\n  - {key: a, value_file: ../values/link}\n  - {prefix: b/, folder: ../values}\n";
        let folder = folder(&[("tree/specs/a.yaml", spec), ("tree/values/fine", "fine"), ("secret", "hunter2")]);
        symlink("../../secret", folder.path().join("tree/values/link")).unwrap();
        let said = faults(folder.path(), &["tree"]);
        let outside = "\"tree/specs/../values/link\" is outside of \"tree\": values come from files within it";
        assert!(said.contains(&format!("tree/specs/a.yaml:4:26: {outside}")), "{said}");
        assert!(said.contains(&format!("tree/specs/a.yaml:5:26: {outside}")), "{said}");
        fs::remove_file(folder.path().join("tree/values/link")).unwrap();
        symlink("fine", folder.path().join("tree/values/link")).unwrap();
        assert_eq!(told(folder.path(), &["tree"]), (0, "3 objects in 1 file are valid\n".to_owned(), String::new()));
        let said = faults(folder.path(), &["tree/specs/a.yaml"]);
        assert!(said.contains("is outside of \"tree/specs\""), "the tree is the folder that was named: {said}");
    }

    #[test]
    fn a_loop_in_a_folder_of_values_is_told() {
        let folder =
            folder(&[("a.yaml", "version: 1\nowner: web\nkeys: [{prefix: b/, folder: values}]\n"), ("values/c", "")]);
        symlink(".", folder.path().join("values/again")).unwrap();
        let said = faults(folder.path(), &["."]);
        assert!(said.contains("values/again\" is a link that leads back to a folder that it is in"), "{said}");
    }
}

#[test]
fn a_value_that_is_too_long_is_told() {
    let folder = folder(&[("a.yaml", "version: 1\nowner: web\nkeys: [{key: k, value_file: long}]\n")]);
    fs::write(folder.path().join("long"), vec![b'x'; 524_289]).unwrap();
    let said = faults(folder.path(), &["a.yaml"]);
    assert!(said.contains("the value of key \"k\" is 524289 bytes long, and 524288 is the most"), "{said}");
}

#[test]
fn secrets_are_marked_and_a_variable_that_is_not_set_is_told() {
    let spec = "version: 1\nowner: web\nkeys:\n  - {key: a, value: {env: TOKEN}}\n  - {key: b, value_file: value}\n  - {key: c, value: {text: plain}}\n";
    let folder = folder(&[("a.yaml", spec), ("value", "from a file")]);
    let path = [folder.path().join("a.yaml")];
    let set = |name: &str| (name == "TOKEN").then(|| OsString::from("hunter2"));
    let (state, files) = source::desired(&path, Some(&set)).unwrap();
    let key = |key: &str| match &state.objects[&ObjectId::Key(key.to_owned())].object {
        Object::Key { content, secret, .. } => (content.value.clone().unwrap(), secret.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(files, 1);
    assert_eq!(key("a"), (b"hunter2".to_vec(), Some(Secret::Variable("TOKEN".to_owned()))));
    assert_eq!(key("b"), (b"from a file".to_vec(), Some(Secret::File(folder.path().join("value")))));
    assert_eq!(key("c"), (b"plain".to_vec(), None));

    let faults = source::desired(&path, Some(&|_| None)).unwrap_err();
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(":4:21: the environment variable \"TOKEN\" is not set\n"), "{}", said[0]);
    assert_eq!(told(folder.path(), &["a.yaml"]).0, 0, "validate does not look at the environment");
}

#[test]
fn the_order_of_the_files_changes_nothing_but_the_order_of_the_faults() {
    let folder = folder(&[
        ("a.yaml", "version: 1\nowner: web\nkeys: [{key: k, session: s}, {key: l, session: t}]\n"),
        ("b.yaml", "version: 1\nowner: web\nsessions: [{name: s, node: web1}]\n"),
        ("c.yaml", "version: 1\nowner: web\nservices: [{name: w, node: web1}]\nsessions: [{name: t, node: web1}]\n"),
    ]);
    let read = |names: &[&str]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        source::desired(&paths, None)
    };
    let (state, _) = read(&["a.yaml", "b.yaml", "c.yaml"]).unwrap();
    assert_eq!(state.objects.len(), 5);
    assert_eq!(read(&["c.yaml", "a.yaml", "b.yaml"]).unwrap().0, state);
    let told = |names: &[&str]| read(names).unwrap_err().iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(told(&["a.yaml"]).len(), 2);
    assert_eq!(told(&["a.yaml", "c.yaml"]), told(&["c.yaml", "a.yaml"]));
}

#[test]
fn a_file_of_nothing_but_faults_is_not_told_without_end() {
    let objects = "  - {nmae: a}\n".repeat(5_000);
    let folder = folder(&[("a.yaml", &format!("version: 1\nowner: web\nsessions:\n{objects}"))]);
    let said = faults(folder.path(), &["a.yaml"]);
    assert!(said.contains("a.yaml: more than 1000 faults: the rest is not told"), "{}", said.lines().last().unwrap());
    assert!(said.ends_with("error: the specs have 1001 faults\n"));
}
