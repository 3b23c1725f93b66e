//! `lictor catalog node`

use clap::Args;

use super::cell;
use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};
use crate::object::validate_path_name;

/// Show a node's services
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The node's name
    name: String,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let name = &arguments.name;
    validate_path_name("NAME", name)?;
    let (client, query) = connect.open()?;
    let Some(found) = client.catalog().node(name, &query)? else {
        return Err(CliError::not_found(format!("there is no node '{name}', or the token may not see it")));
    };
    let node = &found.node;
    let rows = found.services.values().map(|service| {
        let address = if service.address.is_empty() { &node.address } else { &service.address };
        let port = if service.port == 0 { String::new() } else { service.port.to_string() };
        let cells = [service.id.clone(), service.service.clone(), address.clone(), port, cell(&service.tags)];
        cells.map(or_dash).to_vec()
    });
    output.rows(&found, &["id", "service", "address", "port", "tags"], rows)
}
