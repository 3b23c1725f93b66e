//! `/v1/session/`

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Session, SessionRequest, State, go_duration_fault};
use crate::duration::ConsulDuration;

/// What a session has where nobody says: 15 s.
const LOCK_DELAY: i64 = 15_000_000_000;

/// Creates a session.
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    let mut request = SessionRequest {
        name: String::new(),
        node: state.identity.node.clone(),
        lock_delay: LOCK_DELAY,
        behavior: String::new(),
        ttl: String::new(),
        node_checks: Some(vec!["serfHealth".to_owned()]),
        service_checks: None,
    };
    // A body without a length is overlooked.
    if call.has_length && !call.body.is_empty() {
        fill(&mut request, &call.body).map_err(|text| Refusal::bad(format!("Request decode failed: {text}")))?;
    }
    Ok(Reply::json(&json!({"ID": state.create_session(request)?})))
}

/// Reads what somebody wants, as Go reads it: names in any case, unknown ones overlooked.
fn fill(request: &mut SessionRequest, body: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => "unexpected EOF".to_owned(),
        false => error.to_string(),
    })?;
    let Value::Object(fields) = value else {
        let kind = kind(&value);
        return Err(format!(
            "json: cannot unmarshal {kind} into Go value of type struct {{ LockDelay interface {{}}; *structs.Alias }}"
        ));
    };
    let field = |name: &str| fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let text = |name: &str, to: &mut String| -> Result<(), String> {
        match field(name) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(text)) => {
                text.clone_into(to);
                Ok(())
            }
            Some(other) => Err(mismatch(other, name, "string")),
        }
    };
    text("Name", &mut request.name)?;
    text("Node", &mut request.node)?;
    text("Behavior", &mut request.behavior)?;
    text("TTL", &mut request.ttl)?;
    request.lock_delay = lock_delay(field("LockDelay"))?.unwrap_or(request.lock_delay);
    checks(request, &fields)
}

/// A text is a duration; a number means seconds where it is small, else nanoseconds. Anything else means none.
fn lock_delay(value: Option<&Value>) -> Result<Option<i64>, String> {
    const SECOND: f64 = 1e9;
    Ok(match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |digits| (-1, digits));
            let unit = digits == "0" || !digits.ends_with(|last: char| last.is_ascii_digit());
            let parsed = digits.parse::<ConsulDuration>().ok().filter(|_| unit);
            let nanos = parsed.and_then(|parsed| i64::try_from(parsed.as_nanos()).ok());
            Some(small(sign * nanos.ok_or_else(|| go_duration_fault(text))?))
        }
        Some(Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(0.0);
            let nanos = if number < 1_000.0 { number * SECOND } else { number };
            #[allow(clippy::cast_possible_truncation, reason = "a float saturates")]
            Some(nanos as i64)
        }
        Some(_) => Some(0),
    })
}

/// What is below 1,000 ns is taken for seconds.
fn small(nanos: i64) -> i64 {
    if (1..1_000).contains(&nanos) { nanos * 1_000_000_000 } else { nanos }
}

/// The fix-ups of 1.7 and later: `Checks` that are given but empty, or `NodeChecks`, mean none.
fn checks(request: &mut SessionRequest, fields: &Map<String, Value>) -> Result<(), String> {
    let field = |name: &str| fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    if let Some(value) = field("NodeChecks") {
        request.node_checks = Some(texts(value, "NodeChecks", "[]string")?);
    }
    if let Some(value) = field("ServiceChecks") {
        request.service_checks = match value {
            Value::Null => None,
            Value::Array(_) => Some(
                serde_json::from_value(value.clone())
                    .map_err(|_| mismatch(value, "ServiceChecks", "[]structs.ServiceCheck"))?,
            ),
            other => return Err(mismatch(other, "ServiceChecks", "[]structs.ServiceCheck")),
        };
    }
    if let Some(value) = field("Checks") {
        request.node_checks = Some(texts(value, "Checks", "[]types.CheckID")?);
    }
    Ok(())
}

fn texts(value: &Value, name: &str, wanted: &str) -> Result<Vec<String>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => list
            .iter()
            .map(|item| item.as_str().map(ToOwned::to_owned).ok_or_else(|| mismatch(item, name, "string")))
            .collect(),
        other => Err(mismatch(other, name, wanted)),
    }
}

fn mismatch(value: &Value, name: &str, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go struct field .{name} of type {wanted}", kind(value))
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

/// The id, or the name of a node, behind this in the path.
fn named<'a>(call: &'a Call, prefix: &str, what: &str) -> Result<&'a str, Refusal> {
    match call.rest(prefix) {
        "" => Err(Refusal::bad(format!("Missing {what}"))),
        id => Ok(id),
    }
}

pub(super) fn destroy(state: &mut State, call: &Call) -> Answer {
    state.destroy_session(named(call, "/v1/session/destroy/", "session")?)?;
    Ok(Reply::json(&true))
}

pub(super) fn renew(state: &mut State, call: &Call) -> Answer {
    let id = named(call, "/v1/session/renew/", "session")?;
    match state.renew_session(id)? {
        Some(session) => Ok(Reply::json(&[session])),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("Session id '{id}' not found"))),
    }
}

pub(super) fn info(state: &State, call: &Call) -> Answer {
    let found = state.session(named(call, "/v1/session/info/", "session")?)?;
    let found: Vec<&Session> = found.into_iter().collect();
    Ok(Reply::json(&found).at(state.sessions_index()))
}

pub(super) fn list(state: &State, _: &Call) -> Answer {
    let all: Vec<&Session> = state.sessions.all().collect();
    Ok(Reply::json(&all).at(state.sessions_index()))
}

pub(super) fn of_node(state: &State, call: &Call) -> Answer {
    let node = named(call, "/v1/session/node/", "node name")?;
    let of: Vec<&Session> = state.sessions.all().filter(|session| session.node == node).collect();
    Ok(Reply::json(&of).at(state.sessions_index()))
}
