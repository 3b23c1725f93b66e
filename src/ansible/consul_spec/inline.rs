//! An inline spec as the texts that specs are read from, and their faults in terms of the spec.

use std::path::Path;

use serde_json::Value;

use crate::ansible::Failure;
use crate::spec::{Fault, Text};

/// The documents of an inline spec, and what each is called: `spec`, or `spec[0]`, `spec[1]`, ...
fn documents(spec: &Value) -> Vec<(String, &Value)> {
    match spec {
        Value::Array(several) => {
            several.iter().enumerate().map(|(at, document)| (format!("spec[{at}]"), document)).collect()
        }
        one => vec![("spec".to_owned(), one)],
    }
}

/// Each document of an inline spec as a text. Its files may be anywhere: there is no folder that they belong to.
///
/// # Errors
/// Where it is neither a dict nor a list of dicts.
pub(super) fn texts(spec: &Value) -> Result<Vec<Text>, Failure> {
    let documents = documents(spec);
    if documents.is_empty() || documents.iter().any(|(_, document)| !document.is_object()) {
        return Err(Failure::arguments("spec: write a dict, or a list of dicts; a text goes into a file: see 'src'"));
    }
    let text = |(name, document): (String, &Value)| {
        let root = Path::new("/");
        Text { name: name.into(), content: format!("{document:#}"), folder: root.into(), tree: root.into() }
    };
    Ok(documents.into_iter().map(text).collect())
}

/// A fault in one line. The line of the file, which may hold any value, is not shown.
pub(super) fn line(fault: &Fault) -> String {
    let Fault { file, line, column, message, hint, .. } = fault;
    let place = if *line > 0 { format!("{file}:{line}:{column}") } else { file.clone() };
    let hint = hint.as_ref().map_or_else(String::new, |hint| format!(": {hint}"));
    format!("{place}: {message}{hint}")
}

/// The same for a fault of the inline `spec`: each place of a text that nobody has seen is the path of what stands there.
pub(super) fn describe(fault: &Fault, spec: &Value) -> String {
    let mut shown = line(fault);
    for (name, document) in documents(spec) {
        shown = with_paths(&shown, &name, document);
    }
    shown
}

/// `text` with `NAME:LINE:COLUMN` as `NAME.FIELD[0]...`
fn with_paths(text: &str, name: &str, document: &Value) -> String {
    let mark = format!("{name}:");
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(&mark) {
        shown.push_str(before);
        let place = number(after).and_then(|(line, after)| Some((line, number(after.strip_prefix(':')?)?.1)));
        let path = place.and_then(|(line, after)| Some((path(document, name, line, &mut 1)?, after)));
        match path {
            Some((path, after)) => {
                shown.push_str(&path);
                rest = after;
            }
            None => {
                shown.push_str(&mark);
                rest = after;
            }
        }
    }
    shown + rest
}

/// The number that `text` begins with, and what is behind it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// The path of what stands on `line` of the text of `value`, which begins on the line `at` and is called `name`.
fn path(value: &Value, name: &str, line: u64, at: &mut u64) -> Option<String> {
    if *at == line {
        return Some(name.to_owned());
    }
    // One line for each entry, and one for the bracket behind them.
    let mut within = |name: String, value: &Value| {
        *at += 1;
        path(value, &name, line, at)
    };
    let (found, is_empty) = match value {
        Value::Object(fields) => {
            (fields.iter().find_map(|(field, value)| within(format!("{name}.{field}"), value)), fields.is_empty())
        }
        Value::Array(items) => (
            items.iter().enumerate().find_map(|(item, value)| within(format!("{name}[{item}]"), value)),
            items.is_empty(),
        ),
        _ => (None, true),
    };
    *at += u64::from(!is_empty);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_in_the_text_is_the_path_of_what_stands_there() {
        let spec = json!({"owner": "a", "empty": {}, "keys": [{"key": "a"}, {"key": "b", "flags": -1}], "last": true});
        let text = format!("{spec:#}");
        for (line, wanted) in [
            ("{", "spec"),
            ("  \"empty\": {},", "spec.empty"),
            ("      \"key\": \"b\",", "spec.keys[1].key"),
            ("      \"flags\": -1", "spec.keys[1].flags"),
            ("  \"last\": true", "spec.last"),
        ] {
            let number = text.lines().position(|each| each == line).unwrap() + 1;
            let fault = format!("spec:{number}:7: too small, as at spec:{number}:1 too");
            assert_eq!(with_paths(&fault, "spec", &spec), format!("{wanted}: too small, as at {wanted} too"));
        }
        assert_eq!(with_paths("spec: at spec:x and spec:99:1", "spec", &spec), "spec: at spec:x and spec:99:1");
    }
}
