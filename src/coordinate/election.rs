//! Elections: of all who stand, one leads at a time, and everybody can see who and how to reach it.
//!
//! # Guarantees
//! - While [`Leadership::lost`] says nothing, nobody else leads: it is a [`Lock`](super::Lock), in HashiCorp's layout.
//! - Of two leaders, the later one has the higher [`token`](Leadership::token).
//! - The leader's contact information is written in the same transaction that makes it the leader, so that nobody ever reads
//!   one leader's hold with another one's address.
//! - A leader hears of it at once when its key is deleted, or released by others: it watches the key, with one blocking
//!   query.
//! - A Go program's `consulapi` `Candidate` on the same key keeps us out, and we it, although it writes no flags.
//!
//! # Caveats
//! - Whoever was paused may act as a leader for a moment after it ceased to be one. Have whatever it writes to compare
//!   tokens, or write in one transaction with [`Leadership::guard`].
//! - The function that [`Election::lead`] runs is not stopped by force: it has to look at [`Leadership::lost`]. To stop what
//!   cannot look, run it as a process: `lictor elect run`.
//! - [`Election::observe`] tells what is, not all that was: of several changes in one moment it shows the last.
//! - `since` is what the leader's own clock said. Nothing is decided by it.
//!
//! # Errors
//! [`Error::Conflict`] where the key is something else, [`Error::SessionLost`] where the session ends during the campaign.

use std::time::{Duration, Instant};

use crate::consul::{Client, KvPair, Operation, Query, TxnError, check_key};

use super::held::{After, Held};
use super::hold::{LOCK_DELAY, check_ttl, renewed, session};
use super::leader::{ELECTION, Persistent, leader_of};
use super::lock::{Lock, Try};
use super::{Cancel, Candidate, Changes, Error, Leader, Limits, Lost, Session, Waiter, wait};

/// An election: a key, and where it is.
///
/// ```no_run
/// use lictor::consul::{Client, Config, Query};
/// use lictor::coordinate::{Candidate, Election, Session, SessionOptions};
///
/// let (client, query) = (Client::new(Config::default())?, Query::default());
/// let election = Election::new(&client, &query, "service/web/leader")?;
/// let session = Session::start(&client, &query, &SessionOptions::default())?;
/// let term = election.lead(&session, &Candidate::new("http://10.0.0.1:8080"), None, |leadership| {
///     while leadership.lost().why().is_none() {
///         // One step of the work, shorter than the time left until leadership.deadline().
///         # break;
///     }
/// })?;
/// # Ok::<(), lictor::coordinate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    client: Client,
    query: Query,
    key: String,
}

/// Leadership, held. Dropping it resigns, as far as that can be done then; [`resign`](Self::resign) says whether it was.
#[derive(Debug)]
pub struct Leadership<'s>(Held<'s>);

/// What came of leading.
#[derive(Debug)]
pub struct Term<T> {
    /// What the function gave.
    pub value: T,
    /// Whether it led to the end and resigned. [`Error::SessionLost`] where leadership was lost before the function
    /// returned; another error where resigning failed: then leadership ends with the session.
    pub end: Result<(), Error>,
}

/// What came of standing for a leadership that outlasts the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stood {
    /// It leads now, with this fencing token.
    New(u64),
    /// It led before.
    Already(Leader),
}

/// What came of making a leader resign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resigned {
    /// This one led, and does not any more.
    Done(Leader),
    /// Nobody led.
    Nobody,
    /// Somebody else leads, and was left alone.
    Other(Leader),
}

