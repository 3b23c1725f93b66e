//! How people say where an agent is: options and variables, and the complete settings that they come to.

use std::path::PathBuf;
use std::time::Duration;

use super::config::{Address, Config, DEFAULT_PORT, DEFAULT_TIMEOUT, Secret, TlsSettings};
use super::error::ConfigError;

/// Settings as people give them: each may be absent, and [`or`](Self::or) fills the gaps from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A host name, `host:port`, a URL, or `unix:///path`.
    pub host: Option<String>,
    /// True where `host` was filled in by [`or`](Self::or): then `port` and `https` win over what it says.
    pub host_is_default: bool,
    /// The port, where `host` names none.
    pub port: Option<u16>,
    /// True for https, where `host` names no scheme.
    pub https: Option<bool>,
    /// Whether to check the agent's certificate.
    pub verify: Option<bool>,
    /// A PEM file or folder.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// The name to verify.
    pub tls_server_name: Option<String>,
    /// The token.
    pub token: Option<Secret>,
    /// A file that holds the token; it wins over `token`.
    pub token_file: Option<PathBuf>,
    /// `user:password`.
    pub auth: Option<Secret>,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The admin partition.
    pub partition: Option<String>,
}

impl Settings {
    /// The `CONSUL_*` variables, as HashiCorp's own client reads them. `variable` looks one up.
    ///
    /// # Errors
    /// Where a variable is set to what it cannot be.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let switch = |name: &'static str| text(name).map(|value| parse_bool(name, &value)).transpose();
        Ok(Self {
            host: text("CONSUL_HTTP_ADDR"),
            host_is_default: false,
            port: None,
            https: switch("CONSUL_HTTP_SSL")?,
            verify: switch("CONSUL_HTTP_SSL_VERIFY")?,
            ca: path("CONSUL_CACERT").or_else(|| path("CONSUL_CAPATH")),
            client_cert: path("CONSUL_CLIENT_CERT"),
            client_key: path("CONSUL_CLIENT_KEY"),
            tls_server_name: text("CONSUL_TLS_SERVER_NAME"),
            token: text("CONSUL_HTTP_TOKEN").map(Secret::new),
            token_file: path("CONSUL_HTTP_TOKEN_FILE"),
            auth: text("CONSUL_HTTP_AUTH").map(Secret::new),
            timeout: None,
            namespace: text("CONSUL_NAMESPACE"),
            partition: text("CONSUL_PARTITION"),
        })
    }

    /// These settings, the gaps filled from `defaults`. What belongs together is taken together: a token given here
    /// hides the token *file* there, and so for the certificate and its key.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        let own_token = self.token.is_some() || self.token_file.is_some();
        let (token, token_file) =
            if own_token { (self.token, self.token_file) } else { (defaults.token, defaults.token_file) };
        let own_cert = self.client_cert.is_some() || self.client_key.is_some();
        let (client_cert, client_key) =
            if own_cert { (self.client_cert, self.client_key) } else { (defaults.client_cert, defaults.client_key) };
        // The variable for https goes with the variable for the address, which says it louder.
        let https = if self.host.is_none() && names_scheme(&defaults.host) { None } else { defaults.https };
        Self {
            host_is_default: self.host.is_none(),
            host: self.host.or(defaults.host),
            port: self.port.or(defaults.port),
            https: self.https.or(https),
            verify: self.verify.or(defaults.verify),
            ca: self.ca.or(defaults.ca),
            client_cert,
            client_key,
            tls_server_name: self.tls_server_name.or(defaults.tls_server_name),
            token,
            token_file,
            auth: self.auth.or(defaults.auth),
            timeout: self.timeout.or(defaults.timeout),
            namespace: self.namespace.or(defaults.namespace),
            partition: self.partition.or(defaults.partition),
        }
    }

    /// The complete settings: defaults settled, the token file read.
    ///
    /// # Errors
    /// Where settings contradict each other, make no sense, or name a file that cannot be read.
    pub fn into_config(self) -> Result<Config, ConfigError> {
        let address = address(self.host.as_deref(), self.host_is_default, self.port, self.https)?;
        let token = match self.token_file {
            None => self.token,
            Some(file) => Some(read_token(&file)?),
        };
        if token.as_ref().is_some_and(|token| !token.reveal().bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(ConfigError::Invalid {
                setting: "token",
                problem: "holds a space, a newline or another character that no token has".to_owned(),
            });
        }
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.is_zero() {
            return Err(ConfigError::Invalid { setting: "timeout", problem: "is 0: give it some time".to_owned() });
        }
        let client = match (self.client_cert, self.client_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(ConfigError::Invalid {
                    setting: "client_cert",
                    problem: "a certificate and its key are required together: give client_cert and client_key"
                        .to_owned(),
                });
            }
        };
        Ok(Config {
            address,
            token,
            auth: self.auth,
            timeout,
            tls: TlsSettings {
                verify: self.verify.unwrap_or(true),
                ca: self.ca,
                client,
                server_name: self.tls_server_name,
            },
        })
    }
}

