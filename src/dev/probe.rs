//! Makes the agent's checks: one over TCP connects, one over HTTP asks. TLS is left out: a check of an `https://` keeps the
//! status that it begins with.

use std::time::Duration;

use super::agent::Agent;
use super::state::{CRITICAL, LocalCheck, PASSING, Probe, WARNING};

/// The longest that a check takes where it does not say.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most of an answer that is kept, in bytes.
const MOST: u64 = 4_096;

/// Makes the checks that are due, for ever.
pub(super) async fn keep_checking(agent: Agent) {
    let mut changes = agent.changes();
    loop {
        changes.mark_unchanged();
        let (due, next) = agent.with(|state| (state.take_probes(), state.next_deadline()));
        for (id, local) in due {
            let agent = agent.clone();
            tokio::task::spawn_blocking(move || {
                if let Some((status, output)) = made(&local) {
                    agent.with(|state| state.found(&id, &local.probe, status, &output));
                }
            });
        }
        let rest = next.map_or(Duration::MAX, |at| at.saturating_sub(agent.now()));
        let _ = tokio::time::timeout(rest, changes.changed()).await;
    }
}

/// What a check finds.
fn made(local: &LocalCheck) -> Option<(&'static str, String)> {
    let patience = if local.timeout.is_zero() { PATIENCE } else { local.timeout };
    match &local.probe {
        Probe::Tcp(address) => Some(connected(address, patience)),
        Probe::Http { url, .. } if url.starts_with("http://") => Some(answered(&local.probe, patience)),
        _ => None,
    }
}

fn connected(address: &str, patience: Duration) -> (&'static str, String) {
    use std::net::{TcpStream, ToSocketAddrs};
    let connect = || {
        let mut last = std::io::Error::other("no such host");
        for one in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&one, patience) {
                Ok(_) => return Ok(()),
                Err(error) => last = std::io::Error::new(error.kind(), format!("{one}: {}", reason(&error))),
            }
        }
        Err(last)
    };
    match connect() {
        Ok(()) => (PASSING, format!("TCP connect {address}: Success")),
        Err(error) => (CRITICAL, format!("dial tcp {error}")),
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

fn answered(probe: &Probe, patience: Duration) -> (&'static str, String) {
    let Probe::Http { url, method, headers, body } = probe else { return (CRITICAL, String::new()) };
    let method = if method.is_empty() { "GET" } else { method.as_str() };
    let config = ureq::Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.body(body.clone()).map_err(ureq::Error::from).and_then(|request| agent.run(request));
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(ureq::Error::Io(error)) => return (CRITICAL, format!("{method} {url:?}: {}", reason(&error))),
        Err(error) => return (CRITICAL, format!("{method} {url:?}: {error}")),
    };
    let status = match answer.status().as_u16() {
        200..=299 => PASSING,
        429 => WARNING,
        _ => CRITICAL,
    };
    let text = answer.body_mut().with_config().limit(MOST).lossy_utf8(true).read_to_string().unwrap_or_default();
    (status, format!("HTTP {method} {url}: {} Output: {text}", answer.status()))
}
