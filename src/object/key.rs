//! A key: what it should be, and one that is.

/// A key's properties that somebody declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub key: String,
    /// Its value: bytes, where empty is the same as none.
    pub value: Vec<u8>,
    /// The number that goes with it.
    pub flags: u64,
}

/// A key that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedKey {
    /// What it is.
    pub key: Key,
    /// The Raft index of its last change: what a compare-and-set compares.
    pub modify_index: u64,
    /// The id of the session that holds it.
    pub holder: Option<String>,
}

impl ObservedKey {
    /// Puts keys in order.
    pub fn sort(keys: &mut [Self]) {
        crate::sort::by(keys, |a, b| a.key.key.cmp(&b.key.key));
    }
}

/// What somebody mentions of a key. What is `None` stays as it is; in a new key it is empty, or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyContent {
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The flags.
    pub flags: Option<u64>,
}

impl KeyContent {
    /// Whether `key` is as mentioned.
    pub fn is_of(&self, key: &Key) -> bool {
        self.value.as_ref().is_none_or(|value| *value == key.value) && self.flags.is_none_or(|flags| flags == key.flags)
    }

    /// `base`, with this content in place of its own.
    pub fn over(&self, base: Key) -> Key {
        Key { key: base.key, value: self.value.clone().unwrap_or(base.value), flags: self.flags.unwrap_or(base.flags) }
    }
}
