//! `lictor catalog service`

use clap::Args;

use super::cell;
use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};
use crate::consul::{HealthCheck, ServiceEntry};
use crate::object::validate_path_name;

/// List a service's instances, and how each stands
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service's name
    name: String,
    /// Only instances with this tag; may be given several times: all have to match
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only instances of which every check passes
    #[arg(long)]
    passing: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    validate_path_name("NAME", &arguments.name)?;
    let (client, query) = connect.open()?;
    let mut instances = client.health().service(&arguments.name, arguments.passing, &query)?;
    instances.retain(|instance| instance.has_tags(&arguments.tags));
    crate::sort::by(&mut instances, |a, b| (&a.node.node, &a.service.id).cmp(&(&b.node.node, &b.service.id)));
    output.rows(&instances, &["node", "id", "address", "port", "status", "tags"], instances.iter().map(row))
}

fn row(instance: &ServiceEntry) -> Vec<String> {
    let ServiceEntry { node, service, checks } = instance;
    let address = if service.address.is_empty() { &node.address } else { &service.address };
    let port = if service.port == 0 { String::new() } else { service.port.to_string() };
    let status = status(checks).to_owned();
    [node.node.clone(), service.id.clone(), address.clone(), port, status, cell(&service.tags)].map(or_dash).to_vec()
}

/// The worst that any check says. A maintenance is a critical check that is known by its id.
fn status(checks: &[HealthCheck]) -> &'static str {
    let maintenance = |check: &HealthCheck| {
        check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:")
    };
    if checks.iter().any(maintenance) {
        return "maintenance";
    }
    let worst = ["critical", "warning"].into_iter().find(|status| checks.iter().any(|check| check.status == **status));
    worst.unwrap_or("passing")
}
