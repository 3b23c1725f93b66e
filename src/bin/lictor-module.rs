//! The module protocol alone: the small file that Ansible copies to every host.
#![deny(unsafe_code)]

#[cfg(all(panic = "abort", target_os = "linux"))]
#[path = "../no_backtrace.rs"]
mod no_backtrace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    ExitCode::from(lictor::ansible::run(None, &program, arguments.next().as_deref()))
}
