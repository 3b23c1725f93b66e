//! A proxy in front of an agent, or in the place of one, that misbehaves on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lab::until;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Let the agent answer.
    Forward,
    /// Answer with these bytes, then close.
    Raw(Vec<u8>),
    /// Let the agent do it, and close without an answer.
    ForwardAndClose,
    /// Let the agent do it, and answer with these bytes all the same.
    ForwardAndSay(Vec<u8>),
    /// Let the agent answer this body in place of the one that came.
    Rewrite(String),
    /// Never answer.
    Hang,
}

/// An answer of this status and body.
pub fn status(status: u16, body: &str) -> Act {
    Act::Raw(answer(status, body))
}

/// The bytes of such an answer.
pub fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

/// A proxy. It ends with the test's process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    faults: Arc<Faults>,
}

/// How many requests are to fail yet.
#[derive(Debug, Default)]
struct Faults {
    reads: AtomicUsize,
    transactions: AtomicUsize,
}

impl Faults {
    /// What becomes of the next request. In turn: it is refused as by a server that cannot reach the leader, it is not sent,
    /// or it is done and nobody says so.
    fn act(&self, request: &str) -> Act {
        let left = match request {
            request if request.starts_with("GET") => &self.reads,
            "PUT /v1/txn" => &self.transactions,
            _ => return Act::Forward,
        };
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Err(_) => Act::Forward,
            Ok(left) if left % 3 == 0 => status(500, "rpc error making call: EOF"),
            Ok(left) if left % 3 == 2 => Act::Raw(Vec::new()),
            Ok(_) => Act::ForwardAndClose,
        }
    }
}

impl Proxy {
    /// Starts a proxy to `agent` (an address). `rule` sees each request's method and path, in their order.
    pub fn start(agent: &str, rule: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (rule, agent, log) = (Arc::new(rule), agent.to_owned(), seen.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rule, agent, log) = (rule.clone(), agent.clone(), log.clone());
                std::thread::spawn(move || serve(client, &agent, &*rule, &log));
            }
        });
        Self { port, seen, faults: Arc::default() }
    }

    /// A proxy that does no harm until [`fail`](Self::fail).
    pub fn faulty(agent: &str) -> Self {
        let faults = Arc::new(Faults::default());
        let rule = faults.clone();
        Self { faults, ..Self::start(agent, move |request| rule.act(request)) }
    }

    /// From now on so many reads fail, and as many transactions.
    pub fn fail(&self, count: usize) {
        self.faults.reads.store(count, Ordering::SeqCst);
        self.faults.transactions.store(count, Ordering::SeqCst);
    }

    /// Waits until all reads have failed that were to.
    pub fn reads_again(&self) {
        until("the reads do not all come", || self.faults.reads.load(Ordering::SeqCst) == 0);
    }

    /// Waits for a request that has this in it.
    pub fn has_seen(&self, part: &str) {
        until("no such request", || self.seen().iter().any(|request| request.contains(part)));
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The requests so far: method and path.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("the log").clone()
    }
}

fn serve(mut client: TcpStream, agent: &str, rule: &dyn Fn(&str) -> Act, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    log.lock().expect("the log").push(line.clone());
    let act = rule(&line);
    match &act {
        Act::Raw(bytes) => return client.write_all(bytes).ok(),
        Act::Hang => {
            std::thread::sleep(Duration::from_secs(3600));
            return None;
        }
        Act::Rewrite(other) => {
            head = head.replace(&format!("content-length: {length}"), &format!("content-length: {}", other.len()));
            body = other.clone().into_bytes();
        }
        Act::Forward | Act::ForwardAndClose | Act::ForwardAndSay(_) => {}
    }
    let mut upstream = TcpStream::connect(agent).ok()?;
    write!(upstream, "{head}Connection: close\r\n\r\n").ok()?;
    upstream.write_all(&body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    match act {
        Act::ForwardAndClose => None,
        Act::ForwardAndSay(bytes) => client.write_all(&bytes).ok(),
        _ => client.write_all(&answer).ok(),
    }
}
