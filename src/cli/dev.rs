//! `lictor dev`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::error::CliError;
use crate::dev::{AclDefault, Faults, Options, Server};
use crate::object::SessionId;

/// Run an agent in memory that speaks Consul's HTTP API, to try things without Consul
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it listens; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8500")]
    listen: SocketAddr,
    /// The name of its node
    #[arg(long, value_name = "NAME", default_value = "node1")]
    node: String,
    /// The name of its datacenter
    #[arg(long, value_name = "NAME", default_value = "dc1")]
    datacenter: String,
    /// Keep the state in this file, and begin with what is in it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What goes wrong on purpose, such as latency=200ms@10%,500=5%,reset=1%,leaderless=3s@30s
    #[arg(long, value_name = "FAULTS", default_value = "", hide_default_value = true)]
    fault: Faults,
    /// Ask for ACL tokens; what no rule is about is allowed, or denied
    #[arg(long, value_name = "POLICY", value_parser = ["allow", "deny"])]
    acl_default: Option<String>,
    /// The secret of the ACL token that may do everything; without it, PUT /v1/acl/bootstrap gives one
    #[arg(long, value_name = "UUID", requires = "acl_default", value_parser = uuid)]
    acl_token: Option<String>,
}

/// Tokens are UUIDs.
fn uuid(text: &str) -> Result<String, String> {
    match SessionId::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a UUID, such as 6f1ed002-ab55-9585-9014-ebf0951522d9".to_owned()),
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { listen, node, datacenter, file, fault: faults, acl_default, acl_token } = arguments;
    let acl_default = acl_default.map(|policy| if policy == "allow" { AclDefault::Allow } else { AclDefault::Deny });
    let unheard = |source| CliError::io("cannot wait for signals", source);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(unheard)?;
    let server = Server::start(Options { listen, node, datacenter, file, faults, acl_default, acl_token })?;
    if !listen.ip().is_loopback() {
        eprintln!("warning: others can reach {}: nothing but ACL tokens keeps them from writing", server.address());
    }
    println!("Listening on http://{}", server.address());
    signals.forever().next();
    Ok(server.stop()?)
}
