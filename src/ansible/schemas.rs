//! The JSON Schemas of the modules' arguments and results.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, schema_for};
use serde_json::Value;

use super::consul_session::{SessionAnswer, SessionOptions};

/// The JSON Schemas by name: of each module's arguments, and of its result.
pub fn schemas() -> impl Iterator<Item = (&'static str, Schema)> {
    [("consul_session", schema_for!(SessionOptions)), ("consul_session.result", schema_for!(SessionAnswer))]
        .into_iter()
        .map(|(name, mut schema)| {
            Tidy.transform(&mut schema);
            (name, schema)
        })
}

/// Takes out what the derivation leaves behind: line breaks of the source, and defaults that are none.
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        transform_subschemas(self, schema);
    }
}
