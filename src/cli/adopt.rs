//! `lictor adopt`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::apply::{How, Purpose, Work};
use super::connect::Connect;
use super::error::CliError;
use super::show::Show;
use super::wish;
use crate::plan::state::{Adopt, StatePolicy};

/// Take over what the specs declare and exists already; nothing but the owners' records is changed
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs: files, folders, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take over from other owners too
    #[arg(long)]
    from_others: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { paths, from_others, how, show, connect } = arguments;
    let desired = wish::read(&paths)?;
    let (client, query) = connect.open_for(&desired.place)?;
    let adopt = if from_others { Adopt::All } else { Adopt::Unowned };
    let policy = StatePolicy { adopt, ..StatePolicy::default() };
    let run = how.reconciler(&client, &query, &policy);
    let datacenter = run.datacenter()?;
    let purpose = Purpose::Adopt;
    Work { first: &run, run: &run, datacenter: &datacenter, how: &how, show, saved: None, purpose }.apply(&desired)
}
