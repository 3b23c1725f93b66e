//! `lictor schema`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::error::CliError;
use super::output::unprinted;

/// Print the JSON Schemas of specs, of saved plans, and of a module's arguments and result
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which schema to print; without one, the names are listed
    #[arg(value_parser = PossibleValuesParser::new(NAMES.lines()))]
    name: Option<String>,
    /// Write all of them into this folder, as NAME.json
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    dir: Option<PathBuf>,
}

/// The names of the schemas, a line each.
const NAMES: &str = include_str!("schemas.txt");

/// The schemas in the order of their names, a line each, compressed. Written by `make generate` from the types: to derive
/// them here would be the thirtieth part of the binary, and longer.
const SCHEMAS: &[u8] = include_bytes!("schemas.deflate");

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let schemas = miniz_oxide::inflate::decompress_to_vec(SCHEMAS).unwrap_or_default();
    for (name, schema) in NAMES.lines().zip(schemas.split(|byte| *byte == b'\n')) {
        let schema: Value = crate::json::read(schema).unwrap_or_default();
        let text = format!("{schema:#}\n");
        if let Some(dir) = &arguments.dir {
            let file = dir.join(format!("{name}.json"));
            std::fs::write(&file, text)
                .map_err(|source| CliError::io(format!("cannot write {}", file.display()), source))?;
        } else if arguments.name.as_deref() == Some(name) {
            std::io::stdout().lock().write_all(text.as_bytes()).map_err(unprinted)?;
        } else if arguments.name.is_none() {
            writeln!(std::io::stdout().lock(), "{name}").map_err(unprinted)?;
        }
    }
    Ok(())
}
