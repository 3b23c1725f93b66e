//! How the agent's own checks are: told, found, or by the time.

use std::time::Duration;

use super::catalog::{CRITICAL, PASSING, WARNING};
use super::local::{LocalCheck, Probe};
use super::{Deadline, Fault, State};

/// After so long the catalog is told of an output that has changed while the status has not.
const OUTPUT_DELAY: Duration = Duration::from_secs(300);

/// The longest output that is kept, in bytes.
const LONGEST_OUTPUT: usize = 4_096;

impl State {
    /// Tells a TTL check how it is; its time begins anew.
    pub fn tell_check(&mut self, id: &str, status: &str, output: &str) -> Result<(), Fault> {
        let Some(LocalCheck { probe: Probe::Ttl(ttl), .. }) = self.local.checks.get(id) else {
            return Err(Fault(format!("CheckID {id:?} does not have associated TTL")));
        };
        let at = self.now().saturating_add(*ttl);
        self.schedule(Deadline::Ttl(id.to_owned()), Some(at));
        self.update_check(id, status, &shortened(output));
        Ok(())
    }

    /// The checks to make now, each with what it looks at.
    pub fn take_probes(&mut self) -> Vec<(String, LocalCheck)> {
        let due = std::mem::take(&mut self.local.probes);
        due.into_iter().filter_map(|id| Some((id.clone(), self.local.checks.get(&id)?.clone()))).collect()
    }

    /// What a check that was made has found.
    pub fn found(&mut self, id: &str, made: &Probe, status: &str, output: &str) {
        if self.local.checks.get(id).is_some_and(|local| local.probe == *made) {
            self.update_check(id, status, &shortened(output));
        }
    }

    /// A TTL is over.
    pub(super) fn expire_check(&mut self, id: &str) {
        let last = self.local.check(id).map(|check| check.output.clone()).unwrap_or_default();
        let output = match last.as_str() {
            "" => "TTL expired".to_owned(),
            last => format!("TTL expired (last output before timeout follows): {last}"),
        };
        self.update_check(id, CRITICAL, &output);
    }

    /// A check has been critical for so long that its service goes.
    pub(super) fn reap(&mut self, id: &str) {
        if let Some(service) = self.local.check(id).map(|check| check.service_id.clone()) {
            self.deregister_local_service(&service);
        }
    }

    /// The catalog is told what a check said last.
    pub(super) fn tell_output(&mut self, id: &str) {
        self.local.due.remove(&Deadline::Output(id.to_owned()));
        let check = self.local.check(id).cloned();
        let service = check.as_ref().and_then(|check| self.local.service(&check.service_id).cloned());
        self.synchronise(service, check.into_iter().collect());
    }

    /// A check is to be made; and again after its interval.
    pub(super) fn make_check(&mut self, id: &str) {
        let Some(interval) = self.local.checks.get(id).map(|local| local.interval) else { return };
        self.local.probes.insert(id.to_owned());
        // Once, however far the clock was moved.
        let at = self.now().max(self.until).saturating_add(interval);
        self.schedule(Deadline::Probe(id.to_owned()), Some(at));
    }

    /// Sets how a check is. The catalog is told at once of a status, and later of a mere output.
    pub(super) fn update_check(&mut self, id: &str, status: &str, output: &str) {
        let now = self.now();
        let Some(local) = self.local.checks.get_mut(id) else { return };
        match status {
            CRITICAL => local.critical_since = local.critical_since.or(Some(now)),
            _ => local.critical_since = None,
        }
        let reaped = local.critical_since.zip(local.reap_after).map(|(since, after)| since.saturating_add(after));
        let reaped = reaped.filter(|_| !local.check.service_id.is_empty());
        let (same_status, same_output) = (local.check.status == status, local.check.output == output);
        status.clone_into(&mut local.check.status);
        output.clone_into(&mut local.check.output);
        self.schedule(Deadline::Reap(id.to_owned()), reaped);
        let later = Deadline::Output(id.to_owned());
        match (same_status, same_output) {
            (true, true) => {}
            (true, false) if self.local.due.contains_key(&later) => {}
            (true, false) => self.schedule(later, Some(now + OUTPUT_DELAY)),
            (false, _) => {
                self.schedule(later, None);
                self.tell_output(id);
                self.follow_services();
            }
        }
    }

    /// What an alias says is what the checks of its service say.
    pub(super) fn follow_services(&mut self) {
        let aliases: Vec<(String, String)> = (self.local.checks.all())
            .filter_map(|local| match &local.probe {
                Probe::Alias(service) => Some((local.check.id.clone(), service.clone())),
                _ => None,
            })
            .collect();
        for (id, service) in aliases {
            let (status, output) = self.aliased(&id, &service);
            if self.local.check(&id).is_some_and(|check| check.status != status || check.output != output) {
                self.update_check(&id, status, &output);
            }
        }
    }

    fn aliased(&self, alias: &str, service: &str) -> (&'static str, String) {
        if self.local.service(service).is_none() {
            return (CRITICAL, format!("Service {service} could not be found on node "));
        }
        // Aliases of aliases would go round in circles.
        let followed = self.local.health_of(service).filter(|check| check.id != alias && check.kind != "alias");
        let (mut status, mut output) = (PASSING, "No checks found.".to_owned());
        for check in followed {
            let failing = || format!("Aliased check {:?} failing: {}", check.name, check.output);
            match check.status.as_str() {
                CRITICAL => return (CRITICAL, failing()),
                WARNING => (status, output) = (WARNING, failing()),
                _ if status == PASSING => "All checks passing.".clone_into(&mut output),
                _ => {}
            }
        }
        (status, output)
    }
}

fn shortened(output: &str) -> String {
    if output.len() <= LONGEST_OUTPUT {
        return output.to_owned();
    }
    let end = (0..=LONGEST_OUTPUT).rev().find(|end| output.is_char_boundary(*end)).unwrap_or(0);
    let kept = output.get(..end).unwrap_or_default();
    format!("{kept} ... (captured {LONGEST_OUTPUT} of {} bytes)", output.len())
}
