//! A key of a spec, or a tree of keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::document::{HolderEntry, KeyEntry, ValueEntry, ValueForm};
use super::gather::Ready;
use super::page::{Page, place};
use super::shape::Shape;
use super::tree::{Node, Span};
use crate::consul::{check_key, check_tree, check_value};
use crate::object::{Declared, KeyContent, Object, Secret};

/// A key that was read.
pub(super) struct Keyed {
    pub key: String,
    pub object: Declared,
    /// The session that is to hold it (its name, its node), and where that is written.
    pub holder: Option<(String, Option<String>, Span)>,
    pub span: Span,
}

/// A value, and where it comes from if it is not to be shown.
type Value = (Vec<u8>, Option<Secret>);

/// Reads an entry: one key, or those of a tree. What has faults is left out, and they are noted.
pub(super) fn read(node: &Node<'_>, shape: &Shape, defaults: &Ready, page: &mut Page<'_>) -> Vec<Keyed> {
    let Some(entry) = page.parse("a key", node, shape, KeyEntry::of) else { return Vec::new() };
    let flags = entry.fields.flags.or(defaults.of.key.flags);
    let prevent_destroy = entry.fields.prevent_destroy.or(defaults.of.key.prevent_destroy).unwrap_or_default();
    let declared = |content, secret, span, page: &Page<'_>| Declared {
        object: Object::Key { content, holder: None, secret },
        prevent_destroy,
        at: page.at(span),
    };
    let Some((found, tree)) = fields_fit(&entry, node, page) else { return Vec::new() };
    if tree {
        let values = match (&entry.values, &entry.folder) {
            (Some(values), _) => of_map(&found, values, place(node, "values"), node, page),
            (None, Some(folder)) => of_folder(&found, folder, place(node, "folder"), page),
            _ => Vec::new(),
        };
        return values
            .into_iter()
            .map(|(key, (value, secret), span)| {
                let content = KeyContent { value: Some(value), flags };
                Keyed { key, object: declared(content, secret, span, page), holder: None, span }
            })
            .collect();
    }
    let value = match (&entry.value, &entry.value_file) {
        (Some(value), _) => Some((of_entry(value, place(node, "value"), page), place(node, "value"))),
        (None, Some(path)) => Some((of_file(path, place(node, "value_file"), page), place(node, "value_file"))),
        _ => None,
    };
    let (value, secret) = match value {
        None => (None, None),
        Some((None, _)) => return Vec::new(),
        Some((Some((value, secret)), span)) => match check_value(&found, &value) {
            Ok(()) => (Some(value), secret),
            Err(error) => {
                page.fault(span, error.to_string(), None);
                return Vec::new();
            }
        },
    };
    let span = place(node, "session");
    let holder = entry.fields.session.or(defaults.of.key.session.clone()).map(|holder| match holder {
        HolderEntry::Name(name) => (name, None, span),
        HolderEntry::Full { name, node } => (name, Some(node), span),
    });
    let object = declared(KeyContent { value, flags }, secret, node.span, page);
    vec![Keyed { key: found, object, holder, span: node.span }]
}

/// The key or the prefix, and whether it is a prefix. `None` where the entry's fields do not go together.
fn fields_fit(entry: &KeyEntry, node: &Node<'_>, page: &mut Page<'_>) -> Option<(String, bool)> {
    let mut fine = true;
    let mut refuse = |field: &str, message: String, hint: &str| {
        fine = false;
        let span = node.entry(field).map_or(node.span, |(name, _)| name.span);
        page.fault(span, message, Some(hint));
    };
    let found = match (&entry.key, &entry.prefix) {
        (Some(key), None) => {
            for field in ["values", "folder"] {
                if node.get(field).is_some() {
                    refuse(
                        field,
                        format!("{field} is for a tree"),
                        "write prefix: in place of key:, or value: in place of it",
                    );
                }
            }
            if entry.value.is_some() && entry.value_file.is_some() {
                refuse("value_file", "the key has two values".to_owned(), "write value or value_file");
            }
            (key, false)
        }
        (None, Some(prefix)) => {
            for field in ["value", "value_file", "session"] {
                if node.get(field).is_some() {
                    refuse(
                        field,
                        format!("{field} is for a single key"),
                        "a tree has values: {NAME: ...}, or folder: PATH",
                    );
                }
            }
            match (&entry.values, &entry.folder) {
                (Some(_), Some(_)) => {
                    refuse("folder", "the tree has values and a folder".to_owned(), "write one of them")
                }
                (None, None) => {
                    refuse("prefix", "the tree has no keys".to_owned(), "write values: {NAME: ...}, or folder: PATH");
                }
                _ => {}
            }
            (prefix, true)
        }
        (Some(_), Some(_)) => {
            refuse("prefix", "a key and a prefix in one entry".to_owned(), "write two entries");
            return None;
        }
        (None, None) => {
            refuse("", "a key has no key".to_owned(), "write key: PATH, or prefix: PATH/ for a tree");
            return None;
        }
    };
    let (found, tree) = found;
    let checked = if tree { check_tree(found) } else { check_key(found) };
    if let Err(error) = checked {
        page.fault(place(node, if tree { "prefix" } else { "key" }), error.to_string(), None);
        return None;
    }
    fine.then(|| (found.clone(), tree))
}

