//! Membership: who is there. Each member is a key below the party's path, and goes with its session.
//!
//! # Guarantees
//! - A member that left, was killed or lost its session is not listed, whatever became of its key.
//! - An identifier stands for one member at a time: whoever comes second is told so ([`Error::Taken`]).
//! - [`Membership::wait_for`] answers with the very list that met the number, and sends one blocking query at a time.
//! - The keys of a [`DoubleBarrier`](super::DoubleBarrier) on the same path are no members.
//!
//! # Caveats
//! - A member that was killed is listed until its session ends: up to twice the ttl, and sooner with
//!   [`Profile::Liveness`](super::Profile::Liveness) where its node died with it.
//! - A list is what was, when it was read. To act only while you are a member yourself, look at [`Place::lost`].
//! - Consul leaves out of a list what the token may not read, and before 1.11 does not say so: see
//!   [`Membership::members_with_meta`].
//! - Give the session a lock-delay of 0, or a member that was lost cannot come back under its identifier before that is over;
//!   and `delete_keys`, or the keys of lost members stay behind, though nobody lists them. [`Membership::session`] does both.
//!
//! # Errors
//! [`Error::Taken`] where somebody has the identifier, [`Error::Conflict`] where its key is something else.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::consul::{Client, KvPair, Query, QueryMeta, check_key};

use super::held::{After, Held};
use super::kind::Kind;
use super::lock::Lock;
use super::{Cancel, Error, Limits, Lost, Session, SessionOptions, Waiter, stamped};

/// The flags of members' keys: what tells them from any other. The letters "lictor" and a number.
pub const MEMBER_FLAGS: u64 = 0x6c69_6374_6f72_0001;

const MEMBER: Kind =
    Kind { flags: MEMBER_FLAGS, what: "a member's place", or_plain: true, again: true, stamp: stamped };

/// A party: those who are there, below a path.
///
/// ```no_run
/// use std::time::Duration;
///
/// use lictor::consul::{Client, Config, Query};
/// use lictor::coordinate::{Membership, Session};
///
/// let (client, query) = (Client::new(Config::default())?, Query::default());
/// let workers = Membership::new(&client, &query, "service/web/workers")?;
/// let session = Session::start(&client, &query, &Membership::session())?;
/// let place = workers.join(&session, "worker-1")?;
/// if let Some(members) = workers.wait_for(3, Some(Duration::from_secs(60)), None)? {
///     println!("{} workers, the first of them {}", members.len(), members[0].identifier);
/// }
/// place.leave()?;
/// # Ok::<(), lictor::coordinate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Membership {
    client: Client,
    query: Query,
    path: String,
}

/// Somebody who is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Under which identifier.
    pub identifier: String,
    /// On which host, as it said; `None` where another program made the key.
    pub host: Option<String>,
    /// Since when, by its own clock, as RFC 3339 has it; `None` where another program made the key.
    pub since: Option<String>,
    /// The id of its session. Whoever knows it can acquire keys in its name.
    pub session: String,
}

/// A place in the party. Dropping it leaves, as far as that can be done then; [`leave`](Self::leave) says whether it was.
#[derive(Debug)]
pub struct Place<'s>(Held<'s>);

impl Membership {
    /// The party below `path`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where Consul would take the path for another.
    pub fn new(client: &Client, query: &Query, path: &str) -> Result<Self, Error> {
        Ok(Self { client: client.clone(), query: query.clone(), path: folder(path)? })
    }

    /// What a member's session is to be like: its keys go with it, without a lock-delay.
    pub fn session() -> SessionOptions {
        SessionOptions { delete_keys: true, lock_delay: Duration::ZERO, ..SessionOptions::default() }
    }

