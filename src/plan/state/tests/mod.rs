//! One test for each row of the truth tables above `StatePlan::between` and `Planner::doom`, and of what is shown.

mod properties;
mod prune;
mod record;
mod services;
mod show;
mod world;

use std::sync::Arc;

use super::*;
use crate::object::{Behavior, ExternalNode, HeldLocks, ObservedNode, Session, SessionId};
use crate::plan::DeleteReason;
use crate::plan::key::KeyChange;
use crate::plan::service::{ServiceChange, UnsafeService};
use world::*;

/// `create session n1/a`, `replace session n1/a 1`, `hold key k by session n1/a from 1`, ...
fn steps(plan: &StatePlan) -> Vec<String> {
    let number = |id: &SessionId| id.as_str()[24..].trim_start_matches('0').to_owned();
    let named = |change: &StateChange| match &change.step {
        Step::Session(Change::Create { .. }) => "create".to_owned(),
        Step::Session(Change::Replace { before, .. }) => format!("replace {}", number(&before.id)),
        Step::Session(Change::Delete { before, reason: DeleteReason::Absent }) => format!("end {}", number(&before.id)),
        Step::Session(Change::Delete { before, reason }) => format!("end {} {reason:?}", number(&before.id)),
        Step::Service { node, change } => {
            let change = match change {
                None => "leave",
                Some(ServiceChange::Register { .. }) => "register",
                Some(ServiceChange::Update { .. }) => "update",
                Some(ServiceChange::Deregister { .. }) => "deregister",
            };
            let node = node.as_ref().map_or_else(String::new, |node| format!(", node at {}", node.after.address));
            format!("{change}{node}")
        }
        Step::Key(KeyStep::Write(change)) => match change {
            KeyChange::Create { .. } => "create",
            KeyChange::Update { .. } => "update",
            KeyChange::Delete { .. } => "delete",
            KeyChange::Release { .. } => "release",
            KeyChange::Acquire { .. } => "acquire",
        }
        .to_owned(),
        Step::Key(KeyStep::Hold { holder, session, from, .. }) => {
            let now = session.as_ref().map_or_else(|| "new".to_owned(), number);
            let from = from.as_ref().map_or_else(String::new, |from| format!(" from {}", number(from)));
            format!("hold by {holder} {now}{from}")
        }
    };
    plan.changes.iter().map(|change| format!("{}: {}", change.id, named(change))).collect()
}

#[track_caller]
fn does(plan: &StatePlan, expected: &[&str]) {
    assert_eq!((plan.check(), steps(plan)), (Ok(()), expected.iter().map(ToString::to_string).collect()));
}

#[track_caller]
fn refuses(plan: &StatePlan, id: &ObjectId, reason: &UnsafeState) {
    let refusal = Refusal { id: Some(id.clone()), reason: reason.clone() };
    assert_eq!(plan.check(), Err(&[refusal][..]));
    assert!(!plan.changes.iter().any(|change| change.id == *id), "{:?}", plan.changes);
}

#[track_caller]
fn spares(plan: &StatePlan, id: &ObjectId, reason: &SpareReason) {
    does(plan, &[]);
    assert_eq!(plan.spared, [Spared { id: id.clone(), reason: reason.clone() }]);
}

fn policy() -> StatePolicy {
    StatePolicy::default()
}

fn force() -> StatePolicy {
    StatePolicy { force: true, ..policy() }
}

fn prune() -> StatePolicy {
    StatePolicy { prune: true, ..policy() }
}

fn adopt(adopt: Adopt) -> StatePolicy {
    StatePolicy { adopt, ..policy() }
}

fn plan(world: &World, items: impl IntoIterator<Item = Item>) -> StatePlan {
    world.plan(&desired(items), &policy())
}

fn foreign() -> UnsafeState {
    UnsafeState::Foreign { owner: "them".to_owned() }
}

fn deleting(mut item: Item) -> Item {
    if let Object::Session(session) = &mut item.1.object {
        Arc::make_mut(session).behavior = Behavior::Delete;
    }
    item
}

// --- whose ------------------------------------------------------------------------------------

#[test]
fn what_another_owner_has_is_refused_by_name_even_where_it_is_as_declared() {
    let world = World::default().session(1, a_session("a", 1)).key("k", "v", None).service("s", 1, Some("them"));
    let world = world.theirs(session_id("a")).theirs(key_id("k"));
    refuses(&plan(&world, [session("a", 1)]), &session_id("a"), &foreign());
    refuses(&plan(&world, [session("a", 2)]), &session_id("a"), &foreign());
    refuses(&plan(&world, [key("k", "v")]), &key_id("k"), &foreign());
    refuses(&plan(&world, [service("s", 1)]), &service_id("s"), &foreign());
    refuses(&plan(&World::default().theirs(key_id("k")), [key("k", "v")]), &key_id("k"), &foreign());
    let unowned = world.plan(&desired([key("k", "w")]), &adopt(Adopt::Unowned));
    refuses(&unowned, &key_id("k"), &foreign());
}

