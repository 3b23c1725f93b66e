//! `/v1/kv/`: keys and their values, which are bytes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::client::{Client, found};
use super::error::Error;
use super::key::{check_key, check_prefix, check_tree, check_value};
use super::query::{Query, QueryMeta};
use super::request::Request;
use super::watch::Watch;

/// The key-value store.
#[derive(Clone, Copy, Debug)]
pub struct Kv<'a>(pub(super) &'a Client);

/// A key and what Consul knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvPair {
    /// The key.
    pub key: String,
    /// A number that belongs to the value, for clients to use.
    pub flags: u64,
    /// The value. Consul keeps no difference between an empty value and none.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub value: Vec<u8>,
    /// The id of the session that holds the key, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How often the key was acquired; a plain write sets it back to 0. No fencing token: see `ModifyIndex`.
    pub lock_index: u64,
    /// The Raft index at which it was made.
    pub create_index: u64,
    /// The Raft index at which it was last changed: what a compare-and-set compares.
    pub modify_index: u64,
}

/// A key and who holds it. Its value is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LockedKey {
    /// The key.
    pub key: String,
    /// The id of the session that holds it, if one does.
    #[serde(default)]
    pub session: Option<String>,
}

/// How a value is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// The flags. A write without flags sets them to 0.
    pub flags: u64,
    /// What the write is subject to.
    pub condition: Condition,
}

/// What a write is subject to. Consul takes one condition at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing: it is written, even where a session holds the key.
    #[default]
    None,
    /// The key is as it was at this `ModifyIndex`; 0: it does not exist.
    Cas(u64),
    /// This session gets the key, or holds it already.
    Acquire(String),
    /// This session holds the key, and gives it up. The value is written too.
    Release(String),
}

impl KvPair {
    /// The value as text.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.value)
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// Where it is not JSON, or JSON of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        crate::json::read(&self.value)
    }
}

impl PutOptions {
    fn apply(&self, request: Request) -> Request {
        let request = if self.flags == 0 { request } else { request.parameter("flags", &self.flags.to_string()) };
        match &self.condition {
            Condition::None => request.repeatable(),
            Condition::Cas(index) => request.parameter("cas", &index.to_string()),
            Condition::Acquire(session) => request.parameter("acquire", session).repeatable(),
            Condition::Release(session) => request.parameter("release", session),
        }
    }
}

