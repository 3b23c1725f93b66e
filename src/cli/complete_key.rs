//! `lictor complete-key WORD...`, which the scripts of `lictor completions` call. It is none of the commands that clap
//! knows: those are offered to people.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};

use super::Lictor;
use super::connect::Connect;

/// The name of this command.
pub(super) const NAME: &str = "complete-key";

/// Prints what the last of `words`, the command line up to the cursor without the program's name, may become: keys and
/// folders. Prints nothing where anything is wrong: somebody is in the middle of typing.
pub(super) fn run(words: &[OsString]) -> ExitCode {
    let lines: String = keys(words).unwrap_or_default().iter().map(|key| format!("{key}\n")).collect();
    let _ = std::io::stdout().lock().write_all(lines.as_bytes()); // nobody to tell
    ExitCode::SUCCESS
}

/// The keys and the folders that begin as the last word does; `None` where that is no key, or no agent answers.
fn keys(words: &[OsString]) -> Option<Vec<String>> {
    let last = words.last()?.to_str()?.to_owned();
    let line = std::iter::once("lictor".into()).chain(words.iter().cloned());
    let matches = Lictor::command().ignore_errors(true).try_get_matches_from(line).ok()?;
    let kv = matches.subcommand_matches("kv")?;
    let (_, verb) = kv.subcommand()?;
    let given = |name: &str| {
        let typed =
            matches!(verb.try_contains_id(name), Ok(true)) && verb.value_source(name) == Some(ValueSource::CommandLine);
        if typed { verb.try_get_one::<String>(name).ok().flatten() } else { None }
    };
    // With its value behind it, a key is no longer what is being typed.
    let prefix = given("key").or_else(|| given("prefix")).filter(|key| **key == last && given("value").is_none())?;
    let (client, query) = Connect::from_arg_matches(verb).ok()?.briefly().open().ok()?;
    client.kv().keys(prefix, Some("/"), &query).ok()
}