fn names_scheme(host: &Option<String>) -> bool {
    host.as_ref().is_some_and(|host| host.contains("://"))
}

fn read_token(file: &std::path::Path) -> Result<Secret, ConfigError> {
    let content = std::fs::read_to_string(file).map_err(|source| ConfigError::File {
        setting: "token_file",
        path: file.display().to_string(),
        source,
    })?;
    match content.trim() {
        "" => Err(ConfigError::Invalid { setting: "token_file", problem: format!("{} is empty", file.display()) }),
        token => Ok(Secret::new(token)),
    }
}

/// Reads a switch as Go's `strconv.ParseBool` does, for that is what HashiCorp's client does.
fn parse_bool(name: &'static str, value: &str) -> Result<bool, ConfigError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ConfigError::Invalid { setting: name, problem: format!("is {value:?}: write true or false") }),
    }
}

/// Puts an address together. A URL without a port means the scheme's own (80, 443), as it does to HashiCorp's
/// client; a bare host means [`DEFAULT_PORT`]. What `host` says of port and scheme contradicts the other options, or
/// gives way to them where it `yields`.
fn address(host: Option<&str>, yields: bool, port: Option<u16>, https: Option<bool>) -> Result<Address, ConfigError> {
    let invalid = |problem: String| ConfigError::Invalid { setting: "host", problem };
    let host = host.unwrap_or("localhost");
    if let Some(path) = host.strip_prefix("unix://") {
        return match path {
            "" => Err(invalid("names no socket: write unix:///path/to/socket".to_owned())),
            path => Ok(Address::Unix(path.into())),
        };
    }
    let (url_scheme, authority) = match host.split_once("://") {
        None => (None, host),
        Some(("http", rest)) => (Some(false), rest),
        Some(("https", rest)) => (Some(true), rest),
        Some((scheme, _)) => return Err(invalid(format!("has the scheme {scheme:?}: write http, https or unix"))),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains('@') {
        return Err(invalid("holds a user name or a password: give them in CONSUL_HTTP_AUTH".to_owned()));
    }
    if authority.contains(['/', '?', '#']) {
        // Not shown: Consul's own old way to give a token is a query.
        return Err(invalid("has a path or a query: Consul's API is at the root of an address".to_owned()));
    }
    // An IPv6 address stands in brackets where a port follows it, and may stand without them where none does.
    let bare_v6 = authority.parse::<std::net::Ipv6Addr>().is_ok();
    let (name, own_port) = match authority.rsplit_once(':') {
        Some((name, digits)) if !bare_v6 && !authority.ends_with(']') => {
            let port: u16 =
                digits.parse().map_err(|_| invalid(format!("{host:?} has no valid port: write 1 to 65535")))?;
            (name, Some(port))
        }
        _ => (authority, None),
    };
    if name.contains(':') && !name.starts_with('[') && !bare_v6 {
        return Err(invalid(format!(
            "{host:?} has two ports, or is an IPv6 address without brackets: write [::1]:8500"
        )));
    }
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let valid = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if name.is_empty() || !name.chars().all(valid) {
        return Err(invalid(format!("{host:?} is no host: write a name, an address, a URL or unix:///path")));
    }
    if let (Some(url), Some(option)) = (url_scheme, https)
        && url != option
        && !yields
    {
        return Err(invalid(format!("{host:?} and the scheme option contradict each other: give one of them")));
    }
    if let (Some(own), Some(option)) = (own_port, port)
        && own != option
        && !yields
    {
        return Err(invalid(format!("{host:?} and port {option} contradict each other: give one of them")));
    }
    let https = https.or(url_scheme).unwrap_or(false);
    let port = port.or(own_port).unwrap_or(match url_scheme {
        None => DEFAULT_PORT,
        Some(true) => 443,
        Some(false) => 80,
    });
    if port == 0 {
        return Err(invalid("the port is 0: write 1 to 65535".to_owned()));
    }
    Ok(Address::Tcp { https, host: name.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(host: Option<&str>, port: Option<u16>, https: Option<bool>) -> String {
        match address(host, false, port, https) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_way_to_write_an_address() {
        for (host, port, https, expected) in [
            (None, None, None, "http://localhost:8500"),
            (Some("consul"), Some(80), Some(true), "https://consul:80"),
            (Some("consul:1234"), None, None, "http://consul:1234"),
            (Some("http://consul:1234/"), None, None, "http://consul:1234"),
            (Some("https://consul"), None, None, "https://consul:443"),
            (Some("http://consul"), None, None, "http://consul:80"),
            (Some("https://consul"), Some(8501), None, "https://consul:8501"),
            (Some("::1"), None, None, "http://[::1]:8500"),
            (Some("[::1]:99"), None, None, "http://[::1]:99"),
            (Some("[::1]"), Some(98), None, "http://[::1]:98"),
            (Some("unix:///run/consul.sock"), None, None, "unix:///run/consul.sock"),
        ] {
            assert_eq!(parsed(host, port, https), expected);
        }
    }

    #[test]
    fn contradictions_and_nonsense_are_refused() {
        for (host, port, https, expected) in [
            ("http://a", None, Some(true), "contradict"),
            ("a:1", Some(2), None, "contradict"),
            ("ftp://a", None, None, "scheme"),
            ("http://u:secret@a", None, None, "CONSUL_HTTP_AUTH"),
            ("http://a/consul", None, None, "path"),
            ("a:70000", None, None, "port"),
            ("a:0", None, None, "port"),
            ("", None, None, "no host"),
            ("a b", None, None, "no host"),
            ("unix://", None, None, "socket"),
        ] {
            let message = parsed(Some(host), port, https);
            assert!(message.contains(expected), "{host}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn variables_fill_gaps_and_what_belongs_together_stays_together() {
        let variables = Settings::from_variables(|name| {
            Some(match name {
                "CONSUL_HTTP_ADDR" => "https://env:1".to_owned(),
                "CONSUL_HTTP_SSL_VERIFY" => "F".to_owned(),
                "CONSUL_HTTP_TOKEN_FILE" => "/nowhere".to_owned(),
                "CONSUL_NAMESPACE" => "team".to_owned(),
                _ => return None,
            })
        })
        .unwrap();
        let given = Settings { token: Some(Secret::new("t")), ..Settings::default() };
        let merged = given.or(variables);
        assert_eq!(merged.token_file, None, "a token that was given hides the file of the environment");
        assert_eq!(merged.namespace.as_deref(), Some("team"));
        let config = merged.into_config().unwrap();
        assert_eq!(config.address.to_string(), "https://env:1");
        assert!(!config.tls.verify);
    }

    #[test]
    fn an_option_wins_over_the_variable_for_the_address() {
        let variables = || {
            Settings::from_variables(|name| (name == "CONSUL_HTTP_ADDR").then(|| "https://env:1".to_owned())).unwrap()
        };
        let port = Settings { port: Some(2), ..Settings::default() };
        assert_eq!(port.or(variables()).into_config().unwrap().address.to_string(), "https://env:2");
        let scheme = Settings { https: Some(false), ..Settings::default() };
        assert_eq!(scheme.or(variables()).into_config().unwrap().address.to_string(), "http://env:1");
        let host = Settings { host: Some("mine".to_owned()), ..Settings::default() };
        assert_eq!(host.or(variables()).into_config().unwrap().address.to_string(), "http://mine:8500");
    }

    #[test]
    fn a_switch_that_is_none_is_refused_by_name() {
        let error = Settings::from_variables(|name| (name == "CONSUL_HTTP_SSL").then(|| "maybe".to_owned()));
        assert!(error.unwrap_err().to_string().starts_with("CONSUL_HTTP_SSL: is \"maybe\""));
    }

    #[test]
    fn a_secret_shows_asterisks() {
        let config = Config { token: Some(Secret::new("hush")), auth: Some(Secret::new("hush")), ..Config::default() };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
