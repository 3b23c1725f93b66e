//! `lictor service register`

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::duration::ConsulDuration;
use crate::object::{Check, ExternalNode, Refused, Service, ServiceSpec, Weights};
use crate::plan::service::{DesiredService, ServiceChange};
use crate::reconcile::ServiceReconciler;

/// Register a service, unless it is registered like this already
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lictor service register --name web --port 8080 --check-http http://localhost:8080/health
  lictor service register --file web.json

The file has the options of the module consul_service:
  {\"name\": \"web\", \"service_port\": 8080, \"checks\": [{\"ttl\": \"30s\"}, {\"tcp\": \"localhost:8080\", \"interval\": \"10s\"}]}")]
pub(super) struct Arguments {
    /// The name, which all of its instances share
    #[arg(long, required_unless_present = "file")]
    name: Option<String>,
    /// The id: what tells it from the other services of its node [default: the name]
    #[arg(long)]
    id: Option<String>,
    /// The port at which it is reached
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The address at which it is reached [default: its node's]
    #[arg(long)]
    address: Option<String>,
    /// A pair of metadata; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// Check it by this URL; without a check, those that it has stay
    #[arg(long, value_name = "URL")]
    check_http: Option<String>,
    /// How often to check it
    #[arg(long, value_name = "DURATION", default_value = "10s", requires = "check_http")]
    interval: ConsulDuration,
    /// A JSON file with the whole definition, in place of the flags; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "id", "port", "tags", "address", "meta", "check_http"])]
    file: Option<PathBuf>,
    /// A node without an agent for it to be on: it is registered in the catalog
    #[arg(long)]
    node: Option<String>,
    /// That node's address; a node that does not exist is made
    #[arg(long, value_name = "ADDRESS", requires = "node")]
    node_address: Option<String>,
}

/// A definition in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    id: Option<String>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    service_port: u16,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    #[serde(default)]
    enable_tag_override: bool,
    #[serde(default)]
    weights: Weights,
    checks: Option<Vec<Check>>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let Arguments { node, node_address, .. } = &arguments;
    let node = node.clone().map(|name| ExternalNode { name, address: node_address.clone(), meta: None });
    node.as_ref().map_or(Ok(()), ExternalNode::validate)?;
    let spec = arguments.definition()?.settle()?;
    let spec = if node.is_some() { spec.on_external_node()? } else { spec };
    let id = spec.service().id.clone();
    let (client, query) = super::open(connect, node.as_ref())?;
    let run = ServiceReconciler { client: &client, query: &query, node: node.as_ref() };
    let report = run.apply(&DesiredService::Present(spec))?;
    let action = match report.change {
        Some(ServiceChange::Register { .. }) => "registered",
        Some(_) => "updated",
        None if report.node_changed => "updated",
        None => "unchanged",
    };
    let document = json!({"action": action, "service": report.service, "checks": report.checks});
    output.text(&document, &format!("{action}\t{id}"))
}

impl Arguments {
    fn definition(self) -> Result<Definition, CliError> {
        if let Some(file) = &self.file {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(file)
            };
            let text = text.map_err(|source| CliError::io(format!("cannot read {}", file.display()), source))?;
            let fault = |error| CliError::usage(format!("{}: {error}", file.display()));
            return crate::json::read(text.as_bytes()).map_err(fault);
        }
        let mut meta = BTreeMap::new();
        meta.extend(self.meta);
        let interval = self.interval;
        let check = |url| Check { http: Some(url), interval: Some(interval), ..Check::default() };
        Ok(Definition {
            name: self.name.unwrap_or_default(),
            id: self.id,
            tags: self.tags.into_iter().collect(),
            address: self.address.unwrap_or_default(),
            service_port: self.port.unwrap_or_default(),
            meta,
            enable_tag_override: false,
            weights: Weights::default(),
            checks: self.check_http.map(|url| vec![check(url)]),
        })
    }
}

impl Definition {
    fn settle(self) -> Result<ServiceSpec, Refused> {
        let Self { name, id, tags, address, service_port: port, meta, enable_tag_override, weights, checks } = self;
        let id = id.unwrap_or_else(|| name.clone());
        ServiceSpec::new(Service { id, name, tags, address, port, meta, enable_tag_override, weights }, checks)
    }
}
