//! A double barrier: work begins when all are there, and nobody goes on before all are done.
//!
//! # Guarantees
//! - [`DoubleBarrier::enter`] returns when as many as agreed were there at once, with live sessions; then all of those
//!   enter, also one that hears of it late.
//! - [`Entered::leave`] returns when everybody of this round has left, or lost its session.
//! - Rounds do not mix: whoever comes while a round is under way waits for the next one.
//! - A round whose members were all killed is cleared away by whoever comes next.
//!
//! # Caveats
//! - One that is killed, or gives up waiting, at the very moment in which the barrier opens may have been counted. The others
//!   learn of it no sooner than that its session ends.
//! - A member that was killed in a round holds up the others' leaving until its session ends.
//!
//! # Errors
//! [`Error::Taken`] where somebody has the identifier, [`Error::Count`] where somebody who came first expects another number,
//! [`Error::SessionLost`] where the session ends, or the key is taken away, in the meantime.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::consul::{Client, Condition, KvPair, PutOptions, Query};

use super::held::{After, Held};
use super::kind::Kind;
use super::lock::Lock;
use super::membership::{folder, place};
use super::{Cancel, Error, Limits, Lost, Session, Waiter, Why};

/// The flags of barriers' keys: what tells them from any other. The letters "lictor" and a number.
pub const BARRIER_FLAGS: u64 = 0x6c69_6374_6f72_0002;

const BARRIER: Kind =
    Kind { flags: BARRIER_FLAGS, what: "a place at a barrier", or_plain: false, again: true, stamp: super::stamped };

/// The key that says that the barrier is open. It bears the round: those who came before it was made.
const READY: &str = ".ready";

/// A double barrier below a path, for so many.
///
/// ```no_run
/// use lictor::consul::{Client, Config, Query};
/// use lictor::coordinate::{DoubleBarrier, Membership, Session};
///
/// let (client, query) = (Client::new(Config::default())?, Query::default());
/// let barrier = DoubleBarrier::new(&client, &query, "service/web/migration", 3)?;
/// let session = Session::start(&client, &query, &Membership::session())?;
/// if let Some(entered) = barrier.enter(&session, "host-1", None, None)? {
///     // All three are here.
///     entered.leave(None, None)?; // All three are done.
/// }
/// # Ok::<(), lictor::coordinate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DoubleBarrier {
    client: Client,
    query: Query,
    path: String,
    count: usize,
}

/// A place inside the barrier. Dropping it leaves without waiting for the others.
#[derive(Debug)]
pub struct Entered<'s> {
    barrier: DoubleBarrier,
    held: Held<'s>,
    round: u64,
}

impl DoubleBarrier {
    /// The barrier below `path`, for `count`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where Consul would take the path for another, or the count is 0.
    pub fn new(client: &Client, query: &Query, path: &str, count: usize) -> Result<Self, Error> {
        if count == 0 {
            return Err(Error::Options("a barrier for nobody: the count is 1 at least".to_owned()));
        }
        Ok(Self { client: client.clone(), query: query.clone(), path: folder(path)?, count })
    }

    /// Waits until all are there; `None` where `timeout` is over, or `cancel` says to stop: the place is given up then. The
    /// session is to be like [`Membership::session`](super::Membership::session).
    ///
    /// # Errors
    /// See [`Error`].
    pub fn enter<'s>(
        &self,
        session: &'s Session,
        identifier: &str,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Entered<'s>>, Error> {
        let limits = Limits::new(Some(session), timeout, cancel);
        let value = json!({"count": self.count, "host": super::host_name()}).to_string();
        let lock = Lock::of_kind(session, &place(&self.path, identifier)?, BARRIER)?.with_value(value.as_bytes())?;
        let key = lock.key().to_owned();
        let mut held = Held::take(lock, After::Deleted)?.ok_or(Error::Taken { key })?;
        // With full consistency: what is missing here decides.
        let waiter = Waiter::start(self.client.kv().watch_prefix(&self.path, &self.query.consistent())?);
        while let Some(pairs) = limits.next(&waiter)? {
            let view = View::of(&self.path, &pairs)?;
            self.agree(&view, held.token())?;
            match view.step(held.token(), self.count) {
                Step::Enter(round) => return Ok(Some(self.entered(held, round)?)),
                Step::Open => self.open()?,
                Step::Clear(index) => self.clear(index)?,
                Step::Wait => {}
                Step::Lost => {
                    return Err(Error::SessionLost { session: session.id().to_owned(), why: Why::KeyLost });
                }
            }
        }
        // It may have opened just now: then nobody is to be left alone inside.
        let (pairs, _) = self.client.kv().recurse(&self.path, &self.query.consistent())?;
        if let Step::Enter(round) = View::of(&self.path, &pairs)?.step(held.token(), self.count) {
            return Ok(Some(self.entered(held, round)?));
        }
        held.give_up()?;
        Ok(None)
    }

    fn entered<'s>(&self, held: Held<'s>, round: u64) -> Result<Entered<'s>, Error> {
        held.watch()?;
        Ok(Entered { barrier: self.clone(), held, round })
    }

    /// Whoever came first is right about how many there are to be.
    fn agree(&self, view: &View, own: u64) -> Result<(), Error> {
        let other = |place: &&Seen| place.token < own && place.count.is_some_and(|count| count != self.count);
        let (theirs, identifier) = match (view.places.iter().find(other), view.opened_for) {
            (Some(place), _) => (place.count.unwrap_or_default(), place.identifier.clone()),
            (None, Some(count)) if count != self.count => (count, READY.to_owned()),
            _ => return Ok(()),
        };
        Err(Error::Count { path: self.path.clone(), ours: self.count, theirs, identifier })
    }

    /// Says that all are there. Of several who see it, one does.
    fn open(&self) -> Result<(), Error> {
        let value = super::stamped(json!({"count": self.count}).to_string().as_bytes());
        let options = PutOptions { flags: BARRIER_FLAGS, condition: Condition::Cas(0) };
        self.client.kv().put(&format!("{}{READY}", self.path), &value, &options, &self.query)?;
        Ok(())
    }

    /// Ends the round that was opened at this index, and no other.
    fn clear(&self, index: u64) -> Result<(), Error> {
        self.client.kv().delete(&format!("{}{READY}", self.path), Some(index), &self.query)?;
        Ok(())
    }
}

