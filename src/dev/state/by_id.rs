//! Things by their ids.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Things by their ids, in the order of these. Each is behind a pointer: so the machine has one map for all types of
/// things, and to copy all, as a transaction does, copies none of them.
#[derive(Clone, Debug)]
pub(super) struct ById<K, T>(BTreeMap<K, Arc<T>>);

impl<K, T> Default for ById<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, T: Clone> ById<K, T> {
    pub fn get<Q: Ord + ?Sized>(&self, id: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        self.0.get(id).map(Arc::as_ref)
    }

    pub fn get_mut<Q: Ord + ?Sized>(&mut self, id: &Q) -> Option<&mut T>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(id).map(Arc::make_mut)
    }

    pub fn insert(&mut self, id: K, thing: T) {
        self.0.insert(id, Arc::new(thing));
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, id: &Q) -> Option<Arc<T>>
    where
        K: Borrow<Q>,
    {
        self.0.remove(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(Arc::as_ref)
    }

    /// Those from this id on.
    pub fn from(&self, id: K) -> impl Iterator<Item = (&K, &T)> + use<'_, K, T> {
        self.0.range(id..).map(|(id, thing)| (id, thing.as_ref()))
    }
}
