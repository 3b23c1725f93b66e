//! `lictor service info`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::object::{ExternalNode, validate_path_name};
use crate::reconcile::ServiceReconciler;

/// Show a service and its checks: a line for the service, then one for each check
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service's id
    id: String,
    /// The node, for a service that is not the agent's own
    #[arg(long)]
    node: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let Arguments { id, node } = arguments;
    validate_path_name("the id", &id)?;
    let node = node.map(|name| ExternalNode { name, ..ExternalNode::default() });
    node.as_ref().map_or(Ok(()), ExternalNode::validate)?;
    let (client, query) = super::open(connect, node.as_ref())?;
    let found = ServiceReconciler { client: &client, query: &query, node: node.as_ref() }.read(&id)?;
    let Some((service, checks)) = found else {
        return Err(CliError::not_found(format!(
            "there is no service of the id '{id}'; `lictor service list` has them"
        )));
    };
    let lines = checks.iter().map(|check| {
        vec![check.check_id.clone(), check.name.clone(), check.status.clone(), check.kind.clone(), String::new()]
    });
    let rows: Vec<_> = std::iter::once(super::table::row(&service)).chain(lines).collect();
    output.rows(&json!({"service": service, "checks": checks}), &super::table::HEADINGS, rows)
}
