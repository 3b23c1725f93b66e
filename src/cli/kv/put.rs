//! `lictor kv put`

use std::io::Read;

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::consul::check_value;
use crate::object::KeyContent;
use crate::plan::key::{DesiredKey, KeyChange, KeyPolicy};
use crate::reconcile::KeyReconciler;

/// Write a key, unless it has this value already; one that a session holds is left, unless forced
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The key
    key: String,
    /// The value; `-` for standard input
    value: String,
    /// The number that goes with it; it stays as it is where this is left out
    #[arg(long)]
    flags: Option<u64>,
    /// Only where the key is at this ModifyIndex; 0: only where it does not exist
    #[arg(long, value_name = "INDEX")]
    cas: Option<u64>,
    /// Write it although a session holds it
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let mut value = arguments.value.clone().into_bytes();
    if arguments.value == "-" {
        value.clear();
        std::io::stdin()
            .lock()
            .read_to_end(&mut value)
            .map_err(|source| CliError::io("cannot read standard input", source))?;
    }
    check_value(&arguments.key, &value).map_err(crate::consul::Error::from)?;
    let (client, query) = connect.open()?;
    let policy = KeyPolicy { force: arguments.force, session: None, cas: arguments.cas };
    let desired = DesiredKey::Present(KeyContent { value: Some(value), flags: arguments.flags });
    let report = KeyReconciler { client: &client, query: &query, policy: &policy }.apply(&arguments.key, &desired)?;
    let action = match report.change {
        None => "unchanged",
        Some(KeyChange::Create { .. }) => "created",
        Some(_) => "updated",
    };
    let index = report.pair.map(|pair| pair.modify_index);
    output.text(&json!({"action": action, "index": index}), &format!("{action}\t{}", arguments.key))
}
