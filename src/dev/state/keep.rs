//! What of the state outlives the process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Catalog, Check, Entry, Fault, KeptAcls, LocalCheck, Node, Service, Session, State, Tables};

/// What is kept. Times are not: a process that is started anew has another clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dev) struct Kept {
    pub datacenter: String,
    pub node: String,
    index: u64,
    tables: Tables,
    keys: Vec<Entry>,
    tombstones: BTreeMap<String, u64>,
    sessions: Vec<Session>,
    catalog: KeptCatalog,
    local: KeptLocal,
    #[serde(default)]
    acls: KeptAcls,
}

/// What is kept of the catalog.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dev) struct KeptCatalog {
    pub nodes: Vec<Node>,
    pub services: Vec<Service>,
    pub checks: Vec<Check>,
    pub named: BTreeMap<String, u64>,
    pub extinction: Option<u64>,
}

/// What is kept of the agent's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dev) struct KeptLocal {
    pub services: Vec<Service>,
    pub checks: Vec<LocalCheck>,
}

impl State {
    /// What is to be kept of it.
    pub fn keep(&self) -> Kept {
        Kept {
            datacenter: self.identity.datacenter.clone(),
            node: self.identity.node.clone(),
            index: self.index,
            tables: self.tables.clone(),
            keys: self.keys.all().cloned().collect(),
            tombstones: self.keys.tombstones().clone(),
            sessions: self.sessions.all().cloned().collect(),
            catalog: self.catalog.keep(),
            local: self.local.keep(),
            acls: self.acls.keep(),
        }
    }

    /// Whether this was kept by an agent of the same node.
    pub fn is_of(&self, kept: &Kept) -> bool {
        let here = &self.identity;
        (&here.datacenter, &here.node) == (&kept.datacenter, &kept.node)
    }

    /// Takes up what was kept, in a state that is new. TTLs begin anew, as with a new leader.
    pub fn restore(&mut self, kept: Kept) -> Result<(), Fault> {
        let Kept { index, tables, keys, tombstones, sessions, catalog, local, acls, .. } = kept;
        self.catalog = Catalog::of(catalog);
        self.adopt_itself();
        self.index = self.index.max(index);
        self.tables = tables;
        self.keys.restore(keys, tombstones);
        sessions.into_iter().try_for_each(|session| self.restore_session(session))?;
        self.restore_local(local);
        self.acls.restore(acls)
    }
}
