//! `/v1/kv/`, as far as sessions need it: which session holds which key.

use serde::Deserialize;

use super::client::{Client, found};
use super::error::Error;
use super::query::{Query, QueryMeta};
use super::request::Request;

/// The key-value store.
#[derive(Clone, Copy, Debug)]
pub struct Kv<'a>(pub(super) &'a Client);

/// A key and who holds it. Its value is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LockedKey {
    /// The key.
    pub key: String,
    /// The id of the session that holds it, if one does.
    #[serde(default)]
    pub session: Option<String>,
}

impl Kv<'_> {
    /// The keys below `prefix` (a plain string prefix; empty for all) that some session holds.
    ///
    /// Consul has no index from sessions to keys, so this reads every key below the prefix with its value. It
    /// shows only what the token may read, and Consul before 1.11 does not say so.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn locked(&self, prefix: &str, query: &Query) -> Result<(Vec<LockedKey>, QueryMeta), Error> {
        let request = Request::get_kv(prefix).with(query).flag("recurse");
        let (mut keys, meta) = self.0.read_or_default::<Vec<LockedKey>>(&request)?;
        keys.retain(|key| key.session.is_some());
        Ok((keys, meta))
    }

    /// Whether the token may read `key`, whether it exists or not: a direct read is refused, never filtered.
    ///
    /// # Errors
    /// See [`Error`]; being refused is not one.
    pub fn may_read(&self, key: &str, query: &Query) -> Result<bool, Error> {
        match found(self.0.send(&Request::get_kv(key).with(query))) {
            Ok(_) => Ok(true),
            Err(error) if error.is_denied() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
