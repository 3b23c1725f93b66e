//! A lock: one holder at a time, in HashiCorp's own layout, so that `consul lock` and Go programs exclude us, and we them.
//!
//! # Guarantees
//! - While [`LockGuard::lost`] says nothing, nobody else has the lock.
//! - The fencing token is the `ModifyIndex` of the write that acquired the key. Of two holders, the later one has the
//!   higher token, though the key was deleted between.
//! - A key that is something else, by its flags, is not touched.
//! - Waiting sends no more than one blocking query at a time, and another one only when that is answered. A key that is
//!   free but barred by a lock-delay, which no answer shows, is tried again by time, with jitter.
//! - Who waits outlasts failures of the cluster and of the way to it.
//!
//! # Caveats
//! - A lock is advisory: whoever does not ask for it is not kept out. A holder that was paused and resumed may go on for a
//!   moment before it learns that it holds nothing; only a fencing token that is checked where the write arrives, or a
//!   write in one transaction with the lock ([`LockGuard::guard`]), keeps that out.
//! - It is not fair: of those who wait, any may be next; unless all of them ask for it ([`Lock::fair`]).
//! - A restored snapshot of Consul moves indexes back, and with them tokens.
//!
//! # Errors
//! [`Error::Conflict`] where the key is something else, [`Error::SessionLost`] where the session ends while it waits,
//! [`Error::Claimed`] where the same session holds it, or waits for it, elsewhere in this program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::consul::{KvPair, Operation, TxnError, check_key, check_value};

use super::kind::{Kind, LOCK};
use super::lease::{Lost, Why};
use super::line::Turn;
use super::{Cancel, Error, Limits, Session, Waiter, wait};

/// The flags of HashiCorp's locks: what tells a lock's key from any other.
pub const LOCK_FLAGS: u64 = 0x2ddc_cbc0_58a5_0c18;

/// A lock on a key.
#[derive(Debug)]
pub struct Lock<'s> {
    session: &'s Session,
    kind: Kind,
    key: String,
    value: Vec<u8>,
    fair: bool,
    /// The index at which the key was last known to be a lock that nobody holds; 0 where it is not known.
    free_at: AtomicU64,
}

/// A lock, held. Dropping it gives it back, as far as that can be done then; [`release`](Self::release) says whether it
/// was.
#[derive(Debug)]
pub struct LockGuard<'l> {
    lock: &'l Lock<'l>,
    token: u64,
    lost: Lost,
    held: bool,
}

/// What came of one try.
pub(super) enum Try {
    /// It is ours, with this token.
    Held(u64),
    /// Somebody else holds it.
    Busy,
    /// The key has changed meanwhile.
    Moved,
    /// Nobody holds it, and Consul does not give it yet.
    Barred,
}

impl<'s> Lock<'s> {
    /// A lock on `key`, to be held by `session`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where Consul would take the key for another.
    pub fn new(session: &'s Session, key: &str) -> Result<Self, Error> {
        Self::of_kind(session, key, LOCK)
    }

    /// The same on another recipe's key.
    pub(super) fn of_kind(session: &'s Session, key: &str, kind: Kind) -> Result<Self, Error> {
        check_key(key)?;
        Ok(Self { session, kind, key: key.to_owned(), value: Vec::new(), fair: false, free_at: AtomicU64::new(0) })
    }

