//! What a plan may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::Refused;

/// What to do where a session of the desired identity exists with other properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OnDrift {
    /// Create the desired one, then destroy the other.
    #[default]
    Replace,
    /// Refuse.
    Fail,
    /// Leave it as it is.
    Keep,
}

/// What a plan may do. The default destroys nothing that holds a lock, and no duplicate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What to do about other properties.
    pub on_drift: OnDrift,
    /// Replace a session although it holds locks.
    pub force: bool,
    /// Destroy duplicates of the identity that hold no lock.
    pub unique: bool,
    /// The prefix of the keys among which locks are looked for. Empty: all keys.
    pub lock_prefix: String,
}

impl Policy {
    /// Checks what Consul would take for something else.
    ///
    /// # Errors
    /// Where the lock prefix is one that no key can have.
    pub fn validate(&self) -> Result<(), Refused> {
        let prefix = &self.lock_prefix;
        let odd = |segment: &str| matches!(segment, "." | "..");
        if prefix.starts_with('/')
            || prefix.contains("//")
            || prefix.split('/').any(odd)
            || prefix.chars().any(char::is_control)
        {
            return Err(Refused::new(format!(
                "lock_prefix is {prefix:?}, but no key of Consul begins with a slash, holds two in a row, a segment \
                 of dots, or a control character"
            )));
        }
        Ok(())
    }
}
