//! The file of `consul kv export` and `consul kv import`: a JSON list of keys, their values as base64.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::consul::{KvPair, Query, check_key, check_value};
use crate::object::{KeyContent, Refused};
use crate::plan::key::DesiredKey;

/// One key of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    key: String,
    #[serde(default)]
    flags: u64,
    /// As base64.
    #[serde(default, borrow)]
    value: Option<Cow<'a, str>>,
    /// Consul Enterprise writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Consul Enterprise writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
}

impl From<&KvPair> for Entry<'_> {
    fn from(pair: &KvPair) -> Self {
        let value = Some(Cow::Owned(BASE64.encode(&pair.value)));
        Self { key: pair.key.clone(), flags: pair.flags, value, namespace: None, partition: None }
    }
}

impl Entry<'_> {
    fn desired(self, query: &Query) -> Result<(String, DesiredKey), String> {
        let Self { key, flags, value, namespace, partition } = self;
        check_key(&key).map_err(|error| error.to_string())?;
        for (what, theirs, ours) in
            [("namespace", namespace, &query.namespace), ("partition", partition, &query.partition)]
        {
            let theirs = theirs.filter(|theirs| !theirs.is_empty() && Some(theirs) != ours.as_ref());
            if let Some(theirs) = theirs {
                return Err(format!("key {key:?} is of {what} {theirs:?}: name that by --{what}, or take it out"));
            }
        }
        let value = BASE64
            .decode(value.unwrap_or_default().as_ref())
            .map_err(|error| format!("the value of key {key:?} is not base64: {error}"))?;
        check_value(&key, &value).map_err(|error| error.to_string())?;
        Ok((key, DesiredKey::Present(KeyContent { value: Some(value), flags: Some(flags) })))
    }
}

/// Reads a file, and checks each key as it would be before it is sent. Gives the keys in order, each once. Entries count
/// from 1.
pub(super) fn parse(text: &[u8], query: &Query) -> Result<Vec<(String, DesiredKey)>, Refused> {
    let entries: Vec<Entry<'_>> = crate::json::read(text)
        .map_err(|error| Refused::new(format!("it is not what `consul kv export` writes: {error}")))?;
    let fault = |at: usize, problem: String| Refused::new(format!("entry {}: {problem}", at + 1));
    let desired = entries.into_iter().enumerate();
    let desired = desired.map(|(at, entry)| entry.desired(query).map_err(|problem| fault(at, problem)));
    let mut desired: Vec<_> = desired.collect::<Result<_, _>>()?;
    // An export is in order.
    if !desired.is_sorted_by(|(a, _), (b, _)| a < b) {
        let mut keys = HashSet::new();
        if let Some((at, (key, _))) = desired.iter().enumerate().find(|(_, (key, _))| !keys.insert(key)) {
            return Err(fault(at, format!("key {key:?} is in the file twice")));
        }
        crate::sort::by(&mut desired, |(a, _), (b, _)| a.cmp(b));
    }
    Ok(desired)
}
