//! Waiting in line: first come, first served.
//!
//! Whoever waits for a lock or a permit fairly has a key of its own, held by its session, in a folder beside the lock's key:
//! `KEY.line/SESSION`. Their order is that of the keys' `CreateIndex`, which Consul gives. Only the first in line tries to
//! take the lock; each of the others waits for the one before it, with one blocking query, so that a handover wakes nobody
//! but the next one.

use serde_json::json;

use crate::consul::KvPair;

use super::kind::Kind;
use super::lock::Lock;
use super::{Error, Limits, Session, Waiter};

/// The flags of the keys of those who wait in line: what tells them from any other. The letters "lictor" and a number.
pub const LINE_FLAGS: u64 = 0x6c69_6374_6f72_0003;

pub(super) const LINE: Kind =
    Kind { flags: LINE_FLAGS, what: "a place in line", or_plain: false, again: true, stamp: super::stamped };

/// A place in line. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Turn<'s> {
    session: &'s Session,
    folder: String,
    key: String,
}

impl<'s> Turn<'s> {
    /// Joins the line for `key`.
    pub fn join(session: &'s Session, key: &str) -> Result<Self, Error> {
        let folder = format!("{key}.line/");
        let turn = Self { session, key: format!("{folder}{}", session.id()), folder };
        turn.enter()?; // where the answer is lost, dropping it leaves
        Ok(turn)
    }

    fn enter(&self) -> Result<(), Error> {
        let value = json!({"host": super::host_name()}).to_string();
        let place = Lock::of_kind(self.session, &self.key, LINE)?.with_value(value.as_bytes())?;
        match place.try_token()? {
            Some(_) => Ok(()),
            None => Err(Error::Taken { key: self.key.clone() }), // a key of our session's id: it never is
        }
    }

    /// Whether it is our turn. It waits for nobody.
    pub fn is_first(&self) -> Result<bool, Error> {
        Ok(self.before()?.is_none())
    }

    /// Waits until it is our turn; false where the wait is over before.
    pub fn wait(&self, limits: &Limits<'_>) -> Result<bool, Error> {
        loop {
            let before = match self.before() {
                Ok(Some(before)) => before,
                Ok(None) => return limits.go_on(),
                Err(error) => {
                    limits.outlast(error)?;
                    continue;
                }
            };
            let watch = self.session.client().kv().watch(&before.key, self.session.query())?;
            let waiter = Waiter::start(watch);
            loop {
                match limits.next(&waiter)? {
                    None => return Ok(false),
                    Some(pairs) if pairs.first().is_some_and(|pair| is_same(pair, &before)) => {}
                    Some(_) => break,
                }
            }
        }
    }

    /// The one who is next before us; `None` where we are the first.
    fn before(&self) -> Result<Option<KvPair>, Error> {
        loop {
            let kv = self.session.client().kv();
            let (pairs, _) = kv.recurse(&self.folder, &self.session.query().consistent())?;
            let live = |pair: &&KvPair| LINE.has(pair) && pair.session.is_some();
            let Some(own) = pairs.iter().filter(live).find(|pair| pair.key == self.key) else {
                self.session.check()?;
                self.enter()?; // somebody deleted our key: at the end of the line again
                continue;
            };
            for dead in pairs.iter().filter(|pair| LINE.has(pair) && pair.session.is_none()) {
                let _ = kv.delete(&dead.key, Some(dead.modify_index), self.session.query()); // others will, if we cannot
            }
            let earlier = pairs.iter().filter(live).filter(|pair| pair.create_index < own.create_index);
            return Ok(earlier.max_by_key(|pair| pair.create_index).cloned());
        }
    }
}

/// Whether `pair` is `before` still: it may have left, and come back behind us.
fn is_same(pair: &KvPair, before: &KvPair) -> bool {
    pair.session.is_some() && pair.create_index == before.create_index
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Where that fails, the key goes with the session.
        let _ = self.session.client().kv().delete(&self.key, None, self.session.query());
    }
}
