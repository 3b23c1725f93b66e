//! The end of a hold that outlasts its process.

use crate::consul::{KvPair, Operation, TxnError};

use super::Error;
use super::hold::Holds;
use super::holder::{Holder, Holders, Layout, holder};
use super::semaphore::{self, SEMAPHORE};

/// What came of releasing a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// It is free now.
    Done(Holder),
    /// The identifier did not hold it.
    NotHeld,
    /// Somebody else holds it, or a living process, and was left alone.
    Other(Holder),
}

impl Holds {
    /// Releases the persistent hold of `identifier`, whichever process took it. Needs `key_prefix:write` and `session:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn release(&self, identifier: &str) -> Result<Released, Error> {
        loop {
            let (released, stray) = self.find(&self.read()?, identifier)?;
            match &released {
                Released::Done(holder) if !self.give_up(holder)? && !stray => {} // it has changed meanwhile
                _ => return Ok(released),
            }
        }
    }

    /// What [`release`](Self::release) would come to now. Nothing is written.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn foresee_release(&self, identifier: &str) -> Result<Released, Error> {
        self.find(&self.read()?, identifier).map(|(released, _)| released)
    }

    /// What there is to be released, and whether that is a stray: a permit's key that lives on, though somebody took it out of the
    /// table.
    fn find(&self, pairs: &[KvPair], identifier: &str) -> Result<(Released, bool), Error> {
        let Holders { layout, mut holders, .. } = self.holders_of(pairs)?;
        let own = |holder: &Holder| holder.persistent && holder.is(identifier);
        if let Some(place) = holders.iter().position(own) {
            return Ok((Released::Done(holders.swap_remove(place)), false));
        }
        let permits = pairs.iter().filter(|pair| pair.key.strip_prefix(&self.folder) == pair.session.as_deref());
        if let Some(stray) = permits.filter(|pair| SEMAPHORE.has(pair)).filter_map(holder).find(own) {
            return Ok((Released::Done(stray), true));
        }
        // A permit of others is none of ours; the one holder of a lock is in the way.
        let other = holders.into_iter().find(|holder| layout == Layout::Lock || holder.is(identifier));
        let Some(mut other) = other else { return Ok((Released::NotHeld, false)) };
        let _ = self.look_at_session(&mut other); // for people: without it there is less to tell
        Ok((Released::Other(other), false))
    }

    /// Gives up what `holder` holds, then ends its session: in this order there is no lock-delay. False where it does not hold
    /// it any more.
    fn give_up(&self, holder: &Holder) -> Result<bool, Error> {
        let done = match self.give_up_key(&holder.session) {
            Err(error) if error.is_denied() || self.has(&holder.session)? => return Err(error),
            Err(_) => true, // only the answer was lost
            Ok(done) => done,
        };
        // Also where the key was taken away: nobody else would end such a session.
        self.client.session().destroy(&holder.session, &self.query)?;
        Ok(done)
    }

    fn has(&self, session: &str) -> Result<bool, Error> {
        Ok(self.holders_of(&self.read()?)?.holders.iter().any(|holder| holder.session == session))
    }

    fn give_up_key(&self, session: &str) -> Result<bool, Error> {
        let key = self.key();
        let pair = self.client.kv().get(&key, &self.query.consistent())?;
        if pair.is_some_and(|pair| SEMAPHORE.has(&pair)) {
            return semaphore::give_up(&self.client, &self.query, &self.folder, session, true);
        }
        let mark = Operation::check_session(&key, session);
        match self.client.txn().once(&[mark, Operation::delete(&key)], &self.query) {
            Ok(_) => Ok(true),
            Err(error) if error.is_denied() => Err(Error::Denied { key, what: error.reason() }),
            Err(TxnError::Failed { source, .. }) => Err(source.into()),
            Err(TxnError::Refused { .. }) => Ok(false),
        }
    }

    /// Ends the hold of `holder`, whoever it is. A persistent one is released; of a living process the session is destroyed, so
    /// that the lock-delay keeps the next one out while that process learns of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn force_unlock(&self, holder: &Holder) -> Result<(), Error> {
        if !holder.persistent || !self.give_up(holder)? {
            self.client.session().destroy(&holder.session, &self.query)?;
        }
        Ok(())
    }
}
