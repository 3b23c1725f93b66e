//! Reads that are sent before anybody asks for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::Error;
use super::request::{Method, Request};
use super::transport::{Response, Transport};

/// The answer to a read, once it has come.
type Answer = JoinHandle<Result<Response, Error>>;

/// A transport that has sent some reads already. Each of them answers one request, the first that is the same; every other
/// one is sent.
#[derive(Debug)]
pub(super) struct Ahead {
    transport: Arc<dyn Transport>,
    /// By path and query.
    underway: Mutex<HashMap<String, Answer>>,
}

impl Ahead {
    /// Sends `reads` to `address`, all at once.
    pub fn new(transport: Arc<dyn Transport>, reads: Vec<Request>, address: &str, timeout: Duration) -> Self {
        let reads = reads.into_iter().filter(|read| read.method() == Method::Get);
        let send = |read: Request| {
            let (transport, address, path) = (transport.clone(), address.to_owned(), read.path_and_query());
            (path, std::thread::spawn(move || transport.send(&read, &address, timeout)))
        };
        let underway = Mutex::new(reads.map(send).collect());
        Self { transport, underway }
    }
}

impl Transport for Ahead {
    fn send(&self, request: &Request, address: &str, timeout: Duration) -> Result<Response, Error> {
        let early = || self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.path_and_query());
        match (request.method() == Method::Get).then(early).flatten().map(JoinHandle::join) {
            Some(Ok(answer)) => answer,
            _ => self.transport.send(request, address, timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::{Client, Config, Query};

    /// Answers a request with its path, as often as it has come.
    #[derive(Debug, Default)]
    struct Counting(Mutex<Vec<String>>);

    impl Transport for Counting {
        fn send(&self, request: &Request, _: &str, _: Duration) -> Result<Response, Error> {
            let mut seen = self.0.lock().unwrap();
            seen.push(request.path_and_query());
            let same: Vec<&String> = seen.iter().filter(|path| **path == request.path_and_query()).collect();
            Ok(Response::json(200, &same))
        }
    }

    #[test]
    fn a_read_that_was_sent_ahead_answers_once_and_only_what_is_the_same() {
        let (counting, query) = (Arc::new(Counting::default()), Query::default());
        let plain = Client::with_transport(Config::default(), counting.clone());
        let count = |client: &Client, prefix: &str| client.kv().keys(prefix, None, &query).unwrap().len();
        let ahead = plain.reading_ahead(vec![Request::get_kv("a/").with(&query).flag("keys")]);
        assert_eq!([count(&ahead, "b/"), count(&ahead, "a/")], [1, 1]);
        assert_eq!(counting.0.lock().unwrap().len(), 2);
        assert_eq!([count(&plain, "a/"), count(&ahead, "a/")], [2, 3]);
    }
}
