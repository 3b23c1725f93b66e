//! Who holds what is at a path.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::consul::{KvPair, check_key};
use crate::printable::printable;

use super::Error;
use super::hold::Holds;
use super::kind::LOCK;
use super::line::LINE;
use super::semaphore::{SEMAPHORE, Table};

/// Somebody who holds a lock or a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Under which identifier; `None` where another program holds it.
    pub identifier: Option<String>,
    /// On which host, as it said.
    pub host: Option<String>,
    /// The node of its session; `None` where the token may not read that.
    pub node: Option<String>,
    /// Since when, by its own clock, as RFC 3339 has it.
    pub since: Option<String>,
    /// Why, as it said.
    pub reason: Option<String>,
    /// Whether it outlasts the process that took it.
    pub persistent: bool,
    /// The ttl of its session; `None` where it has none, or the token may not read that.
    pub ttl: Option<String>,
    /// The id of its session. Whoever knows it can acquire keys in its name.
    pub session: String,
    /// Its fencing token.
    pub token: u64,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Nothing yet: who comes first decides.
    #[default]
    None,
    /// A lock.
    Lock,
    /// A semaphore.
    Semaphore,
}

/// Who holds what is at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holders {
    /// What it is.
    pub layout: Layout,
    /// How many permits there are; `None` where it is no semaphore.
    pub limit: Option<u32>,
    /// Who has one, in the order in which they got it.
    pub holders: Vec<Holder>,
    /// How many wait in line, of those who wait fairly.
    pub waiting: usize,
}

impl Holds {
    /// Who holds it. Nothing is written. Needs `key_prefix:read`, and `session:read` to see nodes and ttls.
    ///
    /// # Errors
    /// [`Error::Denied`] where the token may not see whether there are any; or see [`Error`].
    pub fn holders(&self) -> Result<Holders, Error> {
        let pairs = self.read()?;
        let mut holders = self.holders_of(&pairs)?;
        holders.holders.iter_mut().try_for_each(|holder| self.look_at_session(holder))?;
        Ok(holders)
    }

    /// Adds what its session tells of `holder`: the node and the ttl.
    pub(super) fn look_at_session(&self, holder: &mut Holder) -> Result<(), Error> {
        if let (Some(session), _) = self.client.session().read(&holder.session, &self.query)? {
            holder.node = Some(session.node);
            holder.ttl = Some(session.ttl).filter(|ttl| !ttl.is_empty());
        }
        Ok(())
    }

    pub(super) fn read(&self) -> Result<Vec<KvPair>, Error> {
        let kv = self.client.kv();
        let (pairs, meta) = kv.recurse(&self.folder, &self.query.consistent())?;
        // Consul leaves out what the token may not read, and before 1.11 does not say so: a holder would be taken for dead.
        let unseen = Table::read(&self.folder, &pairs).ok().and_then(|table| {
            let keys = table.listed.difference(&table.holders).map(|id| format!("{}{id}", self.folder));
            keys.into_iter().find(|key| check_key(key).is_ok())
        });
        let doubtful = if pairs.is_empty() { Some(self.key()) } else { unseen };
        let hidden = doubtful.map_or(Ok(false), |key| kv.may_read(&key, &self.query).map(|may| !may))?;
        if meta.filtered_by_acls || hidden {
            let what = "it may not read all that is there".to_owned();
            return Err(Error::Denied { key: self.folder.clone(), what });
        }
        Ok(pairs)
    }

    pub(super) fn holders_of(&self, pairs: &[KvPair]) -> Result<Holders, Error> {
        let line = format!("{}.lock.line/", self.folder);
        let waits = |pair: &&KvPair| pair.key.starts_with(&line) && LINE.has(pair) && pair.session.is_some();
        let waiting = pairs.iter().filter(waits).count();
        let found = match pairs.iter().find(|pair| pair.key == self.key()) {
            None => Holders::default(),
            Some(pair) if LOCK.has(pair) => {
                Holders { layout: Layout::Lock, holders: holder(pair).into_iter().collect(), ..Holders::default() }
            }
            Some(pair) if SEMAPHORE.has(pair) => {
                let table = Table::read(&self.folder, pairs)?;
                let held = table.live.iter().filter(|(id, _)| table.holders.contains(*id));
                let mut holders: Vec<_> = held.filter_map(|(_, pair)| holder(pair)).collect();
                crate::sort::by(&mut holders, |a, b| (a.token, &a.session).cmp(&(b.token, &b.session)));
                Holders { layout: Layout::Semaphore, limit: table.limit, holders, waiting: 0 }
            }
            Some(pair) => return Err(LOCK.conflict(pair)),
        };
        Ok(Holders { waiting, ..found })
    }
}

/// What a holder's value says. `lictor lock run` writes the same, and its lock-delay.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    identifier: Option<String>,
    host: Option<String>,
    since: Option<String>,
    reason: Option<String>,
    persistent: bool,
    pub lock_delay: Option<String>,
}

/// Who holds `pair`, if somebody does.
pub(super) fn holder(pair: &KvPair) -> Option<Holder> {
    let session = pair.session.clone()?;
    let Said { identifier, host, since, reason, persistent, .. } = pair.json().unwrap_or_default();
    let reason = reason.filter(|reason| !reason.is_empty());
    let token = pair.modify_index;
    Some(Holder { identifier, host, node: None, since, reason, persistent, ttl: None, session, token })
}

impl Holder {
    pub(super) fn is(&self, identifier: &str) -> bool {
        self.identifier.as_deref() == Some(identifier)
    }
}

impl fmt::Display for Holder {
    /// One line, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identifier {
            Some(identifier) => write!(f, "{identifier:?}")?,
            None => f.write_str("another program")?,
        }
        if let Some(host) = self.host.as_ref().filter(|host| Some(*host) != self.identifier.as_ref()) {
            write!(f, " of host {}", printable(host))?;
        }
        if let Some(node) = &self.node {
            write!(f, " on node {node}")?;
        }
        if let Some(since) = &self.since {
            write!(f, " since {}", printable(since))?;
        }
        write!(f, ", session {}", self.session)?;
        match &self.ttl {
            Some(ttl) => write!(f, " with a ttl of {ttl}")?,
            None if self.node.is_some() => f.write_str(" without a ttl")?,
            None => {} // its session was not read
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {}", printable(reason)))
    }
}
