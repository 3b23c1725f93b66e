//! The text of an owner's record: JSON that people can read, the same for the same record.
//!
//! ```json
//! {
//!   "version": 1,
//!   "owner": "platform/coordination",
//!   "digest": "6f1ed002ab5595859014ebf0951522d9",
//!   "record": {
//!     "objects": ["key service/web/config", "session web1/web-leader"],
//!     "pending": {"key service/web/mode": "8a5edab282632443219e051e4ade2d1d"}
//!   }
//! }
//! ```
//!
//! A record that is too long for one value stands in parts, in keys beside the head: `"parts": 2` in place of the
//! record. The name of a part holds the digest, so that parts of two states of a record never mix.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object::{OWN_KEYS, ObjectId, Record, digest};

/// The version of records that this program writes, and the latest that it reads.
pub(super) const VERSION: u64 = 1;

/// No part is longer, in bytes. As base64 it is 342 KiB, which a transaction (512 KiB) holds with room to spare; people
/// can still look at it.
const PART: usize = 256 * 1024;

/// Why the record of an owner is not to be relied on. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is not what was written: cut short, not JSON, a part of it missing.
    #[error("the record of an owner, key {key:?}, is damaged: {problem}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody changed it.
    #[error("the record of an owner, key {key:?}, was changed by hand: its digest is {digest}, not what it says")]
    Edited {
        /// Its key.
        key: String,
        /// The digest that it has now.
        digest: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the record of an owner, key {key:?}, is of version {version}, and this program knows {VERSION}: a newer Lictor wrote it"
    )]
    Newer {
        /// Its key.
        key: String,
        /// Its version.
        version: u64,
    },
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u64,
    owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<Content>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Content {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protected: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replacing: Vec<String>,
}

/// A record as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// What tells it from every other.
    pub digest: String,
    /// The head's value.
    pub head: String,
    /// The values of its parts; none where all is in the head.
    pub parts: Vec<String>,
}

/// Writes a record.
pub(super) fn write(owner: &str, record: &Record) -> Written {
    let content = Content::from(record);
    let digest = digest_of(owner, &content);
    let head = |parts, record| {
        pretty(&Head { version: VERSION, owner: owner.to_owned(), digest: Some(digest.clone()), parts, record })
    };
    let mut contents = content.split();
    if contents.len() <= 1 {
        return Written { head: head(None, contents.pop()), parts: Vec::new(), digest };
    }
    let parts: Vec<String> = contents.iter().map(pretty).collect();
    Written { head: head(Some(parts.len()), None), parts, digest }
}

/// Reads a record: `part` gives the value of a part by its digest and its number, from 1.
pub(super) fn read<'a>(
    key: &str,
    owner: &str,
    head: &[u8],
    part: impl Fn(&str, usize) -> Option<&'a [u8]>,
) -> Result<(Record, Option<String>), RecordError> {
    let damaged = |problem: String| RecordError::Damaged { key: key.to_owned(), problem };
    let Versioned { version } = crate::json::read(head).map_err(|error| damaged(format!("it is no JSON: {error}")))?;
    match version.as_ref().and_then(serde_json::Value::as_u64) {
        None | Some(0) => return Err(damaged("it names no version".to_owned())),
        Some(version) if version > VERSION => return Err(RecordError::Newer { key: key.to_owned(), version }),
        Some(_) => {}
    }
    let mut head: Head = crate::json::read(head).map_err(|error| damaged(error.to_string()))?;
    if head.owner != owner {
        return Err(damaged(format!("it names {:?} as its owner", head.owner)));
    }
    let content = match (head.record.take(), head.parts, &head.digest) {
        (Some(content), None, _) => content,
        (None, Some(count), Some(digest)) => {
            let mut content = Content::default();
            for number in 1..=count {
                let part = part(digest, number)
                    .ok_or_else(|| damaged(format!("part {number} of {count} (digest {digest}) is missing")))?;
                let part = crate::json::read(part)
                    .map_err(|error| damaged(format!("part {number} of {count} (digest {digest}): {error}")))?;
                content.append(part);
            }
            content
        }
        _ => return Err(damaged("it has neither `record`, nor `parts` and their `digest`".to_owned())),
    };
    let now = digest_of(owner, &content);
    if head.digest.as_ref().is_some_and(|digest| *digest != now) {
        return Err(RecordError::Edited { key: key.to_owned(), digest: now });
    }
    let record: Record = content.try_into().map_err(damaged)?;
    // No spec can declare them, and to prune them would take other owners' records away.
    let own = |id: &&ObjectId| matches!(id, ObjectId::Key(key) if key.starts_with(OWN_KEYS));
    if let Some(id) = record.objects.iter().chain(record.pending.keys()).find(own) {
        return Err(damaged(format!("it has {id}, which is Lictor's own")));
    }
    Ok((record, head.digest))
}

fn digest_of(owner: &str, content: &Content) -> String {
    digest(&serde_json::to_vec(&(VERSION, owner, content)).unwrap_or_default())
}

fn pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

