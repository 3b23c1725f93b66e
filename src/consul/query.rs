//! What goes with every request, and what comes with every answer.

use serde::{Deserialize, Deserializer};

/// Where a request is answered, and how fresh the answer has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The datacenter; the agent's own where it is `None`.
    pub datacenter: Option<String>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise). Consul's open source edition ignores it silently.
    pub partition: Option<String>,
    /// How fresh a read has to be.
    pub consistency: Consistency,
}

/// How fresh a read has to be.
///
/// To decide over a lock, read `Consistent`. To delete on the ground of an absence, never read `Stale`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consistency {
    /// The leader's own view. Stale only for a moment after a leader was cut off.
    #[default]
    Default,
    /// The leader's view, after it has made sure that it still leads.
    Consistent,
    /// Any server's view, which may be old: see [`QueryMeta::last_contact`].
    Stale,
}

impl Query {
    /// The same place, read with full consistency.
    #[must_use]
    pub fn consistent(&self) -> Self {
        Self { consistency: Consistency::Consistent, ..self.clone() }
    }

    /// Names and values of the parameters that this stands for.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let Self { datacenter, namespace, partition, consistency } = self;
        let places = [("dc", datacenter), ("ns", namespace), ("partition", partition)];
        let consistency = match consistency {
            Consistency::Default => None,
            Consistency::Consistent => Some(("consistent", None)),
            Consistency::Stale => Some(("stale", None)),
        };
        places.into_iter().filter_map(|(name, value)| Some((name, Some(value.as_deref()?)))).chain(consistency)
    }
}

/// What the headers of an answer say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryMeta {
    /// The Raft index of what was read: what a blocking query waits beyond. Writes have none.
    pub index: Option<u64>,
    /// Whether the server that answered knew of a leader.
    pub known_leader: Option<bool>,
    /// How long ago that server last heard of the leader, in milliseconds.
    pub last_contact: Option<u64>,
    /// True where Consul says that the token did not let it show everything. Consul before 1.11 never says so.
    pub filtered_by_acls: bool,
}

/// Go writes an empty list or map as `null` here and there.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
