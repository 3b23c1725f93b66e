//! Sends one request and reads one answer. This room is the only one that names ureq.

mod socket;
mod whole;

use std::error::Error as StdError;
use std::fmt;
use std::io::{Cursor, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use ureq::http;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout, RustlsConnector};

use super::config::{Address, Config, Secret};
use super::error::{Call, ConfigError, Error};
use super::query::QueryMeta;
use super::request::Request;
use super::tls;
use socket::SocketConnector;

/// The header in which Consul 1.11 and later says that a list is not complete.
const FILTERED: &str = "x-consul-results-filtered-by-acls";

/// How many connections are kept for later requests: as many as there are requests under way at once in a large run. ureq
/// keeps 3, so that more threads than that would connect anew all the time.
const KEPT: usize = 64;

/// Sends a request and reads its answer. The network is one; a test can be another, see
/// [`Client::with_transport`](super::Client::with_transport).
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends `request` to the agent at `address` once, and reads the answer to its end, all within `timeout`. Every
    /// status is an answer.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Timeout`] or [`Error::Broken`], by what is known of the request.
    fn send(&self, request: &Request, address: &str, timeout: Duration) -> Result<Response, Error>;

    /// The same, but the body of the answer is still to be read, for whoever takes a long one apart while it comes.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    fn open(&self, request: &Request, address: &str, timeout: Duration) -> Result<(Response, Body), Error> {
        let mut response = self.send(request, address, timeout)?;
        let body = std::mem::take(&mut response.body);
        Ok((response, Box::new(Cursor::new(body))))
    }
}

/// A body that is still to be read: to its end, else its connection is not used again.
pub type Body = Box<dyn Read + Send>;

/// Over HTTP to one agent. Connections are kept and used again.
#[derive(Debug)]
pub(super) struct HttpTransport {
    agent: ureq::Agent,
    /// `scheme://authority` of the URIs; with another TLS server name, that name stands here.
    base: String,
    /// The authority for the Host header, where `base` has another.
    host: Option<String>,
    token: Option<Secret>,
    authorization: Option<Secret>,
    /// The agent's own timeout: with another one, its settings are copied for the request.
    timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Where a redirect points.
    pub location: Option<String>,
    /// What the headers say about the answer.
    pub meta: QueryMeta,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer of this status and JSON body, for tests.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_vec(body).unwrap_or_default(), ..Self::default() }
    }

    /// An answer of this status and text, as Consul's errors are, for tests.
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), ..Self::default() }
    }
}

