//! `/v1/session/`.

use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{Client, found};
use super::error::Error;
use super::list::RawList;
use super::query::{Query, QueryMeta, null_is_default};
use super::request::Request;
use super::watch::Watch;

/// Sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionApi<'a>(pub(super) &'a Client);

/// A session as Consul writes it. A list that is `null` on the wire is empty here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SessionEntry {
    /// The id, a UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name; empty where it has none.
    pub name: String,
    /// The node that it lives and dies with.
    pub node: String,
    /// The lock-delay, in nanoseconds.
    pub lock_delay: i64,
    /// `release` or `delete`.
    pub behavior: String,
    /// The TTL as it was given, such as `30s`; empty for none.
    #[serde(rename = "TTL")]
    pub ttl: String,
    /// The ids of the node checks.
    #[serde(deserialize_with = "null_is_default")]
    pub node_checks: Vec<String>,
    /// The service checks.
    #[serde(deserialize_with = "null_is_default")]
    pub service_checks: Vec<ServiceCheckEntry>,
    /// The namespace (Consul Enterprise).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The Raft index at which it was made.
    pub create_index: u64,
    /// The Raft index at which it was last changed.
    pub modify_index: u64,
}

/// A service check of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceCheckEntry {
    /// The check's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's namespace (Consul Enterprise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What is sent to create a session. What is `None` is left to Consul.
///
/// There is no `Checks`: Consul 1.7 and later takes an empty one for "no checks at all", whatever `NodeChecks` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionRequest {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The lock-delay, such as `15s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_delay: Option<String>,
    /// `release` or `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<String>,
    /// The TTL, such as `30s`.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// The ids of the node checks. `Some` of an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_checks: Option<Vec<String>>,
    /// The service checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_checks: Vec<ServiceCheckEntry>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

/// Makes every list of checks that is `null` in `text`, JSON, an empty one, in place: there may be 100,000.
///
/// What is looked for ends a string that a colon follows, so it is a field's name; in a string's own text a quote is
/// escaped. `-dev` agents put a space behind the colon.
fn without_nulls(text: &mut [u8]) {
    const FIELD: &[u8] = b"Checks\":";
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| memmem::find(rest, FIELD)) {
        from += found + FIELD.len();
        from += text.get(from..).unwrap_or_default().iter().take_while(|byte| **byte == b' ').count();
        if let Some(value) = text.get_mut(from..from + 4).filter(|value| *value == b"null") {
            value.copy_from_slice(b"[]  ");
        }
    }
}

impl SessionApi<'_> {
    /// Creates a session and gives its id. Needs `session:write` on the node.
    ///
    /// Sent once: where the answer was lost, the session may exist all the same.
    ///
    /// # Errors
    /// See [`Error`]. A node or a check that does not exist is a status 500 with the reason in its body.
    pub fn create(&self, session: &SessionRequest, query: &Query) -> Result<String, Error> {
        let body = serde_json::to_vec(session).unwrap_or_default();
        let (created, _) = self.0.read::<Created>(&Request::put(&["session", "create"]).with(query).body(body))?;
        Ok(created.id)
    }

    /// Ends a session; its keys are released or deleted. One that does not exist is no error. Needs
    /// `session:write` on the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn destroy(&self, id: &str, query: &Query) -> Result<(), Error> {
        self.0.send(&Request::put(&["session", "destroy", id]).with(query).repeatable()).map(drop)
    }

    /// One session; `None` where there is none, or the token may not see it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(&self, id: &str, query: &Query) -> Result<(Option<SessionEntry>, QueryMeta), Error> {
        let (entries, meta) = self.0.read::<Vec<SessionEntry>>(&Request::get(&["session", "info", id]).with(query))?;
        Ok((entries.into_iter().next(), meta))
    }

    /// All sessions of the datacenter that the token may see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list(&self, query: &Query) -> Result<Vec<SessionEntry>, Error> {
        self.0.read(&Request::get(&["session", "list"]).with(query)).map(|(entries, _)| entries)
    }

    /// [`list`](Self::list), for taking apart later.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list_raw(&self, query: &Query) -> Result<RawList<SessionEntry>, Error> {
        self.0.read_list(Request::get(&["session", "list"]).with(query))
    }

    /// [`list`](Self::list) as JSON text, for passing on: checked to be a JSON list, but not taken apart, which for
    /// 100,000 sessions takes longer than to read them. A list that is `null` is `[]` here too.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list_text(&self, query: &Query) -> Result<Box<RawValue>, Error> {
        self.0.read_text(&Request::get(&["session", "list"]).with(query), without_nulls)
    }

    /// The sessions of one node that the token may see; none for a node that does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list_node(&self, node: &str, query: &Query) -> Result<Vec<SessionEntry>, Error> {
        self.list_node_with_meta(node, query).map(|(entries, _)| entries)
    }

    /// [`list_node`](Self::list_node), and what the answer says about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list_node_with_meta(&self, node: &str, query: &Query) -> Result<(Vec<SessionEntry>, QueryMeta), Error> {
        self.0.read(&Request::get(&["session", "node", node]).with(query))
    }

    /// [`list_node`](Self::list_node), for taking apart later.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list_node_raw(&self, node: &str, query: &Query) -> Result<RawList<SessionEntry>, Error> {
        self.0.read_list(Request::get(&["session", "node", node]).with(query))
    }

    /// Follows the sessions of the datacenter, or those of a node. A renewal is no change.
    pub fn watch(&self, node: Option<&str>, query: &Query) -> Watch<Vec<SessionEntry>> {
        let request = match node {
            Some(node) => Request::get(&["session", "node", node]),
            None => Request::get(&["session", "list"]),
        };
        Watch::new(self.0.clone(), request.with(query))
    }

    /// Starts a session's TTL anew; `None` where it does not exist (any more). One without a TTL takes it well.
    /// Consul may answer with a longer TTL than was asked for; it is the one to obey.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn renew(&self, id: &str, query: &Query) -> Result<Option<SessionEntry>, Error> {
        let request = Request::put(&["session", "renew", id]).with(query).repeatable();
        let entries = found(self.0.read::<Vec<SessionEntry>>(&request))?;
        Ok(entries.and_then(|(entries, _)| entries.into_iter().next()))
    }
}
