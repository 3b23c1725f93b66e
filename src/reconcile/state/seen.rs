//! Sessions as they are read for a plan: made ready for comparing where the list is read.

use crate::consul::{Client, Query, RawList, SessionEntry};
use crate::object::ObservedSession;

use super::Error;
use crate::reconcile::entry;
use crate::reconcile::observe::complete;

/// A session that is there; or one of which Consul says what this program does not know, and which it may leave alone.
pub(super) type SeenSession = Result<ObservedSession, Box<Odd>>;

/// What is not understood of a session.
#[derive(Debug)]
pub(super) struct Odd {
    pub node: String,
    pub name: String,
    pub error: Error,
}

/// Every session.
pub(super) fn all_sessions(client: &Client, query: &Query) -> Result<Vec<SeenSession>, Error> {
    let list = client.session().list_raw(&query.consistent())?;
    complete(list.meta(), "every session", "session_prefix \"\" = read")?;
    seen(&list)
}

/// The sessions of a node.
pub(super) fn sessions_of(client: &Client, query: &Query, node: &str) -> Result<Vec<SeenSession>, Error> {
    let list = client.session().list_node_raw(node, &query.consistent())?;
    complete(list.meta(), &format!("the sessions of node '{node}'"), &format!("session \"{node}\" = read"))?;
    seen(&list)
}

fn seen(list: &RawList<SessionEntry>) -> Result<Vec<SeenSession>, Error> {
    let seen = |mut entry| {
        let observed = entry::observed(&mut entry);
        observed.map_err(|error| Box::new(Odd { node: entry.node, name: entry.name, error }))
    };
    Ok(list.map(seen)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::consul::{self, Config, Request, Response, Transport};

    #[derive(Debug)]
    struct Two;

    impl Transport for Two {
        fn send(&self, _: &Request, _: &str, _: Duration) -> Result<Response, consul::Error> {
            let odd = SessionEntry {
                id: "8f3c7a3e-1d2b-4c5d-8e9f-0a1b2c3d4e5f".to_owned(),
                name: "odd".to_owned(),
                node: "n1".to_owned(),
                behavior: "keep".to_owned(),
                ..SessionEntry::default()
            };
            let sound = SessionEntry { name: "sound".to_owned(), behavior: "delete".to_owned(), ..odd.clone() };
            Ok(Response::json(200, &[odd, sound]))
        }
    }

    #[test]
    fn what_is_not_understood_keeps_its_name_and_the_rest_is_read() {
        let client = Client::with_transport(Config::default(), Arc::new(Two));
        let seen = sessions_of(&client, &Query::default(), "n1").unwrap();
        let [Err(odd), Ok(sound)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((odd.node.as_str(), odd.name.as_str()), ("n1", "odd"));
        assert!(odd.error.to_string().contains("its behavior is \"keep\""), "{}", odd.error);
        assert_eq!(sound.session.name.as_deref(), Some("sound"));
    }
}
