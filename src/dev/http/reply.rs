//! Answers and refusals.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::dev::state::Fault;

const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");

/// What a handler gives.
pub(in crate::dev) type Answer = Result<Reply, Refusal>;

/// An answer.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Reply {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    /// The index of what was read: a blocking query waits for a higher one.
    pub index: Option<u64>,
    /// The agent says so by itself: no leader is told of, and the index is of no order: any other one is newer.
    pub by_agent: bool,
}

/// A refusal: its status and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dev) struct Refusal {
    pub status: StatusCode,
    pub text: String,
    /// Whether the server said so, and not the agent: then an index is told, too.
    pub by_server: bool,
    /// Whether the connection is closed behind it.
    pub close: bool,
}

impl Reply {
    pub fn new(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        Self { status, headers, body: body.into(), index: None, by_agent: false }
    }

    /// 200 with JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    pub fn json_with<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status, "application/json", body),
            Err(error) => Refusal::error(&error.to_string()).into(),
        }
    }

    /// A status without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), index: None, by_agent: false }
    }

    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// With the index of what was read.
    pub fn at(mut self, index: u64) -> Self {
        self.index = Some(index.max(1));
        self
    }

    /// As the leader's answer, which is as new as can be.
    pub fn with_leader(self) -> Self {
        self.with(KNOWN_LEADER, "true").with(LAST_CONTACT, "0")
    }

    pub fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        if let Some(index) = self.index {
            let headers = response.headers_mut();
            headers.insert("x-consul-index", index.into());
            if !self.by_agent {
                headers.insert(KNOWN_LEADER, HeaderValue::from_static("true"));
                headers.insert(LAST_CONTACT, 0.into());
            }
        }
        response
    }
}

impl Refusal {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), by_server: false, close: false }
    }

    /// 400.
    pub fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// 500, which Consul says of many a user's error, too.
    pub fn error(text: &str) -> Self {
        Self { by_server: true, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, text) }
    }

    /// 403.
    pub fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Permission denied")
    }

    /// 401: there are no ACLs.
    pub fn no_acls() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "ACL support disabled")
    }

    /// 403, of which the server tells.
    pub fn denied_by_server() -> Self {
        Self { by_server: true, ..Self::denied() }
    }

    /// 403, with what is missing.
    pub fn lacks(what: &str, name: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, format!("Permission denied: Missing {what} on {name}"))
    }

    /// 501: what this agent leaves out.
    pub fn missing(what: &str) -> Self {
        let text = format!("lictor dev does not have {what}: see docs/dev.md for what it leaves out\n");
        Self::new(StatusCode::NOT_IMPLEMENTED, text)
    }
}

impl From<Fault> for Refusal {
    fn from(Fault(text): Fault) -> Self {
        Self::error(&text)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, text, by_server: _, close } = refusal;
        let reply = Self::new(status, "text/plain; charset=utf-8", text);
        if close { reply.with(header::CONNECTION, "close") } else { reply }
    }
}
