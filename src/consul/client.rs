//! The client: tries again where that is safe, turns statuses into errors and JSON into records.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::config::{Address, Config, DEFAULT_PORT, Secret};
use super::error::{Call, Error};
use super::list::RawList;
use super::query::QueryMeta;
use super::request::Request;
use super::transport::{Body, HttpTransport, Response, Transport};
use super::{Acl, Agent, Catalog, Events, Health, Kv, SessionApi, Status, Txn};

/// The first pause before another try is at most this long, each one after it at most twice the one before. A
/// leader is elected within a few seconds, so that a handful of tries spans it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How much of an answer that cannot be read is kept for the error, in bytes.
const KEPT: usize = 1_024;

/// A way to one agent. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Arc<dyn Transport>,
    /// True where the transport is the network, and another address needs another one.
    over_http: bool,
    address: String,
    config: Config,
    /// What must not appear in an error.
    secrets: Vec<Secret>,
}

impl Client {
    /// Makes a client. Nothing is sent yet; certificate files are read for https, and only then.
    ///
    /// # Errors
    /// [`Error::Config`] where the settings cannot work.
    pub fn new(config: Config) -> Result<Self, Error> {
        let transport = Arc::new(HttpTransport::new(&config)?);
        Ok(Self::of(config, transport, true))
    }

