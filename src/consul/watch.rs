//! Blocking queries: an answer whenever there may be a new one, without polling.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::client::Client;
use super::error::Error;
use super::query::QueryMeta;
use super::request::Request;

/// How long the agent holds a query where nothing changes: Consul's own default is 5 minutes, which proxies and
/// firewalls that drop idle connections do not survive.
const WAIT: Duration = Duration::from_secs(60);

/// What we wait beyond what the agent does, for the answer to arrive.
const MARGIN: Duration = Duration::from_secs(5);

/// The pause after an answer without news, and the first after a failure. Twice as long each time after.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A blocking query, as an iterator that never ends: the first answer at once, each further one when there may be
/// news. The same answer may come twice; Consul wakes a query for changes nearby too.
///
/// # Guarantees
/// - The index rules of Consul's documentation hold: an index that goes backwards starts over, and after the first
///   answer no query is sent without an index; but behind one that failed, for whoever answers next may be another server,
///   or the same with less in it.
/// - Answers come no faster than Consul makes them, and a query that returns without news, or fails, is followed by
///   a pause, with jitter, of up to 15 s.
/// - Each query has its own deadline: its wait, the sixteenth part of it by which Consul spreads answers, and 5 s.
///
/// # Errors
/// An error is an item like any other: the next call of `next` tries again. Stop where you see fit.
///
/// # Caveats
/// Dropping it while another thread is in `next` does not end the request: it ends by its deadline.
#[derive(Debug)]
pub struct Watch<T> {
    client: Client,
    request: Request,
    wait: Duration,
    index: u64,
    pause: Duration,
    _answers: PhantomData<fn() -> T>,
}

impl<T> Watch<T> {
    pub(super) fn new(client: Client, request: Request) -> Self {
        Self { client, request, wait: WAIT, index: 0, pause: Duration::ZERO, _answers: PhantomData }
    }

    /// How long the agent holds a query where nothing changes; 60 s where nothing is said. Consul takes 10 minutes at
    /// most.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    fn query(&self) -> (Request, Duration) {
        if self.index == 0 {
            return (self.request.clone(), self.client.timeout());
        }
        let milliseconds = self.wait.as_millis().max(1);
        let request = self.request.clone();
        let request =
            request.parameter("index", &self.index.to_string()).parameter("wait", &format!("{milliseconds}ms"));
        (request, self.wait + self.wait / 16 + MARGIN)
    }

    /// Takes the index of an answer. True where it brings news.
    fn take_index(&mut self, index: Option<u64>) -> bool {
        let before = self.index;
        self.index = next_index(before, index);
        self.index != before
    }

    fn rest(&mut self) {
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        }
    }

    fn slow_down(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

/// The index to ask with, after an answer of this index.
fn next_index(before: u64, answered: Option<u64>) -> u64 {
    match answered {
        // An agent without indexes cannot block; ask from the start, and let the pauses bound the rate.
        None => 0,
        Some(index) if index < before => 0, // the state was restored, or the server is another
        Some(index) => index.max(1),        // 0 would not block
    }
}

impl<T: DeserializeOwned + Default> Iterator for Watch<T> {
    type Item = Result<(T, QueryMeta), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest();
        let (request, timeout) = self.query();
        let start = Instant::now();
        let answer = self.client.read_once(&request, timeout);
        match &answer {
            Ok((_, meta)) => {
                let held = start.elapsed() >= self.wait;
                if self.take_index(meta.index) || held { self.pause = Duration::ZERO } else { self.slow_down() }
            }
            Err(_) => {
                // Whoever answers next may know less than this index, and would wait for it in vain.
                self.index = 0;
                self.slow_down();
            }
        }
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::consul::{Config, Query, Response, Transport};

    /// Answers with an index, fails, and answers again.
    #[derive(Debug, Default)]
    struct Failing(Mutex<Vec<String>>);

    impl Transport for Failing {
        fn send(&self, request: &Request, _: &str, _: Duration) -> Result<Response, Error> {
            let mut seen = self.0.lock().unwrap();
            seen.push(request.path_and_query());
            let status = if seen.len() == 2 { 500 } else { 200 };
            let meta = QueryMeta { index: Some(70), ..QueryMeta::default() };
            Ok(Response { meta, ..Response::json(status, &Vec::<String>::new()) })
        }
    }

    #[test]
    fn behind_a_failure_it_starts_over() {
        let failing = Arc::new(Failing::default());
        let client = Client::with_transport(Config::default(), failing.clone());
        let watch = client.kv().watch("a", &Query::default()).unwrap();
        let answers: Vec<bool> = watch.take(3).map(|answer| answer.is_ok()).collect();
        assert_eq!(answers, [true, false, true]);
        let with_index: Vec<bool> = failing.0.lock().unwrap().iter().map(|path| path.contains("index=70")).collect();
        assert_eq!(with_index, [false, true, false]);
    }

    #[test]
    fn the_index_rules() {
        for (before, answered, next, why) in [
            (0, Some(7), 7, "the first answer"),
            (7, Some(7), 7, "no news"),
            (7, Some(9), 9, "news"),
            (9, Some(3), 0, "backwards: start over"),
            (0, Some(0), 1, "never 0 after the first"),
            (5, None, 0, "no index"),
        ] {
            assert_eq!(next_index(before, answered), next, "{why}");
        }
    }
}
