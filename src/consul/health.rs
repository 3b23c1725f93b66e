//! `/v1/health/`: the checks.

use serde::Deserialize;

use super::client::Client;
use super::error::Error;
use super::query::Query;
use super::request::Request;

/// The cluster's health checks.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a>(pub(super) &'a Client);

/// A check and its status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// Its id on its node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// `passing`, `warning`, `critical` or `maintenance`.
    pub status: String,
    /// What it last had to say.
    #[serde(default)]
    pub output: String,
}

impl Health<'_> {
    /// The checks of a node, its services' included, as far as the token may see them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn node(&self, node: &str, query: &Query) -> Result<Vec<HealthCheck>, Error> {
        self.0.read(&Request::get(&["health", "node", node]).with(query)).map(|(checks, _)| checks)
    }
}
