//! `/v1/status/`: who leads.

use super::client::Client;
use super::error::Error;
use super::query::Query;
use super::request::Request;

/// The cluster's Raft status.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a>(pub(super) &'a Client);

impl Status<'_> {
    /// The leader's Raft address; `None` while there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn leader(&self, query: &Query) -> Result<Option<String>, Error> {
        let (leader, _) = self.0.read::<String>(&Request::get(&["status", "leader"]).with(query))?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// The Raft addresses of all servers.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn peers(&self, query: &Query) -> Result<Vec<String>, Error> {
        self.0.read(&Request::get(&["status", "peers"]).with(query)).map(|(peers, _)| peers)
    }
}
