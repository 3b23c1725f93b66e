//! Makes values what their options want, as Ansible's own argument spec does for modules in Python, and refuses the
//! rest in the same words: people search for them.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use crate::duration::ConsulDuration;

use super::Variables;
use super::spec::{Kind, Spec};

/// Coerces `arguments` to `spec`: types, choices, no other option. What is `null` is not given.
///
/// # Errors
/// The first fault, in Ansible's words.
pub(super) fn coerce(
    spec: &Spec,
    arguments: Map<String, Value>,
    variable: Variables<'_>,
) -> Result<Map<String, Value>, String> {
    refuse_unsupported(spec, &arguments)?;
    let mut coerced = Map::new();
    for (name, value) in arguments {
        let Some(option) = spec.get(&name) else { continue };
        if value.is_null() {
            continue;
        }
        let value = of_kind(option.kind, value, variable)
            .map_err(|fault| fault.say(&name, option.kind.name(), option.secret))?;
        let value = match option.choice_aliases.iter().find(|(alias, _)| value.as_str() == Some(alias)) {
            Some((_, choice)) => Value::from(choice.as_str()),
            None => value,
        };
        if let (Kind::Int, Some(least)) = (option.kind, option.minimum)
            && value.as_i64().is_some_and(|number| number < least)
        {
            return Err(format!("value of {name} must be at least {least}, got: {value}"));
        }
        if let (false, Some(text)) = (option.choices.is_empty(), value.as_str())
            && !option.choices.iter().any(|choice| choice == text)
        {
            return Err(format!("value of {name} must be one of: {}, got: {}", option.choices.join(", "), cut(text)));
        }
        coerced.insert(name, value);
    }
    Ok(coerced)
}