fn nobodys() -> World {
    World::default().session(1, a_session("a", 1)).key("k", "v", None).service("s", 1, None)
}

#[test]
fn what_nobody_owns_is_spared_where_it_is_as_declared() {
    let not_ours = SpareReason::NotOurs;
    spares(&plan(&nobodys(), [session("a", 1)]), &session_id("a"), &not_ours);
    spares(&plan(&nobodys(), [key("k", "v")]), &key_id("k"), &not_ours);
    spares(&plan(&nobodys(), [service("s", 1)]), &service_id("s"), &not_ours);
}

#[test]
fn what_nobody_owns_is_refused_where_it_differs() {
    refuses(&plan(&nobodys(), [session("a", 2)]), &session_id("a"), &UnsafeState::Unowned);
    refuses(&plan(&nobodys(), [key("k", "w")]), &key_id("k"), &UnsafeState::Unowned);
    refuses(&plan(&nobodys(), [service("s", 2)]), &service_id("s"), &UnsafeState::Unowned);
}

fn everything(number: u8) -> [Item; 3] {
    [session("a", number.into()), service("s", number.into()), key("k", &format!("v{number}"))]
}

#[test]
fn what_does_not_exist_is_made_in_order() {
    let expected = ["session n1/a: create", "service n1/s: register", "key k: create"];
    let plan = plan(&World::default(), everything(1));
    does(&plan, &expected);
    assert!(plan.changes.iter().all(|change| change.claim == Claim::Free && change.action() == Action::Create));
    let recorded = World::default().ours(everything(1).map(|(id, _)| id));
    let plan = super::tests::plan(&recorded, everything(1));
    does(&plan, &expected);
    assert!(plan.changes.iter().all(|change| change.claim == Claim::Ours));
}

fn ours() -> World {
    let world = World::default().session(1, a_session("a", 1)).key("k", "v1", None).service("s", 1, Some(OWNER));
    world.ours(everything(1).map(|(id, _)| id))
}

#[test]
fn what_is_ours_and_as_declared_stays() {
    let plan = plan(&ours(), everything(1));
    does(&plan, &[]);
    assert!(plan.is_empty());
    assert_eq!((plan.unchanged, plan.spared.len(), plan.adopted.len(), plan.confirmed.len()), (3, 0, 0, 0));
}

#[test]
fn what_is_ours_and_differs_is_changed() {
    let plan = plan(&ours(), everything(2));
    does(&plan, &["session n1/a: replace 1", "service n1/s: update", "key k: update"]);
    assert_eq!(
        plan.changes.iter().map(StateChange::action).collect::<Vec<_>>(),
        [Action::Replace, Action::Update, Action::Update]
    );
    assert!(plan.depends_on_locks());
}

#[test]
fn what_is_taken_over_as_it_is_changes_the_record_only() {
    for policy in [adopt(Adopt::Unowned), adopt(Adopt::All)] {
        let plan = nobodys().plan(&desired([session("a", 1), key("k", "v")]), &policy);
        does(&plan, &[]);
        assert_eq!(plan.adopted, [session_id("a"), key_id("k")]);
        assert!(!plan.is_empty());
    }
}

#[test]
fn what_is_taken_over_and_differs_is_changed() {
    let plan = nobodys().plan(&desired(everything(2)), &adopt(Adopt::Unowned));
    does(&plan, &["session n1/a: replace 1", "service n1/s: update", "key k: update"]);
    assert!(plan.changes.iter().all(|change| change.claim == Claim::Adopted { from: None }));
    let theirs = nobodys().theirs(key_id("k"));
    let plan = theirs.plan(&desired([key("k", "w")]), &adopt(Adopt::All));
    does(&plan, &["key k: update"]);
    assert_eq!(plan.changes[0].claim, Claim::Adopted { from: Some("them".to_owned()) });
}

#[test]
fn what_an_earlier_run_made_before_it_was_killed_is_ours() {
    let pending = everything(1).into_iter().fold(nobodys(), World::pending).key("k", "v1", None);
    let plan = plan(&pending, everything(1));
    does(&plan, &["service n1/s: update"]);
    assert_eq!((plan.unchanged, plan.confirmed.len(), &plan.changes[0].claim), (2, 3, &Claim::Ours));
}

// --- sessions ---------------------------------------------------------------------------------

