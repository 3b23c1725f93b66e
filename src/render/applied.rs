//! What became of a plan.

use anstyle::{AnsiColor, Style};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::PlanDocument;
use crate::object::ObjectId;
use crate::printable::printable;
use crate::reconcile::{StateError, StateReport};

/// A plan, and what became of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AppliedDocument<'a> {
    /// The plan.
    #[serde(flatten)]
    pub plan: &'a PlanDocument,
    /// The objects of which everything was done.
    pub done: Vec<String>,
    /// The objects of which something, or everything, was not done, or of which that is not known.
    pub not_done: Vec<String>,
    /// Those of them of which something was done, or may have been.
    pub begun: Vec<String>,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl<'a> AppliedDocument<'a> {
    /// Of `plan`, which was carried out, or was not.
    pub fn new(plan: &'a PlanDocument, applied: Result<&StateReport, &StateError>) -> Self {
        let names = |ids: &[ObjectId]| ids.iter().map(ToString::to_string).collect();
        let empty =
            Self { plan, done: Vec::new(), not_done: Vec::new(), begun: Vec::new(), warnings: Vec::new(), error: None };
        match applied {
            Ok(report) => Self { done: names(&report.done), warnings: report.warnings.clone(), ..empty },
            Err(error) => Self {
                done: names(&error.done),
                not_done: names(&error.not_done),
                begun: names(&error.begun),
                error: Some(error.to_string()),
                ..empty
            },
        }
    }
}

/// The same as text with colours. Of a run that stopped, every object that was not done is named.
pub fn applied(plan: &PlanDocument, applied: Result<&StateReport, &StateError>) -> String {
    const GREEN: Style = AnsiColor::Green.on_default();
    const RED: Style = AnsiColor::Red.on_default();
    match applied {
        Ok(report) => {
            let adopted = plan.adopted.len();
            let taken_over = if adopted > 0 { format!(", {} taken over", count(adopted)) } else { String::new() };
            format!("{GREEN}Done{GREEN:#}: {} changed{taken_over}.\n", count(report.done.len()))
        }
        Err(error) => {
            let done = error.done.iter().map(|id| format!("  done:     {}\n", printable(&id.to_string())));
            let rest = error.not_done.iter().map(|id| {
                let how = if error.begun.contains(id) { "in part: " } else { "not done:" };
                format!("  {how} {}\n", printable(&id.to_string()))
            });
            format!("{RED}Stopped{RED:#}:\n{}", done.chain(rest).collect::<String>())
        }
    }
}

/// `1 object`, `2 objects`
fn count(count: usize) -> String {
    format!("{count} object{}", if count == 1 { "" } else { "s" })
}