/// The keys of a map below a prefix.
fn of_map(
    prefix: &str,
    values: &BTreeMap<String, ValueEntry>,
    span: Span,
    node: &Node<'_>,
    page: &mut Page<'_>,
) -> Vec<(String, Value, Span)> {
    let map = node.get("values");
    let mut found = Vec::new();
    for (name, entry) in values {
        let (at, value_at) =
            map.and_then(|map| map.entry(name)).map_or((span, span), |(key, value)| (key.span, value.span));
        if let Some(value) = of_entry(entry, value_at, page) {
            found.extend(below(prefix, name, value, at, page));
        }
    }
    found
}

/// The keys of a folder below a prefix.
fn of_folder(prefix: &str, folder: &str, span: Span, page: &mut Page<'_>) -> Vec<(String, Value, Span)> {
    let (files, problems) = page.values.files.folder(page.text, folder);
    for problem in problems {
        page.fault(span, problem, None);
    }
    let mut found = Vec::new();
    for file in files {
        found.extend(below(prefix, &file.name, (file.content, Some(Secret::File(file.path))), span, page));
    }
    found
}

fn below(prefix: &str, name: &str, value: Value, span: Span, page: &mut Page<'_>) -> Option<(String, Value, Span)> {
    if name.is_empty() {
        page.fault(span, "an empty name below the prefix", Some("write what follows the prefix"));
        return None;
    }
    let key = format!("{prefix}{name}");
    if let Err(error) = check_key(&key).and_then(|()| check_value(&key, &value.0)) {
        page.fault(span, error.to_string(), None);
        return None;
    }
    Some((key, value, span))
}

fn of_entry(entry: &ValueEntry, span: Span, page: &mut Page<'_>) -> Option<Value> {
    let form = match entry {
        ValueEntry::Text(text) => return Some((text.clone().into_bytes(), None)),
        ValueEntry::Form(form) => form,
    };
    match form {
        ValueForm::Text(text) => Some((text.clone().into_bytes(), None)),
        ValueForm::Json(json) => Some((json.to_string().into_bytes(), None)),
        ValueForm::Base64(text) => {
            let text: String = text.split_ascii_whitespace().collect();
            match STANDARD.decode(text) {
                Ok(bytes) => Some((bytes, None)),
                Err(error) => {
                    page.fault(
                        span,
                        format!("not base64: {error}"),
                        Some("write A-Z, a-z, 0-9, + and /, padded with ="),
                    );
                    None
                }
            }
        }
        ValueForm::Env(name) => {
            let value = match page.values.variable {
                None => Vec::new(),
                Some(variable) => match variable(name) {
                    Some(value) => value.into_encoded_bytes(),
                    None => {
                        page.fault(
                            span,
                            format!("the environment variable {name:?} is not set"),
                            Some("set it, and call again"),
                        );
                        return None;
                    }
                },
            };
            Some((value, Some(Secret::Variable(name.clone()))))
        }
        ValueForm::File(path) => of_file(path, span, page),
    }
}

fn of_file(path: &str, span: Span, page: &mut Page<'_>) -> Option<Value> {
    match page.values.files.read(page.text, path) {
        Ok(file) => Some((file.content, Some(Secret::File(file.path)))),
        Err(problem) => {
            page.fault(span, problem, None);
            None
        }
    }
}
