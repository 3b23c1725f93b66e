//! A plan for people at a terminal. The colours are for the writer to keep or to strip.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::document::{ChangeDocument, NotDone, PlanDocument, Summary};
use crate::plan::state::Action;
use crate::printable::printable;

const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();
const PLAIN: Style = Style::new();

/// The plan as text with colours.
pub fn text(plan: &PlanDocument) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let _ = push_change(&mut text, change); // a String takes everything
    }
    for object in &plan.adopted {
        let _ = writeln!(text, "{GREEN}^ {}{GREEN:#}: taken over as it is", printable(object));
    }
    let _ = push_list(&mut text, "Spared", &plan.spared, PLAIN);
    let _ = push_list(&mut text, "Refused", &plan.refused, RED);
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{BOLD}{}{BOLD:#}: {}", printable(&plan.owner), summary(&plan.summary));
    text
}

/// `1 to create, 2 to delete; 12 unchanged`
pub(super) fn summary(summary: &Summary) -> String {
    let parts = [
        (summary.create, "to create"),
        (summary.update, "to update"),
        (summary.replace, "to replace"),
        (summary.delete, "to delete"),
        (summary.adopt, "to take over"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let doing = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    let refused = if summary.refused > 0 { format!("; {} refused", summary.refused) } else { String::new() };
    format!("{doing}; {} unchanged{refused}", summary.unchanged)
}

/// The sign before an object, and its colour.
fn sign(action: Action) -> (&'static str, Style) {
    match action {
        Action::Create => ("+", GREEN),
        Action::Update => ("~", YELLOW),
        Action::Replace => ("±", RED),
        Action::Delete => ("-", RED),
    }
}

fn push_change(text: &mut String, change: &ChangeDocument) -> std::fmt::Result {
    let (sign, style) = sign(change.action);
    write!(text, "{style}{sign} {}{style:#}", printable(&change.object))?;
    match change.adopted_from.as_deref() {
        Some("") => write!(text, " (nobody's so far)")?,
        Some(owner) => write!(text, " (taken over from {})", printable(owner))?,
        None => {}
    }
    text.push('\n');
    for difference in &change.differences {
        let (before, after) = (printable(&difference.before), printable(&difference.after));
        match change.action {
            Action::Create => writeln!(text, "    {}: {after}", difference.field)?,
            Action::Delete => writeln!(text, "    {}: {before}", difference.field)?,
            Action::Update | Action::Replace => writeln!(text, "    {}: {before} -> {after}", difference.field)?,
        }
    }
    for fallout in &change.fallout {
        writeln!(text, "    {RED}! {}{RED:#}", printable(fallout))?;
    }
    Ok(())
}

fn push_list(text: &mut String, heading: &str, items: &[NotDone], style: Style) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    if !text.is_empty() {
        text.push('\n');
    }
    writeln!(text, "{style}{heading}:{style:#}")?;
    for item in items {
        match &item.object {
            Some(object) => writeln!(text, "  {}: {}", printable(object), printable(&item.reason))?,
            None => writeln!(text, "  {}", printable(&item.reason))?,
        }
    }
    Ok(())
}
