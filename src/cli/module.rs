//! `lictor module`

use std::process::ExitCode;

use clap::Args;

use crate::ansible;

/// Run a module as Ansible does: JSON arguments in, one JSON result out
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  echo '{\"name\": \"web-leader\", \"ttl\": \"30s\"}' | lictor module consul_session"
)]
pub(super) struct Arguments {
    /// The module
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(ansible::MODULES))]
    name: String,
    /// A file with the JSON arguments; `-` for standard input
    #[arg(default_value = "-")]
    file: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    ExitCode::from(ansible::run(Some(&arguments.name), "lictor", Some(&arguments.file)))
}
