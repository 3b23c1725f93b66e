//! Is a fencing token still that of the holder?
//!
//! # Guarantees
//! - The answer was true at a moment between the question and the answer: the key is read with full consistency.
//!
//! # Caveats
//! - It may be out of date when it arrives. A write in one transaction with the lock
//!   ([`LockGuard::guard`](super::LockGuard::guard)) leaves no such gap; so does a store that remembers the highest token
//!   that it has seen, and refuses lower ones.
//! - Whoever writes the key while it is held, other than through the lock, changes its index: then no token is the
//!   holder's.
//!
//! # Errors
//! What Consul answered.

use std::fmt;

use crate::consul::{Client, Query};

use super::Error;

/// What a fencing token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It is the holder's.
    Current,
    /// There is no such key.
    Gone,
    /// Nobody holds the key.
    Free,
    /// Somebody holds the key, with this token.
    Other(u64),
}

impl Fence {
    /// Looks whether `token` is that of the holder of `key`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(client: &Client, query: &Query, key: &str, token: u64) -> Result<Self, Error> {
        let pair = client.kv().get(key, &query.clone().consistent())?;
        Ok(match pair {
            None => Self::Gone,
            Some(pair) if pair.session.is_none() => Self::Free,
            Some(pair) if pair.modify_index == token => Self::Current,
            Some(pair) => Self::Other(pair.modify_index),
        })
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("it is the holder's"),
            Self::Gone => f.write_str("there is no such key"),
            Self::Free => f.write_str("nobody holds the key"),
            Self::Other(token) => write!(f, "the holder's is {token}"),
        }
    }
}
