//! One test for each row of the truth table above `Plan::between`.

use std::sync::Arc;

use super::*;
use crate::duration::ConsulDuration;
use crate::object::{HeldLocks, SessionId};

fn wish() -> Session {
    Session { name: Some("web".to_owned()), ..Session::on("n1") }
}

fn other() -> Session {
    Session { lock_delay: ConsulDuration::from_secs(1), ..wish() }
}

fn id(number: u8) -> SessionId {
    SessionId::parse(&format!("00000000-0000-0000-0000-0000000000{number:02}")).unwrap()
}

/// A session whose id and create index are `number`.
fn observed(number: u8, session: impl Into<Arc<Session>>) -> ObservedSession {
    ObservedSession {
        id: id(number),
        create_index: number.into(),
        session: session.into(),
        locks: HeldLocks::Keys(Vec::new()),
        replacement_notes: Vec::new(),
    }
}

fn holding(session: ObservedSession) -> ObservedSession {
    ObservedSession { locks: HeldLocks::Keys(vec!["lock/a".to_owned()]), ..session }
}

fn noted(session: ObservedSession) -> ObservedSession {
    ObservedSession { replacement_notes: vec![id(99)], ..session }
}

fn present(observed: &[ObservedSession], policy: &Policy) -> Plan {
    Plan::between(&Desired::Present { session: wish().into() }, observed, policy)
}

fn with(on_drift: OnDrift) -> Policy {
    Policy { on_drift, ..Policy::default() }
}

fn unique() -> Policy {
    Policy { unique: true, ..Policy::default() }
}

fn kept(plan: &Plan) -> Option<&SessionId> {
    plan.keep.as_ref().map(|keep| &keep.id)
}

/// `create`, `replace 3`, `delete 4 Duplicate`, ...
fn steps(plan: &Plan) -> Vec<String> {
    let number = |session: &ObservedSession| session.create_index;
    plan.changes
        .iter()
        .map(|change| match change {
            Change::Create { .. } => "create".to_owned(),
            Change::Replace { before, .. } => format!("replace {}", number(before)),
            Change::Delete { before, reason } => format!("delete {} {reason:?}", number(before)),
        })
        .collect()
}

fn spared(plan: &Plan) -> Vec<(u64, SpareReason)> {
    plan.spared.iter().map(|spared| (spared.session.create_index, spared.reason.clone())).collect()
}

#[test]
fn present_and_none_creates() {
    let plan = present(&[], &Policy::default());
    assert_eq!(plan.changes, [Change::Create { after: wish().into() }]);
    assert_eq!(plan.check(&Policy::default()), Ok(()));
}

#[test]
fn present_and_one_equal_changes_nothing_whatever_the_policy() {
    for on_drift in [OnDrift::Replace, OnDrift::Fail, OnDrift::Keep] {
        let policy = Policy { on_drift, unique: true, force: true, ..Policy::default() };
        let plan = present(&[holding(observed(1, wish()))], &policy);
        assert_eq!((kept(&plan), steps(&plan), spared(&plan)), (Some(&id(1)), vec![], vec![]));
        assert_eq!(plan.check(&policy), Ok(()));
    }
}

#[test]
fn present_and_several_equal_keeps_the_oldest_equal_one() {
    let plan = present(&[observed(3, wish()), observed(2, wish()), observed(1, other())], &Policy::default());
    assert_eq!((kept(&plan), steps(&plan)), (Some(&id(2)), vec![]));
    assert_eq!(spared(&plan), [(1, SpareReason::Duplicate), (3, SpareReason::Duplicate)]);
}

#[test]
fn present_and_none_equal_replaces_the_oldest() {
    let policy = with(OnDrift::Replace);
    let plan = present(&[observed(2, other()), observed(1, other())], &policy);
    assert_eq!((kept(&plan), steps(&plan)), (None, vec!["replace 1".to_owned()]));
    assert_eq!(spared(&plan), [(2, SpareReason::Duplicate)]);
    assert_eq!(plan.check(&policy), Ok(()));
}

#[test]
fn present_and_none_equal_under_fail_is_refused_with_the_differences() {
    let policy = with(OnDrift::Fail);
    let refusal = present(&[observed(1, other())], &policy).check(&policy).unwrap_err();
    assert!(matches!(&refusal, UnsafePlan::Drifted { differences, .. } if differences.len() == 1));
    assert!(refusal.to_string().contains("delay is 1s, not 15s"), "{refusal}");
}

