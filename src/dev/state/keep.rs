//! What of the state outlives the process.

use serde::{Deserialize, Serialize};

use super::{Entry, Fault, Session, State};

/// What is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dev) struct Kept {
    index: u64,
    keys: Vec<Entry>,
    sessions: Vec<Session>,
}

impl State {
    /// What is to be kept of it.
    pub fn keep(&self) -> Kept {
        Kept {
            index: self.index,
            keys: self.keys.all().cloned().collect(),
            sessions: self.sessions.all().cloned().collect(),
        }
    }

    /// Takes up what was kept, in a state that is new.
    pub fn restore(&mut self, kept: Kept) -> Result<(), Fault> {
        let Kept { index, keys, sessions } = kept;
        self.index = self.index.max(index);
        keys.into_iter().for_each(|entry| self.restore_key(entry));
        sessions.into_iter().try_for_each(|session| self.restore_session(session))
    }
}
