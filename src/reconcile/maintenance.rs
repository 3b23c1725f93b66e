//! Maintenance: of the agent's node, or of one of its services.
//!
//! Consul keeps it as a critical check with an id of its own, whose notes are the reason. Where that check exists,
//! another request to begin it is taken well and does nothing, so that a new reason takes an end and a new start: for
//! a moment between the two the node, or the service, is in use.

use crate::consul::{Client, Pool, Query};
use crate::object::{Refused, validate_name, validate_path_name};

use super::Error;

/// The id of the check that stands for the maintenance of a node.
const NODE_CHECK: &str = "_node_maintenance";

/// What the id of the check for a service begins with; the service's id follows.
const SERVICE_CHECK: &str = "_service_maintenance:";

/// The reason that Consul writes where it is given none, for a node. Seen with 1.8.7.
const NODE_REASON: &str =
    "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.";

/// The same for a service.
const SERVICE_REASON: &str =
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";

/// What somebody wants of the maintenance of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// The id of the service; the agent's whole node where it is `None`.
    pub service: Option<String>,
    /// Whether it is to be under maintenance.
    pub wanted: UnderMaintenance,
}

/// Whether something is to be under maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnderMaintenance {
    /// It is, for this reason; where there is none, any reason will do.
    Yes {
        /// The reason.
        reason: Option<String>,
    },
    /// It is not.
    No,
}

/// What making it so took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaintenanceAction {
    /// Nothing.
    Unchanged,
    /// It began.
    Started,
    /// It ended, and began again for the new reason.
    Restarted,
    /// It ended.
    Ended,
}

/// What was done, or would be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// What it took.
    pub action: MaintenanceAction,
    /// The reason before; `None` where there was no maintenance.
    pub before: Option<String>,
    /// The reason after; `None` where there is no maintenance.
    pub after: Option<String>,
    /// What somebody should know although it is no error.
    pub warnings: Vec<String>,
}

impl Maintenance {
    /// Checks it before anything is sent.
    ///
    /// # Errors
    /// Where the service's id or the reason cannot be meant.
    pub fn validate(&self) -> Result<(), Refused> {
        if let Some(service) = &self.service {
            validate_path_name("service", service)?;
        }
        if let UnderMaintenance::Yes { reason: Some(reason) } = &self.wanted {
            validate_name("reason", reason)?;
        }
        Ok(())
    }

    /// Makes it so, and says what that took.
    ///
    /// # Errors
    /// [`Error::NoService`], or what the agent answered; [`Error::wrote`] tells whether anything was written.
    pub fn apply(&self, client: &Client, query: &Query) -> Result<MaintenanceReport, Error> {
        let before = self.observe(client, query)?;
        let action = self.action(before.as_deref());
        let after = match action {
            MaintenanceAction::Unchanged => {
                // The token may not see what is there. To end what is not there does nothing, and is refused to who
                // may not end it: whoever may also sees it.
                if before.is_none() && self.service.is_none() && client.acl().is_enabled()? {
                    self.end(client)?;
                }
                before.clone()
            }
            MaintenanceAction::Started => {
                self.start(client)?;
                self.look_again(client, query, "the maintenance was begun")?
            }
            MaintenanceAction::Ended => {
                self.end(client)?;
                self.look_again(client, query, "the maintenance was ended")?
            }
            MaintenanceAction::Restarted => {
                self.end(client)?;
                self.start(client).map_err(|error| after_write("the maintenance was ended", error))?;
                self.look_again(client, query, "the maintenance was ended and begun again")?
            }
        };
        Ok(MaintenanceReport { action, before, after, warnings: Vec::new() })
    }

    /// Says what [`apply`](Self::apply) would do, and writes nothing.
    ///
    /// # Errors
    /// What `apply` would fail with too, as far as that can be known without writing.
    pub fn foresee(&self, client: &Client, query: &Query) -> Result<MaintenanceReport, Error> {
        let before = self.observe(client, query)?;
        let mut warnings = Vec::new();
        if before.is_none() && self.service.is_none() && !sees_own_node(client)? {
            warnings.push(
                "check mode cannot tell whether the node is under maintenance: the token may not see it (that takes \
                 node:read), or may not ask the agent for its name (agent:read)"
                    .to_owned(),
            );
        }
        let action = self.action(before.as_deref());
        let after = match (&self.wanted, action) {
            (_, MaintenanceAction::Unchanged) => before.clone(),
            (UnderMaintenance::No, _) => None,
            (UnderMaintenance::Yes { reason: Some(reason) }, _) => Some(reason.clone()),
            (UnderMaintenance::Yes { reason: None }, _) => {
                Some(if self.service.is_some() { SERVICE_REASON } else { NODE_REASON }.to_owned())
            }
        };
        Ok(MaintenanceReport { action, before, after, warnings })
    }