impl HttpTransport {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false) // the reason is in the body
            .max_redirects(0) // Consul redirects odd keys to other keys
            .max_redirects_will_error(false)
            .max_idle_connections(KEPT)
            .max_idle_connections_per_host(KEPT)
            .timeout_global(Some(config.timeout))
            .proxy(None) // a proxy would see the token, and localhost is not its business
            .user_agent(concat!("lictor/", env!("CARGO_PKG_VERSION")));
        let mut host = None;
        let (agent, base) = match &config.address {
            Address::Unix(path) => {
                let connector = SocketConnector(Some(path.clone())).chain(whole::Whole);
                (ureq::Agent::with_parts(settings.build(), connector, Nowhere), "http://localhost".to_owned())
            }
            Address::Tcp { https: false, .. } => {
                let connector = SocketConnector(None).chain(whole::Whole);
                let agent = ureq::Agent::with_parts(settings.build(), connector, Lookup(None));
                (agent, config.address.to_string())
            }
            Address::Tcp { https: true, port, .. } => {
                let settings = settings.tls_config(tls_config(config)?).build();
                let connector = SocketConnector(None).chain(RustlsConnector::default()).chain(whole::Whole);
                let real = config.address.to_string();
                match &config.tls.server_name {
                    None => (ureq::Agent::with_parts(settings, connector, Lookup(None)), real),
                    // ureq verifies the URI's host: put the name there, and resolve the real address beside it.
                    Some(name) => {
                        let uri: http::Uri = real.parse().map_err(|_| invalid("host", &real))?;
                        let base = format!("https://{name}:{port}");
                        base.parse::<http::Uri>().map_err(|_| invalid("tls_server_name", name))?;
                        host = uri.authority().map(ToString::to_string);
                        (ureq::Agent::with_parts(settings, connector, Lookup(Some(uri))), base)
                    }
                }
            }
        };
        base.parse::<http::Uri>().map_err(|_| invalid("host", &base))?;
        let authorization =
            config.auth.as_ref().map(|auth| Secret::new(format!("Basic {}", BASE64.encode(auth.reveal()))));
        Ok(Self { agent, base, host, token: config.token.clone(), authorization, timeout: config.timeout })
    }

    fn timed<B: ureq::AsSendBody>(&self, request: http::Request<B>, timeout: Duration) -> http::Request<B> {
        if timeout == self.timeout {
            return request;
        }
        self.agent.configure_request(request).timeout_global(Some(timeout)).build()
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: &Request, address: &str, timeout: Duration) -> Result<Response, Error> {
        let whole = self.run(request, timeout).and_then(|(mut response, body)| {
            response.body = read_whole(body)?;
            Ok(response)
        });
        whole.map_err(|error| classify(error, call(request, address), timeout))
    }

    fn open(&self, request: &Request, address: &str, timeout: Duration) -> Result<(Response, Body), Error> {
        let (response, body) =
            self.run(request, timeout).map_err(|error| classify(error, call(request, address), timeout))?;
        Ok((response, Box::new(body.into_with_config().limit(u64::MAX).reader())))
    }
}

impl HttpTransport {
    /// Sends `request`, and reads the head of its answer.
    fn run(&self, request: &Request, timeout: Duration) -> Result<(Response, ureq::Body), ureq::Error> {
        let path = request.path_and_query();
        let mut builder =
            http::Request::builder().method(request.method().as_str()).uri(format!("{}{path}", self.base));
        for (name, value) in [("x-consul-token", &self.token), ("authorization", &self.authorization)] {
            if let Some(value) = value {
                builder = builder.header(name, value.reveal());
            }
        }
        if let Some(host) = &self.host {
            builder = builder.header("host", host);
        }
        let run = |builder: http::request::Builder| -> Result<http::Response<ureq::Body>, ureq::Error> {
            match (request.method(), request.body_bytes()) {
                (super::Method::Get | super::Method::Delete, _) => {
                    self.agent.run(self.timed(builder.body(())?, timeout))
                }
                // A slice has a known length: Consul ignores a body that comes in chunks.
                (super::Method::Put | super::Method::Post, body) => {
                    self.agent.run(self.timed(builder.body(body.unwrap_or_default())?, timeout))
                }
            }
        };
        let (parts, body) = run(builder)?.into_parts();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let response = Response {
            status: parts.status.as_u16(),
            location: header("location").map(ToOwned::to_owned),
            meta: QueryMeta {
                index: header("x-consul-index").and_then(|value| value.parse().ok()),
                known_leader: header("x-consul-knownleader").and_then(|value| value.parse().ok()),
                last_contact: header("x-consul-lastcontact").and_then(|value| value.parse().ok()),
                filtered_by_acls: header(FILTERED) == Some("true"),
            },
            body: Vec::new(),
        };
        Ok((response, body))
    }
}

fn call(request: &Request, address: &str) -> Box<Call> {
    let (method, path) = (request.method().as_str(), request.path_and_query());
    Box::new(Call { method, path, address: address.to_owned() })
}