#[test]
fn a_protected_session_is_not_replaced() {
    refuses(&plan(&ours(), [protected(session("a", 2))]), &session_id("a"), &UnsafeState::Protected);
    let forced = ours().plan(&desired([protected(session("a", 2))]), &force());
    refuses(&forced, &session_id("a"), &UnsafeState::Protected);
    does(&plan(&ours(), [protected(session("a", 1))]), &[]);
}

fn holding() -> World {
    let world = World::default().session(1, a_session("a", 1)).key("k", "v", Some(1)).key("l", "v", Some(1));
    world.ours([session_id("a"), key_id("k"), key_id("l")])
}

#[test]
fn the_keys_of_a_replaced_session_move_along() {
    let items = [session("a", 2), held("k", "v", "a"), held("l", "w", "a")];
    let plan = plan(&holding(), items);
    does(
        &plan,
        &[
            "session n1/a: replace 1",
            "key k: hold by session n1/a new from 1",
            "key l: hold by session n1/a new from 1",
        ],
    );
    assert_eq!(plan.changes[0].fallout(), [format!("destroys session {}", uuid(1))]);
}

#[test]
fn a_session_whose_keys_would_be_lost_is_replaced_by_force_only() {
    for item in [held("k", "v", "a"), key("l", "v")] {
        let wish = desired([session("a", 2), held("k", "v", "a"), item]);
        let refused = holding().plan(&wish, &policy());
        assert_eq!(refused.refusals.len(), 1);
        refuses(&refused, &session_id("a"), &UnsafeState::LocksHeld(vec!["l".to_owned()]));
        let forced = holding().plan(&wish, &force());
        assert_eq!(forced.check(), Ok(()));
        let lost = [format!("destroys session {}: releases 1 key: l", uuid(1))];
        assert_eq!(forced.changes[0].fallout(), lost);
    }
}

#[test]
fn the_keys_that_are_pruned_with_a_session_are_not_lost() {
    let plan = holding().plan(&desired([session("a", 2), held("k", "v", "a")]), &prune());
    does(&plan, &["session n1/a: replace 1", "key k: hold by session n1/a new from 1", "key l: delete"]);
}

#[test]
fn a_session_whose_keys_nobody_may_see_is_replaced_by_force_only() {
    let mut world = ours();
    world.observed.sessions.get_mut(&session_id("a")).unwrap()[0].locks = HeldLocks::Hidden;
    let wish = desired([session("a", 2)]);
    refuses(&world.plan(&wish, &policy()), &session_id("a"), &UnsafeState::LocksHidden);
    does(&world.plan(&wish, &force()), &["session n1/a: replace 1"]);
    world.observed.sessions.get_mut(&session_id("a")).unwrap()[0].locks = HeldLocks::NotLooked;
    let plan = world.plan(&wish, &policy());
    does(&plan, &["session n1/a: replace 1"]);
    assert!(plan.depends_on_locks(), "so that somebody looks");
}

#[test]
fn a_replacement_that_was_cut_short_is_finished() {
    let mut world = holding().session(2, a_session("a", 2));
    world.claims.ours.replacing.insert(uuid(1));
    let both = [session("a", 2), held("k", "v", "a"), held("l", "v", "a")];
    let moves = ["key k: hold by session n1/a 2 from 1", "key l: hold by session n1/a 2 from 1"];
    let plan = plan(&world, both.clone());
    does(&plan, &[moves[0], moves[1], "session n1/a: end 1 Replaced"]);
    assert!(!plan.changes[2].ends_object());
    // What it holds besides keeps it, unless by force.
    let duplicate = Spared { id: session_id("a"), reason: SpareReason::Duplicate(uuid(1)) };
    let wish = desired([session("a", 2), key("l", "v")]);
    let spared = world.plan(&wish, &policy());
    does(&spared, &[]);
    assert!(spared.spared.contains(&duplicate));
    does(&world.plan(&wish, &force()), &["key l: release", "session n1/a: end 1 Replaced"]);
    // And so does being protected.
    let [first, ..] = both;
    let guarded = world.plan(&desired([protected(first)]), &force());
    does(&guarded, &[]);
    assert!(guarded.spared.contains(&duplicate));
}

#[test]
fn one_more_session_of_a_name_stays() {
    let world = ours().session(2, a_session("a", 2)).session(3, a_session("a", 1));
    let plan = plan(&world, [session("a", 1)]);
    does(&plan, &[]);
    let duplicates: Vec<_> = plan.spared.iter().filter(|spared| spared.id == session_id("a")).collect();
    let duplicate = |number| Spared { id: session_id("a"), reason: SpareReason::Duplicate(uuid(number)) };
    assert_eq!(duplicates, [&duplicate(2), &duplicate(3)]);
}

