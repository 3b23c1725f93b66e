//! JSON as Go reads it into a struct: names in any case, null is nothing, and faults in its words.

use std::collections::BTreeMap;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::{DecodeError, Engine as _};
use serde_json::{Map, Value};

use super::call::Call;
use super::reply::Refusal;

/// An object that is to become a struct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    /// The struct, as Go names it.
    of: &'a str,
    /// Where it is in the body: the names down to it, each with a dot behind it.
    path: &'a str,
    map: &'a Map<String, Value>,
}

/// Reads a body that has to be an object of this struct.
pub(super) fn object(call: &Call, of: &str) -> Result<Map<String, Value>, Refusal> {
    let fault = |text: String| Refusal::bad(format!("Request decode failed: {text}"));
    match parse(&call.body).map_err(fault)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => Err(fault(format!("json: cannot unmarshal {} into Go value of type {of}", kind(&other)))),
    }
}

/// Reads JSON, or says what is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    crate::json::read(body).map_err(|error| {
        if body.trim_ascii().is_empty() {
            return "EOF".to_owned();
        }
        if error.is_eof() {
            return "unexpected EOF".to_owned();
        }
        let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let at = line.get(error.column().saturating_sub(1)..).map(String::from_utf8_lossy).unwrap_or_default();
        let character = at.chars().next().unwrap_or('\n');
        let expected = if error.to_string().starts_with("expected value") {
            "looking for beginning of value"
        } else {
            "after top-level value"
        };
        format!("invalid character {character:?} {expected}")
    })
}

/// A kind of JSON value, as Go names it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl<'a> Fields<'a> {
    pub fn new(of: &'a str, map: &'a Map<String, Value>) -> Self {
        Self { of, path: "", map }
    }

    /// No other names than these, in any case.
    pub fn only(self, names: &[&str]) -> Result<Self, String> {
        let known = |name: &&String| !names.iter().any(|known| known.eq_ignore_ascii_case(name));
        match self.map.keys().find(known) {
            Some(name) => Err(format!("json: unknown field {name:?}")),
            None => Ok(self),
        }
    }

    /// The names that are there, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.map.keys()
    }

    /// Whether it is there, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.map.keys().any(|other| other.eq_ignore_ascii_case(name))
    }

    /// What is there, but for null. Of several spellings, the last one counts.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let named = self.map.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn mismatch(&self, value: &Value, name: &str, wanted: &str) -> String {
        let Self { of, path, .. } = self;
        let what = match (value, wanted) {
            (Value::Number(number), "int" | "uint64") => format!("number {number}"),
            (value, _) => kind(value).to_owned(),
        };
        format!("json: cannot unmarshal {what} into Go struct field {of}.{path}{name} of type {wanted}")
    }

    fn typed<T>(&self, name: &str, wanted: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.mismatch(value, name, wanted))
    }

    pub fn text(&self, name: &str) -> Result<String, String> {
        let text = self.typed(name, "string", |value| value.as_str().map(ToOwned::to_owned))?;
        Ok(text.unwrap_or_default())
    }

    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.typed(name, "bool", Value::as_bool)?.unwrap_or(false))
    }

    pub fn int(&self, name: &str) -> Result<i64, String> {
        Ok(self.typed(name, "int", Value::as_i64)?.unwrap_or(0))
    }

    /// Bytes, as base64.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        let text = self.typed(name, "[]uint8", Value::as_str)?.unwrap_or_default();
        BASE64.decode(text).map_err(|error| match error {
            DecodeError::InvalidByte(at, _) => format!("illegal base64 data at input byte {at}"),
            other => format!("illegal base64 data: {other}"),
        })
    }

    /// An index.
    pub fn index(&self, name: &str) -> Result<u64, String> {
        Ok(self.typed(name, "uint64", Value::as_u64)?.unwrap_or(0))
    }

    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        self.texts_of(name, "[]string")
    }

    /// Texts of a kind of their own.
    pub fn texts_of(&self, name: &str, wanted: &str) -> Result<Option<Vec<String>>, String> {
        let Some(items) = self.typed(name, wanted, Value::as_array)? else { return Ok(None) };
        let text = |item: &Value| match item {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(self.mismatch(other, name, "string")),
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    pub fn map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, String> {
        let Some(items) = self.typed(name, "map[string]string", Value::as_object)? else { return Ok(None) };
        let mut texts = BTreeMap::new();
        for (key, item) in items {
            let text = match item {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => return Err(self.mismatch(other, name, "string")),
            };
            texts.insert(key.clone(), text);
        }
        Ok(Some(texts))
    }

    /// An object, read as this struct.
    pub fn nested<T>(
        &self,
        name: &str,
        of: &str,
        read: impl FnOnce(Fields<'_>) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let Some(map) = self.typed(name, of, Value::as_object)? else { return Ok(None) };
        let path = format!("{}{name}.", self.path);
        let of = of.rsplit('.').next().unwrap_or(of);
        read(Fields { of, path: &path, map }).map(Some)
    }

    /// A list of objects, each read as this struct.
    pub fn list<T>(
        &self,
        name: &str,
        of: &str,
        read: impl Fn(Fields<'_>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let items = self.typed(name, &format!("[]{of}"), Value::as_array)?.map_or(&[][..], Vec::as_slice);
        let path = format!("{}{name}.", self.path);
        let item = |value: &Value| match value {
            Value::Object(map) => read(Fields { of: of.rsplit('.').next().unwrap_or(of), path: &path, map }),
            other => Err(self.mismatch(other, name, of)),
        };
        items.iter().filter(|value| !value.is_null()).map(item).collect()
    }
}