    /// Takes a place under `identifier`. With the same session it is the same place. Needs `key:write`.
    ///
    /// # Errors
    /// [`Error::Taken`] where somebody has it; or see [`Error`].
    pub fn join<'s>(&self, session: &'s Session, identifier: &str) -> Result<Place<'s>, Error> {
        let lock = self.lock(session, identifier)?;
        let key = lock.key().to_owned();
        Self::watched(Held::take(lock, After::Deleted)?)?.ok_or(Error::Taken { key })
    }

    /// Takes a place under `identifier` once that is free: where a member that was killed is to come back, its old session
    /// has to end first. `None` where `timeout` is over, or `cancel` says to stop.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn join_or<'s>(
        &self,
        session: &'s Session,
        identifier: &str,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Place<'s>>, Error> {
        let lock = self.lock(session, identifier)?;
        Self::watched(Held::wait(lock, After::Deleted, timeout, cancel)?)
    }

    fn lock<'s>(&self, session: &'s Session, identifier: &str) -> Result<Lock<'s>, Error> {
        let value = json!({"host": super::host_name()}).to_string();
        Lock::of_kind(session, &place(&self.path, identifier)?, MEMBER)?.with_value(value.as_bytes())
    }

    fn watched(held: Option<Held<'_>>) -> Result<Option<Place<'_>>, Error> {
        if let Some(held) = &held {
            held.watch()?;
        }
        Ok(held.map(Place))
    }

    /// Who is there, in the order of their identifiers. Needs `key_prefix:read`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn members(&self) -> Result<Vec<Member>, Error> {
        self.members_with_meta().map(|(members, _)| members)
    }

    /// [`members`](Self::members), and what the answer says of itself: see [`QueryMeta::filtered_by_acls`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn members_with_meta(&self) -> Result<(Vec<Member>, QueryMeta), Error> {
        let (pairs, meta) = self.client.kv().recurse(&self.path, &self.query)?;
        Ok((self.members_of(&pairs), meta))
    }

    /// Waits until `count` members are there at least, and gives them; `None` where `timeout` is over, or `cancel` says to
    /// stop. While the agent fails, it is asked again.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn wait_for(
        &self,
        count: usize,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<Option<Vec<Member>>, Error> {
        let limits = Limits::new(None, timeout, cancel);
        let waiter = Waiter::start(self.client.kv().watch_prefix(&self.path, &self.query)?);
        while let Some(pairs) = limits.next(&waiter)? {
            let members = self.members_of(&pairs);
            if members.len() >= count {
                return Ok(Some(members));
            }
        }
        Ok(None)
    }

    fn members_of(&self, pairs: &[KvPair]) -> Vec<Member> {
        pairs.iter().filter_map(|pair| member(&self.path, pair)).collect()
    }
}

impl Place<'_> {
    /// Until when the place is certain. It moves with each renewal of the session.
    pub fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    /// Tells when the place is lost: with the session, or because others took the key away.
    pub fn lost(&self) -> Lost {
        self.0.lost()
    }

    /// Leaves: the key is deleted.
    ///
    /// # Errors
    /// [`Error::SessionLost`] where the place was lost before; or what Consul answered.
    pub fn leave(mut self) -> Result<(), Error> {
        self.0.give_up()
    }
}

/// `path` as a folder: with one slash behind it.
pub(super) fn folder(path: &str) -> Result<String, Error> {
    let path = path.strip_suffix('/').unwrap_or(path);
    check_key(path)?;
    Ok(format!("{path}/"))
}

/// The key of `identifier` in `folder`. What begins with a dot is for the recipes' own keys.
pub(super) fn place(folder: &str, identifier: &str) -> Result<String, Error> {
    if identifier.is_empty() || identifier.starts_with('.') || identifier.contains('/') {
        let why = "it is one part of a key: not empty, without slashes, and without a dot at its beginning";
        return Err(Error::Options(format!("identifier {identifier:?}: {why}")));
    }
    let key = format!("{folder}{identifier}");
    check_key(&key)?;
    Ok(key)
}

/// The member that `pair` is, if it is one: a key directly below the folder that a session holds.
fn member(folder: &str, pair: &KvPair) -> Option<Member> {
    let identifier = pair.key.strip_prefix(folder).filter(|name| !name.starts_with('.') && !name.contains('/'))?;
    let session = pair.session.clone().filter(|_| MEMBER.has(pair))?;
    let said: Said = pair.json().unwrap_or_default();
    Some(Member { identifier: identifier.to_owned(), host: said.host, since: said.since, session })
}

/// What a member's value says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    host: Option<String>,
    since: Option<String>,
}
