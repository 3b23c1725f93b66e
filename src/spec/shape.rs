//! What a document may look like: the schema, made ready to be held against a tree.

use serde_json::{Map, Value};

use crate::duration::PATTERN;

/// What a node may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// Anything that JSON can hold.
    Any,
    /// A text.
    Text,
    /// A boolean.
    Flag,
    /// A whole number.
    Whole { min: u64, max: u64 },
    /// A duration.
    Duration,
    /// One of these texts.
    Choice(Vec<String>),
    /// A list of these.
    List(Box<Shape>),
    /// A map of any keys.
    Map(Box<Shape>),
    /// A map of these keys.
    Record(Record),
    /// A map of exactly one of these keys.
    One(Record),
    /// The first of these that is of the node's kind.
    Either(Vec<Shape>),
}

/// A map of known keys.
#[derive(Debug)]
pub(super) struct Record {
    /// Sorted by name.
    fields: Vec<(String, Shape)>,
    pub required: Vec<String>,
}

impl Shape {
    /// Reads a schema, as far as ours go: what it says besides is for editors.
    pub fn of(schema: &Value) -> Self {
        let Some(words) = schema.as_object() else { return Self::Any };
        if let Some(fields) = words.get("properties").and_then(Value::as_object) {
            let required = words.get("required").and_then(Value::as_array).into_iter().flatten();
            let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
            return Self::Record(Record::of(fields, required));
        }
        if let Some(alternatives) = ["anyOf", "oneOf"].iter().find_map(|word| words.get(*word)?.as_array()) {
            return Self::of_alternatives(alternatives);
        }
        let limit = |word: &str| words.get(word).and_then(Value::as_u64);
        let inner = |word: &str| Box::new(words.get(word).map_or(Self::Any, Self::of));
        match words.get("type") {
            Some(Value::Array(_)) if words.get("pattern").and_then(Value::as_str) == Some(PATTERN) => Self::Duration,
            Some(Value::String(name)) => match name.as_str() {
                "string" => Self::Text,
                "boolean" => Self::Flag,
                "integer" => Self::Whole {
                    min: limit("const").or(limit("minimum")).unwrap_or(0),
                    max: limit("const").or(limit("maximum")).unwrap_or(u64::MAX),
                },
                "array" => Self::List(inner("items")),
                "object" => Self::Map(inner("additionalProperties")),
                _ => Self::Any,
            },
            _ => Self::Any,
        }
    }

    fn of_alternatives(alternatives: &[Value]) -> Self {
        if let Some(choices) = alternatives.iter().map(|one| one["const"].as_str().map(str::to_owned)).collect() {
            return Self::Choice(choices);
        }
        let mut fields = Map::new();
        for one in alternatives {
            match one["properties"].as_object() {
                Some(only) if only.len() == 1 => fields.extend(only.clone()),
                _ => return Self::Either(alternatives.iter().map(Self::of).collect()),
            }
        }
        Self::One(Record::of(&fields, Vec::new()))
    }

    /// What the items are of the list that is this field of a record.
    pub fn items_of(&self, field: &str) -> &Self {
        match self {
            Self::Record(record) => match record.field(field) {
                Some(Self::List(items)) => items,
                _ => &Self::Any,
            },
            _ => &Self::Any,
        }
    }

    /// What to write.
    pub fn wanted(&self) -> String {
        match self {
            Self::Any => "a value".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Whole { min, max: u64::MAX } => format!("a whole number, {min} or more"),
            Self::Whole { min, max } if min == max => min.to_string(),
            Self::Whole { min, max } => format!("a whole number, {min} to {max}"),
            Self::Duration => "a duration, such as 20s".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::List(items) if matches!(**items, Self::Text) => "a list of texts".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(values) if matches!(**values, Self::Text) => "a map of texts".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Record(record) => format!("a map of {}", record.listed()),
            Self::One(record) => format!("a map of one of {}", record.listed()),
            Self::Either(shapes) => shapes.iter().map(Self::wanted).collect::<Vec<_>>().join(", or "),
        }
    }
}

impl Record {
    fn of(fields: &Map<String, Value>, required: Vec<String>) -> Self {
        let mut fields: Vec<_> = fields.iter().map(|(name, schema)| (name.clone(), Shape::of(schema))).collect();
        fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self { fields, required }
    }

    /// What a field may be.
    pub fn field(&self, name: &str) -> Option<&Shape> {
        let at = self.fields.binary_search_by(|(field, _)| field.as_str().cmp(name)).ok()?;
        self.fields.get(at).map(|(_, shape)| shape)
    }

    /// The fields' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// The fields' names, for people.
    pub fn listed(&self) -> String {
        self.names().filter(|name| !name.starts_with('$')).collect::<Vec<_>>().join(", ")
    }
}
