//! `/v1/acl/`: whether access is controlled at all.

use serde::Deserialize;
use serde_json::json;

use super::client::{Client, found};
use super::error::Error;
use super::request::Request;

/// Access control.
#[derive(Clone, Copy, Debug)]
pub struct Acl<'a>(pub(super) &'a Client);

impl Acl<'_> {
    /// Whether ACLs are on, so that what a token does not see may exist all the same.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn is_enabled(&self) -> Result<bool, Error> {
        match self.0.send(&Request::get(&["acl", "token", "self"])) {
            Ok(_) => Ok(true),
            // Consul's words where ACLs are off, with status 401.
            Err(error) if error.body().is_some_and(|body| body.contains("ACL support disabled")) => Ok(false),
            Err(error) if error.status().is_some() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Of these nodes, those whose sessions the token may not read; `None` where this Consul does not tell.
    ///
    /// No list of sessions refuses: each leaves out what the token may not see. This is what Consul's own user
    /// interface asks, from 1.7 on; seen on 1.8.7.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn hidden_sessions(&self, nodes: &[&str]) -> Result<Option<Vec<String>>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            segment: String,
            allow: bool,
        }
        let asked: Vec<_> =
            nodes.iter().map(|node| json!({"Resource": "session", "Access": "read", "Segment": node})).collect();
        let body = serde_json::to_vec(&asked).unwrap_or_default();
        let request = Request::post(&["internal", "acl", "authorize"]).body(body);
        let answers = found(self.0.read::<Vec<Answer>>(&request))?;
        let hidden = |(answers, _): (Vec<Answer>, _)| {
            answers.into_iter().filter(|answer| !answer.allow).map(|answer| answer.segment).collect()
        };
        Ok(answers.map(hidden))
    }
}
