//! `/v1/kv/`

use axum::http::{StatusCode, header};

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Entry, Resource, State, Write};

const PATH: &str = "/v1/kv/";

/// One key, a tree, or the names of the keys in it.
pub(super) fn get(state: &State, call: &Call) -> Answer {
    let key = call.rest(PATH);
    if call.has("keys") {
        let names = names(state, call, key)?;
        // Nothing below the root is an empty list.
        let found =
            if names.is_empty() && !key.is_empty() { Reply::empty(StatusCode::NOT_FOUND) } else { Reply::json(&names) };
        return Ok(found.at(state.prefix_index(key)));
    }
    if call.has("recurse") {
        let rights = call.rights()?;
        let below: Vec<&Entry> = state.keys.below(key).filter(|entry| rights.read(Resource::Key, &entry.key)).collect();
        let found = if below.is_empty() { Reply::empty(StatusCode::NOT_FOUND) } else { Reply::json(&below) };
        return Ok(found.at(state.prefix_index(key)));
    }
    if key.is_empty() {
        return Err(Refusal::bad("Missing key name"));
    }
    call.must_read(Resource::Key, key)?;
    let (index, entry) = state.key(key);
    let found = match entry {
        None => Reply::empty(StatusCode::NOT_FOUND),
        Some(entry) if call.has("raw") => Reply::new(StatusCode::OK, "text/plain", entry.value.clone())
            .with(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .with(header::CONTENT_SECURITY_POLICY, "sandbox"),
        Some(entry) => Reply::json(&[entry]),
    };
    Ok(found.at(index))
}

/// The names of the keys below a prefix; up to a separator behind it, where one is named.
fn names<'a>(state: &'a State, call: &Call, prefix: &'a str) -> Result<Vec<&'a str>, Refusal> {
    let rights = call.rights()?;
    let separator = call.text("separator");
    let mut names: Vec<&str> = Vec::new();
    for entry in state.keys.below(prefix).filter(|entry| rights.read(Resource::Key, &entry.key)) {
        let rest = entry.key.get(prefix.len()..).unwrap_or_default();
        let end = if separator.is_empty() { None } else { rest.find(separator) };
        let name = end.and_then(|end| entry.key.get(..prefix.len() + end + separator.len())).unwrap_or(&entry.key);
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Writes a key, perhaps under a condition; says whether it was written.
pub(super) fn put(state: &mut State, call: &Call) -> Answer {
    call.wait()?; // looked at here, too, though nothing waits
    let key = named(call)?;
    conflicts(call, &["cas", "acquire", "release"])?;
    let flags = call.number("flags")?.unwrap_or(0);
    let expected = call.number("cas")?;
    call.must_write(Resource::Key, key)?;
    let write = Write { key: key.to_owned(), value: call.body.to_vec(), flags };
    Ok(Reply::json(&match (call.get("acquire"), call.get("release"), expected) {
        (Some(session), ..) => state.acquire_now(write, session)?,
        (_, Some(session), _) => state.release_now(write, session)?,
        (.., Some(expected)) => state.cas_now(write, expected),
        _ => {
            state.set_now(write);
            true
        }
    }))
}

/// Deletes a key, or a whole tree.
pub(super) fn delete(state: &mut State, call: &Call) -> Answer {
    call.wait()?;
    conflicts(call, &["recurse", "cas"])?;
    let prefix = call.rest(PATH);
    if call.has("recurse") {
        if !call.rights()?.write_below(prefix) {
            return Err(Refusal::denied());
        }
        state.delete_tree_now(prefix);
        return Ok(Reply::json(&true));
    }
    let key = named(call)?;
    let expected = call.number("cas")?;
    call.must_write(Resource::Key, key)?;
    Ok(Reply::json(&state.delete_now(key, expected)))
}

fn named(call: &Call) -> Result<&str, Refusal> {
    match call.rest(PATH) {
        "" => Err(Refusal::bad("Missing key name")),
        key => Ok(key),
    }
}

/// Of these, one at most.
fn conflicts(call: &Call, names: &[&str]) -> Result<(), Refusal> {
    if names.iter().filter(|name| call.has(name)).count() < 2 {
        return Ok(());
    }
    // As Go writes a form: sorted.
    let mut pairs = call.query.clone();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Err(Refusal::bad(format!("Conflicting flags: {}", pairs.join("&"))))
}