    /// | now            | wanted                     | action    |
    /// |----------------|----------------------------|-----------|
    /// | none           | none                       | unchanged |
    /// | none           | any                        | started   |
    /// | for a reason   | none                       | ended     |
    /// | for a reason   | for that one, or for any   | unchanged |
    /// | for a reason   | for another                | restarted |
    fn action(&self, now: Option<&str>) -> MaintenanceAction {
        match (now, &self.wanted) {
            (None, UnderMaintenance::No) => MaintenanceAction::Unchanged,
            (None, UnderMaintenance::Yes { .. }) => MaintenanceAction::Started,
            (Some(_), UnderMaintenance::No) => MaintenanceAction::Ended,
            (Some(now), UnderMaintenance::Yes { reason: Some(reason) }) if now != reason => {
                MaintenanceAction::Restarted
            }
            (Some(_), UnderMaintenance::Yes { .. }) => MaintenanceAction::Unchanged,
        }
    }

    /// The reason of the maintenance, as far as the token may see it; `None` where there is none.
    fn observe(&self, client: &Client, query: &Query) -> Result<Option<String>, Error> {
        let api = client.agent();
        let check = match &self.service {
            None => NODE_CHECK.to_owned(),
            Some(id) => {
                // The requests below would all be about the default namespace's service of that id.
                if let Some(namespace) = &query.namespace {
                    return Err(Refused::new(format!(
                        "namespace is '{namespace}', but only a service of the default namespace can be put under \
                         maintenance here: leave namespace (and CONSUL_NAMESPACE) out"
                    ))
                    .into());
                }
                // This read is refused to a token that may not see the service, and so its checks.
                if api.service(id)?.is_none() {
                    return Err(Error::NoService { id: id.clone(), known: api.services()?.into_keys().collect() });
                }
                format!("{SERVICE_CHECK}{id}")
            }
        };
        Ok(api.checks()?.get(&check).map(|check| check.notes.clone()))
    }

    fn look_again(&self, client: &Client, query: &Query, done: &str) -> Result<Option<String>, Error> {
        let now = self.observe(client, query).map_err(|error| after_write(done, error))?;
        match self.action(now.as_deref()) {
            MaintenanceAction::Unchanged => Ok(now),
            _ => {
                let what = "somebody else began or ended the maintenance".to_owned();
                Err(after_write(done, Error::Stale { what }))
            }
        }
    }

    fn start(&self, client: &Client) -> Result<(), Error> {
        let UnderMaintenance::Yes { reason } = &self.wanted else { return Ok(()) };
        self.set(client, true, reason.as_deref().unwrap_or_default())
    }

    fn end(&self, client: &Client) -> Result<(), Error> {
        self.set(client, false, "")
    }

    fn set(&self, client: &Client, enable: bool, reason: &str) -> Result<(), Error> {
        Ok(match &self.service {
            None => client.agent().maintenance(enable, reason),
            Some(id) => client.agent().service_maintenance(id, enable, reason),
        }?)
    }
}

/// Whether the token is known to see the checks of the agent's node: Consul leaves out of lists what it does not show,
/// and an agent is always a member of its own pool.
fn sees_own_node(client: &Client) -> Result<bool, Error> {
    if !client.acl().is_enabled()? {
        return Ok(true);
    }
    match client.agent().read_self() {
        Ok(agent) => {
            let members = client.agent().members(Pool::Lan)?;
            Ok(members.iter().any(|member| member.name == agent.config.node_name))
        }
        Err(error) if error.is_denied() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn after_write(done: &str, error: Error) -> Error {
    Error::Interrupted {
        done: done.to_owned(),
        next: "the next run finishes this",
        created: None,
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_table() {
        let yes = |reason: Option<&str>| UnderMaintenance::Yes { reason: reason.map(ToOwned::to_owned) };
        for (now, wanted, action) in [
            (None, UnderMaintenance::No, MaintenanceAction::Unchanged),
            (None, yes(None), MaintenanceAction::Started),
            (None, yes(Some("a")), MaintenanceAction::Started),
            (Some("a"), UnderMaintenance::No, MaintenanceAction::Ended),
            (Some("a"), yes(Some("a")), MaintenanceAction::Unchanged),
            (Some("a"), yes(None), MaintenanceAction::Unchanged),
            (Some("a"), yes(Some("b")), MaintenanceAction::Restarted),
        ] {
            let maintenance = Maintenance { service: None, wanted };
            assert_eq!(maintenance.action(now), action, "{now:?} {:?}", maintenance.wanted);
        }
    }
}
