//! What is known of an object: whose it is, and what exists of it.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::object::{
    Claims, Key, KeyContent, Object, ObjectId, ObservedKey, ObservedService, ObservedSession, ObservedState,
};

use super::{Adopt, Claim, Recorded, claim};

/// What is known of one object.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    /// What exists.
    pub(super) existing: Existing<'a>,
    /// The other owner that has it.
    pub(super) foreign: Option<&'a str>,
    /// What our record says, and the object itself.
    recorded: Recorded,
    /// Our record says for certain that we have it.
    pub(super) in_record: bool,
}

/// What exists of an object; empty, or `None`, where nothing does.
#[derive(Clone, Copy)]
pub(super) enum Existing<'a> {
    Sessions(&'a [ObservedSession]),
    Service(Option<&'a ObservedService>),
    Key(Option<&'a ObservedKey>),
}

impl Sight<'_> {
    /// Whose the object is.
    pub(super) fn claim(&self, adopt: Adopt) -> Claim {
        claim(self.recorded, self.foreign, self.exists(), adopt)
    }

    pub(super) fn exists(&self) -> bool {
        match self.existing {
            Existing::Sessions(sessions) => !sessions.is_empty(),
            Existing::Service(service) => service.is_some(),
            Existing::Key(key) => key.is_some(),
        }
    }
}

impl Existing<'_> {
    /// Whether it is just what was to be made, by its hash.
    fn is_as_made(self, hash: &str) -> bool {
        match self {
            Self::Sessions(sessions) => {
                sessions.iter().any(|session| Object::Session(session.session.clone()).hash() == hash)
            }
            Self::Service(service) => service.is_some_and(|service| service.hash.as_deref() == Some(hash)),
            Self::Key(key) => key.is_some_and(|key| is_key_of(&key.key, hash)),
        }
    }
}

/// Whether a key is what [`KeyContent::hash`] gave `hash` for, made from nothing: flags that were not mentioned are 0.
fn is_key_of(key: &Key, hash: &str) -> bool {
    let content = |flags| KeyContent { value: Some(key.value.clone()), flags };
    content(Some(key.flags)).hash() == hash || (key.flags == 0 && content(None).hash() == hash)
}

/// Looks at objects in the order of their ids. What is known is gone through along with them, for 100,000 searches would
/// cost more than all the rest.
pub(super) struct Look<'a> {
    owner: &'a str,
    objects: Along<'a, ObjectId, ()>,
    pending: Along<'a, ObjectId, &'a String>,
    others: Along<'a, ObjectId, &'a String>,
    sessions: Along<'a, ObjectId, &'a Vec<ObservedSession>>,
    services: Along<'a, ObjectId, &'a ObservedService>,
    keys: Along<'a, String, &'a ObservedKey>,
}

impl<'a> Look<'a> {
    pub(super) fn new(owner: &'a str, observed: &'a ObservedState, claims: &'a Claims) -> Self {
        Self {
            owner,
            objects: Along::new(claims.ours.objects.iter().map(|id| (id, ()))),
            pending: Along::new(claims.ours.pending.iter()),
            others: Along::new(claims.others.iter()),
            sessions: Along::new(observed.sessions.iter()),
            services: Along::new(observed.services.iter()),
            keys: Along::new(observed.keys.iter()),
        }
    }

    /// What is known of an object, whose id comes behind those that were asked for before.
    pub(super) fn at(&mut self, id: &ObjectId) -> Sight<'a> {
        let existing = match id {
            ObjectId::Session { .. } => Existing::Sessions(self.sessions.get(id).map_or(&[], Vec::as_slice)),
            ObjectId::Service { .. } => Existing::Service(self.services.get(id)),
            ObjectId::Key(key) => Existing::Key(self.keys.get(key)),
        };
        let in_record = self.objects.get(id).is_some();
        let pending = self.pending.get(id);
        let other = self.others.get(id).map(String::as_str);
        let in_meta = match existing {
            Existing::Service(service) => service.and_then(|service| service.owner.as_deref()),
            Existing::Sessions(_) | Existing::Key(_) => None,
        };
        // What a service's own metadata says counts for more than records: whoever took it over wrote it there.
        let (recorded, foreign) = match in_meta {
            Some(owner) if owner == self.owner => (Recorded::Yes, None),
            Some(owner) => (Recorded::No, Some(owner)),
            None if in_record => (Recorded::Yes, other),
            None => match pending {
                Some(hash) => (Recorded::Pending { as_made: existing.is_as_made(hash) }, other),
                None => (Recorded::No, other),
            },
        };
        Sight { existing, foreign, recorded, in_record }
    }
}

/// Something sorted, gone through along with something else that is sorted alike.
pub(super) struct Along<'a, K, V>(Peekable<Box<dyn Iterator<Item = (&'a K, V)> + 'a>>);

impl<'a, K: Ord, V: Copy> Along<'a, K, V> {
    pub(super) fn new(sorted: impl Iterator<Item = (&'a K, V)> + 'a) -> Self {
        let sorted: Box<dyn Iterator<Item = (&'a K, V)> + 'a> = Box::new(sorted);
        Self(sorted.peekable())
    }

    /// What is at `key`, which must not come before one that was asked for already.
    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        while let Some((next, value)) = self.0.peek() {
            match (*next).cmp(key) {
                Ordering::Less => drop(self.0.next()),
                Ordering::Equal => return Some(*value),
                Ordering::Greater => return None,
            }
        }
        None
    }
}
