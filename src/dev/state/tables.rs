//! The index at which each table was last changed: what a blocking query of the whole table waits for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A table, as Consul's server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::dev) enum Table {
    Keys,
    Tombstones,
    Sessions,
    Nodes,
    Services,
    Checks,
    Tokens,
    Policies,
}

/// The last change of each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::dev) struct Tables(BTreeMap<Table, u64>);

impl Tables {
    pub fn touch(&mut self, table: Table, index: u64) {
        self.0.insert(table, index);
    }

    /// When one of these was last changed; 0 where none ever was.
    pub fn last(&self, tables: &[Table]) -> u64 {
        tables.iter().filter_map(|table| self.0.get(table)).copied().max().unwrap_or(0)
    }
}