impl Kv<'_> {
    /// Reads a key; `None` where it does not exist. Needs `key:read`.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Key`] where Consul would read another key.
    pub fn get(&self, key: &str, query: &Query) -> Result<Option<KvPair>, Error> {
        check_key(key)?;
        let pairs = found(self.0.read::<Vec<KvPair>>(&Request::get_kv(key).with(query)))?;
        Ok(pairs.and_then(|(pairs, _)| pairs.into_iter().next()))
    }

    /// Writes a key. False where the condition of `options` did not hold; then nothing was written. Needs `key:write`.
    ///
    /// A compare-and-set and a release are sent once: where the answer was lost, they may have been carried out.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Key`] where Consul would write another key, or the value is too long.
    pub fn put(&self, key: &str, value: &[u8], options: &PutOptions, query: &Query) -> Result<bool, Error> {
        check_key(key)?;
        check_value(key, value)?;
        let request = options.apply(Request::put_kv(key).with(query)).body(value.to_vec());
        self.0.read(&request).map(|(done, _)| done)
    }

    /// Deletes a key, where `cas` is given only if it is as it was at that `ModifyIndex`. False where it is not. A
    /// key that does not exist is no error. Needs `key:write`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete(&self, key: &str, cas: Option<u64>, query: &Query) -> Result<bool, Error> {
        check_key(key)?;
        let request = Request::delete_kv(key).with(query);
        let request = match cas {
            None => request.repeatable(),
            Some(index) => request.parameter("cas", &index.to_string()),
        };
        self.0.read(&request).map(|(done, _)| done)
    }

    /// Deletes every key below `prefix`, which has to end in a slash. Needs `key_prefix:write` for all of them, else
    /// nothing is deleted. It asks nobody: neither who holds the keys nor whose they are.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_tree(&self, prefix: &str, query: &Query) -> Result<(), Error> {
        check_tree(prefix)?;
        self.0.send(&Request::delete_kv(prefix).with(query).flag("recurse").repeatable()).map(drop)
    }

    /// The names of the keys below `prefix` (a plain string prefix; empty for all) that the token may see, in order.
    /// With a `separator`, each name is cut behind the first one after the prefix, and named once.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn keys(&self, prefix: &str, separator: Option<&str>, query: &Query) -> Result<Vec<String>, Error> {
        self.keys_with_meta(prefix, separator, query).map(|(keys, _)| keys)
    }

    /// [`keys`](Self::keys), and what the answer says of itself: see [`QueryMeta::filtered_by_acls`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn keys_with_meta(
        &self,
        prefix: &str,
        separator: Option<&str>,
        query: &Query,
    ) -> Result<(Vec<String>, QueryMeta), Error> {
        check_prefix(prefix)?;
        let request = Request::get_kv(prefix).with(query).flag("keys");
        let request = separator.into_iter().fold(request, |request, text| request.parameter("separator", text));
        self.0.read_or_default(&request)
    }

    /// The keys below `prefix` (a plain string prefix; empty for all) that the token may read, with their values,
    /// and what the answer says of itself: see [`QueryMeta::filtered_by_acls`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn recurse(&self, prefix: &str, query: &Query) -> Result<(Vec<KvPair>, QueryMeta), Error> {
        let mut pairs = Vec::new();
        let meta = self.each(prefix, query, &mut |pair| pairs.push(pair))?;
        Ok((pairs, meta))
    }

    /// [`recurse`](Self::recurse), key by key: `take` gets each as it is read, so that a caller who keeps few of many
    /// holds few. Where it fails, some may have been given.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn each(&self, prefix: &str, query: &Query, take: &mut dyn FnMut(KvPair)) -> Result<QueryMeta, Error> {
        check_prefix(prefix)?;
        self.0.read_each(&Request::get_kv(prefix).with(query).flag("recurse"), take)
    }

    /// The keys below `prefix` (a plain string prefix; empty for all) that some session holds.
    ///
    /// Consul has no index from sessions to keys, so this reads every key below the prefix with its value. It
    /// shows only what the token may read, and Consul before 1.11 does not say so.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn locked(&self, prefix: &str, query: &Query) -> Result<(Vec<LockedKey>, QueryMeta), Error> {
        check_prefix(prefix)?;
        let request = Request::get_kv(prefix).with(query).flag("recurse");
        let (mut keys, meta) = self.0.read_or_default::<Vec<LockedKey>>(&request)?;
        keys.retain(|key| key.session.is_some());
        Ok((keys, meta))
    }

    /// Whether the token may read `key`, whether it exists or not: a direct read is refused, never filtered.
    ///
    /// # Errors
    /// See [`Error`]; being refused is not one.
    pub fn may_read(&self, key: &str, query: &Query) -> Result<bool, Error> {
        check_key(key)?;
        match found(self.0.send(&Request::get_kv(key).with(query))) {
            Ok(_) => Ok(true),
            Err(error) if error.is_denied() && !error.is_unknown_token() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Follows a key: its pair whenever it may have changed, an empty list while it does not exist.
    ///
    /// # Errors
    /// [`Error::Key`] where Consul would read another key.
    pub fn watch(&self, key: &str, query: &Query) -> Result<Watch<Vec<KvPair>>, Error> {
        check_key(key)?;
        Ok(Watch::new(self.0.clone(), Request::get_kv(key).with(query)))
    }

    /// Follows the keys below a prefix.
    ///
    /// # Errors
    /// [`Error::Key`] where no key can have that prefix.
    pub fn watch_prefix(&self, prefix: &str, query: &Query) -> Result<Watch<Vec<KvPair>>, Error> {
        check_prefix(prefix)?;
        Ok(Watch::new(self.0.clone(), Request::get_kv(prefix).with(query).flag("recurse")))
    }

    /// Follows the keys below a prefix by their names alone. There is an answer for a changed value too, so that this
    /// is the light way to learn that something changed.
    ///
    /// # Errors
    /// [`Error::Key`] where no key can have that prefix.
    pub fn watch_keys(&self, prefix: &str, query: &Query) -> Result<Watch<Vec<String>>, Error> {
        check_prefix(prefix)?;
        Ok(Watch::new(self.0.clone(), Request::get_kv(prefix).with(query).flag("keys")))
    }
}

pub(super) fn to_base64<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(value))
}

pub(super) fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_option(Base64)
}

/// Decodes straight from the text that is read, for there may be a hundred thousand values.
struct Base64;

impl<'de> Visitor<'de> for Base64 {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64, or null")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Vec<u8>, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        BASE64.decode(text).map_err(E::custom)
    }
}
