//! `lictor diff`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::connect::Connect;
use super::error::{CliError, PENDING, REFUSED};
use super::policy::PolicyFlags;
use super::refused;
use super::show::Color;
use super::wish::{self, Wish};
use crate::reconcile::StateReconciler;
use crate::render::{self, PlanDocument};

/// Show line by line how Consul differs from the specs; nothing is written
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs: files, folders, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 2 where there are differences
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    policy: PolicyFlags,
    #[command(flatten)]
    color: Color,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Wish { desired, client, query, first } = wish::read_ahead(&arguments.paths, arguments.connect)?;
    let policy = arguments.policy.policy();
    let run = StateReconciler { first: first.as_ref(), ..StateReconciler::new(&client, &query, &policy) };
    let planned = run.plan(&desired)?;
    let document = PlanDocument::whole(&planned.plan, &desired, &run.datacenter()?);
    arguments.color.print(&render::diff(&document))?;
    refused::print_hints(&planned.plan.refusals);
    Ok(if !document.refused.is_empty() {
        ExitCode::from(REFUSED)
    } else if arguments.detailed_exitcode && !document.is_empty() {
        ExitCode::from(PENDING)
    } else {
        ExitCode::SUCCESS
    })
}
