//! `lictor destroy`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::apply::{How, Purpose, Work};
use super::connect::Connect;
use super::error::CliError;
use super::show::Show;
use super::wish;
use crate::plan::state::{Limit, StatePolicy};

/// Delete what the specs declare, as far as it is their owner's
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs: files, folders, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How much may be deleted: a number, or a share of what the owner has
    #[arg(long, value_name = "N|N%", default_value = "100%")]
    max_delete: Limit,
    /// Destroy sessions that hold keys which are not destroyed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { paths, max_delete, force, how, show, connect } = arguments;
    let desired = wish::read(&paths)?;
    let (client, query) = connect.open_for(&desired.place)?;
    let policy = StatePolicy { max_delete, force, ..StatePolicy::default() };
    let run = how.reconciler(&client, &query, &policy);
    let datacenter = run.datacenter()?;
    let purpose = Purpose::Destroy;
    Work { first: &run, run: &run, datacenter: &datacenter, how: &how, show, saved: None, purpose }.apply(&desired)
}
