//! `lictor session doctor`

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};
use crate::cli::validate::counted;
use crate::plan::doctor::Finding;
use crate::reconcile::{Diagnosed, Doctor, Owners};

/// Find sessions that never end, duplicates, those that hold nothing, and those near their end
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    scope: Scope,
}

/// Which sessions to look at.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// Only the sessions of this node
    #[arg(long)]
    pub node: Option<String>,
    /// Only sessions of this name
    #[arg(long)]
    pub name: Option<String>,
    /// Look for their locks among keys that begin with this only
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub lock_prefix: String,
}

/// A session with which something is wrong, as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    id: &'a str,
    name: &'a str,
    node: &'a str,
    findings: &'a BTreeSet<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    garbage: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let Scope { node, name, lock_prefix } = &arguments.scope;
    let doctor = Doctor { client: &client, query: &query, node: node.as_deref(), name: name.as_deref(), lock_prefix };
    let checkup = doctor.look(&Owners { client: &client, query: &query }.claims()?)?;
    eprintln!("{}; something to say about {}", counted(checkup.sessions, "session"), checkup.found.len());
    print(&checkup.found, output)
}

/// Prints what was found.
pub(super) fn print(found: &[Diagnosed], output: Output) -> Result<(), CliError> {
    let rows: Vec<Row<'_>> = found.iter().map(Row::from).collect();
    let cells = rows.iter().map(|row| {
        let findings: Vec<&str> = row.findings.iter().map(|finding| finding.text()).collect();
        [row.id, row.name, row.node, &findings.join(", "), row.owner.unwrap_or_default()]
            .map(|cell| or_dash(cell.to_owned()))
            .to_vec()
    });
    output.rows(&rows, &["id", "name", "node", "findings", "owner"], cells)
}

impl<'a> From<&'a Diagnosed> for Row<'a> {
    fn from(diagnosed: &'a Diagnosed) -> Self {
        let Diagnosed { entry, findings, owner } = diagnosed;
        Self {
            id: &entry.id,
            name: &entry.name,
            node: &entry.node,
            findings,
            owner: owner.as_deref(),
            garbage: diagnosed.is_garbage(),
        }
    }
}
