//! Reads a module's arguments.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Failure, MODULES};

/// The most that is read, in bytes. A task's arguments are some kilobytes; what is larger is no task.
const MAX_INPUT: u64 = 4 * 1024 * 1024;

/// Reads `file`, or standard input where it is `None` or `-`.
pub(super) fn read(file: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let (source, read) = match file {
        None | Some("-") => ("standard input", std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut text)),
        Some(file) => {
            let read = std::fs::File::open(file).and_then(|open| open.take(MAX_INPUT + 1).read_to_end(&mut text));
            (file, read)
        }
    };
    read.map_err(|error| Failure::arguments(format!("cannot read the arguments from {source}: {error}")))?;
    if text.len() as u64 > MAX_INPUT {
        return Err(Failure::arguments(format!("the arguments are longer than {MAX_INPUT} bytes, which no task is")));
    }
    Ok(text)
}

/// Parses the arguments. What they hold is never shown: it may be secret.
pub(super) fn parse(text: &[u8]) -> Result<Map<String, Value>, Failure> {
    let wanted = "write a JSON object such as {\"name\": \"web-leader\", \"ttl\": \"30s\"}";
    let fault = |what: String| Err(Failure::arguments(format!("the arguments {what}: {wanted}")));
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => return fault(format!("are not UTF-8 text, from byte {}", error.valid_up_to())),
    };
    if text.trim().is_empty() {
        return fault("are empty".to_owned());
    }
    match crate::json::read(text.as_bytes()) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(Value::Array(_)) => fault("are a JSON list".to_owned()),
        Ok(_) => fault("are a JSON value, but no object".to_owned()),
        Err(error) => fault(format!("are not JSON, at line {} column {}", error.line(), error.column())),
    }
}

/// The name of the module to run: from the arguments, else `given`, else `program`'s own name.
pub(super) fn module_name(
    arguments: &Map<String, Value>,
    given: Option<&str>,
    program: &str,
) -> Result<String, Failure> {
    if let Some(name) = arguments.get("_ansible_module_name").and_then(Value::as_str).or(given) {
        let short = name.rsplit('.').next().unwrap_or(name); // namespace.collection.module
        return Ok(short.to_owned());
    }
    match of_program(program) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Failure::arguments(format!(
            "which module? Name it with \"_ansible_module_name\" in the arguments, or by the name of this file: {}",
            MODULES.join(", ")
        ))),
    }
}

/// The module whose name `program`, a path, bears.
pub(crate) fn of_program(program: &str) -> Option<&'static str> {
    let name = Path::new(program).file_stem()?.to_str()?;
    let name = name.strip_prefix("AnsiballZ_").unwrap_or(name);
    MODULES.iter().copied().find(|module| *module == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(arguments: &Value, given: Option<&str>, program: &str) -> Result<String, String> {
        let Value::Object(arguments) = arguments.clone() else { panic!("an object") };
        module_name(&arguments, given, program).map_err(|failure| failure.0.msg)
    }

    #[test]
    fn the_name_is_in_the_arguments_or_given_or_the_programs() {
        let from_ansible = json!({"_ansible_module_name": "lictor.consul.consul_session"});
        assert_eq!(named(&from_ansible, Some("other"), "x").unwrap(), "consul_session");
        assert_eq!(named(&json!({}), Some("consul_session"), "x").unwrap(), "consul_session");
        assert_eq!(named(&json!({}), None, "/tmp/AnsiballZ_consul_session").unwrap(), "consul_session");
        assert_eq!(named(&json!({}), None, "library/consul_session").unwrap(), "consul_session");
        assert!(named(&json!({}), None, "lictor-module").unwrap_err().starts_with("which module?"));
    }

    #[test]
    fn what_is_not_an_object_is_refused_and_not_shown() {
        for (text, words) in [
            (&b""[..], "are empty"),
            (b"{\"token\": \"hush\"", "are not JSON, at line 1 column 16"),
            (b"[\"hush\"]", "are a JSON list"),
            (b"\"hush\"", "no object"),
            (b"\x7fELF\xff", "are not UTF-8 text, from byte 4"),
        ] {
            let message = parse(text).unwrap_err().0.msg;
            assert!(message.contains(words) && !message.contains("hush"), "{message}");
        }
    }
}