#[test]
fn present_and_none_equal_under_keep_stays_and_says_so() {
    let policy = with(OnDrift::Keep);
    let plan = present(&[observed(1, other())], &policy);
    assert_eq!((kept(&plan), steps(&plan)), (Some(&id(1)), vec![]));
    assert!(matches!(spared(&plan).as_slice(), [(1, SpareReason::Drifted(_))]));
    assert_eq!(plan.check(&policy), Ok(()));
}

#[test]
fn a_replacement_is_refused_while_locks_are_held_unless_forced() {
    let sessions = [holding(observed(1, other()))];
    let refusal = present(&sessions, &Policy::default()).check(&Policy::default()).unwrap_err();
    assert!(refusal.to_string().contains("holds the key lock/a"), "{refusal}");
    let force = Policy { force: true, ..Policy::default() };
    assert_eq!(present(&sessions, &force).check(&force), Ok(()));
}

#[test]
fn anonymous_always_creates() {
    let session = Arc::new(Session::on("n1"));
    let plan = Plan::between(&Desired::Anonymous { session: session.clone() }, &[], &Policy::default());
    assert_eq!(plan.changes, [Change::Create { after: session }]);
}

fn existing(given: Properties, observed: &[ObservedSession], policy: &Policy) -> Plan {
    Plan::between(&Desired::Existing { id: id(1), given }, observed, policy)
}

#[test]
fn an_id_that_does_not_exist_is_refused() {
    let plan = existing(Properties::default(), &[], &Policy::default());
    assert!(matches!(plan.check(&Policy::default()), Err(UnsafePlan::NotFound { .. })));
}

#[test]
fn an_id_is_compared_in_what_was_mentioned_only() {
    let plan = existing(Properties::default(), &[observed(1, other())], &Policy::default());
    assert_eq!((kept(&plan), steps(&plan)), (Some(&id(1)), vec![]));
    assert_eq!(plan.check(&Policy::default()), Ok(()));
}

#[test]
fn an_id_that_differs_is_kept_or_refused_and_never_replaced() {
    let given = Properties { lock_delay: Some(ConsulDuration::from_secs(9)), ..Properties::default() };
    let sessions = [observed(1, other())];
    let plan = existing(given.clone(), &sessions, &with(OnDrift::Keep));
    assert_eq!((kept(&plan), spared(&plan).len()), (Some(&id(1)), 1));
    for on_drift in [OnDrift::Replace, OnDrift::Fail] {
        let policy = Policy { on_drift, force: true, ..Policy::default() };
        let refusal = existing(given.clone(), &sessions, &policy).check(&policy);
        assert!(matches!(refusal, Err(UnsafePlan::NotAsGiven { .. })), "{refusal:?}");
    }
}

#[test]
fn absent_and_none_changes_nothing() {
    let desired = Desired::Absent { node: "n1".to_owned(), name: "web".to_owned() };
    assert_eq!(steps(&Plan::between(&desired, &[], &Policy::default())), Vec::<String>::new());
}

#[test]
fn absent_deletes_each_whatever_it_holds() {
    let desired = Desired::Absent { node: "n1".to_owned(), name: "web".to_owned() };
    let plan = Plan::between(&desired, &[observed(1, wish()), holding(observed(2, other()))], &Policy::default());
    assert_eq!(steps(&plan), ["delete 1 Absent", "delete 2 Absent"]);
    assert_eq!(plan.check(&Policy::default()), Ok(()));
    assert!(!plan.depends_on_locks());
}

#[test]
fn absent_by_id_is_refused_where_the_session_is_another_than_was_meant() {
    let gone = |name: &str| {
        let given = Properties { name: Some(name.to_owned()), ..Properties::default() };
        let desired = Desired::Gone { id: id(1), given };
        Plan::between(&desired, &[observed(1, wish())], &Policy::default()).check(&Policy::default())
    };
    assert_eq!(gone("web"), Ok(()));
    assert!(matches!(gone("db"), Err(UnsafePlan::NotAsGiven { .. })));
}

#[test]
fn a_duplicate_goes_only_where_unique_is_asked_for_and_only_without_locks() {
    let sessions = [observed(1, wish()), observed(2, wish()), holding(observed(3, other()))];
    let plan = present(&sessions, &unique());
    assert_eq!(steps(&plan), ["delete 2 Duplicate"]);
    assert_eq!(spared(&plan), [(3, SpareReason::HoldsLocks)]);
    assert_eq!(steps(&present(&sessions, &Policy::default())), Vec::<String>::new());
}

#[test]
fn a_duplicate_whose_locks_are_hidden_stays_even_by_force() {
    let hidden = ObservedSession { locks: HeldLocks::Hidden, ..observed(2, wish()) };
    let policy = Policy { force: true, ..unique() };
    let plan = present(&[observed(1, wish()), hidden], &policy);
    assert_eq!((steps(&plan), spared(&plan)), (vec![], vec![(2, SpareReason::HoldsLocks)]));
}