/// Reads a body to its end: in parts, put together at last. A buffer that grows is copied each time, and what it leaves
/// behind would be a good part of the memory that a large answer takes.
fn read_whole(body: ureq::Body) -> Result<Vec<u8>, ureq::Error> {
    const SHORT: usize = 64 * 1024;
    const PART: usize = 1024 * 1024;
    // Most answers are short, and say how short: one more byte is room to see the end.
    let known = body.content_length().map_or(0, |length| usize::try_from(length).unwrap_or(PART).min(PART) + 1);
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let mut parts = Vec::new();
    let mut part = Vec::with_capacity(known);
    let mut room = SHORT.max(known);
    while reader.by_ref().take(room as u64).read_to_end(&mut part)? == room {
        parts.push(std::mem::replace(&mut part, Vec::with_capacity(PART)));
        room = PART;
    }
    if parts.is_empty() {
        return Ok(part);
    }
    let mut whole = Vec::with_capacity(parts.len() * PART + part.len());
    for part in parts.into_iter().chain([part]) {
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

fn invalid(setting: &'static str, value: &str) -> ConfigError {
    ConfigError::Invalid { setting, problem: format!("{value:?} makes no valid address") }
}

fn tls_config(config: &Config) -> Result<TlsConfig, ConfigError> {
    let roots = match &config.tls.ca {
        None => RootCerts::PlatformVerifier,
        Some(ca) => {
            let authorities = tls::authorities(ca)?;
            RootCerts::new_with_certs(
                &authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>(),
            )
        }
    };
    let client = match tls::identity(&config.tls)? {
        None => None,
        Some(identity) => {
            let chain: Vec<_> = identity.chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            let key = PrivateKey::from_pem(&identity.key_pem).map_err(|_| invalid("client_key", "the key"))?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(roots)
        .client_cert(client)
        .disable_verification(!config.tls.verify)
        .unversioned_rustls_crypto_provider(tls::provider())
        .build())
}

/// Sorts ureq's errors by what the caller must know: was anything sent, and may it have been carried out?
fn classify(error: ureq::Error, call: Box<Call>, after: Duration) -> Error {
    use ureq::Timeout;
    let connect = |source: Box<dyn StdError + Send + Sync>, call| Error::Connect { call, source };
    match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            connect(format!("no connection within {} s", after.as_secs_f64()).into(), call)
        }
        ureq::Error::Timeout(_) => Error::Timeout { call, after },
        ureq::Error::HostNotFound => connect("there is no host of that name".into(), call),
        error @ (ureq::Error::ConnectionFailed | ureq::Error::Tls(_) | ureq::Error::Rustls(_)) => {
            connect(error.into(), call)
        }
        ureq::Error::Other(error) if error.is::<LookupError>() => connect(error, call),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable
            | ErrorKind::NotFound
            | ErrorKind::PermissionDenied => connect(error.into(), call),
            ErrorKind::InvalidData if of_handshake(&error) => connect(error.into(), call),
            _ => Error::Broken { call, source: error.into() },
        },
        other => Error::Broken { call, source: other.into() },
    }
}

/// True for what TLS says before the agent has read anything: a certificate, on either side, that is not accepted, or
/// no TLS at all at the other end.
fn of_handshake(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        tls,
        Some(
            rustls::Error::AlertReceived(_)
                | rustls::Error::InvalidCertificate(_)
                | rustls::Error::InvalidMessage(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::PeerIncompatible(_)
        )
    )
}

/// A resolver for a Unix socket: there is nothing to look up.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _: &http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], 0).into());
        Ok(addresses)
    }
}

/// A resolver that looks up the URI's host, or this one in its place, and says so where that fails.
#[derive(Debug)]
struct Lookup(Option<http::Uri>);

/// The name could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct LookupError(std::io::Error);

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.0.as_ref().unwrap_or(uri);
        // An address needs no look-up, for which a thread would be started.
        if let Some(address) = literal(uri) {
            let mut addresses = self.empty();
            addresses.push(address);
            return Ok(addresses);
        }
        DefaultResolver::default().resolve(uri, config, timeout).map_err(|error| match error {
            ureq::Error::Io(error) => ureq::Error::Other(Box::new(LookupError(error))),
            error => error,
        })
    }
}

/// The address that the URI's host is, if it is one.
fn literal(uri: &http::Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    Some(SocketAddr::new(host.parse().ok()?, uri.port_u16()?))
}
