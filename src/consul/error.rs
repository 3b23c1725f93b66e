//! What can go wrong between this program and Consul.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::key::KeyError;

/// The request that an error is about, and where it went. It never holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `PUT`, `DELETE`.
    pub method: &'static str,
    /// Path and query, percent-encoded, as sent.
    pub path: String,
    /// The agent's address.
    pub address: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.method, self.path, self.address)
    }
}

/// Why a request to Consul did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection: nothing was sent.
    #[error("{call}: cannot connect: {source}")]
    Connect {
        /// The request.
        call: Box<Call>,
        /// What the system or the TLS library said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No answer in time. A write may or may not have been carried out.
    #[error("{call}: no answer within {}", seconds(*.after))]
    Timeout {
        /// The request.
        call: Box<Call>,
        /// The time that it was given.
        after: Duration,
    },
    /// The connection broke while sending or reading. A write may or may not have been carried out.
    #[error("{call}: the connection broke: {source}")]
    Broken {
        /// The request.
        call: Box<Call>,
        /// What the system said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Consul answered with a status that is no success.
    #[error("{call}: status {status}: {}", excerpt(.body))]
    Status {
        /// The request.
        call: Box<Call>,
        /// The HTTP status.
        status: u16,
        /// Consul's text: the reason is there, not in the status.
        body: String,
    },
    /// A redirect, which is never followed.
    #[error("{call}: status {status} redirects to {location:?}, which is not followed")]
    Redirect {
        /// The request.
        call: Box<Call>,
        /// The HTTP status.
        status: u16,
        /// Where it points.
        location: String,
    },
    /// The answer is not what Consul's API promises: HTML from a proxy, JSON cut short.
    #[error("{call}: the answer is not Consul's: {source}; it begins {}", excerpt(.body))]
    Decode {
        /// The request.
        call: Box<Call>,
        /// How the answer begins.
        body: String,
        /// Where it stopped to make sense.
        source: serde_json::Error,
    },
    /// A key, or a value, that Consul would refuse or take for another; nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Settings that cannot work; nothing was sent.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Settings of a client that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting whose value makes no sense.
    #[error("{setting}: {problem}")]
    Invalid {
        /// The option's or the variable's name.
        setting: &'static str,
        /// What is wrong with it, and what to write.
        problem: String,
    },
    /// A file that a setting names.
    #[error("{setting}: cannot read {path}: {source}")]
    File {
        /// The option's or the variable's name.
        setting: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } | Self::Redirect { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What Consul said, where it refused.
    pub fn body(&self) -> Option<&str> {
        match self {
            Self::Status { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The request, unless none was made.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Connect { call, .. }
            | Self::Timeout { call, .. }
            | Self::Broken { call, .. }
            | Self::Status { call, .. }
            | Self::Redirect { call, .. }
            | Self::Decode { call, .. } => Some(call),
            Self::Key(_) | Self::Config(_) => None,
        }
    }

    /// True where what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// True where the token (or the lack of one) is the reason.
    pub fn is_denied(&self) -> bool {
        self.status() == Some(403)
    }

    /// True where Consul does not know the token, so that nothing is said of its rights.
    pub fn is_unknown_token(&self) -> bool {
        self.is_denied() && self.body().is_some_and(|body| body.contains("ACL not found"))
    }

    /// True where a write may have been carried out all the same: the answer was lost, or leaves it open.
    pub fn leaves_open(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Broken { .. } | Self::Decode { .. } => true,
            Self::Status { .. } => self.is_retryable(true) && !self.is_retryable(false),
            _ => false,
        }
    }

    /// True where the cluster or the way to it failed, and not what was asked: that passes, as a rule. A write may have been
    /// carried out all the same, see [`leaves_open`](Self::leaves_open).
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Connect { .. }) || self.leaves_open() || self.is_retryable(true)
    }

    /// True where something else stood in the way: an operation of a transaction did not hold.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// True where another try may succeed, now that some time has passed, and cannot do harm: Consul said that it
    /// did *not* carry the request out. `repeatable` widens this to failures that leave it open, for requests
    /// that do the same when done twice.
    ///
    /// Status 500 by itself says nothing: Consul uses it for users' mistakes too. The texts are those of a cluster
    /// without a leader, or with one that is changing.
    pub fn is_retryable(&self, repeatable: bool) -> bool {
        match self {
            Self::Status { status: 429 | 503, .. } => true,
            Self::Status { status: 500, body, .. } => {
                let says = |texts: &[&str]| texts.iter().any(|text| body.contains(text));
                says(NOT_CARRIED_OUT) || (repeatable && says(LEFT_OPEN))
            }
            Self::Broken { .. } => repeatable,
            _ => false,
        }
    }
}

/// Texts of a 500 after which nothing was written.
const NOT_CARRIED_OUT: &[&str] = &["No cluster leader"];

/// Texts of a 500 after which a write may have been carried out, or not.
const LEFT_OPEN: &[&str] = &["rpc error", "leadership lost", "stream closed", "connection refused", "connection reset"];

/// How much of an answer an error shows, in characters: enough for Consul's longest sentences.
const EXCERPT: usize = 300;

fn excerpt(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() {
        return "(an empty body)".to_owned();
    }
    let line: String = body.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if body.chars().nth(EXCERPT).is_some() { format!("{line}...") } else { line }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