impl Entered<'_> {
    /// Tells when the place is lost: then the others take us for done.
    pub fn lost(&self) -> Lost {
        self.held.lost()
    }

    /// Says that we are done, and waits until all are. False where `timeout` was over before, or `cancel` said to stop: we
    /// have left all the same.
    ///
    /// # Errors
    /// [`Error::SessionLost`] where the place was lost before; or see [`Error`].
    pub fn leave(mut self, timeout: Option<Duration>, cancel: Option<&Cancel>) -> Result<bool, Error> {
        self.held.give_up()?;
        let DoubleBarrier { client, query, path, .. } = &self.barrier;
        let limits = Limits::new(None, timeout, cancel);
        let waiter = Waiter::start(client.kv().watch_prefix(path, &query.consistent())?);
        while let Some(pairs) = limits.next(&waiter)? {
            let view = View::of(path, &pairs)?;
            if view.is_over(self.round) {
                if view.round == Some(self.round) {
                    self.barrier.clear(self.round)?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What stands at a barrier.
#[derive(Debug, Default)]
struct View {
    /// The index at which it was opened, if it is open.
    round: Option<u64>,
    /// For how many.
    opened_for: Option<usize>,
    /// Those with live sessions.
    places: Vec<Seen>,
}

/// A place, as others see it.
#[derive(Debug)]
struct Seen {
    identifier: String,
    token: u64,
    count: Option<usize>,
}

/// What somebody who wants to enter does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Our round, which was opened at this index, has begun.
    Enter(u64),
    /// All are there: say so.
    Open,
    /// A former round, which was opened at this index, is over: say so.
    Clear(u64),
    /// Others are missing, or a former round is under way.
    Wait,
    /// Our place is gone.
    Lost,
}

impl View {
    fn of(folder: &str, pairs: &[KvPair]) -> Result<Self, Error> {
        let mut view = Self::default();
        for pair in pairs {
            let Some(name) = pair.key.strip_prefix(folder) else { continue };
            let count = pair.json::<Said>().ok().map(|said| said.count);
            if name == READY {
                if pair.flags != BARRIER_FLAGS {
                    return Err(BARRIER.conflict(pair));
                }
                (view.round, view.opened_for) = (Some(pair.modify_index), count);
            } else if pair.flags == BARRIER_FLAGS && pair.session.is_some() {
                view.places.push(Seen { identifier: name.to_owned(), token: pair.modify_index, count });
            }
        }
        Ok(view)
    }

    /// A round is over when nobody is left of those who came before it was opened.
    fn is_over(&self, round: u64) -> bool {
        self.places.iter().all(|place| place.token > round)
    }

    /// | open | we came | those of that round | those there | step |
    /// |---|---|---|---|---|
    /// | yes | before it opened | any | any | enter |
    /// | yes | after | some are left | any | wait |
    /// | yes | after | all have left | any | clear |
    /// | no | - | - | as many as agreed, or more | open |
    /// | no | - | - | fewer | wait |
    fn step(&self, own: u64, count: usize) -> Step {
        match self.round {
            _ if !self.places.iter().any(|place| place.token == own) => Step::Lost,
            Some(round) if own < round => Step::Enter(round),
            Some(round) if self.is_over(round) => Step::Clear(round),
            // Those who expect another number are about to leave.
            None if self.places.iter().filter(|place| place.count == Some(count)).count() >= count => Step::Open,
            _ => Step::Wait,
        }
    }
}

/// What a value says.
#[derive(Deserialize)]
struct Said {
    count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_table() {
        let view = |round, tokens: &[u64]| View {
            round,
            opened_for: None,
            places: tokens.iter().map(|&token| Seen { identifier: String::new(), token, count: Some(2) }).collect(),
        };
        assert_eq!(view(Some(5), &[3, 4]).step(3, 2), Step::Enter(5));
        assert_eq!(view(Some(5), &[3, 7]).step(7, 2), Step::Wait);
        assert_eq!(view(Some(5), &[6, 7]).step(7, 2), Step::Clear(5));
        assert_eq!(view(None, &[6, 7]).step(7, 2), Step::Open);
        assert_eq!(view(None, &[7]).step(7, 2), Step::Wait);
        assert_eq!(view(None, &[6, 7]).step(7, 1), Step::Wait, "they are here for something else");
        assert_eq!(view(None, &[6]).step(7, 1), Step::Lost);
    }
}
