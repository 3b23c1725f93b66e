//! What is wrong with sessions: which of them nobody may need. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::object::{HeldLocks, ObservedSession, SessionId};

/// Something about a session that somebody should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It has no TTL and depends on no check: nothing ever ends it but somebody who destroys it.
    NeverEnds,
    /// There is an older session of this name on this node.
    Duplicate,
    /// It holds no key.
    HoldsNothing,
    /// A check that it depends on warns: once that is critical, the session ends.
    NearItsEnd,
}

impl Finding {
    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::NeverEnds => "never ends",
            Self::Duplicate => "duplicate",
            Self::HoldsNothing => "holds nothing",
            Self::NearItsEnd => "near its end",
        }
    }
}

/// What was found about each session; sessions with which all is well are left out. `warning` are the checks that warn:
/// node and id.
///
/// | session | finding |
/// |---|---|
/// | no TTL, no check | never ends |
/// | an older one has its name and node | duplicate |
/// | somebody looked for its locks, and there is none | holds nothing |
/// | depends on a check that warns | near its end |
///
/// A TTL says nothing about how near the end is: Consul does not tell when it was last renewed.
pub fn diagnose(
    sessions: &[ObservedSession],
    warning: &BTreeSet<(String, String)>,
) -> BTreeMap<SessionId, BTreeSet<Finding>> {
    let mut oldest: BTreeMap<(&str, &str), &ObservedSession> = BTreeMap::new();
    for session in sessions {
        let Some(name) = &session.session.name else { continue };
        let first = oldest.entry((&session.session.node, name)).or_insert(session);
        if session.create_index < first.create_index {
            *first = session;
        }
    }
    let mut all = BTreeMap::new();
    for observed in sessions {
        let session = &observed.session;
        let checks = session.checks.iter().chain(session.service_checks.iter().map(|check| &check.id));
        let warns = |check: &String| warning.contains(&(session.node.clone(), check.clone()));
        let first = session.name.as_ref().and_then(|name| oldest.get(&(session.node.as_str(), name.as_str())));
        let found = [
            (session.never_ends(), Finding::NeverEnds),
            (first.is_some_and(|first| first.id != observed.id), Finding::Duplicate),
            (matches!(&observed.locks, HeldLocks::Keys(keys) if keys.is_empty()), Finding::HoldsNothing),
            (checks.into_iter().any(warns), Finding::NearItsEnd),
        ];
        let mut findings = BTreeSet::new();
        findings.extend(found.into_iter().filter_map(|(is, finding)| is.then_some(finding)));
        if !findings.is_empty() {
            all.insert(observed.id.clone(), findings);
        }
    }
    all
}

/// Whether a session is one that nobody can need: it holds nothing, and is one too many or never ends by itself.
pub fn is_garbage(findings: &BTreeSet<Finding>) -> bool {
    findings.contains(&Finding::HoldsNothing)
        && (findings.contains(&Finding::Duplicate) || findings.contains(&Finding::NeverEnds))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::duration::ConsulDuration;
    use crate::object::{Names, Session};

    fn session(number: u64, name: &str, change: impl FnOnce(&mut ObservedSession)) -> ObservedSession {
        let id = SessionId::parse(&format!("00000000-0000-0000-0000-{number:012}")).expect("an id");
        let mut observed = ObservedSession {
            id,
            create_index: number,
            session: Arc::new(Session { name: Some(name.to_owned()), ..Session::on("web1") }),
            locks: HeldLocks::Keys(vec!["held".to_owned()]),
            replacement_notes: Vec::new(),
        };
        change(&mut observed);
        observed
    }

    fn of(sessions: &[ObservedSession], warning: &[(&str, &str)]) -> Vec<Vec<Finding>> {
        let warning = warning.iter().map(|(node, check)| ((*node).to_owned(), (*check).to_owned())).collect();
        let found = diagnose(sessions, &warning);
        sessions.iter().map(|s| found.get(&s.id).into_iter().flatten().copied().collect()).collect()
    }

    #[test]
    fn a_session_with_which_all_is_well_is_left_out() {
        assert_eq!(of(&[session(1, "a", |_| ())], &[("web2", "serfHealth")]), [vec![]]);
    }

    #[test]
    fn each_row_of_the_table() {
        let endless = session(1, "a", |s| Arc::make_mut(&mut s.session).checks = Names::new());
        let by_ttl = session(2, "b", |s| {
            let session = Arc::make_mut(&mut s.session);
            session.checks = Names::new();
            session.ttl = Some(ConsulDuration::from_secs(10));
        });
        let idle = session(3, "c", |s| s.locks = HeldLocks::Keys(Vec::new()));
        let not_looked = session(4, "d", |s| s.locks = HeldLocks::NotLooked);
        assert_eq!(
            of(&[endless, by_ttl, idle, not_looked], &[]),
            [vec![Finding::NeverEnds], vec![], vec![Finding::HoldsNothing], vec![]]
        );
        assert_eq!(of(&[session(1, "a", |_| ())], &[("web1", "serfHealth")]), [vec![Finding::NearItsEnd]]);
    }

    #[test]
    fn the_oldest_of_a_name_is_no_duplicate() {
        let elsewhere = session(1, "a", |s| Arc::make_mut(&mut s.session).node = "web2".to_owned());
        let sessions = [session(3, "a", |_| ()), session(2, "a", |_| ()), elsewhere];
        assert_eq!(of(&sessions, &[]), [vec![Finding::Duplicate], vec![], vec![]]);
    }

    #[test]
    fn garbage_holds_nothing_and_is_one_too_many_or_endless() {
        use Finding::{Duplicate, HoldsNothing, NearItsEnd, NeverEnds};
        let garbage = |findings: &[Finding]| is_garbage(&findings.iter().copied().collect());
        assert!(garbage(&[HoldsNothing, Duplicate]) && garbage(&[HoldsNothing, NeverEnds]));
        assert!(!garbage(&[HoldsNothing, NearItsEnd]) && !garbage(&[Duplicate, NeverEnds]) && !garbage(&[]));
    }
}
