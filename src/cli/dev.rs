//! `lictor dev`

use std::net::SocketAddr;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::error::CliError;
use crate::dev::{Options, Server};

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
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { listen, node, datacenter } = arguments;
    let io = |what: String| move |source| CliError::Io { what, source };
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(io("cannot wait for signals".to_owned()))?;
    let server = Server::start(Options { listen, node, datacenter })
        .map_err(io(format!("cannot listen on {listen}; `--listen 127.0.0.1:0` takes any free port")))?;
    println!("Listening on http://{}", server.address());
    signals.forever().next();
    Ok(())
}
