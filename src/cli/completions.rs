//! `lictor completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Lictor;
use super::error::CliError;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lictor completions bash > /etc/bash_completion.d/lictor")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Lictor::command(), "lictor", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map_err(super::output::unprinted)
}
