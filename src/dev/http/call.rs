//! A request, as far as the agent looks at it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::reply::Refusal;
use crate::dev::state::{Fault, Resource, Rights};
use crate::duration::ConsulDuration;

/// The longest that a blocking query waits, and what it waits where it does not say.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const DEFAULT_WAIT: Duration = Duration::from_secs(300);

/// A request.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Call {
    pub method: Method,
    /// The path, percent-decoded, from `/`.
    pub path: String,
    /// The parameters, decoded, in their order. One without a value has an empty one.
    pub query: Vec<(String, String)>,
    pub token: Option<String>,
    /// Its body. Consul overlooks one without a length where JSON is expected.
    pub body: Bytes,
    pub has_length: bool,
    /// What it may do, once somebody has looked.
    pub rights: Result<Arc<Rights>, Fault>,
}

/// What a blocking query waits for: an index above this one, for so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub index: u64,
    pub time: Duration,
}

impl Call {
    pub fn new(parts: &Parts, body: Bytes) -> Self {
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let query = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = query
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            })
            .collect();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = || header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let token = header("x-consul-token").or_else(bearer).map(ToOwned::to_owned);
        let has_length = header("content-length").is_some();
        let rights = Ok(Arc::new(Rights::all()));
        let mut call = Self { method: parts.method.clone(), path, query, token, body, has_length, rights };
        call.token = call.get("token").map(ToOwned::to_owned).or(call.token).filter(|token| !token.is_empty());
        call
    }

    /// What it may do; a refusal where its token is unknown.
    pub fn rights(&self) -> Result<&Rights, Refusal> {
        const AGENTS_OWN: [&str; 3] = ["/v1/kv/", "/v1/agent/", "/v1/event/"];
        let by_server = !AGENTS_OWN.iter().any(|prefix| self.path.starts_with(prefix));
        let refusal = |Fault(text): &Fault| Refusal { by_server, ..Refusal::new(StatusCode::FORBIDDEN, text) };
        self.rights.as_deref().map_err(refusal)
    }

    /// Whether it may read this; a refusal where its token is unknown.
    pub fn reads(&self, resource: Resource, name: &str) -> Result<bool, Refusal> {
        Ok(self.rights()?.read(resource, name))
    }

    /// Refuses what may not write this.
    pub fn must_write(&self, resource: Resource, name: &str) -> Result<(), Refusal> {
        if self.rights()?.write(resource, name) { Ok(()) } else { Err(Refusal::denied()) }
    }

    /// Refuses what may not read this.
    pub fn must_read(&self, resource: Resource, name: &str) -> Result<(), Refusal> {
        if self.rights()?.read(resource, name) { Ok(()) } else { Err(Refusal::denied()) }
    }

    /// A parameter's value: the first one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be given several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value; nothing where it is empty, too.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// What is behind this in the path.
    pub fn rest(&self, prefix: &str) -> &str {
        self.path.strip_prefix(prefix).unwrap_or_default()
    }

    /// A parameter that is a number, as Go reads it.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        go_number(text).map(Some).map_err(|fault| Refusal::error(&fault))
    }

    /// What every request may say of consistency, datacenter and namespace.
    pub fn check(&self, datacenter: &str) -> Result<(), Refusal> {
        if self.has("stale") && self.has("consistent") {
            return Err(Refusal::bad("Cannot specify ?stale with ?consistent, conflicting semantics."));
        }
        if self.get("ns").is_some_and(|namespace| !namespace.is_empty()) {
            let only = "Namespaces are a Consul Enterprise feature";
            return Err(Refusal::bad(format!("Bad request: Invalid query parameter: \"ns\" - {only}")));
        }
        let elsewhere = self.get("dc").is_some_and(|dc| !dc.is_empty() && dc != datacenter);
        if elsewhere { Err(Refusal::error("No path to datacenter")) } else { Ok(()) }
    }

    /// Whether, and how long, it is to wait.
    pub fn wait(&self) -> Result<Option<Wait>, Refusal> {
        let time = match self.get("wait") {
            None | Some("") => DEFAULT_WAIT,
            Some(text) if text != "0" && text.ends_with(|last: char| last.is_ascii_digit()) => {
                return Err(Refusal::bad("Invalid wait time"));
            }
            Some(text) => text.parse::<ConsulDuration>().map_err(|_| Refusal::bad("Invalid wait time"))?.into(),
        };
        let index = match self.get("index") {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| Refusal::bad("Invalid index"))?,
        };
        let time = if time.is_zero() { DEFAULT_WAIT } else { time.min(LONGEST_WAIT) };
        // As Consul has it, so that queries that began together do not end together.
        let time = time + time.mul_f64(fastrand::f64() / 16.0);
        Ok((index > 0).then_some(Wait { index, time }))
    }
}

/// As in a form: `+` is a blank.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A number, or what Go says of a text that is none.
pub(super) fn go_number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fault = |what: &str| format!("strconv.ParseUint: parsing {text:?}: {what}");
    if !digits {
        return Err(fault("invalid syntax"));
    }
    text.parse().map_err(|_| fault("value out of range"))
}
