//! `lictor validate`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use crate::source;

/// Check specs, without a network: every fault of every file, with its place and what to write
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files of specs, folders of them (*.yaml, *.yml, *.json, also further down), or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let output = arguments.output;
    match source::desired(&arguments.paths, None) {
        Ok((state, files)) => {
            let objects = state.objects.len();
            let text = format!(
                "{} in {} {} valid",
                counted(objects, "object"),
                counted(files, "file"),
                if objects == 1 { "is" } else { "are" }
            );
            output.text(&json!({"valid": true, "objects": objects, "files": files, "faults": []}), &text)
        }
        Err(faults) if output.is_text() => Err(CliError::faults(faults)),
        Err(faults) => {
            output.text(&json!({"valid": false, "faults": faults}), "")?;
            Err(CliError::printed())
        }
    }
}

/// `1 file`, `2 files`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
