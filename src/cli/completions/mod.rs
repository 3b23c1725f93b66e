//! `lictor completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Lictor;
use super::error::CliError;

/// Print the completions for a shell
///
/// Those for bash, fish and zsh complete the names of keys too, which they ask the agent for.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lictor completions bash > /etc/bash_completion.d/lictor")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Lictor::command(), "lictor", &mut script);
    let script = with_keys(arguments.shell, String::from_utf8_lossy(&script).into_owned());
    std::io::Write::write_all(&mut std::io::stdout().lock(), script.as_bytes()).map_err(super::output::unprinted)
}

/// `script`, and the completion of keys. What clap_complete generates knows the command line alone, not the agent.
fn with_keys(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script + include_str!("keys.bash"),
        Shell::Fish => script + include_str!("keys.fish"),
        Shell::Zsh => {
            let completed = |line: &str| {
                let is_key = ["':key -- ", "'::prefix -- "].iter().any(|start| line.starts_with(start));
                if is_key { line.replace(":_default'", ":_lictor_keys'") } else { line.to_owned() }
            };
            // The last lines run or register what is above them.
            let (above, last) = script.split_at(script.rfind("if [ \"$funcstack").unwrap_or(script.len()));
            let above: String = above.split_inclusive('\n').map(completed).collect();
            above + include_str!("keys.zsh") + last
        }
        _ => script,
    }
}