#[test]
fn a_replacement_that_was_cut_short_is_finished() {
    let plan = present(&[noted(observed(1, other())), observed(2, wish())], &Policy::default());
    assert_eq!((kept(&plan), steps(&plan)), (Some(&id(2)), vec!["delete 1 Replaced".to_owned()]));
    assert!(plan.depends_on_locks());
}

#[test]
fn a_replacement_that_was_cut_short_is_not_finished_against_the_policy() {
    let sessions = [noted(observed(1, other())), observed(2, wish())];
    for on_drift in [OnDrift::Keep, OnDrift::Fail] {
        assert_eq!(steps(&present(&sessions, &with(on_drift))), Vec::<String>::new());
    }
    let sessions = [noted(holding(observed(1, other()))), observed(2, wish())];
    assert_eq!(steps(&present(&sessions, &Policy::default())), Vec::<String>::new());
    let force = Policy { force: true, ..Policy::default() };
    assert_eq!(steps(&present(&sessions, &force)), ["delete 1 Replaced"]);
}

#[test]
fn a_note_about_a_session_that_equals_the_wish_again_is_no_reason_to_delete_it() {
    let plan = present(&[noted(observed(1, wish())), observed(2, wish())], &Policy::default());
    assert_eq!((kept(&plan), steps(&plan)), (Some(&id(1)), vec![]));
}

mod properties_of_every_plan {
    use super::*;
    use proptest::prelude::*;

    fn any_session() -> impl Strategy<Value = Session> {
        (0..3_u64, any::<bool>()).prop_map(|(delay, ttl)| Session {
            lock_delay: ConsulDuration::from_secs(delay),
            ttl: ttl.then_some(Session::TTL_MIN),
            ..wish()
        })
    }

    fn any_observed() -> impl Strategy<Value = Vec<ObservedSession>> {
        let one = (any_session(), any::<bool>(), any::<bool>());
        prop::collection::vec(one, 0..6).prop_map(|sessions| {
            (1..)
                .zip(sessions)
                .map(|(number, (session, holds, note))| {
                    let session = observed(number, session);
                    let session = if holds { holding(session) } else { session };
                    if note { noted(session) } else { session }
                })
                .collect()
        })
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let on_drift = prop_oneof![Just(OnDrift::Replace), Just(OnDrift::Fail), Just(OnDrift::Keep)];
        (on_drift, any::<bool>(), any::<bool>()).prop_map(|(on_drift, force, unique)| Policy {
            on_drift,
            force,
            unique,
            lock_prefix: String::new(),
        })
    }

    /// What is there once the plan has been applied.
    fn applied(plan: &Plan, observed_before: &[ObservedSession]) -> Vec<ObservedSession> {
        let mut sessions = observed_before.to_vec();
        for change in &plan.changes {
            match change {
                Change::Create { after } => sessions.push(observed(50, after.clone())),
                Change::Replace { before, after } => {
                    sessions.push(observed(50, after.clone()));
                    sessions.retain(|session| session.id != before.id);
                }
                Change::Delete { before, .. } => sessions.retain(|session| session.id != before.id),
            }
        }
        sessions
    }

    proptest! {
        #[test]
        fn the_plan_of_an_applied_plan_is_empty(session in any_session(), sessions in any_observed(), policy in any_policy()) {
            let desired = Desired::Present { session: session.into() };
            let plan = Plan::between(&desired, &sessions, &policy);
            prop_assume!(plan.check(&policy).is_ok());
            let again = Plan::between(&desired, &applied(&plan, &sessions), &policy);
            prop_assert_eq!(steps(&again), Vec::<String>::new());
        }

        #[test]
        fn nothing_that_holds_a_lock_is_destroyed_unless_forced(session in any_session(), sessions in any_observed(), policy in any_policy()) {
            let plan = Plan::between(&Desired::Present { session: session.into() }, &sessions, &policy);
            prop_assume!(!policy.force && plan.check(&policy).is_ok());
            let left = applied(&plan, &sessions);
            for holder in sessions.iter().filter(|session| !session.locks.keys().is_empty()) {
                prop_assert!(left.contains(holder));
            }
        }

        #[test]
        fn a_plan_that_passes_leaves_a_session_standing(session in any_session(), sessions in any_observed(), policy in any_policy()) {
            let plan = Plan::between(&Desired::Present { session: session.into() }, &sessions, &policy);
            prop_assume!(plan.check(&policy).is_ok());
            prop_assert!(!applied(&plan, &sessions).is_empty());
        }
    }
}
