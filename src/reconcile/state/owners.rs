//! Owners and what they have: to look at, to take over, to hand on.

use std::collections::{BTreeMap, BTreeSet};

use crate::consul::{Client, Query};
use crate::object::{ObjectId, Record};

use super::inventory::Inventory;
use super::{Error, OwnerLock, inventory};

/// The owners' records of one place.
#[derive(Clone, Copy, Debug)]
pub struct Owners<'a> {
    /// The agent.
    pub client: &'a Client,
    /// Datacenter, namespace, partition.
    pub query: &'a Query,
}

impl Owners<'_> {
    /// The record of each owner.
    ///
    /// # Errors
    /// See [`Error`]; a record that cannot be relied on is one.
    pub fn list(&self) -> Result<BTreeMap<String, Record>, Error> {
        let inventory = Inventory::read(self.client, self.query)?;
        let mut records = BTreeMap::new();
        for owner in inventory.owners() {
            records.insert(owner.to_owned(), inventory.of(owner)?.0);
        }
        Ok(records)
    }

    /// Who has what.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn claims(&self) -> Result<BTreeMap<ObjectId, String>, Error> {
        let mut claims = BTreeMap::new();
        for (owner, record) in self.list()? {
            let ids = record.objects.into_iter().chain(record.pending.into_keys());
            claims.extend(ids.map(|id| (id, owner.clone())));
        }
        Ok(claims)
    }

    /// Hands `objects` of one owner on to another, or all that it has where none are named; under the locks of both. The
    /// receiver's record is written first: whoever is killed between leaves both with a claim, and the next call settles
    /// it. Services keep the owner in their metadata until the receiver applies them, and may take over what others have.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotOwned`] where the giver does not have one of them.
    pub fn transfer(
        &self,
        from: &OwnerLock,
        to: &OwnerLock,
        objects: &BTreeSet<ObjectId>,
    ) -> Result<BTreeSet<ObjectId>, Error> {
        let inventory = Inventory::read(self.client, self.query)?;
        let (mut after_giver, giver) = inventory.of(from.owner())?;
        let (mut after_receiver, receiver) = inventory.of(to.owner())?;
        let has = |id: &ObjectId| after_giver.objects.contains(id) || after_giver.pending.contains_key(id);
        if let Some(id) = objects.iter().find(|id| !has(id)) {
            return Err(Error::NotOwned { id: id.clone(), owner: from.owner().to_owned() });
        }
        let mut moved: BTreeSet<ObjectId> = objects.clone();
        if moved.is_empty() {
            moved.extend(after_giver.objects.iter().chain(after_giver.pending.keys()).cloned());
        }
        for id in &moved {
            if after_giver.objects.remove(id) {
                after_receiver.objects.insert(id.clone());
            }
            if let Some(hash) = after_giver.pending.remove(id) {
                after_receiver.pending.insert(id.clone(), hash);
            }
            if after_giver.protected.remove(id) {
                after_receiver.protected.insert(id.clone());
            }
        }
        if objects.is_empty() {
            after_receiver.replacing.append(&mut after_giver.replacing);
        }
        inventory::write(self.client, to, &receiver, &after_receiver)?;
        inventory::write(self.client, from, &giver, &after_giver)?;
        Ok(moved)
    }
}
