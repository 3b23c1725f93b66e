//! What has to be done so that a key is as desired. Pure.

mod many;

pub use many::{KeysPlan, Look, Read, looks, reads};

use crate::object::{Key, KeyContent, ObservedKey};

/// What somebody wants of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredKey {
    /// It exists, with this content.
    Present(KeyContent),
    /// It does not exist.
    Absent,
    /// This session holds it, with this content.
    Acquired {
        /// The session's id.
        session: String,
        /// The content.
        content: KeyContent,
    },
    /// This session does not hold it.
    Released {
        /// The session's id.
        session: String,
        /// The content that it is left with.
        content: KeyContent,
    },
}

/// What a plan may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Write or delete although another session holds the key.
    pub force: bool,
    /// The session on whose behalf this is done: what it holds is not another's.
    pub session: Option<String>,
    /// The index that the key has to have: 0 for none.
    pub cas: Option<u64>,
}

/// One thing to do, with the index that it was planned against, which becomes a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Write a key that does not exist.
    Create {
        /// What it is to be.
        after: Key,
    },
    /// Write a key that exists.
    Update {
        /// What it was.
        before: ObservedKey,
        /// What it is to be.
        after: Key,
    },
    /// Delete a key.
    Delete {
        /// What it was.
        before: ObservedKey,
    },
    /// Lock a key for a session, and write it.
    Acquire {
        /// What it was, if it existed.
        before: Option<ObservedKey>,
        /// What it is to be.
        after: Key,
        /// The session's id.
        session: String,
    },
    /// Unlock a key of a session, and write it.
    Release {
        /// What it was.
        before: ObservedKey,
        /// What it is to be.
        after: Key,
        /// The session's id.
        session: String,
    },
}

impl KeyChange {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Create { after }
            | Self::Update { after, .. }
            | Self::Acquire { after, .. }
            | Self::Release { after, .. } => &after.key,
            Self::Delete { before } => &before.key.key,
        }
    }
}

/// Why a key is not to be touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeKey {
    /// Another session holds it.
    #[error("key {key:?} is held by session {holder}")]
    Held {
        /// The key.
        key: String,
        /// The id of the session that holds it.
        holder: String,
    },
    /// It is not as it was when somebody looked.
    #[error("key {key:?} is not at index {wanted} but at {found}: somebody changed it")]
    Stale {
        /// The key.
        key: String,
        /// The index that was asked for.
        wanted: u64,
        /// The index that it has; 0 if it does not exist.
        found: u64,
    },
}

/// The difference between a key as it is desired and as it is; `None` where there is none.
///
/// | desired | observed | plan |
/// |---|---|---|
/// | present | none | create |
/// | present | equal in what was mentioned | nothing |
/// | present | differs | update |
/// | absent | none | nothing |
/// | absent | any | delete |
/// | acquired | held by that session, equal | nothing |
/// | acquired | held by that session, differs | acquire: it stays held, and is written |
/// | acquired | free, or none | acquire |
/// | acquired | held by another | refuse: busy, `force` or not |
/// | released | held by that session | release |
/// | released | free, none, or held by another | nothing: that session does not hold it |
///
/// And before any change:
///
/// | observed | policy | plan |
/// |---|---|---|
/// | held by another session | no `force` | refuse |
/// | at another index than `cas` | any | refuse |
///
/// # Errors
/// The reason not to touch the key.
pub fn plan_key(
    name: &str,
    desired: &DesiredKey,
    observed: Option<&ObservedKey>,
    policy: &KeyPolicy,
) -> Result<Option<KeyChange>, UnsafeKey> {
    let base = || observed.map_or_else(|| Key { key: name.to_owned(), value: Vec::new(), flags: 0 }, |o| o.key.clone());
    let held_by = |session: &str| observed.is_some_and(|observed| observed.holder.as_deref() == Some(session));
    let change = match (desired, observed) {
        (DesiredKey::Present(content), None) => Some(KeyChange::Create { after: content.over(base()) }),
        (DesiredKey::Present(content), Some(before)) => (!content.is_of(&before.key))
            .then(|| KeyChange::Update { before: before.clone(), after: content.over(base()) }),
        (DesiredKey::Absent, before) => before.map(|before| KeyChange::Delete { before: before.clone() }),
        (DesiredKey::Acquired { session, content }, before) => {
            let done = held_by(session) && before.is_some_and(|before| content.is_of(&before.key));
            (!done).then(|| KeyChange::Acquire {
                before: before.cloned(),
                after: content.over(base()),
                session: session.clone(),
            })
        }
        (DesiredKey::Released { session, content }, Some(before)) if held_by(session) => {
            Some(KeyChange::Release { before: before.clone(), after: content.over(base()), session: session.clone() })
        }
        (DesiredKey::Released { .. }, _) => None,
    };
    if change.is_some() {
        refuse(name, desired, observed, policy)?;
    }
    Ok(change)
}

fn refuse(
    name: &str,
    desired: &DesiredKey,
    observed: Option<&ObservedKey>,
    policy: &KeyPolicy,
) -> Result<(), UnsafeKey> {
    let found = observed.map_or(0, |observed| observed.modify_index);
    if let Some(wanted) = policy.cas.filter(|wanted| *wanted != found) {
        return Err(UnsafeKey::Stale { key: name.to_owned(), wanted, found });
    }
    let (ours, force) = match desired {
        DesiredKey::Acquired { session, .. } | DesiredKey::Released { session, .. } => (Some(session), false),
        DesiredKey::Present(_) | DesiredKey::Absent => (policy.session.as_ref(), policy.force),
    };
    match observed.and_then(|observed| observed.holder.as_ref()) {
        Some(holder) if Some(holder) != ours && !force => {
            Err(UnsafeKey::Held { key: name.to_owned(), holder: holder.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
