//! Acquiring and releasing a lock through the library, over one session, beside the two bare requests, `?acquire=` and
//! `?release=`, on a connection that is open already; ours are transactions, which also tell the token. Prints the median
//! seconds of both, as JSON. `benches/locks.py` runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use lictor::consul::{Client, Query, Settings};
use lictor::coordinate::{LOCK_FLAGS, Lock, Session, SessionOptions};

const ROUNDS: usize = 3_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::var("CONSUL_HTTP_ADDR")?;
    let settings = Settings { host: Some(address.clone()), ..Settings::default() };
    let client = Client::new(settings.into_config()?)?;
    let session = Session::start(&client, &Query::default(), &SessionOptions::default())?;
    let lock = Lock::new(&session, "bench/cycle/ours")?;
    let mut bare = Bare(BufReader::new(TcpStream::connect(&address)?));
    bare.0.get_ref().set_nodelay(true)?;
    let path = format!("/v1/kv/bench/cycle/bare?flags={LOCK_FLAGS}");
    let (acquire, release) = (format!("{path}&acquire={}", session.id()), format!("{path}&release={}", session.id()));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turn, so that what else the machine does falls on both alike.
    for _ in 0..ROUNDS {
        let start = Instant::now();
        lock.acquire()?.release()?;
        ours.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        bare.put(&acquire)?;
        bare.put(&release)?;
        theirs.push(start.elapsed().as_secs_f64());
    }
    println!("{{\"ours\": {}, \"bare\": {}}}", median(ours), median(theirs));
    session.release()?;
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// As little of HTTP as will do.
struct Bare(BufReader<TcpStream>);

impl Bare {
    fn put(&mut self, path: &str) -> std::io::Result<()> {
        let request = format!("PUT {path} HTTP/1.1\r\nHost: consul\r\nContent-Length: 0\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        assert!(body.starts_with(b"true"), "{path}: {}", String::from_utf8_lossy(&body));
        Ok(())
    }
}
