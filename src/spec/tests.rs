//! Whatever the text is, it is a state or faults, and never a panic; and places are places of the text.

use proptest::prelude::*;

use super::*;
use crate::object::ObjectId;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Text, path: &str) -> Result<ValueFile, String> {
        Err(format!("{path:?} can't be read: there are no files here"))
    }

    fn folder(&self, _: &Text, path: &str) -> (Vec<ValueFile>, Vec<String>) {
        (Vec::new(), vec![format!("{path:?} can't be read: there are no files here")])
    }
}

fn read_one(content: &str) -> Result<DesiredState, Vec<Fault>> {
    let text = Text { name: "a.yaml".into(), content: content.to_owned(), ..Text::default() };
    read(&[text], Values { files: &NoFiles, variable: None })
}

/// A spec with some of everything.
const SPEC: &str = r#"version: 1
owner: platform/web
defaults: {session: {node: web1, ttl: 60s}, service: {node: web1, meta: {a: b}}}
sessions:
  - &first {name: a, checks: [serfHealth, "service:web"]}
  - {<<: *first, name: b, delay: 15s, service_checks: [{id: c, namespace: d}]}
keys:
  - {key: a/b, value: {json: {a: [1, 2.5, null, true]}}, flags: 3, session: a}
  - prefix: b/
    values: {c: "on", d: {base64: AAAA}}
services:
  - {name: web, port: 80, weights: {passing: 2}, checks: [{http: "http://web1/", interval: 10s, header: {A: [b]}}]}
"#;

#[test]
fn objects_are_told_apart_whatever_their_order() {
    // A node in capitals is the same node. Each index is a session of its own, but 1 and 4.
    let sessions =
        ["{name: b, node: a}", "{name: c, node: b}", "{name: a, node: A}", "{name: d, node: b}", "{name: c, node: B}"];
    let spec = |order: &[usize]| {
        let items: Vec<String> = order.iter().map(|one| format!("  - {}\n", sessions[*one])).collect();
        read_one(&format!("version: 1\nowner: a\nsessions:\n{}", items.concat()))
    };
    let declared = |order: &[usize]| -> Vec<ObjectId> { spec(order).unwrap().objects.into_keys().collect() };
    let sorted = declared(&[2, 0, 1, 3]);
    assert_eq!(sorted.len(), 4);
    for order in [[0, 1, 3, 2], [3, 1, 0, 2], [1, 2, 3, 0], [0, 2, 1, 3]] {
        assert_eq!(declared(&order), sorted, "{order:?}");
    }
    for order in [&[1, 1][..], &[0, 1, 3, 1], &[0, 1, 3, 4], &[4, 1], &[2, 0, 4, 3, 1], &[0, 1, 0], &[3, 0, 1, 3]] {
        let faults = spec(order).unwrap_err();
        assert!(
            matches!(faults.as_slice(), [one] if one.message.contains("is declared twice")),
            "{order:?}: {faults:?}"
        );
    }
}

#[test]
fn a_glance_finds_the_nodes_of_sessions_and_gives_up_where_a_place_is_named() {
    let text = |content: &str| Text { content: content.to_owned(), ..Text::default() };
    let seen = |content: &str| glance(&[text(content)]).map(|nodes| nodes.into_iter().map(str::to_owned).collect());
    let nodes = |nodes: &[&str]| Some(nodes.iter().map(|node| (*node).to_owned()).collect::<Vec<_>>());
    assert_eq!(seen(SPEC), nodes(&["web1"]));
    assert_eq!(seen("sessions:\n- name: a\n  node: \"b\" # c\n  node: 'd'\n"), nodes(&["b", "d"]));
    assert_eq!(seen("services:\n  - {name: a, node: b}\nowner: node:\n"), nodes(&[]));
    assert_eq!(seen("{\"sessions\": [{\"name\": \"a\", \"node\": \"b\"}]}"), nodes(&[]));
    assert_eq!(seen("version: 1\ndatacenter: dc2\nsessions:\n  - {name: a, node: b}\n"), None);
}

/// Every fault prints, and stands where the text has something.
fn hold(content: &str, result: Result<DesiredState, Vec<Fault>>) {
    let Err(faults) = result else { return };
    assert!(!faults.is_empty());
    let lines = content.split(['\n', '\r']).count() as u64 + 1;
    for fault in faults {
        let printed = fault.to_string();
        assert!(fault.line <= lines, "{printed}");
        assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{printed:?}");
    }
}

#[test]
fn the_spec_of_these_tests_is_sound() {
    assert_eq!(read_one(SPEC).map(|state| state.objects.len()), Ok(6));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(content in any::<String>()) {
        hold(&content, read_one(&content));
    }

    #[test]
    fn nor_does_one_that_looks_like_yaml(content in r#"([-a-c:{}\[\],&*!|>"'#%?~0-9.\n\r\t\u{e4}]| |version: 1\n|  - ){0,60}"#) {
        hold(&content, read_one(&content));
    }

    #[test]
    fn nor_does_a_spec_with_a_piece_replaced(
        from in 0..SPEC.len(),
        length in 0..40_usize,
        piece in r#"[-a-c:{}\[\],&*!|>"'<\n\t 0-9]{0,8}"#,
    ) {
        let to = (from + length).min(SPEC.len());
        let content = format!("{}{piece}{}", &SPEC[..from], &SPEC[to..]);
        hold(&content, read_one(&content));
    }

    #[test]
    fn nor_does_a_spec_with_a_scalar_of_another_type(
        at in 0..60_usize,
        piece in prop::sample::select(vec!["~", "true", "on", "-1", "1e9", "0x1", "[]", "{}", "{a: b}", "''", "!!int 3", "*first"]),
    ) {
        let mut words: Vec<&str> = SPEC.split_inclusive(' ').collect();
        let at = at % words.len();
        let spaced = format!("{piece} ");
        words[at] = &spaced;
        let content = words.concat();
        hold(&content, read_one(&content));
    }
}
