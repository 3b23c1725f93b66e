//! Sessions: created, renewed, ended by somebody, by their TTL or by a check; and what becomes of the keys they hold.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::by_id::ById;
use super::{CRITICAL, Deadline, Fault, State, Table, check_uuid, uuid};
use crate::duration::ConsulDuration;

/// Consul ends a session at twice its TTL.
const GRACE: u32 = 2;

const TTL_MIN: Duration = Duration::from_secs(10);
const TTL_MAX: Duration = Duration::from_secs(86_400);

/// A session, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dev) struct Session {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Node")]
    pub node: String,
    /// In nanoseconds. It may be below zero: then there is none.
    #[serde(rename = "LockDelay")]
    pub lock_delay: i64,
    #[serde(rename = "Behavior")]
    pub behavior: String,
    #[serde(rename = "TTL")]
    pub ttl: String,
    #[serde(rename = "NodeChecks")]
    pub node_checks: Option<Vec<String>>,
    #[serde(rename = "ServiceChecks")]
    pub service_checks: Option<Vec<ServiceCheck>>,
    /// As before 1.7: checks, beside the two others.
    #[serde(rename = "Checks", default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    #[serde(rename = "CreateIndex")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex")]
    pub modify_index: u64,
}

impl Session {
    /// The ids of the checks that it depends on.
    pub fn checks(&self) -> impl Iterator<Item = &String> {
        let of_services = self.service_checks.iter().flatten().map(|check| &check.id);
        self.checks.iter().chain(self.node_checks.iter().flatten()).chain(of_services)
    }
}

/// A check of a service that a session depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dev) struct ServiceCheck {
    #[serde(rename = "ID", default)]
    pub id: String,
    #[serde(rename = "Namespace", default)]
    pub namespace: String,
}

/// What somebody wants a session to be.
#[derive(Clone, Debug)]
pub(in crate::dev) struct SessionRequest {
    pub name: String,
    pub node: String,
    pub lock_delay: i64,
    pub behavior: String,
    pub ttl: String,
    pub node_checks: Option<Vec<String>>,
    pub service_checks: Option<Vec<ServiceCheck>>,
    pub checks: Vec<String>,
}

/// All sessions.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct Sessions {
    sessions: ById<String, Session>,
    /// When those with a TTL end.
    ends: ById<String, Duration>,
}

impl Sessions {
    /// One, by its id in any case.
    pub fn get(&self, id: &str) -> Option<&Session> {
        self.sessions.get(&id.to_ascii_lowercase())
    }

    /// All, by their ids.
    pub fn all(&self) -> impl Iterator<Item = &Session> {
        self.sessions.all()
    }
}

impl State {
    /// The index of every list of sessions.
    pub fn sessions_index(&self) -> u64 {
        self.tables.last(&[Table::Sessions])
    }

    /// One, by its id.
    pub fn session(&self, id: &str) -> Result<Option<&Session>, Fault> {
        check_uuid(id).map_err(|Fault(text)| Fault(format!("failed session lookup: {text}")))?;
        Ok(self.sessions.get(id))
    }

    /// Creates a session, and gives its id.
    pub fn create_session(&mut self, request: SessionRequest) -> Result<String, Fault> {
        let SessionRequest { name, node, lock_delay, mut behavior, ttl, node_checks, service_checks, checks } = request;
        if behavior.is_empty() {
            "release".clone_into(&mut behavior);
        }
        if !matches!(behavior.as_str(), "release" | "delete") {
            return Err(Fault(format!("Invalid Behavior setting '{behavior}'")));
        }
        let lives = lifetime(&ttl)?;
        let id = uuid();
        let index = self.index() + 1;
        let session = Session {
            id: id.clone(),
            name,
            node,
            lock_delay,
            behavior,
            ttl,
            node_checks,
            service_checks,
            checks,
            create_index: index,
            modify_index: index,
        };
        self.check_dependencies(&session)?;
        self.index = index;
        self.keep_alive(&id, lives);
        self.sessions.sessions.insert(id.clone(), session);
        self.tables.touch(Table::Sessions, index);
        Ok(id)
    }

