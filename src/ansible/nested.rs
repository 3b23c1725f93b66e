//! Options inside of an option: a dict with fields of their own types.

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::spec::Spec;
use super::{Failure, Variables, coerce};

/// Coerces the dict that `option` is, as the options of a module are, and reads it.
pub(super) fn nested<T: JsonSchema + DeserializeOwned>(
    module: &'static str,
    option: &str,
    value: Value,
    variable: Variables<'_>,
) -> Result<T, Failure> {
    let fault = |problem: String| Failure::arguments(format!("{option}: {problem}"));
    let Value::Object(fields) = value else { return Err(fault("write a dict".to_owned())) };
    let coerced =
        coerce::coerce(&Spec::of_value(module, schema_for!(T).as_value()), fields, variable).map_err(fault)?;
    serde_json::from_value(Value::Object(coerced)).map_err(|error| fault(error.to_string()))
}
