//! A run over many objects that stopped on the way.

use crate::object::ObjectId;

use super::Error;

/// Why a plan was not carried out to its end, and how far it came.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", self.how_far())]
pub struct StateError {
    /// The objects of which everything was done.
    pub done: Vec<ObjectId>,
    /// The objects of which something, or everything, was not done; or of which that is not known.
    pub not_done: Vec<ObjectId>,
    /// Those of them of which something was done, or may have been: a session whose successor stands already, a request
    /// whose answer was lost.
    pub begun: Vec<ObjectId>,
    /// Why it stopped.
    pub source: Box<Error>,
}

impl StateError {
    /// For a plan of which nothing was begun.
    pub(super) fn before(not_done: Vec<ObjectId>, source: Error) -> Self {
        Self { done: Vec::new(), not_done, begun: Vec::new(), source: Box::new(source) }
    }

    /// True where an object was changed, or may have been.
    pub fn wrote(&self) -> bool {
        !self.done.is_empty() || !self.begun.is_empty()
    }

    /// How far it came, in words that its source follows.
    pub fn how_far(&self) -> String {
        let all = self.done.len() + self.not_done.len();
        match (self.done.len(), self.begun.len()) {
            (0, 0) => "no object was changed".to_owned(),
            (done, 0) if done == all => format!("all {done} objects were changed, but then"),
            (done, 0) => format!("{done} of {all} objects were changed, the rest was not"),
            (done, begun) => format!(
                "{done} of {all} objects were changed, and of {begun} more a part is done, or may be ({}); the rest was not",
                name(&self.begun)
            ),
        }
    }
}

/// The first few objects.
fn name(ids: &[ObjectId]) -> String {
    const NAMED: usize = 3;
    let named: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if ids.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", named.join(", "))
}
