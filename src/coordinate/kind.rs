//! Which keys are a recipe's own.

use crate::consul::KvPair;

use super::{BARRIER_FLAGS, Error, LINE_FLAGS, LOCK_FLAGS, MEMBER_FLAGS, SEMAPHORE_FLAGS};

/// What tells the keys of a recipe from any other, and how they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Their flags.
    pub flags: u64,
    /// What they are, for an error.
    pub what: &'static str,
    /// Whether a key without flags counts, if it is held or was: programs that know no flags lock keys so.
    pub or_plain: bool,
    /// Whether a session that has such a key may take it again, as the same hold. Else two threads could take one hold for two.
    pub again: bool,
    /// Makes the value that is written when the key is taken out of the one that was given.
    pub stamp: fn(&[u8]) -> Vec<u8>,
}

/// HashiCorp's locks.
pub(super) const LOCK: Kind =
    Kind { flags: LOCK_FLAGS, what: "a lock", or_plain: false, again: false, stamp: <[u8]>::to_vec };

impl Kind {
    /// Whether `pair` is such a key. A plain write sets `LockIndex` back to 0, so that data which was never locked, or was
    /// written since, is not taken for a lock without flags.
    pub fn has(&self, pair: &KvPair) -> bool {
        let plain = pair.flags == 0 && (pair.session.is_some() || pair.lock_index > 0);
        pair.flags == self.flags || (self.or_plain && plain)
    }

    /// The error where it is not.
    pub fn conflict(&self, pair: &KvPair) -> Error {
        Error::Conflict { key: pair.key.clone(), wanted: self.what, flags: pair.flags, expected: self.flags }
    }
}

/// What a key with these flags is, as far as that is known.
pub(super) fn named(flags: u64) -> &'static str {
    match flags {
        LOCK_FLAGS => "a lock",
        SEMAPHORE_FLAGS => "a semaphore",
        MEMBER_FLAGS => "a member's place",
        BARRIER_FLAGS => "a place at a barrier",
        LINE_FLAGS => "a place in line",
        _ => "somebody's data",
    }
}
