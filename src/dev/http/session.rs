//! `/v1/session/`

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::decode::{Fields, kind, parse};
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Resource, ServiceCheck, Session, SessionRequest, State, go_duration_fault};
use crate::duration::ConsulDuration;

/// The check that a session depends on where nobody says.
const SERF: &str = "serfHealth";

/// What a session has where nobody says: 15 s.
const LOCK_DELAY: i64 = 15_000_000_000;

/// Creates a session.
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    let fault = |text: String| Refusal::bad(format!("Request decode failed: {text}"));
    // A body without a length is overlooked.
    let value = match call.has_length && !call.body.is_empty() {
        true => parse(&call.body).map_err(fault)?,
        false => Value::Null,
    };
    let map = match value {
        Value::Null => Map::new(),
        Value::Object(map) => map,
        other => {
            let into = "struct { LockDelay interface {}; *structs.Alias }";
            return Err(fault(format!("json: cannot unmarshal {} into Go value of type {into}", kind(&other))));
        }
    };
    let request = wanted(Fields::new("", &map), &state.identity.node).map_err(fault)?;
    if request.node.is_empty() {
        return Err(Refusal::error("Must provide Node"));
    }
    call.must_write(Resource::Session, &request.node)?;
    Ok(Reply::json(&json!({"ID": state.create_session(request)?})))
}

/// What somebody wants a session to be.
fn wanted(fields: Fields<'_>, node: &str) -> Result<SessionRequest, String> {
    let service_check =
        |check: Fields<'_>| Ok(ServiceCheck { id: check.text("ID")?, namespace: check.text("Namespace")? });
    let service_checks = || fields.list("ServiceChecks", "structs.ServiceCheck", service_check);
    let checks = || fields.texts_of("Checks", "[]types.CheckID");
    // Of several faults, Go names the first one in the text.
    for name in fields.names() {
        match name.to_ascii_lowercase().as_str() {
            "name" => drop(fields.text("Name")?),
            "node" => drop(fields.text("Node")?),
            "behavior" => drop(fields.text("Behavior")?),
            "ttl" => drop(fields.text("TTL")?),
            "nodechecks" => drop(fields.texts("NodeChecks")?),
            "checks" => drop(checks()?),
            "servicechecks" => drop(service_checks()?),
            _ => {}
        }
    }
    let (node_checks, checks, service_checks) = (fields.texts("NodeChecks")?, checks()?, service_checks()?);
    // The fix-ups of 1.7 and later: what is given but empty means none, whatever the other one says.
    let none = |name: &str, checks: &Option<Vec<String>>| fields.has(name) && checks.as_ref().is_none_or(Vec::is_empty);
    let (node_checks, checks) = match () {
        () if none("Checks", &checks) => (Some(Vec::new()), None),
        () if none("NodeChecks", &node_checks) => (node_checks, None),
        () => (node_checks.or_else(|| Some(vec![SERF.to_owned()])), checks),
    };
    // What everybody had before 1.7 says nothing.
    let checks = checks.filter(|checks| *checks != [SERF]).unwrap_or_default();
    Ok(SessionRequest {
        name: fields.text("Name")?,
        node: if fields.get("Node").is_some() { fields.text("Node")? } else { node.to_owned() },
        lock_delay: lock_delay(fields.get("LockDelay"))?,
        behavior: fields.text("Behavior")?,
        ttl: fields.text("TTL")?,
        checks,
        node_checks,
        service_checks: fields.get("ServiceChecks").map(|_| service_checks),
    })
}

/// A text is a duration; a number means seconds where it is small, else nanoseconds. Anything else means none.
fn lock_delay(value: Option<&Value>) -> Result<i64, String> {
    let nanos = match value {
        None => return Ok(LOCK_DELAY),
        Some(Value::String(text)) => {
            let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |digits| (-1, digits));
            let unit = digits == "0" || !digits.ends_with(|last: char| last.is_ascii_digit());
            let parsed = digits.parse::<ConsulDuration>().ok().filter(|_| unit);
            let nanos = parsed.and_then(|parsed| i64::try_from(parsed.as_nanos()).ok());
            sign * nanos.ok_or_else(|| go_duration_fault(text))?
        }
        #[allow(clippy::cast_possible_truncation, reason = "a float saturates")]
        Some(Value::Number(number)) => number.as_f64().unwrap_or(0.0) as i64,
        Some(_) => 0,
    };
    // What is below 1,000 is taken for seconds, even where it was a text with a unit.
    Ok(if nanos < 1_000 { nanos.wrapping_mul(1_000_000_000) } else { nanos })
}

/// The id, or the name of a node, behind this in the path.
fn named<'a>(call: &'a Call, prefix: &str, what: &str) -> Result<&'a str, Refusal> {
    match call.rest(prefix) {
        "" => Err(Refusal::bad(format!("Missing {what}"))),
        id => Ok(id),
    }
}

/// Refuses what may not write sessions of this one's node. Of one that is not there, anybody may know.
fn admit(state: &State, call: &Call, id: &str) -> Result<(), Refusal> {
    let rights = call.rights()?;
    match state.session(id)? {
        Some(session) if !rights.write(Resource::Session, &session.node) => Err(Refusal::denied()),
        _ => Ok(()),
    }
}

/// Those that may be read.
fn visible<'a>(call: &Call, sessions: impl Iterator<Item = &'a Session>) -> Result<Vec<&'a Session>, Refusal> {
    let rights = call.rights()?;
    Ok(sessions.filter(|session| rights.read(Resource::Session, &session.node)).collect())
}

pub(super) fn destroy(state: &mut State, call: &Call) -> Answer {
    let id = named(call, "/v1/session/destroy/", "session")?;
    admit(state, call, id)?;
    state.destroy_session(id)?;
    Ok(Reply::json(&true))
}

pub(super) fn renew(state: &mut State, call: &Call) -> Answer {
    let id = named(call, "/v1/session/renew/", "session")?;
    admit(state, call, id)?;
    match state.renew_session(id)? {
        Some(session) => Ok(Reply::json(&[session])),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("Session id '{id}' not found"))),
    }
}

pub(super) fn info(state: &State, call: &Call) -> Answer {
    let found = state.session(named(call, "/v1/session/info/", "session")?)?;
    let found = visible(call, found.into_iter())?;
    Ok(Reply::json(&found).at(state.sessions_index()))
}

pub(super) fn list(state: &State, call: &Call) -> Answer {
    let all = visible(call, state.sessions.all())?;
    Ok(Reply::json(&all).at(state.sessions_index()))
}

pub(super) fn of_node(state: &State, call: &Call) -> Answer {
    let node = named(call, "/v1/session/node/", "node name")?;
    let of = visible(call, state.sessions.all().filter(|session| session.node == node))?;
    Ok(Reply::json(&of).at(state.sessions_index()))
}
