//! A face: the commands of `lictor`, one file a verb.

mod adopt;
mod agent;
mod apply;
mod ask;
mod catalog;
mod complete_key;
mod completions;
mod connect;
#[cfg(feature = "dev")]
mod demo;
mod destroy;
#[cfg(feature = "dev")]
mod dev;
mod diff;
mod elect;
mod error;
mod export;
mod fence;
mod kv;
mod lock;
mod module;
mod output;
mod owner;
mod party;
mod plan;
mod policy;
mod progress;
mod refused;
mod renew;
mod saved_plan;
mod schema;
mod service;
mod session;
mod show;
mod stop;
mod supervise;
mod under;
mod validate;
mod watch;
mod wish;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::{CliError, USAGE};
pub use saved_plan::SavedPlan;

/// Makes a Consul cluster agree with what was declared: sessions, keys and services, once and safely.
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
    Lock(Box<lock::Arguments>),
    Fence(Box<fence::Arguments>),
    Elect(Box<elect::Arguments>),
    Party(Box<party::Arguments>),
    Validate(validate::Arguments),
    Plan(Box<plan::Arguments>),
    Apply(Box<apply::Arguments>),
    Diff(Box<diff::Arguments>),
    Destroy(Box<destroy::Arguments>),
    Export(Box<export::Arguments>),
    Adopt(Box<adopt::Arguments>),
    Owner(Box<owner::Arguments>),
    #[cfg(feature = "dev")]
    Dev(dev::Arguments),
    #[cfg(feature = "dev")]
    Demo(demo::Arguments),
    Module(module::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
}

/// Runs the command that `arguments` (the program's name first) stand for.
///
/// Exit codes: 0 done, 1 failed, 2 changes are pending (where that was asked for), 3 refused as too dangerous (nothing was
/// written), 64 wrong usage. `lock`, `fence`, `elect` and `party` have some of their own, from 120.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    if let [_, name, words @ ..] = arguments.as_slice()
        && name == complete_key::NAME
    {
        return complete_key::run(words);
    }
    if let [_, name, command @ ..] = arguments.as_slice()
        && name == supervise::NAME
    {
        return supervise::guardian(command);
    }
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
        Verb::Lock(arguments) => return lock::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Fence(arguments) => return fence::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Elect(arguments) => return elect::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Party(arguments) => return party::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Validate(arguments) => validate::run(&arguments),
        Verb::Plan(arguments) => return plan::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Apply(arguments) => return apply::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Diff(arguments) => return diff::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Destroy(arguments) => return destroy::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Adopt(arguments) => return adopt::run(*arguments).unwrap_or_else(CliError::report),
        Verb::Export(arguments) => export::run(*arguments),
        Verb::Owner(arguments) => owner::run(*arguments),
        #[cfg(feature = "dev")]
        Verb::Demo(arguments) => demo::run(arguments),
        #[cfg(feature = "dev")]
        Verb::Dev(arguments) => dev::run(arguments),
        Verb::Module(arguments) => return module::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
    };
    done.map_or_else(CliError::report, |()| ExitCode::SUCCESS)
}
