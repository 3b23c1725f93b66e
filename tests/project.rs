//! What the project promises about itself: the import law, schemas and documents that are current.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use support::root;

/// What each room may use, beside itself.
const LAW: &[(&str, &[&str])] = &[
    ("duration", &[]),
    ("object", &["duration"]),
    ("consul", &["duration"]),
    ("plan", &["object", "duration"]),
    ("reconcile", &["plan", "object", "consul", "duration"]),
    ("ansible", &["reconcile", "plan", "object", "consul", "duration"]),
    ("cli", &["reconcile", "plan", "object", "consul", "duration", "ansible"]),
];

/// Of a face, another face may use what starts it, and nothing else.
const DOORS: &[&str] = &["ansible::run", "ansible::MODULES", "ansible::schemas", "ansible;"];

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

#[test]
fn the_schemas_are_current() {
    for (name, schema) in lictor::ansible::schemas() {
        let file = root().join(format!("schemas/{name}.json"));
        let stored = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(stored, format!("{:#}\n", schema.as_value()), "run `make schemas`: {} is old", file.display());
    }
}
