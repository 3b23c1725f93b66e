//! A key that a session holds, and that goes with whatever has this: what leadership and membership are made of.

use std::time::{Duration, Instant};

use crate::consul::Operation;

use super::lease::Lost;
use super::lock::Lock;
use super::{Cancel, Error};

/// A key, held. Dropping it gives it up, as far as that can be done then.
#[derive(Debug)]
pub(super) struct Held<'s> {
    lock: Lock<'s>,
    token: u64,
    lost: Lost,
    after: After,
    held: bool,
}

/// What becomes of the key when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It stays, with its value, as HashiCorp's locks do.
    Stays,
    /// It goes too.
    Deleted,
}

impl<'s> Held<'s> {
    /// Takes the key if nobody has it.
    pub fn take(lock: Lock<'s>, after: After) -> Result<Option<Self>, Error> {
        let token = lock.try_token()?;
        Ok(token.map(|token| Self::new(lock, token, after)))
    }

    /// Waits for the key.
    pub fn wait(
        lock: Lock<'s>,
        after: After,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Self>, Error> {
        let token = lock.token_or(timeout, cancel)?;
        Ok(token.map(|token| Self::new(lock, token, after)))
    }

    fn new(lock: Lock<'s>, token: u64, after: After) -> Self {
        let lost = lock.session().lost();
        Self { lock, token, lost, after, held: true }
    }

    pub fn token(&self) -> u64 {
        self.token
    }

    pub fn deadline(&self) -> Instant {
        self.lock.session().deadline()
    }

    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// From now on [`lost`](Self::lost) hears of a key that is taken away, too.
    pub fn watch(&self) -> Result<(), Error> {
        self.lock.watch(&self.lost)
    }

    pub fn mark(&self) -> Operation {
        self.lock.mark()
    }

    /// Gives the key up; an error where it was not held any more.
    pub fn give_up(&mut self) -> Result<(), Error> {
        if !std::mem::replace(&mut self.held, false) {
            return Ok(());
        }
        match self.after {
            After::Stays => self.lock.release(&self.lost),
            After::Deleted => self.lock.delete(&self.lost),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.give_up();
    }
}
