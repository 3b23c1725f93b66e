//! Options inside of an option: a dict with fields of their own types.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::spec::Spec;
use super::{Failure, Variables, coerce};

/// Coerces the dict that `option` is, as the options of a module are, and reads it. `fields` are its options.
pub(super) fn nested<T: DeserializeOwned>(
    fields: &Spec,
    option: &str,
    value: Value,
    variable: Variables<'_>,
) -> Result<T, Failure> {
    let fault = |problem: String| Failure::arguments(format!("{option}: {problem}"));
    let Value::Object(given) = value else { return Err(fault("write a dict".to_owned())) };
    let coerced = coerce::coerce(fields, given, variable).map_err(fault)?;
    T::deserialize(coerced).map_err(|error| fault(error.to_string()))
}
