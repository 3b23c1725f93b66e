//! `/v1/event/`: user events, carried by gossip.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::Error;
use super::kv::{from_base64, to_base64};
use super::query::Query;
use super::request::Request;

/// User events.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a>(pub(super) &'a Client);

/// A user event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it carries. Gossip takes some hundred bytes.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub payload: Vec<u8>,
    /// The gossip clock.
    #[serde(rename = "LTime")]
    pub ltime: u64,
}

impl Events<'_> {
    /// Fires an event. Sent once. It reaches the nodes by gossip: in the end, in any order, mostly. Needs
    /// `event:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn fire(&self, name: &str, payload: &[u8], query: &Query) -> Result<Event, Error> {
        let request = Request::put(&["event", "fire", name]).with(query).body(payload.to_vec());
        self.0.read(&request).map(|(event, _)| event)
    }

    /// The events that the agent remembers (256 at most), the oldest first; with `name`, those of that name.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list(&self, name: Option<&str>) -> Result<Vec<Event>, Error> {
        let request = Request::get(&["event", "list"]);
        let request = name.into_iter().fold(request, |request, name| request.parameter("name", name));
        self.0.read(&request).map(|(events, _)| events)
    }
}
