//! Many objects at once: what somebody declares, and what of it exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    ExternalNode, KeyContent, ObservedKey, ObservedNode, ObservedService, ObservedSession, Refused, ServiceSpec,
    Session, SessionId,
};

/// Below it are the keys that Lictor keeps for itself: the records and the locks of owners.
pub const OWN_KEYS: &str = "lictor/";

/// What an object is called within its place: two objects with one id are one and the same. As text, which is what
/// people read and what records hold: `session NODE/NAME`, `service NODE/ID`, `key KEY`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectId {
    /// A session. Consul has ids of its own for these, new ones each time.
    Session {
        /// Its node.
        node: String,
        /// Its name.
        name: String,
    },
    /// A service.
    Service {
        /// Its node.
        node: String,
        /// Its id, which is another node's to give too.
        id: String,
    },
    /// A key.
    Key(String),
}

/// Where objects are. `None`: where the agent is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The datacenter.
    pub datacenter: Option<String>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    pub partition: Option<String>,
}

/// Everything that one owner declares in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// Whose objects these are, such as `platform/coordination`.
    pub owner: String,
    /// Where they are.
    pub place: Place,
    /// The objects.
    pub objects: BTreeMap<ObjectId, Declared>,
}

/// One object, and where it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it is to be.
    pub object: Object,
    /// Never destroyed: neither as one that is declared no more, nor to be replaced.
    pub prevent_destroy: bool,
    /// Where that is written.
    pub at: At,
}

/// A place in a file, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The file, as it was named; `-` for standard input.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in characters.
    pub column: u64,
}

/// What an object is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A session; it has a name.
    Session(Arc<Session>),
    /// A service.
    Service {
        /// Its node. With an address or metadata of its own it is one without an agent.
        node: ExternalNode,
        /// The service.
        spec: ServiceSpec,
    },
    /// A key.
    Key {
        /// What was mentioned of its content.
        content: KeyContent,
        /// The session that is to hold it: one that the same state declares.
        holder: Option<ObjectId>,
        /// Where its value comes from, if it is not to be shown.
        secret: Option<Secret>,
    },
}

/// Where a value comes from that is not to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable.
    Variable(String),
    /// A file.
    File(PathBuf),
}

/// What exists of the objects that a state, or the record of its owner, mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedState {
    /// The sessions of each id: Consul does not keep names apart.
    pub sessions: BTreeMap<ObjectId, Vec<ObservedSession>>,
    /// The keys.
    pub keys: BTreeMap<String, ObservedKey>,
    /// The services.
    pub services: BTreeMap<ObjectId, ObservedService>,
    /// The nodes that bear, or are to bear, services.
    pub nodes: BTreeMap<String, NodeState>,
    /// The nodes of declared sessions that certainly do not exist, as they are spelled there.
    pub missing_nodes: BTreeSet<String>,
}

/// A node that is to bear services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// The node, if it exists.
    pub node: Option<ObservedNode>,
    /// Its checks, and the id of the service that each is of; empty for the node itself.
    pub checks: BTreeMap<String, String>,
    /// The ids of all its services, by what they are in lower case: the catalog tells them apart by that.
    pub services: BTreeMap<String, String>,
}

/// Who has what, as the records in Consul say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The owner's own record.
    pub ours: Record,
    /// What other owners have.
    pub others: BTreeMap<ObjectId, String>,
}

/// What an owner has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What it certainly has: it made it, or took it over.
    pub objects: BTreeSet<ObjectId>,
    /// What it set out to make when it last wrote the record, and may have been killed before it did: the hash of what
    /// each was to be (see [`Object::hash`]).
    pub pending: BTreeMap<ObjectId, String>,
    /// What is never to be destroyed.
    pub protected: BTreeSet<ObjectId>,
    /// The sessions that it set out to replace: where their successors stand, an earlier run was killed before it
    /// destroyed them.
    pub replacing: BTreeSet<SessionId>,
}

impl Object {
    /// A hash of what it is to be: 128 bits of a SHA-256, as hexadecimal digits.
    pub fn hash(&self) -> String {
        match self {
            Self::Service { spec, .. } => spec.hash().to_owned(),
            Self::Session(session) => super::digest(format!("{session:?}").as_bytes()),
            Self::Key { content, .. } => content.hash(),
        }
    }
}

impl KeyContent {
    /// A hash of what was mentioned: 128 bits of a SHA-256, as hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut bytes = format!("{:?}\0", self.flags).into_bytes();
        bytes.extend(self.value.as_deref().unwrap_or_default());
        super::digest(&bytes)
    }
}

/// Checks the name of an owner: segments of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, with slashes between them. It is part
/// of a key of Consul.
///
/// # Errors
/// Where it is anything else, or longer than 128 bytes.
pub fn validate_owner(owner: &str) -> Result<(), Refused> {
    const LONGEST: usize = 128;
    let fine = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if owner.len() > LONGEST {
        return Err(Refused::new(format!("owner is {} bytes long, and {LONGEST} is the most", owner.len())));
    }
    if !owner.split('/').all(fine) {
        return Err(Refused::new(format!(
            "owner is {owner:?}: write letters, digits, `.`, `_` and `-`, with slashes between its parts, such as \
             platform/coordination"
        )));
    }
    Ok(())
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { node, name } => write!(f, "session {node}/{name}"),
            Self::Service { node, id } => write!(f, "service {node}/{id}"),
            Self::Key(key) => write!(f, "key {key}"),
        }
    }
}

impl FromStr for ObjectId {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let on_node = |rest: &str| rest.split_once('/').map(|(node, name)| (node.to_owned(), name.to_owned()));
        let id = match text.split_once(' ') {
            Some(("session", rest)) => on_node(rest).map(|(node, name)| Self::Session { node, name }),
            Some(("service", rest)) => on_node(rest).map(|(node, id)| Self::Service { node, id }),
            Some(("key", key)) => Some(Self::Key(key.to_owned())),
            _ => None,
        };
        id.ok_or_else(|| {
            Refused::new(format!("{text:?} names no object: write `session NODE/NAME`, `service NODE/ID` or `key KEY`"))
        })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
