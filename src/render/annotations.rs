//! A plan as annotations beside the lines of a merge request.

use serde_json::{Value, json};

use super::document::{NotDone, PlanDocument, Position};
use crate::plan::state::Action;
use crate::printable::printable;

/// One remark about a place in a file.
struct Remark<'a> {
    level: Level,
    at: Option<&'a Position>,
    title: String,
    text: String,
}

#[derive(Clone, Copy)]
enum Level {
    Notice,
    Warning,
    Error,
}

/// GitHub's workflow commands, a line each: what changes is a notice, what is destroyed a warning, what is refused an
/// error.
pub fn github(plan: &PlanDocument) -> String {
    let line = |remark: Remark<'_>| {
        let command = match remark.level {
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let mut properties = Vec::new();
        if let Some(Position { file, line, column }) = remark.at {
            properties.push(format!("file={},line={line},col={column}", property(file)));
        }
        properties.push(format!("title={}", property(&remark.title)));
        format!("::{command} {}::{}\n", properties.join(","), data(&remark.text))
    };
    remarks(plan).map(line).collect()
}

/// GitLab's code quality report: one JSON list.
pub fn gitlab(plan: &PlanDocument) -> Value {
    let issue = |remark: Remark<'_>| {
        let severity = match remark.level {
            Level::Notice => "info",
            Level::Warning => "major",
            Level::Error => "blocker",
        };
        let (file, line) = remark.at.map_or((".", 1), |at| (at.file.as_str(), at.line));
        json!({
            "description": format!("{}: {}", remark.title, remark.text),
            "check_name": "lictor plan",
            "fingerprint": crate::object::digest(format!("{file}\0{}\0{}", remark.title, remark.text).as_bytes()),
            "severity": severity,
            "location": {"path": file, "lines": {"begin": line}},
        })
    };
    Value::Array(remarks(plan).map(issue).collect())
}

fn remarks(plan: &PlanDocument) -> impl Iterator<Item = Remark<'_>> {
    let changes = plan.changes.iter().map(|change| {
        let (level, word) = match change.action {
            Action::Create => (Level::Notice, "create"),
            Action::Update => (Level::Notice, "update"),
            Action::Replace => (Level::Warning, "replace"),
            Action::Delete => (Level::Warning, "delete"),
        };
        let fields = change.differences.iter().map(|difference| match change.action {
            Action::Create => format!("{}: {}", difference.field, difference.after),
            Action::Delete => format!("{}: {}", difference.field, difference.before),
            _ => format!("{}: {} -> {}", difference.field, difference.before, difference.after),
        });
        let text: Vec<String> = fields.chain(change.fallout.iter().cloned()).collect();
        Remark { level, at: change.at.as_ref(), title: format!("{word} {}", change.object), text: text.join("; ") }
    });
    fn not_done<'a>(level: Level, word: &str, item: &'a NotDone) -> Remark<'a> {
        let title = item.object.as_ref().map_or_else(|| word.to_owned(), |object| format!("{word} {object}"));
        Remark { level, at: item.at.as_ref(), title, text: item.reason.clone() }
    }
    let adopted = plan.adopted.iter().map(|object| Remark {
        level: Level::Notice,
        at: None,
        title: format!("take over {object}"),
        text: "as it is".to_owned(),
    });
    let spared = plan.spared.iter().map(|item| not_done(Level::Notice, "spared", item));
    let refused = plan.refused.iter().map(|item| not_done(Level::Error, "refused", item));
    refused.chain(changes).chain(adopted).chain(spared)
}

/// The data of a workflow command, escaped as GitHub reads it.
fn data(text: &str) -> String {
    printable(text).replace('%', "%25")
}

/// A property of a workflow command, escaped as GitHub reads it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