impl Election {
    /// The election on `key`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where Consul would take the key for another.
    pub fn new(client: &Client, query: &Query, key: &str) -> Result<Self, Error> {
        check_key(key)?;
        Ok(Self { client: client.clone(), query: query.clone(), key: key.to_owned() })
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who leads; `None` where nobody does. Needs `key:read`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn leader(&self) -> Result<Option<Leader>, Error> {
        leader_of(self.client.kv().get(&self.key, &self.query)?.as_ref())
    }

    /// Follows who leads: the leader, or that there is none, at once, and then whenever that changes. Blocking queries, no
    /// polling.
    ///
    /// An error is an item like any other: the next call of `next` tries again, after a pause.
    ///
    /// # Errors
    /// Where Consul would take the key for another.
    pub fn observe(&self) -> Result<Changes, Error> {
        Ok(Changes { watch: self.client.kv().watch(&self.key, &self.query)?, last: None })
    }

    /// What [`resign`](Self::resign) would come to now. Nothing is written.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn foresee_resign(&self, identifier: &str) -> Result<Resigned, Error> {
        Ok(match self.leader()? {
            None => Resigned::Nobody,
            Some(leader) if leader.identifier.as_deref() == Some(identifier) => Resigned::Done(leader),
            Some(leader) => Resigned::Other(leader),
        })
    }

