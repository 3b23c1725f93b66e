//! The differences of a plan, line by line, as `diff -u` shows them.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::{ChangeTag, DiffOp};

use super::document::{ChangeDocument, NotDone, PlanDocument};
use crate::plan::state::Action;
use crate::printable::printable;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();

/// The differences with colours; what is only taken over, and what was refused, comes last.
pub fn diff(plan: &PlanDocument) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let _ = push_change(&mut text, change); // a String takes everything
    }
    for object in &plan.adopted {
        let _ = writeln!(text, "{GREEN}# taken over as it is: {}{GREEN:#}", printable(object));
    }
    for NotDone { object, reason, .. } in &plan.refused {
        let _ = writeln!(
            text,
            "{RED}# refused: {}: {}{RED:#}",
            printable(object.as_deref().unwrap_or("the plan")),
            printable(reason)
        );
    }
    text
}

fn push_change(text: &mut String, change: &ChangeDocument) -> std::fmt::Result {
    let object = printable(&change.object);
    let declared = match (&change.at, change.action) {
        (Some(at), _) => format!("{object} ({}:{})", printable(&at.file), at.line),
        (None, _) => "/dev/null".to_owned(),
    };
    let there = if change.action == Action::Create { "/dev/null".to_owned() } else { format!("{object} (in Consul)") };
    writeln!(text, "{BOLD}--- {there}{BOLD:#}\n{BOLD}+++ {declared}{BOLD:#}")?;
    for difference in &change.differences {
        let field = &difference.field;
        let (before, after) = match change.action {
            Action::Create => (String::new(), property(field, &difference.after)),
            Action::Delete => (property(field, &difference.before), String::new()),
            Action::Update | Action::Replace => {
                (property(field, &difference.before), property(field, &difference.after))
            }
        };
        // Not as `TextDiff` has them, for which a carriage return is a line's end, too.
        let (before, after): (Vec<&str>, Vec<&str>) =
            (before.split_terminator('\n').collect(), after.split_terminator('\n').collect());
        for line in operations(&before, &after).iter().flat_map(|operation| operation.iter_changes(&before, &after)) {
            let value = printable(line.value());
            match line.tag() {
                ChangeTag::Delete => writeln!(text, "{RED}-{value}{RED:#}")?,
                ChangeTag::Insert => writeln!(text, "{GREEN}+{value}{GREEN:#}")?,
                ChangeTag::Equal => writeln!(text, " {value}")?,
            }
        }
    }
    change.fallout.iter().try_for_each(|fallout| writeln!(text, "{RED}# {}{RED:#}", printable(fallout)))
}

/// What makes one text of the other. Not by `capture_diff_slices`: with it come all algorithms of the library, the tenth part
/// of a megabyte.
fn operations(before: &[&str], after: &[&str]) -> Vec<DiffOp> {
    let mut found = Compact::new(Replace::new(Capture::new()), before, after);
    match myers::diff(&mut found, before, 0..before.len(), after, 0..after.len()) {
        Ok(()) => found.into_inner().into_inner().into_ops(),
        Err(never) => match never {},
    }
}

/// `field: value`. A value of several lines stands below it, indented, with the sign by which YAML tells whether the last
/// one ends as a line does.
fn property(field: &str, value: &str) -> String {
    if !value.contains('\n') {
        return format!("{field}: {value}\n");
    }
    let sign = if value.ends_with('\n') { "|" } else { "|-" };
    let lines: Vec<String> = value.split_terminator('\n').map(|line| format!("  {line}")).collect();
    format!("{field}: {sign}\n{}\n", lines.join("\n"))
}
