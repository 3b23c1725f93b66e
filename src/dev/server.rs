//! The agent as a running server: it listens, and serves each connection.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;

use super::agent::Agent;
use super::http;
use super::probe;
use super::state::{Identity, uuid};

/// How long a connection may take to send a request's head, or may be idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause where no connection can be taken: too many are open.
const PAUSE: Duration = Duration::from_millis(50);

/// What the agent is to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// Its node's name.
    pub node: String,
    /// Its datacenter's name.
    pub datacenter: String,
}

impl Default for Options {
    /// `node1` in `dc1`, on loopback, on any port that is free.
    fn default() -> Self {
        Self { listen: ([127, 0, 0, 1], 0).into(), node: "node1".to_owned(), datacenter: "dc1".to_owned() }
    }
}

/// A running agent. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    agent: Agent,
    /// What serves it, in threads of its own; taken when it stops.
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts it: from here on it answers.
    ///
    /// # Errors
    /// The address is taken, or not of this machine.
    pub fn start(options: Options) -> io::Result<Self> {
        let Options { listen, node, datacenter } = options;
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let identity =
            Identity { datacenter, node, node_id: uuid(), address: address.ip().to_string(), port: address.port() };
        let agent = Agent::new(identity);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("lictor-dev").build()?;
        let listener = {
            let _runtime = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(serve(listener, agent.clone()));
        runtime.spawn(agent.clone().keep_time());
        runtime.spawn(probe::keep_checking(agent.clone()));
        Ok(Self { address, agent, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moves its clock ahead: what is due by then happens at once.
    pub fn advance(&self, by: Duration) {
        self.agent.advance(by);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Those who wait are not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, agent: Agent) {
    let router = Router::new().fallback(http::handle).with_state(agent);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true); // it is slower without
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .title_case_headers(true) // as Go writes them
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await; // the other side may hang up at any time
        });
    }
}