    /// A client whose requests are answered by `transport` in place of an agent: for your own tests.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use lictor::consul::{Client, Config, Error, Query, Request, Response, Transport};
    ///
    /// #[derive(Debug)]
    /// struct Fake;
    ///
    /// impl Transport for Fake {
    ///     fn send(&self, request: &Request, _: &str, _: Duration) -> Result<Response, Error> {
    ///         Ok(match request.path_and_query().as_str() {
    ///             "/v1/kv/config" => Response::json(
    ///                 200,
    ///                 &serde_json::json!([{
    ///                     "Key": "config", "Value": "b24=", "Flags": 0,
    ///                     "LockIndex": 0, "CreateIndex": 1, "ModifyIndex": 1
    ///                 }]),
    ///             ),
    ///             _ => Response::text(404, ""),
    ///         })
    ///     }
    /// }
    ///
    /// let client = Client::with_transport(Config::default(), Arc::new(Fake));
    /// let pair = client.kv().get("config", &Query::default())?.expect("it is there");
    /// assert_eq!(pair.text().expect("UTF-8"), "on");
    /// assert_eq!(client.kv().get("other", &Query::default())?, None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_transport(config: Config, transport: Arc<dyn Transport>) -> Self {
        Self::of(config, transport, false)
    }

    fn of(config: Config, transport: Arc<dyn Transport>, over_http: bool) -> Self {
        let (address, secrets) = (config.address.to_string(), config.secrets());
        Self { inner: Arc::new(Inner { transport, over_http, address, config, secrets }) }
    }

    /// A client with the same settings toward another agent: services are registered with the agent of their host.
    ///
    /// # Errors
    /// [`Error::Config`] where that address cannot work with these settings.
    pub fn at(&self, address: Address) -> Result<Self, Error> {
        let config = Config { address, ..self.inner.config.clone() };
        if self.inner.over_http {
            Self::new(config)
        } else {
            Ok(Self::with_transport(config, self.inner.transport.clone()))
        }
    }

    /// A client with the same settings toward the agent of another host: on the same port, over the same scheme; from a
    /// Unix socket, over HTTP on Consul's own port.
    ///
    /// # Errors
    /// As for [`at`](Self::at).
    pub fn at_host(&self, host: &str) -> Result<Self, Error> {
        let (https, port) = match self.inner.config.address {
            Address::Tcp { https, port, .. } => (https, port),
            Address::Unix(_) => (false, DEFAULT_PORT),
        };
        self.at(Address::Tcp { https, host: host.to_owned(), port })
    }

    /// The same client with another limit on how long a request may take, further tries included. It shares the
    /// connections.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let Inner { transport, over_http, config, .. } = &*self.inner;
        Self::of(Config { timeout, ..config.clone() }, transport.clone(), *over_http)
    }

    /// The same client with connections of its own, for a thread that sends much: threads that share connections wait for
    /// each other whenever one takes a connection or gives it back.
    #[must_use]
    pub fn apart(&self) -> Self {
        self.at(self.inner.config.address.clone()).unwrap_or_else(|_| self.clone())
    }

    /// The agent's address, for messages.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// How long a request may take, further tries included.
    pub fn timeout(&self) -> Duration {
        self.inner.config.timeout
    }

    /// `/v1/acl/`
    pub fn acl(&self) -> Acl<'_> {
        Acl(self)
    }

    /// `/v1/agent/`
    pub fn agent(&self) -> Agent<'_> {
        Agent(self)
    }

    /// `/v1/catalog/`
    pub fn catalog(&self) -> Catalog<'_> {
        Catalog(self)
    }

    /// `/v1/event/`
    pub fn events(&self) -> Events<'_> {
        Events(self)
    }

    /// `/v1/health/`
    pub fn health(&self) -> Health<'_> {
        Health(self)
    }

    /// `/v1/kv/`
    pub fn kv(&self) -> Kv<'_> {
        Kv(self)
    }

    /// `/v1/session/`
    pub fn session(&self) -> SessionApi<'_> {
        SessionApi(self)
    }

    /// `/v1/status/`
    pub fn status(&self) -> Status<'_> {
        Status(self)
    }

    /// `/v1/txn`
    pub fn txn(&self) -> Txn<'_> {
        Txn(self)
    }

    /// Sends `request` and reads the JSON that answers it.
    pub(super) fn read<T: DeserializeOwned>(&self, request: &Request) -> Result<(T, QueryMeta), Error> {
        self.decode(request, &self.send(request)?)
    }

    /// Sends `request`, and gives the list that answers it, not taken apart yet.
    pub(super) fn read_list<T: DeserializeOwned>(&self, request: Request) -> Result<RawList<T>, Error> {
        let (response, body) = self.repeatedly(&request, |left| self.open_once(&request, left))?;
        Ok(RawList::new(self.clone(), request, response, body))
    }

    /// Sends `request` and gives the JSON list of records that answers it as text, after `change`. The text is not
    /// copied on the way.
    pub(super) fn read_text(&self, request: &Request, change: fn(&mut [u8])) -> Result<Box<RawValue>, Error> {
        let mut body = self.send(request)?.body;
        change(&mut body);
        let undecodable = |body: &[u8], what: &str| self.undecodable(request, body, serde::de::Error::custom(what));
        let mut text = String::from_utf8(body).map_err(|error| undecodable(error.as_bytes(), "it is not UTF-8"))?;
        text.truncate(text.trim_end().len());
        let first = text.trim_start().strip_prefix('[').map(str::trim_start);
        if !first.is_some_and(|first| first.starts_with(['{', ']'])) {
            return Err(undecodable(text.as_bytes(), "it is no list of records"));
        }
        let start = text.get(..KEPT).unwrap_or(&text).to_owned();
        RawValue::from_string(text).map_err(|source| self.undecodable(request, start.as_bytes(), source))
    }

    fn undecodable(&self, request: &Request, body: &[u8], source: serde_json::Error) -> Error {
        let shown = body.get(..KEPT).unwrap_or(body);
        Error::Decode { call: self.call(request), body: self.text(shown), source }
    }

    /// Sends `request` and reads the JSON that answers it; the default where there is nothing (404). The headers count
    /// in either case: Consul says of an empty answer too that it is not complete.
    pub(super) fn read_or_default<T: DeserializeOwned + Default>(
        &self,
        request: &Request,
    ) -> Result<(T, QueryMeta), Error> {
        let response = self.exchange(request)?;
        if response.status == 404 {
            return Ok((T::default(), response.meta));
        }
        self.decode(request, &response)
    }

    /// Sends `request`, and gives each record of the JSON list that answers it to `take` as it is read, so that whoever
    /// keeps few holds few; none where there is nothing (404). Where the list ends before its time, some were given.
    pub(super) fn read_each<T: DeserializeOwned>(
        &self,
        request: &Request,
        take: &mut dyn FnMut(T),
    ) -> Result<QueryMeta, Error> {
        let response = self.exchange(request)?;
        if response.status != 404 {
            crate::json::read_each(&response.body, take)
                .map_err(|source| self.undecodable(request, &response.body, source))?;
        }
        Ok(response.meta)
    }

    /// Sends `request` once, within `timeout`, and reads the JSON that answers it; the default where there is nothing.
    pub(super) fn read_once<T: DeserializeOwned + Default>(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<(T, QueryMeta), Error> {
        let response = self.inner.transport.send(request, &self.inner.address, timeout)?;
        let response = self.success(request, response)?;
        if response.status == 404 {
            return Ok((T::default(), response.meta));
        }
        self.decode(request, &response)
    }

    /// Reads the JSON that answers `request`.
    pub(super) fn decode<T: DeserializeOwned>(
        &self,
        request: &Request,
        response: &Response,
    ) -> Result<(T, QueryMeta), Error> {
        crate::json::read(&response.body)
            .map(|value| (value, response.meta.clone()))
            .map_err(|source| self.undecodable(request, &response.body, source))
    }

    /// Sends `request` and gives its answer, which is a success.
    pub(super) fn send(&self, request: &Request) -> Result<Response, Error> {
        let response = self.exchange(request)?;
        if response.status == 404 { Err(self.refusal(request, &response)) } else { Ok(response) }
    }

    /// Sends `request`; again, until the time is up, where that may help and cannot harm. The answer is a success, or
    /// a 404.
    fn exchange(&self, request: &Request) -> Result<Response, Error> {
        self.repeatedly(request, |left| self.try_once(request, left))
    }

    fn repeatedly<R>(&self, request: &Request, attempt: impl Fn(Duration) -> Result<R, Error>) -> Result<R, Error> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut left = self.inner.config.timeout;
        loop {
            let error = match attempt(left) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Jitter, so that the modules of many hosts do not come back as one.
            let rest = pause.mul_f64(fastrand::f64());
            // A connection that breaks is not tried again here: what answers like that is mostly no Consul at all.
            let again = error.status().is_some() && error.is_retryable(request.is_repeatable());
            if !again || start.elapsed() + rest >= self.inner.config.timeout {
                return Err(error);
            }
            std::thread::sleep(rest);
            pause = (pause * 2).min(LONGEST_PAUSE);
            left = self.inner.config.timeout.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        }
    }

    /// Sends `request`, once.
    pub(super) fn try_once(&self, request: &Request, timeout: Duration) -> Result<Response, Error> {
        let answer = self.inner.transport.send(request, &self.inner.address, timeout);
        self.success(request, answer.map_err(|error| self.timed_out_in_all(error))?)
    }

    /// The same; of a success, the body is still to be read. A 404 is an error.
    fn open_once(&self, request: &Request, timeout: Duration) -> Result<(Response, Body), Error> {
        let answer = self.inner.transport.open(request, &self.inner.address, timeout);
        let (mut response, mut body) = answer.map_err(|error| self.timed_out_in_all(error))?;
        if (200..=299).contains(&response.status) {
            return Ok((response, body));
        }
        // What came of the reason is better than none.
        let _ = body.read_to_end(&mut response.body);
        let response = self.success(request, response)?;
        Err(self.refusal(request, &response))
    }

    /// For people, the time is up that all tries had, and not what the last of them had left.
    fn timed_out_in_all(&self, error: Error) -> Error {
        match error {
            Error::Timeout { call, .. } => Error::Timeout { call, after: self.inner.config.timeout },
            error => error,
        }
    }

    fn success(&self, request: &Request, response: Response) -> Result<Response, Error> {
        match response.status {
            200..=299 | 404 => Ok(response),
            status @ 300..=399 => Err(Error::Redirect {
                call: self.call(request),
                status,
                location: response.location.unwrap_or_default(),
            }),
            _ => Err(self.refusal(request, &response)),
        }
    }

    fn refusal(&self, request: &Request, response: &Response) -> Error {
        Error::Status { call: self.call(request), status: response.status, body: self.text(&response.body) }
    }

    /// A body as text, without our own secrets: a proxy may send back what it was sent.
    fn text(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body).into_owned();
        self.inner.secrets.iter().fold(text, |text, secret| secret.mask(&text))
    }

    fn call(&self, request: &Request) -> Box<Call> {
        Box::new(Call {
            method: request.method().as_str(),
            path: request.path_and_query(),
            address: self.address().to_owned(),
        })
    }
}

/// Turns "not found" into `None`, for reads of what need not exist.
pub(super) fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
