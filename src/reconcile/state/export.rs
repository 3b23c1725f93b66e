//! What is there, as a state that declares it.

use std::collections::BTreeMap;

use crate::consul::{Client, Query, check_key};
use crate::object::{
    Declared, DesiredState, ExternalNode, KeyContent, OWN_KEYS, Object, ObjectId, ObservedSession, Place, ServiceSpec,
    Session, SessionId,
};

use super::Owners;
use crate::reconcile::service::entry;
use crate::reconcile::{Error, note, observe, oldest_first};

/// The service that Consul's servers register of themselves.
const CONSUL: &str = "consul";

/// What to export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Sessions.
    pub sessions: bool,
    /// The keys that begin with this.
    pub keys: Option<String>,
    /// Services.
    pub services: bool,
}

/// What was exported.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The state that declares it.
    pub state: DesiredState,
    /// What was left out, and why, for people.
    pub left_out: Vec<String>,
}

/// Reads what `selection` names, as a state of `owner`: planning it finds nothing to do. Objects of other owners are left
/// out, and so is what cannot be declared: sessions without a name, keys that no path can hold, what Lictor keeps for
/// itself.
///
/// # Errors
/// See [`Error`]; [`Error::Blind`] where the token does not show everything.
pub fn export(
    client: &Client,
    query: &Query,
    owner: &str,
    place: &Place,
    selection: &Selection,
) -> Result<Export, Error> {
    let others = Owners { client, query }.claims()?;
    let state = DesiredState { owner: owner.to_owned(), place: place.clone(), objects: BTreeMap::new() };
    let mut export = Export { state, left_out: Vec::new() };
    let holders = if selection.sessions { export.sessions(client, query)? } else { BTreeMap::new() };
    if let Some(prefix) = &selection.keys {
        export.keys(client, query, prefix, &holders)?;
    }
    if selection.services {
        export.services(client, query)?;
    }
    let Export { state, left_out } = &mut export;
    state.objects.retain(|id, _| match others.get(id) {
        Some(other) if other != owner => {
            left_out.push(format!("{id}: it is {other:?}'s"));
            false
        }
        _ => true,
    });
    Ok(export)
}

impl Export {
    fn put(&mut self, id: ObjectId, object: Object) {
        let declared = Declared { object, prevent_destroy: false, at: crate::object::At::default() };
        self.state.objects.insert(id, declared);
    }

    /// Puts the sessions in. Gives their ids: what they hold is declared to be held.
    fn sessions(&mut self, client: &Client, query: &Query) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
        let mut entries = client.session().list(query)?;
        entries.retain(|entry| !note::is_note(entry) && !entry.name.starts_with(Session::OWN_PREFIX));
        // The oldest last: of several with one name it is the one that stands.
        oldest_first(&mut entries);
        entries.reverse();
        let mut holders = BTreeMap::new();
        let mut standing: BTreeMap<ObjectId, SessionId> = BTreeMap::new();
        for entry in &entries {
            let ObservedSession { id, session, .. } = ObservedSession::try_from(entry)?;
            let Some(name) = session.name.clone() else {
                self.left_out.push(format!("session {id} on {}: it has no name", session.node));
                continue;
            };
            let object = ObjectId::Session { node: session.node.clone(), name };
            if let Err(refused) = session.validate() {
                self.left_out.push(format!("{object}: {refused}"));
                continue;
            }
            if let Some(other) = standing.insert(object.clone(), id) {
                self.left_out.push(format!("{object}: one more of this name, {other}"));
            }
            self.put(object, Object::Session(session));
        }
        holders.extend(standing.into_iter().map(|(object, id)| (id, object)));
        Ok(holders)
    }

    fn keys(
        &mut self,
        client: &Client,
        query: &Query,
        prefix: &str,
        holders: &BTreeMap<SessionId, ObjectId>,
    ) -> Result<(), Error> {
        observe::readable(client, query, prefix)?;
        let (pairs, meta) = client.kv().recurse(prefix, query)?;
        if meta.filtered_by_acls {
            return Err(observe::blind_below(prefix));
        }
        for pair in pairs.into_iter().filter(|pair| !pair.key.starts_with(OWN_KEYS)) {
            // Others may have made it in a transaction.
            if let Err(error) = check_key(&pair.key) {
                self.left_out.push(error.to_string());
                continue;
            }
            let holder = pair.session.as_deref().and_then(|id| SessionId::parse(id).ok());
            let holder = holder.and_then(|id| holders.get(&id).cloned());
            let content = KeyContent { value: Some(pair.value), flags: Some(pair.flags).filter(|flags| *flags != 0) };
            self.put(ObjectId::Key(pair.key), Object::Key { content, holder, secret: None });
        }
        Ok(())
    }

    fn services(&mut self, client: &Client, query: &Query) -> Result<(), Error> {
        let (nodes, meta) = client.catalog().nodes_with_meta(query)?;
        if meta.filtered_by_acls {
            let rule = "node_prefix \"\" { policy = \"read\" }".to_owned();
            return Err(Error::Blind { what: "every node".to_owned(), rule });
        }
        for node in nodes {
            let Some(found) = client.catalog().node(&node.node, query)? else { continue };
            for service in found.services.into_values().filter(|service| service.service != CONSUL) {
                let id = ObjectId::Service { node: node.node.clone(), id: service.id.clone() };
                let observed = entry::observed(&service.into(), &[]);
                // Consul does not give back what checks do: those that it has are left alone.
                match ServiceSpec::new(observed.service, None) {
                    Ok(spec) => {
                        let node = ExternalNode { name: node.node.clone(), ..ExternalNode::default() };
                        self.put(id, Object::Service { node, spec });
                    }
                    Err(refused) => self.left_out.push(format!("{id}: {refused}")),
                }
            }
        }
        Ok(())
    }
}
