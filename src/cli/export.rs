//! `lictor export`

use clap::Args;

use super::connect::Connect;
use super::error::CliError;
use super::show;
use crate::object::{Place, validate_owner};
use crate::reconcile::{self, Owners, Selection};
use crate::spec;

/// Print a spec of what is there: planning it finds nothing to do
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Sessions; without any of these three, everything
    #[arg(long)]
    sessions: bool,
    /// The keys that begin with this
    #[arg(long, value_name = "PREFIX")]
    keys: Option<String>,
    /// Services
    #[arg(long)]
    services: bool,
    /// Whose objects they are to be [default: the only owner that there is, else `exported`]
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// How to print the spec
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "yaml")]
    format: show::Document,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { sessions, keys, services, owner, format, connect } = arguments;
    let everything = !sessions && keys.is_none() && !services;
    owner.as_deref().map_or(Ok(()), validate_owner)?;
    let (client, query) = connect.open()?;
    let owner = match owner {
        Some(owner) => owner,
        None => {
            let mut owners = Owners { client: &client, query: &query }.list()?.into_keys();
            owners.next().filter(|_| owners.next().is_none()).unwrap_or_else(|| "exported".to_owned())
        }
    };
    let selection = Selection {
        sessions: sessions || everything,
        keys: keys.or_else(|| everything.then(String::new)),
        services: services || everything,
    };
    let place = Place {
        datacenter: query.datacenter.clone(),
        namespace: query.namespace.clone(),
        partition: query.partition.clone(),
    };
    let export = reconcile::export(&client, &query, &owner, &place, &selection)?;
    for left_out in &export.left_out {
        eprintln!("left out: {left_out}");
    }
    format.print(&spec::document(&export.state))
}
