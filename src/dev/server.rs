//! The agent as a running server: it listens, and serves each connection.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;

use super::agent::Agent;
use super::fault::Faults;
use super::file::{FileError, StateFile};
use super::http;
use super::line::{Cut, Stream};
use super::probe;
use super::state::{Identity, State, uuid};

/// How long a connection may take to send a request's head, or may be idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// The least time between two writes of the state file.
const REST: Duration = Duration::from_millis(100);

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
    /// Where its state is kept; nowhere, where it is `None`.
    pub file: Option<PathBuf>,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// What no ACL rule is about is allowed, or is denied; `None`: there are no ACLs.
    pub acl_default: Option<AclDefault>,
    /// The secret of the token that may do everything, where there are ACLs. Without one, `/v1/acl/bootstrap` makes it.
    pub acl_token: Option<String>,
}

/// What holds where no ACL rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AclDefault {
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken, or not of this machine.
    #[error("cannot listen on {address}: {source}; `--listen 127.0.0.1:0` takes any free port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The state file is not to be relied on.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Default for Options {
    /// `node1` in `dc1`, on loopback, on any port that is free.
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            node: "node1".to_owned(),
            datacenter: "dc1".to_owned(),
            file: None,
            faults: Faults::default(),
            acl_default: None,
            acl_token: None,
        }
    }
}

/// A running agent. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    agent: Agent,
    file: Option<Arc<StateFile>>,
    /// What serves it, in threads of its own; taken when it stops.
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts it: from here on it answers.
    ///
    /// # Errors
    /// The address is taken, or not of this machine; or the state file is not to be relied on.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { listen, node, datacenter, file, faults, acl_default, acl_token } = options;
        let failed = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let identity =
            Identity { datacenter, node, node_id: uuid(), address: address.ip().to_string(), port: address.port() };
        let mut state = State::new(identity);
        if let Some(default) = acl_default {
            let created = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
            state.enable_acls(default == AclDefault::Allow, acl_token.as_deref(), &created);
        }
        let file = file.map(|file| StateFile::open(&file)).transpose()?.map(Arc::new);
        if let Some(file) = &file {
            file.load(&mut state)?;
            file.save(|| state.keep())?; // who cannot write it is to know now
        }
        let agent = Agent::new(state, faults);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("lictor-dev").build();
        let runtime = runtime.map_err(failed)?;
        let listener = {
            let _runtime = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(failed)?
        };
        runtime.spawn(serve(listener, agent.clone()));
        runtime.spawn(agent.clone().keep_time());
        runtime.spawn(probe::keep_checking(agent.clone()));
        if let Some(file) = &file {
            runtime.spawn(keep(file.clone(), agent.clone()));
        }
        Ok(Self { address, agent, file, runtime: Some(runtime) })
    }

    /// Stops it, and keeps its state.
    ///
    /// # Errors
    /// The state file cannot be written.
    pub fn stop(mut self) -> Result<(), FileError> {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PAUSE); // what is being answered is done
        }
        self.file.take().map_or(Ok(()), |file| file.close(|| self.agent.with(|state| state.keep())))
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
        let (router, cut) = (TowerToHyperService::new(router.clone()), Cut::default());
        let stream = TokioIo::new(Stream { stream, cut: cut.clone() });
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(cut.clone());
            router.call(request)
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .title_case_headers(true) // as Go writes them
                .half_close(true) // who has nothing more to say is answered
                .header_read_timeout(PATIENCE)
                .serve_connection(stream, service);
            let _ = connection.await; // the other side may hang up at any time
        });
    }
}

/// Writes the state down after each change, though not for more than half of the time.
async fn keep(file: Arc<StateFile>, agent: Agent) {
    let mut changes = agent.changes();
    let mut told = false;
    while changes.changed().await.is_ok() {
        let start = Instant::now();
        let (file, agent) = (file.clone(), agent.clone());
        let saved = tokio::task::spawn_blocking(move || file.save(|| agent.with(|state| state.keep()))).await;
        if let Ok(Err(error)) = &saved
            && !told
        {
            eprintln!("warning: {error}; it is tried again at the next change");
        }
        told = matches!(saved, Ok(Err(_)));
        tokio::time::sleep(start.elapsed().max(REST)).await;
    }
}
