//! A face: the protocol of Ansible's binary modules. JSON arguments in, one JSON object out, whatever happens.

mod call;
mod coerce;
mod connection;
pub mod consul_agent;
pub mod consul_catalog_info;
pub mod consul_election;
pub mod consul_kv;
pub mod consul_lock;
pub mod consul_party_info;
pub mod consul_service;
pub mod consul_session;
#[cfg(feature = "spec")]
pub mod consul_spec;
mod failure;
mod input;
mod nested;
mod schemas;
mod spec;

use std::io::{BufWriter, Write};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use call::Call;
use connection::Connection;
pub use failure::{Failure, Reason};
pub use schemas::{options, schemas};
use spec::Spec;

/// The modules that there are.
pub const MODULES: &[&str] = &[
    consul_agent::NAME,
    consul_catalog_info::NAME,
    consul_election::NAME,
    consul_kv::NAME,
    consul_lock::NAME,
    consul_party_info::NAME,
    consul_service::NAME,
    consul_session::NAME,
    #[cfg(feature = "spec")]
    consul_spec::NAME,
];

/// Whether `program`, a path, bears a module's name, so that it is to behave as that module.
pub fn is_module(program: &str) -> bool {
    input::of_program(program).is_some()
}

/// What every module gives.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Common {
    /// Whether anything was changed; in check mode, whether anything would be.
    pub changed: bool,
    /// What somebody should know although it is no error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The options as they were understood. Secret ones are not shown.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub invocation: Value,
}

/// An old way of writing that will not be understood for ever.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Deprecation {
    /// What to write instead.
    pub msg: String,
    /// The version of Lictor that will refuse it.
    pub version: String,
}

/// What differs, as Ansible shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Diff {
    /// What it is, before.
    pub before_header: String,
    /// What it is, after.
    pub after_header: String,
    /// As it was.
    pub before: Value,
    /// As it is.
    pub after: Value,
}

/// Runs a module and prints its result. Returns the exit code: 0, or 1 where it failed.
///
/// The module's name is the one in the arguments (`_ansible_module_name`), else `name`, else the program's own.
/// The arguments are read from `file`; where that is `None` or `-`, from standard input.
pub fn run(name: Option<&str>, program: &str, file: Option<&str>) -> u8 {
    answer_panics();
    match input::read(file).and_then(|text| answer(name, program, &text)) {
        Ok(printed) => u8::from(!printed),
        Err(failure) => {
            print(&failure);
            1
        }
    }
}

/// Runs the module that `text`, the arguments, is for, and prints its result. False where that cannot be printed.
fn answer(name: Option<&str>, program: &str, text: &[u8]) -> Result<bool, Failure> {
    let arguments = input::parse(text)?;
    match input::module_name(&arguments, name, program)?.as_str() {
        consul_agent::NAME => module(&consul_agent::spec(), arguments, consul_agent::run),
        consul_catalog_info::NAME => module(&consul_catalog_info::spec(), arguments, consul_catalog_info::run),
        consul_election::NAME => module(&consul_election::spec(), arguments, consul_election::run),
        consul_party_info::NAME => module(&consul_party_info::spec(), arguments, consul_party_info::run),
        consul_kv::NAME => module(&consul_kv::spec(), arguments, consul_kv::run),
        consul_lock::NAME => module(&consul_lock::spec(), arguments, consul_lock::run),
        consul_service::NAME => module(&consul_service::spec(), arguments, consul_service::run),
        consul_session::NAME => module(&consul_session::spec(), arguments, consul_session::run),
        #[cfg(feature = "spec")]
        consul_spec::NAME => module(&consul_spec::spec(), arguments, consul_spec::run),
        #[cfg(not(feature = "spec"))]
        "consul_spec" => Err(Failure::arguments(
            "consul_spec is not in this small file: copy `lictor` itself as library/consul_spec",
        )),
        other => Err(Failure::arguments(format!("there is no module {other:?} here, only: {}", MODULES.join(", ")))),
    }
}

/// Runs one module: arguments to options, options to result, and nothing secret in either outcome.
fn module<O: DeserializeOwned, R: Serialize + AsMut<Common>>(
    spec: &Spec,
    arguments: Map<String, Value>,
    run: fn(O, Connection, &Call, Variables<'_>) -> Result<R, Failure>,
) -> Result<bool, Failure> {
    let variables = &|name: &str| std::env::var(name).ok();
    let call = Call::new(spec, &arguments);
    let mut invocation = Value::Null;
    let answer = || -> Result<bool, Failure> {
        let coerced = coerce::coerce(spec, arguments, variables).map_err(Failure::arguments)?;
        invocation = call.invocation(spec, &coerced);
        let unread = |error: serde_json::Error| Failure::arguments(error.to_string());
        // Off the map itself: by way of a Value, each type would be read from lists as well.
        let connection = Connection::read(&coerced).map_err(unread)?;
        let options = O::deserialize(coerced).map_err(unread)?;
        let mut result = run(options, connection, &call, variables)?;
        let common = result.as_mut();
        common.invocation = invocation.take();
        common.warnings = common.warnings.iter().map(|warning| call.mask(warning)).collect();
        Ok(print(&result)) // nothing can fail any more but standard output itself
    };
    answer().map_err(|failure| failure.masked(&call, invocation))
}

/// Looks up an environment variable.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Makes a panic end the program with a JSON object on standard output, as every other failure does.
pub fn answer_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        print(&Failure::internal(format!("this program has a fault{place}: please report it with the task's options")));
        std::process::exit(1);
    }));
}

/// How much is handed to standard output at once, in bytes: the result of a list may be 30 MB, and is not held twice.
const BUFFER: usize = 64 * 1024;

/// Prints a result. False where standard output takes none: the exit code is all that is left to tell it by.
fn print(result: &impl Serialize) -> bool {
    let mut output = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
    serde_json::to_writer(&mut output as &mut dyn Write, result).is_ok()
        && output.write_all(b"\n").is_ok()
        && output.flush().is_ok()
}
