//! The connection options that every module shares.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::consul::{DEFAULT_TIMEOUT, Query, Secret, Settings};
use crate::duration::ConsulDuration;

use super::{Failure, Variables};

/// The URL scheme.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// How to reach the agent. An option that is absent takes its value from the `CONSUL_*` variable, then the default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Connection {
    /// The agent: a name or an address, `host:port`, a URL, or `unix:///path` for a Unix socket. A URL without a
    /// port means port 80 or 443.
    #[schemars(extend("default" = "localhost", "x-env" = "CONSUL_HTTP_ADDR"))]
    host: Option<String>,
    /// The agent's HTTP port.
    #[schemars(range(min = 1, max = 65535), extend("default" = 8500))]
    port: Option<i64>,
    /// Whether to speak TLS.
    #[schemars(extend("default" = "http", "x-env" = "CONSUL_HTTP_SSL"))]
    scheme: Option<Scheme>,
    /// Whether to check the agent's certificate.
    #[schemars(extend("default" = true, "x-env" = "CONSUL_HTTP_SSL_VERIFY"))]
    validate_certs: Option<bool>,
    /// A PEM file, or a folder of them, with the authorities to trust in place of the system's.
    #[schemars(extend("x-path" = true, "x-env" = "CONSUL_CACERT, CONSUL_CAPATH"))]
    ca_path: Option<PathBuf>,
    /// A PEM file with our own certificate, and its chain. Needs `client_key`.
    #[schemars(extend("x-path" = true, "x-env" = "CONSUL_CLIENT_CERT"))]
    client_cert: Option<PathBuf>,
    /// A PEM file with the certificate's key. Needs `client_cert`.
    #[schemars(extend("x-path" = true, "x-env" = "CONSUL_CLIENT_KEY"))]
    client_key: Option<PathBuf>,
    /// The name to ask for and to verify, where it is not that of `host`.
    #[schemars(extend("x-env" = "CONSUL_TLS_SERVER_NAME"))]
    tls_server_name: Option<String>,
    /// The ACL token. It is never shown.
    #[schemars(extend("x-no-log" = true, "x-env" = "CONSUL_HTTP_TOKEN"))]
    token: Option<String>,
    /// A file that holds the ACL token. Not together with `token`.
    #[schemars(extend("x-path" = true, "x-env" = "CONSUL_HTTP_TOKEN_FILE"))]
    token_file: Option<PathBuf>,
    /// The namespace (Consul Enterprise).
    #[schemars(extend("x-env" = "CONSUL_NAMESPACE"))]
    namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    #[schemars(extend("x-env" = "CONSUL_PARTITION"))]
    partition: Option<String>,
    /// How long one request may take, further tries included. Where a state waits for something, how long that may take.
    #[schemars(extend("default" = "10s"))]
    timeout: Option<ConsulDuration>,
}

impl Connection {
    /// What of a module's options is about the connection. Out of line: each module would have it anew.
    #[inline(never)]
    pub(super) fn read(options: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        Self::deserialize(options.clone())
    }

    /// For modules that wait: `timeout` is how long, and each request has its own. The default is the option's.
    pub(super) fn take_wait(&mut self) -> Duration {
        self.timeout.take().map_or(DEFAULT_TIMEOUT, Into::into)
    }

    /// The complete settings, and where requests go.
    ///
    /// # Errors
    /// In Ansible's words where options contradict each other.
    pub(super) fn settle(
        self,
        datacenter: Option<String>,
        variable: Variables<'_>,
    ) -> Result<(Settings, Query), Failure> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let file = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        if self.token.is_some() && self.token_file.is_some() {
            return Err(Failure::arguments("parameters are mutually exclusive: token|token_file"));
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err(Failure::arguments("parameters are required together: client_cert, client_key"));
        }
        let port = self.port.map(u16::try_from).transpose();
        let port = port.map_err(|_| Failure::arguments("port is out of range: write 1 to 65535"))?;
        let options = Settings {
            host: given(self.host),
            host_is_default: false,
            port,
            https: self.scheme.map(|scheme| matches!(scheme, Scheme::Https)),
            verify: self.validate_certs,
            ca: file(self.ca_path),
            client_cert: file(self.client_cert),
            client_key: file(self.client_key),
            tls_server_name: given(self.tls_server_name),
            token: given(self.token).map(Secret::new),
            token_file: file(self.token_file),
            auth: None,
            timeout: self.timeout.map(Into::into),
            namespace: given(self.namespace),
            partition: given(self.partition),
        };
        let settings = options.or(Settings::from_variables(variable)?);
        let query = Query {
            datacenter: given(datacenter),
            namespace: settings.namespace.clone(),
            partition: settings.partition.clone(),
            ..Query::default()
        };
        Ok((settings, query))
    }
}
