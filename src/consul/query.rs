//! What goes with every request, and what comes with every answer.

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consistency {
    /// The leader's own view. Stale only for a moment after a leader was cut off.
    #[default]
    Default,
    /// The leader's view, after it has made sure that it still leads.
    Consistent,
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
        };
        places.into_iter().filter_map(|(name, value)| Some((name, Some(value.as_deref()?)))).chain(consistency)
    }
}

/// What the headers of an answer say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryMeta {
    /// True where Consul says that the token did not let it show everything. Consul before 1.11 never says so.
    pub filtered_by_acls: bool,
}
