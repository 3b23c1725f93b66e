//! A way to an agent that breaks for good at some request, as if the program were killed there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lictor::consul::{Call, Client, Config, Error, QueryMeta, Request, Response, Transport};

use super::Agent;
use super::agent::http;

/// What becomes of the request at which it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It is not sent.
    Before,
    /// It is carried out, and the answer is lost.
    After,
}

/// Counts the requests, and breaks at one of them.
#[derive(Debug)]
pub struct Mortal {
    agent: String,
    http: ureq::Agent,
    sent: AtomicUsize,
    at: usize,
    how: Break,
}

impl Mortal {
    /// Breaks at the request of this number, from 0.
    pub fn new(agent: &Agent, at: usize, how: Break) -> Arc<Self> {
        Arc::new(Self { agent: agent.address(), http: http(), sent: AtomicUsize::new(0), at, how })
    }

    pub fn client(self: &Arc<Self>) -> Client {
        Client::with_transport(Config::default(), self.clone())
    }

    /// Whether it came to break.
    pub fn has_died(&self) -> bool {
        self.sent.load(Ordering::SeqCst) > self.at
    }
}

impl Transport for Mortal {
    fn send(&self, request: &Request, address: &str, _: Duration) -> Result<Response, Error> {
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        let call =
            Call { method: request.method().as_str(), path: request.path_and_query(), address: address.to_owned() };
        let dead = || Error::Connect { call: Box::new(call.clone()), source: "killed".into() };
        if number > self.at || (number == self.at && self.how == Break::Before) {
            return Err(dead());
        }
        let url = format!("http://{}{}", self.agent, request.path_and_query());
        let answer = match (request.method().as_str(), request.body_bytes()) {
            ("GET", _) => self.http.get(&url).call(),
            ("DELETE", _) => self.http.delete(&url).call(),
            ("POST", body) => self.http.post(&url).send(body.unwrap_or_default()),
            (_, body) => self.http.put(&url).send(body.unwrap_or_default()),
        };
        let mut answer = answer.expect("the agent answers");
        let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().expect("a body");
        if number == self.at {
            return Err(dead());
        }
        let index = answer.headers().get("x-consul-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let meta = QueryMeta { index, ..QueryMeta::default() };
        Ok(Response { status: answer.status().as_u16(), location: None, meta, body })
    }
}
