//! The `lictor` command. Under a module's own name it is that module, as Ansible calls it.
#![deny(unsafe_code)]

#[cfg(all(panic = "abort", target_os = "linux"))]
mod no_backtrace;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let program = arguments.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    if lictor::ansible::is_module(&program) {
        let file = arguments.get(1).map(|file| file.to_string_lossy().into_owned());
        return ExitCode::from(lictor::ansible::run(None, &program, file.as_deref()));
    }
    lictor::cli::run(arguments)
}
