//! `lictor kv rm`

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::plan::key::{DesiredKey, KeyPolicy};
use crate::reconcile::KeyReconciler;

/// Delete a key, or a tree; what a session holds is left, unless forced
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The key; with --recurse a prefix that ends in a slash
    key: String,
    /// Delete every key below the prefix
    #[arg(long, short)]
    recurse: bool,
    /// Only where the key is at this ModifyIndex
    #[arg(long, value_name = "INDEX", conflicts_with = "recurse")]
    cas: Option<u64>,
    /// Delete it although a session holds it
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let policy = KeyPolicy { force: arguments.force, session: None, cas: arguments.cas };
    let run = KeyReconciler { client: &client, query: &query, policy: &policy };
    let deleted: Vec<String> = if arguments.recurse {
        run.apply_tree_absent(&arguments.key)?.into_iter().map(|key| key.key.key).collect()
    } else {
        run.apply(&arguments.key, &DesiredKey::Absent)?.change.map(|_| arguments.key.clone()).into_iter().collect()
    };
    let text = match deleted.len() {
        0 => "nothing to delete".to_owned(),
        1 => "deleted\t1 key".to_owned(),
        count => format!("deleted\t{count} keys"),
    };
    output.text(&json!({"deleted": deleted}), &text)
}
