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
    /// Why it stopped.
    pub source: Box<Error>,
}

impl StateError {
    /// For a plan of which nothing was begun.
    pub(super) fn before(not_done: Vec<ObjectId>, source: Error) -> Self {
        Self { done: Vec::new(), not_done, source: Box::new(source) }
    }

    /// How far it came, in words that its source follows.
    pub fn how_far(&self) -> String {
        match (self.done.len(), self.not_done.len()) {
            (0, _) => "nothing was changed".to_owned(),
            (done, 0) => format!("all {done} objects were changed, but then"),
            (done, rest) => format!("{done} of {} objects were changed, the rest was not", done + rest),
        }
    }
}
