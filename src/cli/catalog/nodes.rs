//! `lictor catalog nodes`

use clap::Args;

use super::cell;
use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};

/// List the nodes that the token may see
#[derive(Debug, Args)]
pub(super) struct Arguments;

pub(super) fn run(output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let nodes = client.catalog().nodes(&query)?;
    let rows = nodes.iter().map(|node| {
        let meta = cell(node.meta.iter().map(|(name, value)| format!("{name}={value}")));
        [node.node.clone(), node.address.clone(), node.datacenter.clone(), meta].map(or_dash).to_vec()
    });
    output.rows(&nodes, &["node", "address", "datacenter", "meta"], rows)
}
