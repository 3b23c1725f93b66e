//! Which cluster it is: a plan for one is not to be applied to another.

use crate::consul::{Client, Query};
use crate::plan::state::StatePolicy;

use super::{Error, FirstLook, StateReconciler};

impl<'a> StateReconciler<'a> {
    /// With one request at a time, and nobody who stops it.
    pub fn new(client: &'a Client, query: &'a Query, policy: &'a StatePolicy) -> Self {
        Self { client, query, policy, parallelism: 1, stop: None, first: None }
    }

    /// The datacenter that this is about: the one that was named, or the agent's own.
    ///
    /// # Errors
    /// What the agent answered; it takes `agent:read` where none was named.
    pub fn datacenter(&self) -> Result<String, Error> {
        match &self.query.datacenter {
            Some(datacenter) => Ok(datacenter.clone()),
            None => match self.first.and_then(FirstLook::datacenter) {
                Some(datacenter) => datacenter,
                None => Ok(self.client.agent().read_self()?.config.datacenter),
            },
        }
    }

    /// The ids of the nodes of the cluster's servers, as far as the token shows them: Consul's open source edition has no
    /// id for a cluster, and servers come and go one at a time.
    ///
    /// # Errors
    /// What Consul answered.
    pub fn cluster(&self) -> Result<Vec<String>, Error> {
        let servers = self.client.catalog().service("consul", &[], self.query)?;
        let mut ids: Vec<String> = servers.into_iter().map(|server| server.id).filter(|id| !id.is_empty()).collect();
        ids.sort();
        Ok(ids)
    }
}
