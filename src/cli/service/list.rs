//! `lictor service list`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::object::ExternalNode;
use crate::reconcile::ServiceReconciler;

/// List the services of the agent, or of a node
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Those that the catalog has for this node, in place of the agent's own
    #[arg(long)]
    node: Option<String>,
    /// Only those of this name
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let node = arguments.node.map(|name| ExternalNode { name, ..ExternalNode::default() });
    node.as_ref().map_or(Ok(()), ExternalNode::validate)?;
    let (client, query) = super::open(connect, node.as_ref())?;
    let mut services = ServiceReconciler { client: &client, query: &query, node: node.as_ref() }.list()?;
    if let Some(name) = arguments.name {
        services.retain(|service| service.service == name);
    }
    output.rows(&services, &super::table::HEADINGS, services.iter().map(super::table::row))
}
