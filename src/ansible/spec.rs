//! The options of a module: their names, types, choices. Read off the JSON Schema that is generated from the very type
//! which the arguments are parsed into, so that there is one list of them.

use serde_json::{Map, Value};

/// The options of a module, by name, in the order of their fields.
#[derive(Debug)]
pub(super) struct Spec {
    pub module: &'static str,
    pub options: Vec<(String, OptionSpec)>,
}

/// One option.
#[derive(Debug)]
pub(super) struct OptionSpec {
    pub kind: Kind,
    /// The values that it may take; empty for any.
    pub choices: Vec<String>,
    /// Other spellings of choices: as the incumbents have them, and as they are here.
    pub choice_aliases: Vec<(String, String)>,
    /// The least that a number may be.
    pub minimum: Option<i64>,
    /// What it is where it is not given, unless the environment says otherwise.
    pub default: Value,
    /// True where its value must not be seen.
    pub secret: bool,
}

/// An option's type, by the name that Ansible has for it in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Str,
    /// A `str` in which `~` and `$VARIABLE` are expanded.
    Path,
    Int,
    Bool,
    /// A text or a number.
    Duration,
    /// A list of `str`.
    StrList,
    /// A list of `str` or `dict`.
    RawList,
    /// A dict.
    Dict,
    /// A dict whose values are `str`.
    StrDict,
    /// Anything.
    Raw,
}

/// The extension keyword that marks a secret in a schema.
const SECRET: &str = "x-no-log";

/// The extension keyword that marks a path in a schema.
const PATH: &str = "x-path";

/// The extension keyword for other spellings of choices: an object from the other one to ours.
const CHOICE_ALIASES: &str = "x-choice-aliases";

/// The extension keyword that names the variables which an option's value may come from.
const ENVIRONMENT: &str = "x-env";

impl Spec {
    /// Reads the options off `schema`, the text of a file in `options/`: a schema without its descriptions. It is
    /// generated from the type that the arguments are parsed into, and a test keeps it current; to derive it at every
    /// start would take longer, and a fortieth of the binary.
    pub fn of(module: &'static str, schema: &str) -> Self {
        Self::of_value(module, &crate::json::read(schema.as_bytes()).unwrap_or_default())
    }

    /// The options inside of `option`, a dict or a list of dicts, off the same text.
    pub fn inside(module: &'static str, schema: &str, option: &str) -> Self {
        let schema: Value = crate::json::read(schema.as_bytes()).unwrap_or_default();
        let option = schema.get("properties").and_then(|options| options.get(option));
        let dict = option.map(|option| option.get("items").unwrap_or(option));
        Self::of_value(module, dict.unwrap_or(&Value::Null))
    }

    fn of_value(module: &'static str, schema: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter);
        Self { module, options: properties.map(|(name, schema)| (name.clone(), OptionSpec::of(schema))).collect() }
    }

    pub fn get(&self, name: &str) -> Option<&OptionSpec> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, spec)| spec)
    }
}

impl OptionSpec {
    fn of(schema: &Value) -> Self {
        let marked = |mark: &str| schema.get(mark) == Some(&Value::Bool(true));
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
            _ => Vec::new(),
        };
        let kind = match types.as_slice() {
            ["boolean"] => Kind::Bool,
            ["integer"] => Kind::Int,
            ["string", "number"] => Kind::Duration,
            ["array"] if schema.pointer("/items/type") == Some(&Value::from("string")) => Kind::StrList,
            ["array"] => Kind::RawList,
            ["object"] if schema.pointer("/additionalProperties/type") == Some(&Value::from("string")) => Kind::StrDict,
            ["object"] => Kind::Dict,
            [] if choices(schema).is_empty() => Kind::Raw,
            _ if marked(PATH) => Kind::Path,
            _ => Kind::Str,
        };
        let mut choices = choices(schema);
        choices.sort();
        let default = if schema.get(ENVIRONMENT).is_some() { None } else { schema.get("default").cloned() };
        let aliases = schema.get(CHOICE_ALIASES).and_then(Value::as_object).into_iter().flatten();
        let choice_aliases = aliases.filter_map(|(old, new)| Some((old.clone(), new.as_str()?.to_owned()))).collect();
        let minimum = schema.get("minimum").and_then(Value::as_i64);
        Self { kind, choices, choice_aliases, minimum, default: default.unwrap_or_default(), secret: marked(SECRET) }
    }
}

/// The values that a schema names: each a `const` among alternatives.
fn choices(schema: &Value) -> Vec<String> {
    let alternatives = ["oneOf", "anyOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    let own = schema.get("const").and_then(Value::as_str).map(ToOwned::to_owned);
    alternatives.flat_map(choices).chain(own).collect()
}

impl Kind {
    /// What Ansible calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Path => "path",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Duration => "duration",
            Self::StrList | Self::RawList => "list",
            Self::Dict | Self::StrDict => "dict",
            Self::Raw => "raw",
        }
    }
}
