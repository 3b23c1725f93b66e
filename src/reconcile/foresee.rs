//! What applying a plan would come to, found out without writing.

use crate::object::Session;
use crate::plan::{Change, Plan};

use super::apply::lost_locks;
use super::observe::Observation;
use super::{Error, Reconciler, Report};

/// The report that applying `plan` would give, or the error that Consul would answer with.
pub(super) fn foresee(run: &Reconciler<'_>, plan: Plan, observed: &Observation) -> Result<Report, Error> {
    let mut report = Report::of(plan);
    report.action = report.foreseen();
    report.session = report.plan.keep.as_ref().and_then(|keep| observed.entry(&keep.id));
    for change in &report.plan.changes {
        if let Change::Create { after } | Change::Replace { after, .. } = change {
            report.warnings.extend(creatable(run, after)?);
        }
        if let Change::Replace { before, .. } | Change::Delete { before, .. } = change {
            report.destroyed.push(before.id.clone());
            if !before.locks.keys().is_empty() {
                report.warnings.push(lost_locks(before, "holds"));
            }
        }
    }
    Ok(report)
}

/// Whether Consul would create `session`: its node has to exist, and so do its checks, none of them critical.
/// A warning where the token does not show enough to tell.
fn creatable(run: &Reconciler<'_>, session: &Session) -> Result<Option<String>, Error> {
    session.validate()?;
    let node = &session.node;
    let unknown =
        |what: &str| format!("check mode cannot tell whether {what} on node '{node}', or the token may not see it");
    if !run.client.catalog().has_node(node, run.query)? {
        return if run.client.acl().is_enabled()? {
            Ok(Some(format!("check mode cannot tell whether node '{node}' exists, or the token may not see it")))
        } else {
            Err(Error::NoNode { node: node.clone() })
        };
    }
    let checks = run.client.health().node(node, run.query)?;
    let wanted = session.checks.iter().chain(session.service_checks.iter().map(|check| &check.id));
    for wanted in wanted {
        match checks.iter().find(|check| check.check_id.eq_ignore_ascii_case(wanted)) {
            Some(check) if check.status == "critical" => {
                let output = check.output.trim().to_owned();
                return Err(Error::CriticalCheck { node: node.clone(), check: wanted.clone(), output });
            }
            Some(_) => {}
            None if run.client.acl().is_enabled()? => return Ok(Some(unknown(&format!("check '{wanted}' exists")))),
            None => {
                let known = checks.into_iter().map(|check| check.check_id).collect();
                return Err(Error::NoCheck { node: node.clone(), check: wanted.clone(), known });
            }
        }
    }
    Ok(None)
}