fn refuse_unsupported(spec: &Spec, arguments: &Map<String, Value>) -> Result<(), String> {
    if arguments.get("_ansible_ignore_unknown_opts") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    let known = |name: &str| name.starts_with("_ansible_") || spec.get(name).is_some();
    let mut unknown: Vec<String> = arguments.keys().filter(|name| !known(name)).map(|name| cut(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort();
    let mut supported: Vec<String> = spec.options.iter().map(|(name, _)| name.clone()).collect();
    supported.sort();
    Err(format!(
        "Unsupported parameters for ({}) module: {}. Supported parameters include: {}.",
        spec.module,
        unknown.join(", "),
        supported.join(", ")
    ))
}

/// What was wrong with a value.
pub(super) struct Fault {
    /// The Python type, which is what Ansible names.
    found: &'static str,
    /// True where an element of a list is meant, with the type that it should have.
    element: Option<&'static str>,
    reason: String,
}

impl Fault {
    fn say(self, option: &str, wanted: &str, secret: bool) -> String {
        let Self { found, element, reason } = self;
        let reason = if secret { "the value is not shown".to_owned() } else { reason };
        match element {
            None => {
                format!("argument '{option}' is of type {found} and we were unable to convert to {wanted}: {reason}")
            }
            Some(wanted) => format!(
                "Elements value for option '{option}' is of type {found} and we were unable to convert to {wanted}: {reason}"
            ),
        }
    }
}

fn of_kind(kind: Kind, value: Value, variable: Variables<'_>) -> Result<Value, Fault> {
    match kind {
        Kind::Str => text(value).map(Value::String),
        Kind::Path => text(value).map(|path| Value::String(expand(&path, variable))),
        Kind::Bool => boolean(value).map(Value::Bool),
        Kind::Int => integer(value).map(Value::Number),
        Kind::Duration => match value {
            Value::String(_) | Value::Number(_) => match ConsulDuration::deserialize(&value) {
                Ok(_) => Ok(value),
                Err(error) => Err(fault(&value, error.to_string())),
            },
            other => Err(fault(&other, "write seconds (20) or a text such as 20s".to_owned())),
        },
        Kind::StrList => {
            let elements = list(value)?.into_iter().map(|element| text(element).map(Value::String));
            elements
                .collect::<Result<_, _>>()
                .map(Value::Array)
                .map_err(|fault| Fault { element: Some("str"), ..fault })
        }
        Kind::RawList => list(value).map(Value::Array),
        Kind::Dict => dict(value).map(Value::Object),
        Kind::StrDict => {
            let texts = dict(value)?.into_iter().filter(|(_, value)| !value.is_null());
            let texts = texts.map(|(key, value)| Ok((key, Value::String(text(value)?))));
            texts.collect::<Result<_, Fault>>().map(Value::Object)
        }
        Kind::Raw => Ok(value),
    }
}

fn fault(value: &Value, reason: String) -> Fault {
    Fault { found: python_type(value), element: None, reason }
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

fn text(value: Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(if truth { "True" } else { "False" }.to_owned()), // as Python writes it
        other => Err(fault(&other, format!("a {} is not a string and conversion is not allowed", python_type(&other)))),
    }
}

pub(super) fn boolean(value: Value) -> Result<bool, Fault> {
    let text = match &value {
        Value::Bool(truth) => return Ok(*truth),
        Value::String(text) => text.trim().to_lowercase(),
        Value::Number(number) => number.to_string(),
        other => return Err(fault(other, format!("<class '{}'> cannot be converted to a bool", python_type(other)))),
    };
    match text.as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Ok(true),
        "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Ok(false),
        _ => Err(fault(
            &value,
            format!(
                "The value '{}' is not a valid boolean. Valid booleans include: 0, 1, 'f', 'false', 'n', 'no', 'off', \
                 'on', 't', 'true', 'y', 'yes'",
                cut(&text)
            ),
        )),
    }
}

fn integer(value: Value) -> Result<Number, Fault> {
    let unable = |value: &Value, shown: String| fault(value, format!("\"{shown}\" cannot be converted to an int"));
    match &value {
        Value::Number(number) if !number.is_f64() => Ok(number.clone()),
        Value::Number(number) => {
            whole(number.as_f64().unwrap_or(f64::NAN)).ok_or_else(|| unable(&value, number.to_string()))
        }
        Value::String(text) => {
            let digits = text.trim();
            let exact = digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from));
            let number = exact.ok().or_else(|| digits.parse().ok().and_then(whole));
            number.ok_or_else(|| unable(&value, format!("'{}'", cut(text))))
        }
        Value::Bool(truth) => Ok(Number::from(i64::from(*truth))),
        other => Err(unable(other, cut(&other.to_string()))),
    }
}

/// `number` without its decimals, if they are all zero, and it is small enough to be exact.
fn whole(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and exact")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(Number::from(number as i64))
}

fn list(value: Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Array(elements) => Ok(elements),
        Value::String(text) => Ok(text.split(',').map(|part| Value::from(part.trim())).collect()),
        Value::Number(number) => Ok(vec![Value::String(number.to_string())]),
        other => Err(fault(&other, format!("<class '{}'> cannot be converted to a list", python_type(&other)))),
    }
}

/// A dict, or the JSON text of one.
fn dict(value: Value) -> Result<Map<String, Value>, Fault> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::String(text) => match crate::json::read(text.as_bytes()) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(fault(&Value::String(text), "dictionary requested, could not parse JSON or key=value".to_owned())),
        },
        other => Err(fault(&other, format!("<class '{}'> cannot be converted to a dict", python_type(&other)))),
    }
}

/// Expands a leading `~` and every `$NAME` and `${NAME}` that is set, as Ansible does for paths.
fn expand(path: &str, variable: Variables<'_>) -> String {
    let home = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = match (home, variable("HOME")) {
        (Some(rest), Some(home)) => format!("{home}{rest}"),
        _ => path.to_owned(),
    };
    let mut expanded = String::new();
    let mut rest = path.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, behind) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        match variable(name) {
            Some(value) if !name.is_empty() => {
                expanded.push_str(&value);
                rest = behind;
            }
            _ => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded + rest
}

