//! Looks over the sessions of a place, and destroys those that nobody can need.
//!
//! # Not guaranteed
//! Consul keeps no time of creation, and does not tell when a session was last renewed: a session that was created for
//! somebody who is about to lock a key with it looks like one that was forgotten.

use std::collections::{BTreeMap, BTreeSet};

use crate::consul::{Client, Query, SessionEntry};
use crate::object::{ObjectId, ObservedSession, SessionId};
use crate::plan::Policy;
use crate::plan::doctor::{Finding, diagnose, is_garbage};

use super::apply::LOOK_EVERY;
use super::{Error, Reconciler, note, observe, oldest_first};

/// One place, and what of it to look at.
#[derive(Debug)]
pub struct Doctor<'a> {
    /// The agent.
    pub client: &'a Client,
    /// Datacenter, namespace, partition.
    pub query: &'a Query,
    /// Only the sessions of this node.
    pub node: Option<&'a str>,
    /// Only sessions of this name.
    pub name: Option<&'a str>,
    /// Where their locks are looked for.
    pub lock_prefix: &'a str,
}

/// What a look over the sessions came to.
#[derive(Clone, Debug, Default)]
pub struct Checkup {
    /// How many sessions there were.
    pub sessions: usize,
    /// Those with which something is wrong.
    pub found: Vec<Diagnosed>,
}

/// A session with which something is wrong.
#[derive(Clone, Debug)]
pub struct Diagnosed {
    /// The session.
    pub entry: SessionEntry,
    /// What is wrong.
    pub findings: BTreeSet<Finding>,
    /// The owner in whose record it is.
    pub owner: Option<String>,
}

impl Diagnosed {
    /// Whether [`Doctor::destroy`] may take it: nobody can need it, and no owner has it.
    pub fn is_garbage(&self) -> bool {
        self.owner.is_none() && is_garbage(&self.findings)
    }
}

impl Doctor<'_> {
    /// Looks. `owners` is what the owners' records hold.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Blind`] where the token does not show every lock.
    pub fn look(&self, owners: &BTreeMap<ObjectId, String>) -> Result<Checkup, Error> {
        let entries = self.entries()?;
        let mut sessions = entries.iter().map(ObservedSession::try_from).collect::<Result<Vec<_>, _>>()?;
        self.find_locks(&mut sessions)?;
        let warning = self.client.health().state("warning", self.query)?;
        let warning = warning.into_iter().map(|check| (check.node, check.check_id)).collect();
        let findings = diagnose(&sessions, &warning);
        let found = entries.into_iter().zip(&sessions).filter_map(|(entry, session)| {
            let findings = findings.get(&session.id)?.clone();
            let id = ObjectId::Session { node: entry.node.clone(), name: entry.name.clone() };
            Some(Diagnosed { entry, findings, owner: owners.get(&id).cloned() })
        });
        Ok(Checkup { sessions: sessions.len(), found: found.collect() })
    }

    /// Destroys those of `sessions` that still hold nothing. Gives the ids of those that it destroyed.
    ///
    /// # Errors
    /// See [`Error`]: [`Error::Interrupted`] says which had been destroyed.
    pub fn destroy(&self, sessions: &[&SessionEntry]) -> Result<Vec<SessionId>, Error> {
        let mut destroyed: Vec<SessionId> = Vec::new();
        let mut done = || -> Result<(), Error> {
            for batch in sessions.chunks(LOOK_EVERY) {
                let mut now = batch.iter().copied().map(ObservedSession::try_from).collect::<Result<Vec<_>, _>>()?;
                self.find_locks(&mut now)?;
                for session in now.iter().filter(|session| session.locks.keys().is_empty()) {
                    self.client.session().destroy(session.id.as_str(), self.query)?;
                    destroyed.push(session.id.clone());
                }
            }
            Ok(())
        };
        match done() {
            Err(error) if !destroyed.is_empty() => Err(Error::Interrupted {
                done: format!("{} sessions were destroyed", destroyed.len()),
                next: "run it again for the rest",
                created: None,
                source: Box::new(error),
            }),
            result => result.map(|()| destroyed),
        }
    }

    fn entries(&self) -> Result<Vec<SessionEntry>, Error> {
        let mut entries = match self.node {
            Some(node) => self.client.session().list_node(node, self.query)?,
            None => self.client.session().list(self.query)?,
        };
        let of_name = |entry: &SessionEntry| self.name.is_none_or(|name| entry.name == name);
        entries.retain(|entry| of_name(entry) && !note::is_note(entry));
        oldest_first(&mut entries);
        Ok(entries)
    }

    fn find_locks(&self, sessions: &mut [ObservedSession]) -> Result<(), Error> {
        let policy = Policy { lock_prefix: self.lock_prefix.to_owned(), ..Policy::default() };
        observe::locks(&Reconciler { client: self.client, query: self.query, policy: &policy }, sessions)
    }
}
