//! How to reach an agent: a client's complete settings.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The HTTP port of an agent where none is given: Consul's own default.
pub const DEFAULT_PORT: u16 = 8500;

/// How long a request may take where nothing else is said: 10 s, as Go's `consulapi` has it.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A text that must not be seen: a token, a password. `Debug` and `Display` show asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// `text`, with asterisks wherever this stands in it. A secret of less than four bytes is left: to mask a letter
    /// hides nothing, and leaves no text that can be read.
    pub fn mask(&self, text: &str) -> String {
        if self.0.len() < 4 { text.to_owned() } else { text.replace(&self.0, "********") }
    }

    /// The text itself, for the one place that has to send it, and the one that has to mask it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a TCP port.
    Tcp {
        /// TLS.
        https: bool,
        /// A name or an IP address; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { https, host, port } => {
                let scheme = if *https { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A client's settings, complete. Files that they name are read when the client is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agent.
    pub address: Address,
    /// The ACL token, sent as `X-Consul-Token`.
    pub token: Option<Secret>,
    /// `user:password` for basic authentication.
    pub auth: Option<Secret>,
    /// How long a request may take, further tries included.
    pub timeout: Duration,
    /// How the agent is recognised, and how it recognises us. Only for https.
    pub tls: TlsSettings,
}

impl Config {
    /// What must not be seen of these settings, in every form in which it is sent.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let sent = self.auth.as_ref().map(|auth| Secret(BASE64.encode(auth.reveal())));
        [self.token.clone(), self.auth.clone(), sent].into_iter().flatten().collect()
    }
}

impl Default for Config {
    /// `http://localhost:8500`, 10 s, no token; the environment is not read.
    fn default() -> Self {
        Self {
            address: Address::Tcp { https: false, host: "localhost".to_owned(), port: DEFAULT_PORT },
            token: None,
            auth: None,
            timeout: DEFAULT_TIMEOUT,
            tls: TlsSettings::default(),
        }
    }
}

/// TLS settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether the agent's certificate is checked at all.
    pub verify: bool,
    /// A PEM file, or a folder of them, with the authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files with our own certificate chain, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name to ask for and to verify, where it is not the address's host.
    pub server_name: Option<String>,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { verify: true, ca: None, client: None, server_name: None }
    }
}
