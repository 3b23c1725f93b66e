//! A plan for a comment on a merge request.

use std::fmt::Write;

use super::document::{ChangeDocument, Difference, NotDone, PlanDocument};
use super::text::summary;
use crate::plan::state::Action;
use crate::printable::printable;

/// How many characters a comment may have: GitHub takes 65,536, and GitLab more.
const MAX: usize = 60_000;

/// The plan as Markdown. What is too long for a comment is cut, and says so.
pub fn markdown(plan: &PlanDocument) -> String {
    let mut text = format!("### `{}` in `{}`: {}\n", code(&plan.owner), code(&plan.datacenter), summary(&plan.summary));
    // A String takes everything.
    let _ = push_refused(&mut text, &plan.refused);
    let _ = push_changes(&mut text, plan);
    let _ = push_spared(&mut text, &plan.spared);
    text
}

fn push_refused(text: &mut String, refused: &[NotDone]) -> std::fmt::Result {
    if refused.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n**Refused**\n")?;
    push_each(text, refused, |item| format!("- {}", not_done(item)), "- ")
}

/// A line for each of `items`, as long as there is room; then how many there are besides.
fn push_each<T>(text: &mut String, items: &[T], line: impl Fn(&T) -> String, before_more: &str) -> std::fmt::Result {
    for (position, item) in items.iter().enumerate() {
        if text.len() > MAX {
            return writeln!(text, "{before_more}… and {} more", items.len() - position);
        }
        writeln!(text, "{}", line(item))?;
    }
    Ok(())
}

fn push_changes(text: &mut String, plan: &PlanDocument) -> std::fmt::Result {
    if plan.changes.is_empty() && plan.adopted.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n| | object | change |\n|---|---|---|")?;
    push_each(text, &plan.changes, row, "\n")?;
    push_each(text, &plan.adopted, |object| format!("| take over | `{}` | |", code(object)), "\n")
}

fn row(change: &ChangeDocument) -> String {
    let difference = |difference: &Difference| {
        let (field, before, after) = (&difference.field, code(&difference.before), code(&difference.after));
        match change.action {
            Action::Create => format!("{field}: `{after}`"),
            Action::Delete => format!("{field}: `{before}`"),
            Action::Update | Action::Replace => format!("{field}: `{before}` → `{after}`"),
        }
    };
    let fallout = change.fallout.iter().map(|fallout| format!("**{}**", cell(fallout)));
    let cells: Vec<String> = change.differences.iter().map(difference).chain(fallout).collect();
    format!("| {} | `{}` | {} |", word(change.action), code(&change.object), cells.join("<br>"))
}

fn push_spared(text: &mut String, spared: &[NotDone]) -> std::fmt::Result {
    if spared.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n<details><summary>{} spared</summary>\n", spared.len())?;
    push_each(text, spared, |item| format!("- {}", not_done(item)), "- ")?;
    writeln!(text, "\n</details>")
}

fn not_done(item: &NotDone) -> String {
    match &item.object {
        Some(object) => format!("`{}`: {}", code(object), cell(&item.reason)),
        None => cell(&item.reason),
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "**replace**",
        Action::Delete => "**delete**",
    }
}

/// `text` within backticks in a table: nothing there can end either.
fn code(text: &str) -> String {
    printable(text).replace('`', "'").replace('|', "\\|")
}

/// `text` in a table, where nothing of it is markup.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '@' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}