    /// Makes the leader with this identifier resign, from whatever process; its own learns of it at once. Nobody else is
    /// touched. Needs `key:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn resign(&self, identifier: &str) -> Result<Resigned, Error> {
        loop {
            let pair = self.client.kv().get(&self.key, &self.query.consistent())?;
            let (Some(pair), Some(leader)) = (&pair, leader_of(pair.as_ref())?) else { return Ok(Resigned::Nobody) };
            if leader.identifier.as_deref() != Some(identifier) {
                return Ok(Resigned::Other(leader));
            }
            let unmoved = Operation::check_index(&self.key, pair.modify_index);
            let unlock = Operation::unlock(&self.key, &pair.value, pair.flags, &leader.session);
            match self.client.txn().once(&[unmoved, unlock], &self.query) {
                Ok(_) => {}
                Err(TxnError::Failed { source, .. }) => {
                    if source.is_denied() || self.leads(&leader.session)? {
                        return Err(source.into());
                    } // else only the answer was lost
                }
                Err(error) if error.is_denied() => {
                    return Err(Error::Denied { key: self.key.clone(), what: error.reason() });
                }
                Err(_) => continue, // it has changed meanwhile
            }
            if leader.persistent {
                // After the key: so there is no lock-delay.
                self.client.session().destroy(&leader.session, &self.query)?;
            }
            return Ok(Resigned::Done(leader));
        }
    }

    fn leads(&self, session: &str) -> Result<bool, Error> {
        let pair = self.client.kv().get(&self.key, &self.query.consistent())?;
        Ok(pair.is_some_and(|pair| pair.session.as_deref() == Some(session)))
    }

    /// Stands for election until it leads. The session has to be where the election is. Needs `key:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn campaign<'s>(&self, session: &'s Session, candidate: &Candidate) -> Result<Leadership<'s>, Error> {
        loop {
            if let Some(leadership) = self.campaign_or(session, candidate, None, None)? {
                return Ok(leadership);
            }
        }
    }

    /// Stands for election until it leads, or `timeout` is over, or `cancel` says to stop; `None` then.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn campaign_or<'s>(
        &self,
        session: &'s Session,
        candidate: &Candidate,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Leadership<'s>>, Error> {
        let value = serde_json::to_vec(candidate).unwrap_or_default();
        let lock = Lock::of_kind(session, &self.key, ELECTION)?.with_value(&value)?;
        let Some(held) = Held::wait(lock, After::Stays, timeout, cancel)? else { return Ok(None) };
        held.watch()?;
        Ok(Some(Leadership(held)))
    }

    /// Stands for a leadership that outlasts this process, until it leads; for `timeout`, where that is `None` for ever, and not
    /// at all where it is zero. `None` where it was not to be had. [`resign`](Self::resign) ends it, from any process; so does
    /// the health of the agent's node, where it is `ephemeral`, and the `ttl`, of 10 s to a day, where it has one. Where the
    /// candidate's identifier leads so already, nothing is done but a renewal. Nobody is told when it ends.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn hold(
        &self,
        candidate: &Candidate,
        ephemeral: bool,
        ttl: Option<Duration>,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Stood>, Error> {
        check_ttl(ttl)?;
        let limits = Limits::new(None, timeout, cancel);
        let kv = self.client.kv();
        let read = || limits.outlasting(|| Ok(kv.get(&self.key, &self.query.consistent())?));
        let (mut pair, mut waiter) = (read()?, None);
        loop {
            let leader = leader_of(pair.as_ref())?;
            if let Some(leader) = leader.clone().filter(|leader| leader.is(candidate)) {
                if renewed(&self.client, &self.query, &leader.session, ttl.is_some())? {
                    return Ok(Some(Stood::Already(leader)));
                }
                pair = read()?;
                continue;
            }
            // Such a session may never end: it is made when there is something to be had.
            let tried =
                if leader.is_some() { Ok(Try::Busy) } else { self.try_as(candidate, ephemeral, ttl, pair.as_ref()) };
            let tried = match tried {
                Ok(tried) => tried,
                // Where it was done after all, the next look finds that.
                Err(error) => {
                    limits.outlast(error)?;
                    pair = read()?;
                    continue;
                }
            };
            match tried {
                Try::Held(token) => return Ok(Some(Stood::New(token))),
                Try::Barred if limits.rest(wait::PAUSE)? => continue,
                Try::Barred => return Ok(None),
                Try::Moved if waiter.is_none() => {
                    pair = read()?;
                    continue;
                }
                Try::Busy | Try::Moved => {}
            }
            if waiter.is_none() {
                waiter = Some(Waiter::start(kv.watch(&self.key, &self.query)?));
            }
            let next = waiter.as_ref().map(|waiter| limits.next(waiter)).transpose()?.flatten();
            let Some(next) = next else { return Ok(None) };
            pair = next.into_iter().next();
        }
    }

    /// One try to lead beyond this process.
    fn try_as(
        &self,
        candidate: &Candidate,
        ephemeral: bool,
        ttl: Option<Duration>,
        pair: Option<&KvPair>,
    ) -> Result<Try, Error> {
        let name = format!("lictor hold {} {}", self.key, candidate.identifier);
        let session = Session::create(&self.client, &self.query, &session(name, ephemeral, ttl, LOCK_DELAY), ttl)?;
        let value = serde_json::to_vec(&Persistent { candidate, persistent: true }).unwrap_or_default();
        let tried = Lock::of_kind(&session, &self.key, ELECTION)?.with_value(&value)?.try_with(pair)?;
        if matches!(tried, Try::Held(_)) {
            session.leave();
        }
        Ok(tried)
    }

    /// The persistent leadership that this candidate has.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn held_by(&self, candidate: &Candidate) -> Result<Option<Leader>, Error> {
        let pair = self.client.kv().get(&self.key, &self.query.consistent())?;
        Ok(leader_of(pair.as_ref())?.filter(|leader| leader.is(candidate)))
    }

    /// Stands for election, runs `work` as the leader, and resigns; `None` where `cancel` ended the campaign. The work has
    /// to return soon once [`Leadership::lost`] says so: [`Term::end`] tells whether it led to the end.
    ///
    /// To lead again, call it again, with a new session where the old one was lost.
    ///
    /// # Errors
    /// See [`Error`], where it never led.
    pub fn lead<T>(
        &self,
        session: &Session,
        candidate: &Candidate,
        cancel: Option<&Cancel>,
        work: impl FnOnce(&Leadership<'_>) -> T,
    ) -> Result<Option<Term<T>>, Error> {
        let Some(leadership) = self.campaign_or(session, candidate, None, cancel)? else { return Ok(None) };
        let value = work(&leadership);
        Ok(Some(Term { value, end: leadership.resign() }))
    }
}

impl Leadership<'_> {
    /// The fencing token: of two leaders, the later one has the higher one.
    pub fn token(&self) -> u64 {
        self.0.token()
    }

    /// Until when leadership is certain. It moves with each renewal of the session.
    pub fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    /// Tells when leadership is lost: with the session, or because others took the key away.
    pub fn lost(&self) -> Lost {
        self.0.lost()
    }

    /// What makes a transaction of yours fail once leadership is lost: put it first.
    pub fn guard(&self) -> Operation {
        self.0.mark()
    }

    /// Lets another lead, at once: there is no lock-delay. The key stays.
    ///
    /// # Errors
    /// [`Error::SessionLost`] where it did not lead any more; or what Consul answered.
    pub fn resign(mut self) -> Result<(), Error> {
        self.0.give_up()
    }
}
