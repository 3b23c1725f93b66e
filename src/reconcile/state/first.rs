//! What a plan reads first, read before it is known what to plan.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::consul::{Client, Query, RawList, SessionEntry};

use super::observe::FEW_NODES;
use super::{Error, Inventory};

/// Reads that a plan begins with, under way since before the specs were read, each in a thread of its own. Each answers
/// once, whoever asks for just that; whoever asks again wants to know what is so by then.
#[derive(Debug)]
pub struct FirstLook {
    query: Query,
    datacenter: Once<Result<String, Error>>,
    inventory: Once<Result<Inventory, Error>>,
    /// By their nodes; or those of all nodes, where those are many.
    sessions: HashMap<Option<String>, Once<Result<RawList<SessionEntry>, Error>>>,
}

/// What a thread gives, once.
#[derive(Debug)]
struct Once<T>(Mutex<Option<JoinHandle<T>>>);

impl<T: Send + 'static> Once<T> {
    fn begin(read: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(Mutex::new(Some(std::thread::spawn(read))))
    }

    fn take(&self) -> Option<T> {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.and_then(|thread| thread.join().ok())
    }
}

impl FirstLook {
    /// Begins to read what a plan needs which speaks of sessions on these nodes. What is not among that, or is and was not
    /// needed, costs time and nothing else.
    pub fn begin(client: &Client, query: &Query, nodes: &BTreeSet<&str>) -> Self {
        let own = || (client.clone(), query.clone());
        let sessions = if nodes.len() > FEW_NODES {
            let (client, query) = own();
            HashMap::from([(None, Once::begin(move || all_sessions(&client, &query)))])
        } else {
            let of_node = |node: &&str| {
                let ((client, query), node) = (own(), (*node).to_owned());
                (Some(node.clone()), Once::begin(move || sessions_of(&client, &query, &node)))
            };
            nodes.iter().map(of_node).collect()
        };
        // They take longest, and may wait for this thread to rest, which has much to do.
        std::thread::yield_now();
        let inventory = {
            let (client, query) = own();
            Once::begin(move || Inventory::read(&client, &query).map(Inventory::parsed))
        };
        let datacenter = {
            let client = client.clone();
            Once::begin(move || Ok(client.agent().read_self()?.config.datacenter))
        };
        Self { query: query.clone(), datacenter, inventory, sessions }
    }

    /// The agent's own datacenter.
    pub(super) fn datacenter(&self) -> Option<Result<String, Error>> {
        self.datacenter.take()
    }

    /// The owners' records.
    pub(super) fn inventory(&self, query: &Query) -> Option<Result<Inventory, Error>> {
        self.inventory.take().filter(|_| self.query == *query)
    }

    /// The sessions of a node, or of all of them.
    pub(super) fn sessions(&self, query: &Query, node: Option<&str>) -> Option<Result<RawList<SessionEntry>, Error>> {
        let sessions = self.sessions.get(&node.map(str::to_owned))?;
        sessions.take().filter(|_| self.query == *query)
    }
}

/// Every session.
pub(super) fn all_sessions(client: &Client, query: &Query) -> Result<RawList<SessionEntry>, Error> {
    Ok(client.session().list_raw(&query.consistent())?)
}

/// The sessions of a node.
pub(super) fn sessions_of(client: &Client, query: &Query, node: &str) -> Result<RawList<SessionEntry>, Error> {
    Ok(client.session().list_node_raw(node, &query.consistent())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::consul::{self, Config, Request, Response, SessionEntry, Transport};

    /// Answers with sessions, as many as there have been requests of that path.
    #[derive(Debug, Default)]
    struct Counting(Mutex<Vec<String>>);

    impl Transport for Counting {
        fn send(&self, request: &Request, _: &str, _: Duration) -> Result<Response, consul::Error> {
            let mut seen = self.0.lock().unwrap();
            seen.push(request.path_and_query());
            let same = seen.iter().filter(|path| **path == request.path_and_query()).count();
            Ok(Response::json(200, &vec![SessionEntry::default(); same]))
        }
    }

    #[test]
    fn a_first_look_answers_once_and_only_what_is_the_same() {
        let client = Client::with_transport(Config::default(), Arc::new(Counting::default()));
        let (query, other) = (Query::default(), Query { datacenter: Some("dc2".to_owned()), ..Query::default() });
        let len = |list: Result<RawList<SessionEntry>, Error>| list.unwrap().map(drop).unwrap().0.concat().len();
        let count = |first: &FirstLook, query: &Query, node: &str| first.sessions(query, Some(node)).map(len);
        let first = FirstLook::begin(&client, &query, &BTreeSet::from(["a", "b"]));
        assert_eq!(count(&first, &query, "c"), None);
        assert_eq!(count(&first, &other, "b"), None);
        assert_eq!([count(&first, &query, "a"), count(&first, &query, "a")], [Some(1), None]);
        assert_eq!(len(sessions_of(&client, &query, "a")), 2);
    }
}
