//! What stands in the way of who wants a lock or a permit.

use std::time::Duration;

use serde::Serialize;

use crate::consul::{Operation, TxnError};
use crate::duration::ConsulDuration;

use super::hold::Holds;
use super::holder::{Holders, Layout, Said};
use super::kind::LOCK;
use super::session::TTL_MIN;
use super::{Error, Session, SessionOptions};

/// The longest lock-delay that Consul keeps to.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);

/// What stands in the way of who comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// Nothing.
    Free,
    /// Who holds it.
    Held,
    /// Nobody holds it, but the lock-delay of one who lost it runs.
    Barred {
        /// For so many seconds, at most.
        seconds: u64,
    },
}

impl Holds {
    /// What stands in the way of who comes next, and who holds it. Whether a lock-delay runs no answer of Consul shows: it is
    /// found by a transaction that takes the lock and then fails on purpose, so that nothing is written; its session is
    /// destroyed again. Needs `session:write` and `key:write` for that.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn why(&self) -> Result<(Standing, Holders), Error> {
        loop {
            let found = self.holders()?;
            let held = u32::try_from(found.holders.len()).unwrap_or(u32::MAX);
            let standing = match found.layout {
                _ if held >= found.limit.unwrap_or(1) => Some(Standing::Held),
                Layout::Semaphore => Some(Standing::Free),
                Layout::Lock | Layout::None => self.probe()?,
            };
            if let Some(standing) = standing {
                return Ok((standing, found));
            }
        }
    }

    /// `None` where somebody has come meanwhile.
    fn probe(&self) -> Result<Option<Standing>, Error> {
        let options = SessionOptions {
            name: format!("lictor lock why {}", self.folder),
            ttl: TTL_MIN,
            lock_delay: Duration::ZERO,
            ..SessionOptions::default()
        };
        let (key, session) = (self.key(), Session::start(&self.client, &self.query, &options)?);
        let operations = [
            Operation::lock(&key, b"", LOCK.flags, session.id()),
            Operation::check_not_exists(&key), // it does by now: so all of it is undone
        ];
        let failed = match self.client.txn().once(&operations, &self.query) {
            Err(TxnError::Refused { failed, .. }) => failed,
            Err(TxnError::Failed { source, .. }) => return Err(source.into()),
            Ok(_) => return Ok(Some(Standing::Free)), // never
        };
        session.release()?;
        let Some(refused) = failed.iter().find(|one| one.index == 0) else { return Ok(Some(Standing::Free)) };
        if refused.what.contains("Permission denied") {
            return Err(Error::Denied { key, what: refused.what.clone() });
        }
        let pair = self.client.kv().get(&key, &self.query.consistent())?;
        if pair.as_ref().is_some_and(|pair| pair.session.is_some()) {
            return Ok(None);
        }
        let said = pair.and_then(|pair| pair.json::<Said>().ok());
        let delay = said.and_then(|said| said.lock_delay?.parse::<ConsulDuration>().ok());
        let longest = delay.map_or(LOCK_DELAY_MAX, |delay| Duration::from(delay).min(LOCK_DELAY_MAX));
        Ok(Some(Standing::Barred { seconds: longest.as_secs_f64().ceil() as u64 }))
    }
}
