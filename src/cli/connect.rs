//! The flags that say how to reach the agent, by the names of Consul's own commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::consul::{Client, Query, Settings};
use crate::duration::ConsulDuration;
use crate::object::Place;
use crate::reconcile;

use super::error::CliError;

/// How to reach the agent. A flag that is absent takes its value from the `CONSUL_*` variable of HashiCorp's tools;
/// the token comes from CONSUL_HTTP_TOKEN, for a command line is seen by everybody on the machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connect {
    #[command(flatten)]
    reach: Reach,
    /// How long one request may take, further tries included
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s")]
    timeout: ConsulDuration,
}

/// The same for commands that wait, whose `--timeout` is about that.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Reach {
    /// The agent: host:port, a URL, or unix:///path [env: CONSUL_HTTP_ADDR] [default: localhost:8500]
    #[arg(long, global = true, value_name = "ADDRESS")]
    http_addr: Option<String>,
    /// The datacenter [default: the agent's own]
    #[arg(long, global = true, value_name = "NAME")]
    datacenter: Option<String>,
    /// The namespace, with Consul Enterprise [env: CONSUL_NAMESPACE]
    #[arg(long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// The admin partition, with Consul Enterprise [env: CONSUL_PARTITION]
    #[arg(long, global = true, value_name = "NAME")]
    partition: Option<String>,
    /// A file that holds the ACL token [env: CONSUL_HTTP_TOKEN_FILE; the token itself: CONSUL_HTTP_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A PEM file, or a folder of them, with the authorities to trust [env: CONSUL_CACERT, CONSUL_CAPATH]
    #[arg(long, global = true, value_name = "PATH")]
    ca_path: Option<PathBuf>,
    /// A PEM file with our own certificate [env: CONSUL_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// A PEM file with the certificate's key [env: CONSUL_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// The name to verify, where it is not the address's [env: CONSUL_TLS_SERVER_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    tls_server_name: Option<String>,
}

/// How long somebody waits who presses a key to have a word completed.
const BRIEFLY: ConsulDuration = ConsulDuration::from_secs(1);

impl Connect {
    /// The same, with little time.
    pub fn briefly(self) -> Self {
        Self { timeout: BRIEFLY, ..self }
    }

    /// Whether a datacenter was named.
    pub fn names_datacenter(&self) -> bool {
        self.reach.datacenter.is_some()
    }

    /// A client, and where its requests go, for specs that may name a place themselves.
    ///
    /// # Errors
    /// Where a flag or a variable says something else than the specs.
    pub fn open_for(self, place: &Place) -> Result<(Client, Query), CliError> {
        settled(self.open()?, place)
    }

    /// A client, and where its requests go.
    pub fn open(self) -> Result<(Client, Query), CliError> {
        self.reach.open(self.timeout.into())
    }
}

/// A client, and where its requests go in a place that specs name.
///
/// # Errors
/// Where a flag or a variable says something else than the specs.
pub(super) fn settled((client, mut query): (Client, Query), place: &Place) -> Result<(Client, Query), CliError> {
    reconcile::settle_place(&mut query, place)?;
    reconcile::trust_partition(&client, &query)?;
    Ok((client, query))
}

impl Reach {
    /// A client each of whose requests may take so long, and where they go.
    pub fn open(self, timeout: Duration) -> Result<(Client, Query), CliError> {
        let flags = Settings {
            host: self.http_addr,
            ca: self.ca_path,
            client_cert: self.client_cert,
            client_key: self.client_key,
            tls_server_name: self.tls_server_name,
            token_file: self.token_file,
            timeout: Some(timeout),
            namespace: self.namespace,
            partition: self.partition,
            ..Settings::default()
        };
        let settings = flags.or(Settings::from_variables(|name| std::env::var(name).ok())?);
        let query = Query {
            datacenter: self.datacenter,
            namespace: settings.namespace.clone(),
            partition: settings.partition.clone(),
            ..Query::default()
        };
        let client = Client::new(settings.into_config()?)?;
        reconcile::trust_partition(&client, &query)?;
        Ok((client, query))
    }
}