    /// What holds it.
    pub(super) fn session(&self) -> &'s Session {
        self.session
    }

    /// With a value for people to read while it is held.
    ///
    /// # Errors
    /// Where the value is longer than Consul takes.
    pub fn with_value(mut self, value: &[u8]) -> Result<Self, Error> {
        check_value(&self.key, value)?;
        self.value = value.to_vec();
        Ok(self)
    }

    /// Writes the time at which it is taken into the value, a JSON object.
    #[must_use]
    pub(crate) fn stamped(self) -> Self {
        Self { kind: Kind { stamp: super::stamped, ..self.kind }, ..self }
    }

    /// First come, first served, among those who ask for it: each of them has a key below `KEY.line/` while it waits. Of one
    /// that was killed or is stopped the place is kept until its session ends.
    #[must_use]
    pub fn fair(self) -> Self {
        Self { fair: true, ..self }
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Takes the lock if nobody has it; `None` where somebody has, or its lock-delay runs.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>, Error> {
        Ok(self.try_token()?.map(|token| self.guard(token)))
    }

    /// Takes the lock if nobody has it, and tells its token.
    pub(super) fn try_token(&self) -> Result<Option<u64>, Error> {
        self.claimed(|| self.try_now())
    }

    /// Does what may take the lock, as the only one of this session who does.
    fn claimed(&self, take: impl FnOnce() -> Result<Option<u64>, Error>) -> Result<Option<u64>, Error> {
        self.session.check()?;
        if self.kind.again {
            return take();
        }
        let claim = self.session.claim(&self.key)?;
        let token = take()?;
        if token.is_some() {
            claim.keep();
        }
        Ok(token)
    }

    fn try_now(&self) -> Result<Option<u64>, Error> {
        let turn = if self.fair { Some(Turn::join(self.session, &self.key)?) } else { None };
        if !turn.as_ref().map_or(Ok(true), Turn::is_first)? {
            return Ok(None);
        }
        if let Some(token) = self.try_free()? {
            return Ok(Some(token));
        }
        loop {
            let pair = self.session.client().kv().get(&self.key, &self.session.query().consistent())?;
            match self.try_with(pair.as_ref())? {
                Try::Held(token) => return Ok(Some(token)),
                Try::Busy | Try::Barred => return Ok(None),
                Try::Moved => {}
            }
        }
    }

    /// Waits for the lock, for ever.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire(&self) -> Result<LockGuard<'_>, Error> {
        loop {
            if let Some(guard) = self.acquire_or(None, None)? {
                return Ok(guard);
            }
        }
    }

    /// Waits for the lock, for `timeout` at most; `None` where it was not to be had.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire_within(&self, timeout: Duration) -> Result<Option<LockGuard<'_>>, Error> {
        self.acquire_or(Some(timeout), None)
    }

    /// Waits for the lock until `timeout` is over, or `cancel` says to stop; `None` then.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire_or(
        &self,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<LockGuard<'_>>, Error> {
        Ok(self.token_or(timeout, cancel)?.map(|token| self.guard(token)))
    }

    /// Waits for the lock, and tells its token.
    pub(super) fn token_or(&self, timeout: Option<Duration>, cancel: Option<&Cancel>) -> Result<Option<u64>, Error> {
        let limits = Limits::new(Some(self.session), timeout, cancel);
        self.claimed(|| self.wait(&limits))
    }

    fn wait(&self, limits: &Limits<'_>) -> Result<Option<u64>, Error> {
        let turn = if self.fair { Some(Turn::join(self.session, &self.key)?) } else { None };
        if !turn.as_ref().map_or(Ok(true), |turn| turn.wait(limits))? {
            return Ok(None);
        }
        match self.try_free() {
            Ok(None) => {}
            Ok(token) => return Ok(token),
            Err(error) => limits.outlast(error)?,
        }
        let waiter = Waiter::start(self.session.client().kv().watch(&self.key, self.session.query())?);
        while let Some(pairs) = limits.next(&waiter)? {
            loop {
                match self.try_with(pairs.first()) {
                    Ok(Try::Held(token)) => return Ok(Some(token)),
                    Ok(Try::Busy | Try::Moved) => break,
                    Ok(Try::Barred) if limits.rest(wait::PAUSE)? => {}
                    Ok(Try::Barred) => return Ok(None),
                    // Where it was done after all, the key has moved, which the next try finds.
                    Err(error) => limits.outlast(error)?,
                }
            }
        }
        Ok(None)
    }

    /// Takes the key if it is still as this lock left it: one request, where nobody else was there.
    fn try_free(&self) -> Result<Option<u64>, Error> {
        let index = self.free_at.swap(0, Ordering::Relaxed);
        if index == 0 {
            return Ok(None);
        }
        match self.take(Operation::check_index(&self.key, index))? {
            Try::Held(token) => Ok(Some(token)),
            _ => Ok(None),
        }
    }

    /// Takes the key as it was read, if it is free.
    pub(super) fn try_with(&self, pair: Option<&KvPair>) -> Result<Try, Error> {
        match pair {
            None => self.take(Operation::check_not_exists(&self.key)),
            Some(pair) if !self.kind.has(pair) => Err(self.kind.conflict(pair)),
            // The answer to an earlier try was lost.
            Some(pair) if pair.session.as_deref() == Some(self.session.id()) => Ok(Try::Held(pair.modify_index)),
            Some(pair) if pair.session.is_some() => Ok(Try::Busy),
            Some(pair) => self.take(Operation::check_index(&self.key, pair.modify_index)),
        }
    }

    /// Takes the key in one transaction with `unmoved`: what was read of it still holds. The answer tells the token.
    fn take(&self, unmoved: Operation) -> Result<Try, Error> {
        let value = (self.kind.stamp)(&self.value);
        let lock = Operation::lock(&self.key, &value, self.kind.flags, self.session.id());
        match self.session.client().txn().once(&[unmoved, lock], self.session.query()) {
            Ok(pairs) => match pairs.last() {
                Some(pair) => Ok(Try::Held(pair.modify_index)),
                None => Ok(Try::Moved),
            },
            Err(error) => failed(self.session, &self.key, error),
        }
    }

    fn guard(&self, token: u64) -> LockGuard<'_> {
        LockGuard { lock: self, token, lost: self.session.lost(), held: true }
    }

    /// From now on `lost` hears of it where the key is not the session's any more.
    pub(super) fn watch(&self, lost: &Lost) -> Result<(), Error> {
        let session = self.session;
        let watch = session.client().kv().watch(&self.key, session.query())?.wait(wait::WAIT);
        let (lost, id) = (lost.clone(), session.id().to_owned());
        std::thread::spawn(move || {
            for answer in watch {
                if lost.why().is_some() {
                    return;
                }
                // While the agent does not answer, the lease decides.
                let Ok((pairs, _)) = answer else { continue };
                if pairs.first().and_then(|pair| pair.session.as_deref()) != Some(id.as_str()) {
                    return lost.end(Why::KeyLost);
                }
            }
        });
        Ok(())
    }

    /// What makes a transaction fail once the key is not the session's any more.
    pub(super) fn mark(&self) -> Operation {
        Operation::check_session(&self.key, self.session.id())
    }

    /// Gives the key up; it stays, and its value.
    pub(super) fn release(&self, lost: &Lost) -> Result<(), Error> {
        let unlock = Operation::unlock(&self.key, &self.value, self.kind.flags, self.session.id());
        let index = self.give_up(lost, &[unlock])?;
        self.free_at.store(index, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the key up, and deletes it.
    pub(super) fn delete(&self, lost: &Lost) -> Result<(), Error> {
        self.give_up(lost, &[self.mark(), Operation::delete(&self.key)]).map(drop)
    }

    /// Does `operations`, which fail where the session does not hold the key, and gives the last index that they leave.
    fn give_up(&self, lost: &Lost, operations: &[Operation]) -> Result<u64, Error> {
        let before = lost.why();
        lost.end(Why::Released);
        self.session.unclaim(&self.key);
        match self.session.client().txn().once(operations, self.session.query()) {
            Ok(pairs) => Ok(pairs.last().map_or(0, |pair| pair.modify_index)),
            Err(TxnError::Failed { source, .. }) => Err(source.into()),
            Err(error) if error.is_denied() => Err(Error::Denied { key: self.key.clone(), what: error.reason() }),
            Err(TxnError::Refused { .. }) => {
                let why = before.unwrap_or(Why::KeyLost);
                Err(Error::SessionLost { session: self.session.id().to_owned(), why })
            }
        }
    }
}

/// What the failure of a transaction means whose first operation is a check of what was read of `key`.
pub(super) fn failed(session: &Session, key: &str, error: TxnError) -> Result<Try, Error> {
    let failed = match error {
        TxnError::Failed { source, .. } => return Err(source.into()),
        TxnError::Refused { failed, .. } => failed,
    };
    let what = failed.iter().map(|one| one.what.as_str()).collect::<Vec<_>>().join("; ");
    if what.contains("Permission denied") {
        return Err(Error::Denied { key: key.to_owned(), what });
    }
    if what.contains("invalid session") {
        session.end(Why::SessionEnded);
        session.check()?;
    }
    Ok(if failed.iter().any(|one| one.index == 0) { Try::Moved } else { Try::Barred })
}

impl LockGuard<'_> {
    /// The fencing token: of two holders of this lock, the later one has the higher one.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Until when the lock is certain. It moves with each renewal of the session.
    pub fn deadline(&self) -> Instant {
        self.lock.session.deadline()
    }

    /// Tells when the lock is lost with its session. [`watch`](Self::watch) makes it hear of a key that is taken away,
    /// too.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// From now on the key is watched, so that [`lost`](Self::lost) also tells when somebody deletes it, or releases it
    /// by force: one blocking query.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn watch(&self) -> Result<(), Error> {
        self.lock.watch(&self.lost)
    }

    /// What makes a transaction of yours fail once the lock is lost: put it first.
    ///
    /// ```no_run
    /// # use lictor::consul::Operation;
    /// # fn example(guard: &lictor::coordinate::LockGuard<'_>, client: &lictor::consul::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let write = Operation::set("service/web/config", b"on", 0);
    /// client.txn().once(&[guard.guard(), write], &Default::default())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn guard(&self) -> Operation {
        self.lock.mark()
    }

    /// Gives the lock back; the key stays, and its value.
    ///
    /// # Errors
    /// [`Error::SessionLost`] where it was not held any more; or what Consul answered.
    pub fn release(mut self) -> Result<(), Error> {
        self.give_back(false)
    }

    /// Gives the lock back and deletes its key, in one transaction: nobody can take it in between. So does `consul lock`
    /// when it ends, where nobody waits.
    ///
    /// # Errors
    /// As for [`release`](Self::release).
    pub fn release_and_delete(mut self) -> Result<(), Error> {
        self.give_back(true)
    }

    fn give_back(&mut self, delete: bool) -> Result<(), Error> {
        if !std::mem::replace(&mut self.held, false) {
            return Ok(());
        }
        if delete { self.lock.delete(&self.lost) } else { self.lock.release(&self.lost) }
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        let _ = self.give_back(false);
    }
}
