//! `lictor plan`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::connect::Connect;
use super::error::{CliError, PENDING, REFUSED};
use super::policy::PolicyFlags;
use super::refused;
use super::saved_plan::SavedPlan;
use super::show::Show;
use super::wish::{self, Wish};
use crate::reconcile::StateReconciler;
use crate::render::PlanDocument;

/// Show what would be done so that Consul agrees with the specs; nothing is written
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs: files, folders, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Save the plan, for `lictor apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 2 where there are changes
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    policy: PolicyFlags,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Wish { desired, client, query, first } = wish::read_ahead(&arguments.paths, arguments.connect)?;
    let policy = arguments.policy.policy();
    let run = StateReconciler { first: first.as_ref(), ..StateReconciler::new(&client, &query, &policy) };
    let planned = run.plan(&desired)?;
    let datacenter = run.datacenter()?;
    let document = PlanDocument::new(&planned.plan, &desired, &datacenter);
    if let Some(file) = &arguments.out {
        SavedPlan::new(&desired, &policy, run.cluster()?, planned.record_index(), document.clone()).write(file)?;
    }
    arguments.show.plan(&document)?;
    refused::print_hints(&planned.plan.refusals);
    Ok(if !document.refused.is_empty() {
        ExitCode::from(REFUSED)
    } else if arguments.detailed_exitcode && !document.is_empty() {
        ExitCode::from(PENDING)
    } else {
        ExitCode::SUCCESS
    })
}
