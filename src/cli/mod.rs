//! A face: the commands of `lictor`, one file a verb.

mod agent;
mod catalog;
mod completions;
mod connect;
mod error;
mod kv;
mod module;
mod output;
mod schema;
mod service;
mod session;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::{CliError, USAGE};

/// Makes a Consul cluster agree with what was declared: sessions and services, once and safely.
#[derive(Debug, Parser)]
#[command(name = "lictor", version, arg_required_else_help = true)]
struct Lictor {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Session(Box<session::Arguments>),
    Agent(Box<agent::Arguments>),
    Catalog(Box<catalog::Arguments>),
    Kv(Box<kv::Arguments>),
    Service(Box<service::Arguments>),
    Module(module::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
}

/// Runs the command that `arguments` (the program's name first) stand for.
///
/// Exit codes: 0 done, 1 failed, 3 refused as too dangerous (nothing was written), 64 wrong usage.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let lictor = match Lictor::try_parse_from(arguments) {
        Ok(lictor) => lictor,
        Err(error) => {
            let _ = error.print(); // nobody is left to tell where the stream is closed
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let done = match lictor.verb {
        Verb::Session(arguments) => session::run(*arguments),
        Verb::Agent(arguments) => agent::run(*arguments),
        Verb::Catalog(arguments) => catalog::run(*arguments),
        Verb::Kv(arguments) => kv::run(*arguments),
        Verb::Service(arguments) => service::run(*arguments),
        Verb::Module(arguments) => return module::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
    };
    done.map_or_else(CliError::report, |()| ExitCode::SUCCESS)
}
