//! Settles where a session lives, before anything is compared.

use crate::consul::{Client, Query};
use crate::object::{Place, Refused, SessionId};

use super::Error;

/// `node`, or the agent's own node where it is `None`: only then is the agent asked, which takes `agent:read`.
///
/// # Errors
/// [`Error::NeedsNode`] where the agent is in another datacenter, or what the agent answered.
pub fn node_or_own(client: &Client, query: &Query, node: Option<String>) -> Result<String, Error> {
    if let Some(node) = node {
        return Ok(node);
    }
    let agent = client.agent().read_self()?.config;
    match &query.datacenter {
        Some(wanted) if *wanted != agent.datacenter => {
            let known = client.catalog().datacenters()?;
            Err(Error::NeedsNode { own: agent.datacenter, wanted: wanted.clone(), known })
        }
        _ => Ok(agent.node_name),
    }
}

/// Sends what `query` is for to the place of `place`, which specs may name themselves.
///
/// # Errors
/// Where `query` names another place already.
pub fn settle_place(query: &mut Query, place: &Place) -> Result<(), Refused> {
    let places = [
        ("datacenter", &mut query.datacenter, &place.datacenter),
        ("namespace", &mut query.namespace, &place.namespace),
        ("partition", &mut query.partition, &place.partition),
    ];
    for (name, given, declared) in places {
        match (&given, declared) {
            (Some(one), Some(other)) if one != other => {
                let problem = format!("the specs are for {name} {other:?}, and {name} {one:?} was asked for");
                return Err(Refused::new(problem));
            }
            (None, Some(_)) => given.clone_from(declared),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a partition that Consul would ignore: its open source edition does, without a word. Asks the agent only
/// where a partition is named.
///
/// # Errors
/// [`Error::NeedsEnterprise`], or what the agent answered; it takes `agent:read`.
pub fn trust_partition(client: &Client, query: &Query) -> Result<(), Error> {
    let Some(partition) = query.partition.clone() else { return Ok(()) };
    let agent = client.agent().read_self()?.config;
    if agent.is_enterprise() { Ok(()) } else { Err(Error::NeedsEnterprise { version: agent.version, partition }) }
}

/// Whether a key can be acquired for the session of this id, for check mode: a warning where the token does not show
/// enough to tell.
///
/// # Errors
/// [`Error::NoSession`] where there is no such session.
pub fn foresee_session(client: &Client, query: &Query, id: &str) -> Result<Option<String>, Error> {
    if client.session().read(id, query)?.0.is_some() {
        return Ok(None);
    }
    if client.acl().is_enabled()? {
        return Ok(Some(format!("check mode cannot tell whether session {id} exists, or the token may not see it")));
    }
    Err(Error::NoSession { session: id.to_owned() })
}

/// The id of `session`, which is an id, or the name of one session of the agent's own node.
///
/// # Errors
/// [`Error::NoSession`] where there is none of that name, [`Error::ManySessions`] where there are several.
pub fn session_id(client: &Client, query: &Query, session: &str) -> Result<String, Error> {
    if let Ok(id) = SessionId::parse(session) {
        return Ok(id.as_str().to_owned());
    }
    let node = node_or_own(client, query, None)?;
    let mut named = client.session().list_node(&node, query)?;
    named.retain(|entry| entry.name == session);
    match named.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Error::NoSession { session: session.to_owned() }),
        several => Err(Error::ManySessions {
            name: session.to_owned(),
            ids: several.iter().map(|entry| entry.id.clone()).collect(),
        }),
    }
}
