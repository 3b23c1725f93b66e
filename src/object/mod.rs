//! The nouns that both sides of a plan share: what is desired and what was observed, in one vocabulary, so that
//! their difference is plain equality, field by field.

mod key;
mod properties;
mod service;
mod session;

pub use key::{Key, KeyContent, ObservedKey};
pub use properties::Properties;
pub use service::{
    Check, CheckState, ExternalNode, HASH_KEY, ObservedNode, ObservedService, Service, ServiceSpec, Weights,
};
pub use session::{
    Behavior, DEFAULT_CHECK, FieldDifference, HeldLocks, ObservedSession, Refused, ServiceCheck, Session, SessionId,
    validate_name,
};
