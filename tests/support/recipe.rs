//! What the suites of locks, permits and leaders share: a client of the library, and the peer.

use std::process::{Command, Stdio};

use lictor::consul::{Client, Settings};

use super::{Agent, tool};

/// A client of the shared agent.
pub fn client() -> Client {
    client_at(&Agent::shared().address())
}

/// A client of the agent at `address`.
pub fn client_at(address: &str) -> Client {
    let settings = Settings { host: Some(address.to_owned()), ..Settings::default() };
    Client::new(settings.into_config().expect("settings")).expect("a client")
}

/// The real `consul lock`, whose command reads what we write.
pub fn consul_lock(flags: &[&str], path: &str, command: &[&str]) -> Command {
    let mut consul = Command::new(tool("consul"));
    consul
        .args(["lock", "-shell=false", "-pass-stdin", &format!("-http-addr={}", Agent::shared().address())])
        .args(flags)
        .arg(path)
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    consul
}