/// How much of a value a message shows, in characters.
const SHOWN: usize = 100;

/// `text`, cut where it is too long for a message.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ansible::consul_session;
    use serde_json::json;

    fn coerced(arguments: Value) -> Result<Value, String> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let variable = |name: &str| (name == "HOME").then(|| "/home/me".to_owned());
        coerce(&consul_session::spec(), arguments, &variable).map(Value::Object)
    }

    #[test]
    fn texts_become_what_the_option_wants() {
        let given = json!({
            "port": "8500", "validate_certs": "no", "force": "Yes", "unique": 1, "checks": "a, b", "name": 42,
            "service_checks": "web", "ttl": "30", "delay": 15, "ca_path": "~/ca.pem", "node": true, "id": null,
            "_ansible_check_mode": true
        });
        let wanted = json!({
            "port": 8500, "validate_certs": false, "force": true, "unique": true, "checks": ["a", "b"], "name": "42",
            "service_checks": ["web"], "ttl": "30", "delay": 15, "ca_path": "/home/me/ca.pem", "node": "True"
        });
        assert_eq!(coerced(given).unwrap(), wanted);
        assert_eq!(coerced(json!({"port": "8500.0"})).unwrap(), json!({"port": 8500}));
        assert_eq!(coerced(json!({"checks": 5})).unwrap(), json!({"checks": ["5"]}));
    }

    #[test]
    fn what_cannot_be_converted_is_refused_in_ansibles_words() {
        for (given, words) in [
            (
                json!({"port": "http"}),
                "argument 'port' is of type str and we were unable to convert to int: \"'http'\" cannot be converted to an int",
            ),
            (
                json!({"port": 1.5}),
                "argument 'port' is of type float and we were unable to convert to int: \"1.5\" cannot be converted to an int",
            ),
            (
                json!({"force": "maybe"}),
                "argument 'force' is of type str and we were unable to convert to bool: The value 'maybe' is not a valid boolean.",
            ),
            (
                json!({"force": []}),
                "argument 'force' is of type list and we were unable to convert to bool: <class 'list'> cannot be converted to a bool",
            ),
            (
                json!({"checks": {}}),
                "argument 'checks' is of type dict and we were unable to convert to list: <class 'dict'> cannot be converted to a list",
            ),
            (
                json!({"checks": [{}]}),
                "Elements value for option 'checks' is of type dict and we were unable to convert to str",
            ),
            (json!({"name": ["a"]}), "argument 'name' is of type list and we were unable to convert to str"),
            (json!({"ttl": true}), "argument 'ttl' is of type bool and we were unable to convert to duration"),
            (json!({"state": "gone"}), "value of state must be one of: absent, info, list, node, present, got: gone"),
            (json!({"behavior": "Release"}), "value of behavior must be one of: delete, release, got: Release"),
        ] {
            let refusal = coerced(given).unwrap_err();
            assert!(refusal.starts_with(words), "{refusal}");
        }
    }

    #[test]
    fn unknown_options_are_named_with_the_known_ones() {
        let refusal = coerced(json!({"tll": 1, "bar": 2})).unwrap_err();
        assert!(refusal.starts_with(
            "Unsupported parameters for (consul_session) module: bar, tll. Supported parameters include: behavior, ca_path, "
        ), "{refusal}");
        assert!(coerced(json!({"tll": 1, "_ansible_ignore_unknown_opts": true})).is_ok());
    }

    #[test]
    fn a_secret_is_not_shown_by_a_refusal() {
        let refusal = coerced(json!({"token": ["hush"]})).unwrap_err();
        assert!(!refusal.contains("hush"), "{refusal}");
    }

    #[test]
    fn paths_are_expanded_where_the_variable_is_set() {
        let variable = |name: &str| (name == "DIR").then(|| "/etc".to_owned());
        assert_eq!(expand("$DIR/${DIR}x/$NO/~/$", &variable), "/etc//etcx/$NO/~/$");
    }
}
