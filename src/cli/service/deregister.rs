//! `lictor service deregister`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::object::{ExternalNode, validate_service_id};
use crate::plan::service::DesiredService;
use crate::reconcile::ServiceReconciler;

/// Deregister services, with their checks
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The services' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// The node without an agent that they are on
    #[arg(long)]
    node: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    for id in &arguments.ids {
        validate_service_id("the id", id)?;
    }
    let node = arguments.node.map(|name| ExternalNode { name, ..ExternalNode::default() });
    node.as_ref().map_or(Ok(()), ExternalNode::validate)?;
    let (client, query) = super::open(connect, node.as_ref())?;
    let run = ServiceReconciler { client: &client, query: &query, node: node.as_ref() };
    let mut gone = Vec::new();
    for id in arguments.ids {
        if run.apply(&DesiredService::Absent { id: id.clone() })?.change.is_some() {
            gone.push(id);
        }
    }
    let text =
        if gone.is_empty() { "nothing to deregister".to_owned() } else { format!("deregistered\t{}", gone.join("\t")) };
    output.text(&json!({"deregistered": gone}), &text)
}
