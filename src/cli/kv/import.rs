//! `lictor kv import`

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::object::Refused;
use crate::plan::key::{KeyChange, KeyPolicy};
use crate::reconcile::KeyReconciler;

use super::entry;

/// Write the keys of a file that `kv export` or `consul kv export` made, and only those that differ
///
/// Each key is written only if it still is as it was when this looked, in transactions of up to 128 keys. The first key
/// that somebody else changed meanwhile stops it; the error says which keys were written by then. Keys that are not in
/// the file stay.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file; `-` for standard input
    file: PathBuf,
    /// Say what would be written, and write nothing
    #[arg(long)]
    check: bool,
    /// Write a key although a session holds it
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let file = arguments.file.display();
    let mut text = Vec::new();
    let read = if arguments.file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut text).map(drop)
    } else {
        std::fs::read(&arguments.file).map(|content| text = content)
    };
    read.map_err(|source| CliError::io(format!("cannot read {file}"), source))?;
    let (client, query) = connect.open()?;
    let desired = entry::parse(&text, &query).map_err(|error| Refused::new(format!("{file}: {error}")))?;
    drop(text);
    let policy = KeyPolicy { force: arguments.force, session: None, cas: None };
    let run = KeyReconciler { client: &client, query: &query, policy: &policy };
    let changes = run.foresee_all(&desired)?;
    if !arguments.check {
        run.apply_all(&changes)?;
    }
    let (created, updated): (Vec<_>, Vec<_>) =
        changes.iter().partition(|change| matches!(change, KeyChange::Create { .. }));
    let unchanged = desired.len() - changes.len();
    let counts = [("created", created.len()), ("updated", updated.len()), ("unchanged", unchanged)];
    let keys = |changes: Vec<&KeyChange>| changes.into_iter().map(|c| c.key().to_owned()).collect::<Vec<_>>();
    let (created, updated) = (keys(created), keys(updated));
    let document = json!({"check": arguments.check, "created": created, "updated": updated, "unchanged": unchanged});
    let mut rows: Vec<Vec<String>> = Vec::new();
    if arguments.check {
        let row = |action: &'static str| move |key: &String| vec![format!("would be {action}"), key.clone()];
        rows.extend(created.iter().map(row("created")).chain(updated.iter().map(row("updated"))));
    }
    let count = |(action, count): &(&str, usize)| vec![(*action).to_owned(), count.to_string()];
    rows.extend(counts.iter().map(count));
    output.rows(&document, &["action", "keys"], rows)
}
