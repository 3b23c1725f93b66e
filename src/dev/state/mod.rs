//! What the agent knows: the tables of a Consul server, and the rules that change them. Pure: time is passed in, and
//! nobody is told; [`Agent`](super::agent::Agent) does that.

mod acl;
mod acl_rules;
mod by_id;
mod catalog;
mod event;
mod keep;
mod kv;
mod local;
mod register;
mod session;
mod tables;
mod txn;
mod txn_catalog;
mod upkeep;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

pub(super) use acl::{Acls, KeptAcls, Policy, PolicyLink, Rights, Token, digest};
pub(super) use acl_rules::{Access, Resource};
pub(super) use catalog::{
    CRITICAL, Catalog, Check, Node, PASSING, Registration, Service, ServiceAddress, WARNING, Weights, node_id_fault,
};
pub(super) use event::{Event, Events};
pub(super) use keep::Kept;
pub(super) use kv::{Entry, Keys, Write};
pub(super) use local::{CheckRequest, Local, LocalCheck, Probe, worst};
pub(super) use session::{ServiceCheck, Session, SessionRequest, Sessions, go_duration_fault};
pub(super) use tables::{Table, Tables};
pub(super) use txn::{KvOperation, Operation, TxnFailure, TxnResult};
pub(super) use txn_catalog::{CatalogItem, CatalogOperation};

/// Who this agent is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub datacenter: String,
    pub node: String,
    pub node_id: String,
    pub address: String,
    pub port: u16,
}

impl Identity {
    /// Where its server is, as Raft names it.
    pub fn server(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }
}

/// Everything that the agent knows.
#[derive(Debug)]
pub(super) struct State {
    pub identity: Identity,
    /// The index of the last write, as Raft counts them.
    index: u64,
    /// When it is, since the agent's start. Nothing below looks at another clock.
    now: Duration,
    /// To when the time is being set.
    until: Duration,
    /// What is to happen by itself, the soonest first.
    deadlines: BTreeSet<(Duration, Deadline)>,
    pub tables: Tables,
    pub keys: Keys,
    pub sessions: Sessions,
    pub catalog: Catalog,
    pub local: Local,
    pub acls: Acls,
    pub events: Events,
}

/// What happens by itself once its time has come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// A session was not renewed.
    Session(String),
    /// A TTL check was not told how it is.
    Ttl(String),
    /// A check has been critical for so long that its service goes.
    Reap(String),
    /// The catalog is told what a check said.
    Output(String),
    /// A check is to be made.
    Probe(String),
}

/// Why something is not done; Consul's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fault(pub String);

impl Fault {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl State {
    pub fn new(identity: Identity) -> Self {
        let mut state = Self {
            identity,
            index: 0,
            now: Duration::ZERO,
            until: Duration::ZERO,
            deadlines: BTreeSet::new(),
            tables: Tables::default(),
            keys: Keys::default(),
            sessions: Sessions::default(),
            catalog: Catalog::default(),
            local: Local::default(),
            acls: Acls::default(),
            events: Events::default(),
        };
        // As a server that has just elected itself: its own entries come first.
        state.register_itself();
        state
    }

    /// The index of the last write.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Begins a write, and gives its index.
    pub(super) fn next_index(&mut self) -> u64 {
        self.index = self.index.saturating_add(1);
        self.index
    }

    /// Sets the time, and does what is due by then, in its order.
    pub fn advance(&mut self, now: Duration) {
        self.until = now;
        while let Some((at, _)) = self.deadlines.first()
            && *at <= now
            && let Some((at, deadline)) = self.deadlines.pop_first()
        {
            self.now = self.now.max(at);
            match deadline {
                Deadline::Session(id) => self.expire_session(&id),
                Deadline::Ttl(id) => self.expire_check(&id),
                Deadline::Reap(id) => self.reap(&id),
                Deadline::Output(id) => self.tell_output(&id),
                Deadline::Probe(id) => self.make_check(&id),
            }
        }
        self.now = self.now.max(now);
    }

    /// When something will happen by itself, if anything will.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }
}

/// An id as Consul makes them: 36 characters, 16 random bytes.
pub(super) fn uuid() -> String {
    let (a, last) = (fastrand::u32(..), fastrand::u64(..1 << 48));
    let [b, c, d] = [fastrand::u16(..), fastrand::u16(..), fastrand::u16(..)];
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{last:012x}")
}

/// Checks an id as Consul's store does before it looks it up.
pub(super) fn check_uuid(id: &str) -> Result<(), Fault> {
    const PARTS: [usize; 5] = [8, 4, 4, 4, 12];
    if id.len() != 36 {
        return Err(Fault::new("index error: UUID must be 36 characters"));
    }
    let parts: Vec<&str> = id.split('-').collect();
    let hyphens = parts.len() - 1;
    if hyphens != 4 {
        return Err(Fault::new(format!("index error: UUID should have 4 hyphens; got {hyphens}")));
    }
    let well_formed = parts.iter().zip(PARTS).all(|(part, length)| part.len() == length)
        && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if well_formed { Ok(()) } else { Err(Fault::new("index error: Invalid UUID")) }
}
