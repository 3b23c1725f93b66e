//! Sessions as a table.

use crate::cli::error::CliError;
use crate::cli::output::{Output, or_dash};
use crate::consul::SessionEntry;
use crate::duration::ConsulDuration;
use crate::reconcile::oldest_first;

const HEADINGS: [&str; 7] = ["id", "name", "node", "ttl", "delay", "behavior", "checks"];

/// Prints `sessions`, the oldest first.
pub(super) fn print(mut sessions: Vec<SessionEntry>, output: Output) -> Result<(), CliError> {
    oldest_first(&mut sessions);
    output.rows(&sessions, &HEADINGS, sessions.iter().map(row))
}

fn row(session: &SessionEntry) -> Vec<String> {
    let delay = u64::try_from(session.lock_delay).map(ConsulDuration::from_nanos).unwrap_or_default();
    let service_checks = session.service_checks.iter().map(|check| check.id.as_str());
    let checks: Vec<&str> = session.node_checks.iter().map(String::as_str).chain(service_checks).collect();
    [
        session.id.clone(),
        session.name.clone(),
        session.node.clone(),
        session.ttl.clone(),
        delay.to_string(),
        session.behavior.clone(),
        checks.join(","),
    ]
    .map(or_dash)
    .to_vec()
}
