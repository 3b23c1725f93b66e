//! `lictor catalog services`

use clap::Args;

use super::cell;
use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};

/// List the services that the token may see, with the tags of their instances
#[derive(Debug, Args)]
pub(super) struct Arguments;

pub(super) fn run(output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let mut services = client.catalog().services(&query)?;
    services.values_mut().for_each(|tags| tags.sort()); // Consul's order is another in each answer
    let rows = services.iter().map(|(name, tags)| vec![name.clone(), or_dash(cell(tags))]);
    output.rows(&services, &["service", "tags"], rows)
}
