//! Why something is not held.

use crate::consul::{self, KeyError};

use super::kind::named;

/// Why a recipe failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Consul did not answer, or refused.
    #[error(transparent)]
    Consul(#[from] consul::Error),
    /// The session has ended, or its lease has: nothing is held with it any more.
    #[error("session {session} is lost: {why}")]
    SessionLost {
        /// Its id.
        session: String,
        /// What is known.
        why: super::Why,
    },
    /// The key is something else: another recipe's, or somebody's data.
    #[error("key {key:?} is not {wanted}, but {}: its flags are {flags:#x}, and not {expected:#x}", named(*flags))]
    Conflict {
        /// The key.
        key: String,
        /// What it was to be.
        wanted: &'static str,
        /// The flags that it has.
        flags: u64,
        /// The flags that it would have.
        expected: u64,
    },
    /// The session has it already, or waits for it, elsewhere in this program: one hold must not be taken for two.
    #[error("this session holds {key:?} already, or waits for it: give each holder a session of its own")]
    Claimed {
        /// The key.
        key: String,
    },
    /// Others count another number of permits.
    #[error(
        "semaphore {path:?} is for {ours} here, and for {theirs} in Consul: agree on one number, or change that one with \
         `lictor lock resize`"
    )]
    Limit {
        /// Its path.
        path: String,
        /// How many, here.
        ours: u32,
        /// How many, in Consul.
        theirs: u32,
    },
    /// The key has the flags of what it is to be, and not its content.
    #[error("key {key:?} is {what} by its flags, and cannot be read: {problem}")]
    Damaged {
        /// The key.
        key: String,
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody has this identifier already.
    #[error("{key:?} is taken: another session holds it, or the lock-delay of one that ended still runs")]
    Taken {
        /// The key that the identifier stands for.
        key: String,
    },
    /// Those who are to meet at a barrier do not agree on how many they are.
    #[error("barrier {path:?} is for {ours} here, and for {theirs} to {identifier:?}")]
    Count {
        /// Its path.
        path: String,
        /// How many, here.
        ours: usize,
        /// How many, there.
        theirs: usize,
        /// Who says so.
        identifier: String,
    },
    /// The token may not write the key.
    #[error("the token may not write key {key:?}: {what}")]
    Denied {
        /// The key.
        key: String,
        /// What Consul said.
        what: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Options(String),
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Self::Consul(error.into())
    }
}

impl Error {
    /// True where the cluster or the way to it failed: who waits goes on waiting.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Consul(error) if error.may_pass())
    }

    /// True where the token (or the lack of one) is the reason.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Consul(error) => error.is_denied(),
            Self::Denied { .. } => true,
            _ => false,
        }
    }
}