impl Content {
    fn append(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.pending.append(&mut other.pending);
        self.protected.append(&mut other.protected);
        self.replacing.append(&mut other.replacing);
    }

    /// The same in as few as fit into a part each; in one where that holds it all.
    fn split(self) -> Vec<Self> {
        let mut parts = Vec::new();
        let (mut part, mut length) = (Self::default(), 0);
        // With what JSON puts around an entry, indent, quotes, colon, comma, and before what it escapes.
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        };
        let long = |text: &str| 14 + text.bytes().map(escaped).sum::<usize>();
        let mut make_room = |part: &mut Self, bytes: usize| {
            length += bytes;
            if length > PART {
                length = bytes;
                parts.push(std::mem::take(part));
            }
        };
        for object in self.objects {
            make_room(&mut part, long(&object));
            part.objects.push(object);
        }
        for (object, hash) in self.pending {
            make_room(&mut part, long(&object) + long(&hash));
            part.pending.insert(object, hash);
        }
        for object in self.protected {
            make_room(&mut part, long(&object));
            part.protected.push(object);
        }
        for session in self.replacing {
            make_room(&mut part, long(&session));
            part.replacing.push(session);
        }
        parts.push(part);
        parts
    }
}

impl From<&Record> for Content {
    fn from(record: &Record) -> Self {
        let Record { objects, pending, protected, replacing } = record;
        Self {
            objects: objects.iter().map(ToString::to_string).collect(),
            pending: pending.iter().map(|(id, hash)| (id.to_string(), hash.clone())).collect(),
            protected: protected.iter().map(ToString::to_string).collect(),
            replacing: replacing.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<Content> for Record {
    type Error = String;

    fn try_from(content: Content) -> Result<Self, String> {
        fn ids<I: std::str::FromStr<Err: ToString>, C: FromIterator<I>>(texts: Vec<String>) -> Result<C, String> {
            texts.iter().map(|text| text.parse().map_err(|error: I::Err| error.to_string())).collect()
        }
        let Content { objects, pending, protected, replacing } = content;
        let pending = pending.into_iter().map(|(id, hash)| Ok((id.parse()?, hash))).collect::<Result<_, _>>();
        Ok(Self {
            objects: ids(objects)?,
            pending: pending.map_err(|error: crate::object::Refused| error.to_string())?,
            protected: ids(protected)?,
            replacing: replacing
                .iter()
                .map(|id| crate::object::SessionId::parse(id).map_err(|error| error.to_string()))
                .collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::SessionId;

    fn record(count: usize) -> Record {
        let id = |number: usize| ObjectId::Key(format!("a \"quoted\" key/{number:06}"));
        let session = SessionId::parse("8f3c7a3e-1d2b-4c5d-8e9f-0a1b2c3d4e5f").unwrap();
        Record {
            objects: (0..count).map(id).collect(),
            pending: (count..2 * count).map(|number| (id(number), "hash".to_owned())).collect(),
            protected: (0..count / 2).map(id).collect(),
            replacing: [session].into(),
        }
    }

    fn read_back(written: &Written) -> Result<Record, RecordError> {
        let part = |digest: &str, number: usize| {
            assert_eq!(digest, written.digest);
            Some(written.parts.get(number - 1)?.as_bytes())
        };
        read("k", "a/b", written.head.as_bytes(), part).map(|(record, _)| record)
    }

    #[test]
    fn a_record_is_read_as_it_was_written_whole_or_in_parts() {
        for (count, parts) in [(0, 0), (1, 0), (2000, 0), (20_000, 10)] {
            let record = record(count);
            let written = write("a/b", &record);
            assert_eq!(written.parts.len(), parts, "{count}");
            assert!(written.parts.iter().all(|part| part.len() <= PART) && written.head.len() <= PART + 1000);
            assert_eq!(read_back(&written), Ok(record));
        }
    }

    #[test]
    fn a_record_that_has_records_is_damaged() {
        for id in ["key lictor/owners/other", "key lictor/locks/other"] {
            for list in [format!("\"objects\": [\"{id}\"]"), format!("\"pending\": {{\"{id}\": \"hash\"}}")] {
                let head = format!("{{\"version\": 1, \"owner\": \"a\", \"record\": {{{list}}}}}");
                let Err(RecordError::Damaged { problem, .. }) = read("k", "a", head.as_bytes(), |_, _| None) else {
                    panic!("{head} counts");
                };
                assert_eq!(problem, format!("it has {id}, which is Lictor's own"));
            }
        }
    }

    #[test]
    fn a_part_that_is_missing_or_cut_short_is_noticed() {
        let mut written = write("a/b", &record(20_000));
        let last = written.parts.pop().unwrap();
        assert!(matches!(read_back(&written), Err(RecordError::Damaged { .. })));
        written.parts.push(last[..last.len() - 40].to_owned());
        assert!(matches!(read_back(&written), Err(RecordError::Damaged { .. })));
        written.parts.pop();
        written.parts.push("{}".to_owned());
        assert!(matches!(read_back(&written), Err(RecordError::Edited { .. })));
    }
}
