//! What a case of the contract runs on: a real agent, or `lictor dev`. It speaks plain HTTP, and takes every answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::Options;
use super::{Agent, Dev};

/// The token that may do everything on a target of [`guarded`].
pub const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Real,
    Dev,
}

#[derive(Debug)]
enum Server {
    Real(Agent),
    Dev(Dev),
}

/// An agent, and the token that is sent to it.
#[derive(Clone, Debug)]
pub struct Target {
    server: Arc<Server>,
    address: String,
    token: Option<String>,
}

/// The target that cases share which keep to names of their own.
pub fn open(kind: Kind) -> Target {
    static REAL: OnceLock<Target> = OnceLock::new();
    static DEV: OnceLock<Target> = OnceLock::new();
    shared(&REAL, &DEV, kind, alone)
}

/// For cases in which time passes: those on `lictor dev` have one each, for each moves the clock.
pub fn timed(kind: Kind) -> Target {
    if kind == Kind::Real { open(kind) } else { alone(kind) }
}

/// A target that no other case sees.
pub fn alone(kind: Kind) -> Target {
    let server = match kind {
        Kind::Real => Server::Real(Agent::start(Options::default())),
        Kind::Dev => Server::Dev(Dev::start(&[])),
    };
    Target::new(server, None)
}

/// A target with ACLs, default deny; [`MASTER`] is sent unless another is asked for. Shared.
pub fn guarded(kind: Kind) -> Target {
    static REAL: OnceLock<Target> = OnceLock::new();
    static DEV: OnceLock<Target> = OnceLock::new();
    shared(&REAL, &DEV, kind, |kind| {
        let acl = json!({"acl": {
            "enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}
        }});
        let token = Some(MASTER.to_owned());
        let server = match kind {
            Kind::Real => {
                Server::Real(Agent::start(Options { config: acl, token: token.clone(), ..Options::default() }))
            }
            Kind::Dev => Server::Dev(Dev::start(&["--acl-default", "deny", "--acl-token", MASTER])),
        };
        Target::new(server, token)
    })
}

fn shared(real: &OnceLock<Target>, dev: &OnceLock<Target>, kind: Kind, start: fn(Kind) -> Target) -> Target {
    if kind == Kind::Real { real } else { dev }.get_or_init(|| start(kind)).clone()
}

impl Target {
    fn new(server: Server, token: Option<String>) -> Self {
        let address = match &server {
            Server::Real(agent) => agent.address(),
            Server::Dev(dev) => dev.address(),
        };
        Self { server: Arc::new(server), address, token }
    }

    /// The same agent, asked with another token, or with none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Its HTTP address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets time pass: it is slept on the real agent.
    pub fn pass(&self, time: Duration) {
        match &*self.server {
            Server::Real(_) => std::thread::sleep(time),
            Server::Dev(dev) => dev.pass(time),
        }
    }

    /// Sends a request below `/v1/`.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send_to(method, &format!("/v1/{path}"), headers, body)
    }

    /// Sends a request to wherever.
    #[track_caller]
    pub fn send_to(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let answer = match method {
            "PUT" | "POST" | "PATCH" => CLIENT.run(request.body(body).expect("a request")),
            _ => CLIENT.run(request.body(()).expect("a request")),
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec();
        Reply {
            request: format!("{method} {path}"),
            status: answer.status().as_u16(),
            headers: answer
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body: body.unwrap_or_else(|error| panic!("{method} {path}: {error}")),
        }
    }

    /// Reads.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// Writes. A text is sent as it stands, `null` as nothing, and everything else as JSON.
    #[track_caller]
    pub fn put(&self, path: &str, body: impl Into<Value>) -> Reply {
        let body = match body.into() {
            Value::Null => Vec::new(),
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        };
        self.send("PUT", path, &[], &body)
    }

    /// Deletes.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], b"")
    }

    /// Creates a session and gives its id.
    #[track_caller]
    pub fn session(&self, session: Value) -> String {
        self.put("session/create", session).ok()["ID"].as_str().expect("an id").to_owned()
    }

    /// One key, as Consul gives it.
    #[track_caller]
    pub fn key(&self, key: &str) -> Value {
        self.get(&format!("kv/{key}")).ok()[0].take()
    }

    /// Writes these bytes to a connection, and reads until it is closed.
    #[track_caller]
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(bytes).expect("to write");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("to read");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

static CLIENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
});

/// An answer.
#[derive(Clone)]
pub struct Reply {
    request: String,
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: status {}, {:?}, {:?}", self.request, self.status, self.headers, self.text())
    }
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, whatever the status.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as JSON; null where there is none.
    #[track_caller]
    pub fn json_or_null(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The body as JSON, of an answer with status 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}: {}", self.request, self.text());
        self.json()
    }

    /// Asserts the status and the whole of the text, but for the newline that some agents put behind JSON.
    #[track_caller]
    pub fn is(&self, status: u16, text: &str) -> &Self {
        let said = self.text();
        let said = said.strip_suffix('\n').unwrap_or(&said);
        assert_eq!((self.status, said), (status, text), "{}", self.request);
        self
    }

    /// A header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(has, _)| has.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The index of a read.
    #[track_caller]
    pub fn index(&self) -> u64 {
        let index = self.header("x-consul-index").unwrap_or_else(|| panic!("no index: {self:?}"));
        index.parse().unwrap_or_else(|error| panic!("{error}: {index}"))
    }
}
