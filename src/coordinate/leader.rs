//! Who leads, and who stands: what stands in the key of an election.

use serde::{Deserialize, Serialize};

use crate::consul::{KvPair, Watch};

use super::kind::Kind;
use super::{Error, LOCK_FLAGS, stamped};

/// The keys of elections are HashiCorp's locks. Go's `consulapi` gives its keys no flags.
pub(super) const ELECTION: Kind =
    Kind { flags: LOCK_FLAGS, what: "an election", or_plain: true, again: false, stamp: stamped };

/// Who stands: what others read in the key's value while it leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    contact: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    pub(super) identifier: String,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// How to reach it, as it said; often a URL.
    pub contact: String,
    /// What it said of itself.
    pub description: Option<String>,
    /// Who it is, the host's name unless it said otherwise; `None` where another program leads.
    pub identifier: Option<String>,
    /// Since when, by its own clock, as RFC 3339 has it; `None` where another program leads.
    pub since: Option<String>,
    /// Whether its leadership outlasts the process that took it: see [`Election::hold`](super::Election::hold).
    pub persistent: bool,
    /// The id of its session. Whoever knows it can acquire keys in its name.
    pub session: String,
    /// Its fencing token: see [`Leadership::token`](super::Leadership::token).
    pub token: u64,
}

/// The leaders of an election, one after another, as an iterator that never ends: see [`Election::observe`](super::Election::observe).
#[derive(Debug)]
pub struct Changes {
    pub(super) watch: Watch<Vec<KvPair>>,
    pub(super) last: Option<Option<Leader>>,
}

impl Candidate {
    /// Somebody who can be reached by `contact`, under the host's name.
    pub fn new(contact: &str) -> Self {
        Self { contact: contact.to_owned(), description: None, identifier: super::host_name() }
    }

    /// With a description, for people.
    #[must_use]
    pub fn description(self, description: &str) -> Self {
        Self { description: Some(description.to_owned()), ..self }
    }

    /// With another identifier than the host's name.
    #[must_use]
    pub fn identifier(self, identifier: &str) -> Self {
        Self { identifier: identifier.to_owned(), ..self }
    }
}

impl Leader {
    /// Whether it is this candidate, beyond its process.
    pub(super) fn is(&self, candidate: &Candidate) -> bool {
        self.persistent && self.identifier.as_deref() == Some(&candidate.identifier)
    }
}

impl Iterator for Changes {
    type Item = Result<Option<Leader>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let leader = match self.watch.next()? {
                Ok((pairs, _)) => leader_of(pairs.first()),
                Err(error) => Err(error.into()),
            };
            match leader {
                Ok(leader) if self.last.as_ref() == Some(&leader) => {}
                Ok(leader) => {
                    self.last = Some(leader.clone());
                    return Some(Ok(leader));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What a leader's value says.
#[derive(Deserialize)]
struct Said {
    contact: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    identifier: Option<String>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    persistent: bool,
}

/// A candidate whose leadership outlasts its process.
#[derive(Serialize)]
pub(super) struct Persistent<'a> {
    #[serde(flatten)]
    pub candidate: &'a Candidate,
    pub persistent: bool,
}

/// Who holds the key, as its value has it: ours, or the JSON text that Go's `consulapi` writes, or any text.
pub(super) fn leader_of(pair: Option<&KvPair>) -> Result<Option<Leader>, Error> {
    let Some(pair) = pair else { return Ok(None) };
    if !ELECTION.has(pair) {
        // Data that nobody holds, and that nobody ever locked, is not to be read as an election either.
        return Err(ELECTION.conflict(pair));
    }
    let Some(session) = pair.session.clone() else { return Ok(None) };
    let said = pair.json::<Said>().unwrap_or_else(|_| Said {
        contact: pair.json::<String>().unwrap_or_else(|_| String::from_utf8_lossy(&pair.value).into_owned()),
        description: None,
        identifier: None,
        since: None,
        persistent: false,
    });
    let Said { contact, description, identifier, since, persistent } = said;
    Ok(Some(Leader { contact, description, identifier, since, persistent, session, token: pair.modify_index }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: &str, flags: u64, session: Option<&str>, lock_index: u64) -> KvPair {
        KvPair {
            key: "k".to_owned(),
            flags,
            value: value.as_bytes().to_vec(),
            session: session.map(ToOwned::to_owned),
            lock_index,
            create_index: 1,
            modify_index: 7,
        }
    }

    #[test]
    fn a_leader_is_read_from_our_value_from_gos_and_from_any() {
        let read = |value: &str, flags| leader_of(Some(&pair(value, flags, Some("s"), 1))).unwrap().unwrap();
        let ours = read(r#"{"contact":"http://a","identifier":"host","since":"2026-01-01T00:00:00Z"}"#, LOCK_FLAGS);
        assert_eq!((ours.contact.as_str(), ours.identifier.as_deref(), ours.token), ("http://a", Some("host"), 7));
        assert_eq!(read(r#""http://b""#, 0).contact, "http://b");
        assert_eq!(read("plain", LOCK_FLAGS).contact, "plain");
    }

    #[test]
    fn what_was_never_locked_is_no_election() {
        assert_eq!(leader_of(None).unwrap(), None);
        assert_eq!(leader_of(Some(&pair("x", LOCK_FLAGS, None, 1))).unwrap(), None);
        assert_eq!(leader_of(Some(&pair("x", 0, None, 3))).unwrap(), None, "a Go candidate has abdicated");
        assert!(leader_of(Some(&pair("data", 0, None, 0))).is_err());
        assert!(leader_of(Some(&pair("x", 42, Some("s"), 1))).is_err());
    }
}