    /// Makes sure that the node is there, and the checks, none of which is critical.
    fn check_dependencies(&self, session: &Session) -> Result<(), Fault> {
        let node = &session.node;
        if self.catalog.node(node).is_none() {
            return Err(Fault::new("Missing node registration"));
        }
        for id in session.checks() {
            match self.catalog.check(node, id) {
                None => return Err(Fault(format!("Missing check '{id}' registration"))),
                Some(check) if check.status == CRITICAL => {
                    return Err(Fault(format!("Check '{id}' is in {CRITICAL} state")));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Renews a session, and gives it; `None` where there is none.
    pub fn renew_session(&mut self, id: &str) -> Result<Option<Session>, Fault> {
        let Some(session) = self.session(id)?.cloned() else { return Ok(None) };
        self.keep_alive(&session.id, lifetime(&session.ttl)?);
        Ok(Some(session))
    }

    /// Ends a session. Nothing where there is none.
    pub fn destroy_session(&mut self, id: &str) -> Result<(), Fault> {
        check_uuid(id).map_err(|Fault(text)| Fault(format!("failed session lookup: {text}")))?;
        let index = self.next_index();
        self.end_session(index, &id.to_ascii_lowercase());
        Ok(())
    }

    pub(super) fn expire_session(&mut self, id: &str) {
        let index = self.next_index();
        self.end_session(index, id);
    }

    pub(super) fn end_session(&mut self, index: u64, id: &str) {
        let Some(session) = self.sessions.sessions.remove(id) else { return };
        if let Some(at) = self.sessions.ends.remove(id) {
            self.deadlines.remove(&(*at, Deadline::Session(id.to_owned())));
        }
        self.tables.touch(Table::Sessions, index);
        let delay = Duration::from_nanos(u64::try_from(session.lock_delay).unwrap_or(0));
        for key in self.keys.held_by(id) {
            self.lose(index, &key, session.behavior == "delete", delay);
        }
    }

    /// Ends the sessions for which this is so: their node or a check of theirs is gone or critical.
    pub(super) fn end_sessions(&mut self, index: u64, of: impl Fn(&Session) -> bool) {
        let ended: Vec<String> =
            self.sessions.all().filter(|session| of(session)).map(|session| session.id.clone()).collect();
        for id in ended {
            self.end_session(index, &id);
        }
    }

    /// From now on, it lives for so long.
    fn keep_alive(&mut self, id: &str, lives: Option<Duration>) {
        if let Some(at) = self.sessions.ends.remove(id) {
            self.deadlines.remove(&(*at, Deadline::Session(id.to_owned())));
        }
        if let Some(lives) = lives {
            let at = self.now().saturating_add(lives);
            self.sessions.ends.insert(id.to_owned(), at);
            self.deadlines.insert((at, Deadline::Session(id.to_owned())));
        }
    }

    /// Takes up a session that was kept.
    pub(super) fn restore_session(&mut self, session: Session) -> Result<(), Fault> {
        self.keep_alive(&session.id, lifetime(&session.ttl)?);
        self.sessions.sessions.insert(session.id.clone(), session);
        Ok(())
    }
}

/// How long a session of this TTL lives without a renewal; `None`: until somebody ends it.
fn lifetime(ttl: &str) -> Result<Option<Duration>, Fault> {
    if ttl.is_empty() {
        return Ok(None);
    }
    let (negative, digits) = ttl.strip_prefix('-').map_or((false, ttl), |digits| (true, digits));
    let units = digits == "0" || !digits.ends_with(|last: char| last.is_ascii_digit());
    let parsed: Duration = match digits.parse::<ConsulDuration>() {
        Ok(parsed) if units => parsed.into(),
        _ => return Err(Fault(format!("Session TTL '{ttl}' invalid: {}", go_duration_fault(ttl)))),
    };
    if parsed.is_zero() {
        return Ok(None);
    }
    if negative || !(TTL_MIN..=TTL_MAX).contains(&parsed) {
        let sign = if negative { "-" } else { "" };
        let nanos = parsed.as_nanos();
        return Err(Fault(format!("Invalid Session TTL '{sign}{nanos}', must be between [10s=24h0m0s]")));
    }
    Ok(Some(parsed * GRACE))
}

/// What Go says of a text that is no duration.
pub(in crate::dev) fn go_duration_fault(text: &str) -> String {
    let rest = text.trim_start_matches(['-', '+']);
    let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    match unit_at {
        None if !rest.is_empty() && rest != "." => format!("time: missing unit in duration {text:?}"),
        Some(at) if at > 0 => {
            let unit: String = rest.chars().skip(at).take_while(|c| !c.is_ascii_digit() && *c != '.').collect();
            format!("time: unknown unit {unit:?} in duration {text:?}")
        }
        _ => format!("time: invalid duration {text:?}"),
    }
}
