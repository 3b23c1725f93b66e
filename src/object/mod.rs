//! The nouns that both sides of a plan share: what is desired and what was observed, in one vocabulary, so that
//! their difference is plain equality, field by field.

mod key;
mod names;
mod properties;
mod service;
mod session;
mod state;

pub use key::{Key, KeyContent, ObservedKey};
pub use names::Names;
pub use properties::Properties;
pub use service::{
    Check, CheckState, ExternalNode, HASH_KEY, OWNER_KEY, ObservedNode, ObservedService, Service, ServiceSpec, Weights,
    validate_service_id,
};
pub use session::{
    Behavior, DEFAULT_CHECK, FieldDifference, HeldLocks, ObservedSession, Refused, ServiceCheck, Session, SessionId,
    validate_name, validate_path_name,
};
pub use state::{
    At, Claims, Declared, DesiredState, NodeState, OWN_KEYS, Object, ObjectId, ObservedState, Place, Record, Secret,
    validate_owner,
};

/// 32 bits of the SHA-256 of `bytes`, as hexadecimal digits: enough for people to see whether a value is another.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    let mut hash = digest(bytes);
    hash.truncate(8);
    hash
}

/// 128 bits of the SHA-256 of `bytes`, as hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits = digest.as_ref().iter().take(16).flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