#[test]
fn none_of_several_sessions_of_a_name_is_destroyed_but_by_force() {
    // The one that somebody else made may be the older one, or the younger.
    let several = UnsafeState::SeveralSessions(vec![uuid(1), uuid(2)]);
    let world = ours().session(2, a_session("a", 3));
    let replaced = [session("a", 2)];
    refuses(&plan(&world, replaced.clone()), &session_id("a"), &several);
    does(&world.plan(&desired(replaced), &force()), &["session n1/a: replace 1"]);
    let wish = desired([key("k", "v")]);
    refuses(&world.plan(&wish, &prune()), &session_id("a"), &several);
    let force_and_prune = StatePolicy { force: true, ..prune() };
    let ended = world.plan(&wish, &force_and_prune);
    let ends = ended.changes.iter().filter(|change| change.id == session_id("a")).count();
    assert_eq!((ends, ended.check()), (2, Ok(())));
    // What an earlier run was replacing is certainly the owner's.
    let mut cut_short = world;
    cut_short.claims.ours.replacing.insert(uuid(1));
    let pruned = cut_short.plan(&wish, &prune());
    assert_eq!(pruned.check(), Ok(()));
}

#[test]
fn a_session_that_an_earlier_run_was_replacing_is_certainly_the_owners() {
    // Whether that run made the other one, or somebody else did, nobody can tell.
    let mut world = ours().session(2, a_session("a", 3));
    world.claims.ours.replacing.insert(uuid(1));
    let plan = plan(&world, [session("a", 2)]);
    does(&plan, &["session n1/a: replace 1"]);
    assert!(plan.spared.contains(&Spared { id: session_id("a"), reason: SpareReason::Duplicate(uuid(2)) }));
    let mut world = ours().session(2, a_session("a", 3));
    world.claims.ours.replacing.insert(uuid(2));
    does(&world.plan(&desired([session("a", 2)]), &policy()), &["session n1/a: replace 2"]);
}

// --- services ---------------------------------------------------------------------------------

#[test]
fn a_key_by_itself_that_a_session_holds_is_written_by_force_only() {
    let world = holding().session(9, a_session("other", 1)).key("k", "v", Some(9));
    does(&plan(&world, [key("k", "v")]), &[]);
    let wish = desired([key("k", "w")]);
    refuses(&world.plan(&wish, &policy()), &key_id("k"), &UnsafeState::Held(uuid(9).to_string()));
    let forced = world.plan(&wish, &force());
    does(&forced, &["key k: update"]);
    assert_eq!(forced.changes[0].fallout(), [format!("session {} holds it", uuid(9))]);
}

#[test]
fn a_key_by_itself_is_released_before_the_session_that_holds_it_ends() {
    for item in [session("a", 2), deleting(session("a", 1))] {
        let wish = desired([item, key("k", "v"), key("l", "w")]);
        let plan = holding().plan(&wish, &force());
        does(&plan, &["session n1/a: replace 1", "key k: release", "key l: release"]);
        let mut world = holding();
        world.apply(&plan, &wish, None);
        assert_eq!(world.observed.keys.len(), 2);
    }
}

#[test]
fn a_key_is_held_by_the_declared_session() {
    let wish = |value| [session("a", 1), held("k", value, "a")];
    does(&plan(&holding(), wish("v")), &[]);
    does(&plan(&holding(), wish("w")), &["key k: hold by session n1/a 1"]);
    let free = ours();
    does(&plan(&free, wish("v1")), &["key k: hold by session n1/a 1"]);
    let none = ours().ours([key_id("m")]);
    does(&plan(&none, [session("a", 1), held("m", "v", "a")]), &["key m: hold by session n1/a 1"]);
    does(&plan(&World::default(), wish("v")), &["session n1/a: create", "key k: hold by session n1/a new"]);
}

#[test]
fn a_lock_of_another_session_is_not_stolen() {
    let world = holding().session(9, a_session("other", 1)).key("k", "v", Some(9));
    for wish in [[session("a", 1), held("k", "v", "a")], [session("b", 1), held("k", "v", "b")]] {
        for policy in [policy(), force()] {
            let plan = world.plan(&desired(wish.clone()), &policy);
            refuses(&plan, &key_id("k"), &UnsafeState::Held(uuid(9).to_string()));
        }
    }
}

#[test]
fn the_holder_of_a_key_is_declared() {
    refuses(&plan(&holding(), [held("k", "v", "b")]), &key_id("k"), &UnsafeState::NoHolder(session_id("b")));
}

// --- what is declared no more -----------------------------------------------------------------
