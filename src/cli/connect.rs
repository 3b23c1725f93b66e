//! The flags that say how to reach the agent, by the names of Consul's own commands.

use std::path::PathBuf;

use clap::Args;

use crate::consul::{Client, Query, Settings};
use crate::duration::ConsulDuration;
use crate::reconcile;

use super::error::CliError;

/// How to reach the agent. A flag that is absent takes its value from the `CONSUL_*` variable of HashiCorp's tools;
/// the token comes from CONSUL_HTTP_TOKEN, for a command line is seen by everybody on the machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connect {
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
    /// How long one request may take, further tries included
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s")]
    timeout: ConsulDuration,
}

impl Connect {
    /// Whether a datacenter was named.
    pub fn names_datacenter(&self) -> bool {
        self.datacenter.is_some()
    }

    /// A client, and where its requests go.
    pub fn open(self) -> Result<(Client, Query), CliError> {
        let flags = Settings {
            host: self.http_addr,
            ca: self.ca_path,
            client_cert: self.client_cert,
            client_key: self.client_key,
            tls_server_name: self.tls_server_name,
            token_file: self.token_file,
            timeout: Some(self.timeout.into()),
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
