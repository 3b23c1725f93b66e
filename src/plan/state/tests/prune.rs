//! What is declared no more, and how much of it may be deleted.

use super::*;

#[test]
fn what_is_gone_is_forgotten() {
    let plan = plan(&World::default().ours([key_id("k")]), []);
    does(&plan, &[]);
    assert_eq!(plan.forgotten, BTreeSet::from([key_id("k")]));
}

#[test]
fn what_another_owner_has_as_well_is_spared_and_forgotten() {
    for world in [
        World::default().key("k", "v", None).ours([key_id("k")]).theirs(key_id("k")),
        World::default().service("s", 1, Some("them")).ours([service_id("s")]),
    ] {
        let id = world.claims.ours.objects.first().unwrap().clone();
        let plan = world.plan(&desired([]), &prune());
        spares(&plan, &id, &SpareReason::Foreign("them".to_owned()));
        assert_eq!(plan.forgotten, BTreeSet::from([id]));
    }
}

#[test]
fn what_is_pending_and_not_as_it_was_to_be_made_is_left_and_forgotten() {
    let world = World::default().key("k", "v", None).pending(key("k", "w"));
    let pruned = world.plan(&desired([]), &prune());
    does(&pruned, &[]);
    assert_eq!((pruned.spared.len(), pruned.forgotten.len()), (0, 1));
    let destroyed = world.destroy(&desired([key("k", "w")]), &policy());
    spares(&destroyed, &key_id("k"), &SpareReason::Unowned);
    assert_eq!(destroyed.forgotten.len(), 1);
    let world = World::default().key("k", "v", None).pending(key("k", "v"));
    does(&world.plan(&desired([]), &StatePolicy { allow_empty: true, ..prune() }), &["key k: delete"]);
}

#[test]
fn nothing_is_pruned_unasked() {
    spares(&plan(&ours(), [everything(1)[0].clone(), everything(1)[1].clone()]), &key_id("k"), &SpareReason::NotPruned);
}

#[test]
fn what_is_protected_is_not_pruned() {
    let world = ours().keeps([key_id("k")]);
    let [session, service, _] = everything(1);
    refuses(&world.plan(&desired([session, service]), &prune()), &key_id("k"), &UnsafeState::Protected);
}

#[test]
fn what_is_declared_no_more_is_pruned_in_reverse_order() {
    let wish = desired([key("new", "v")]);
    does(
        &ours().plan(&wish, &prune()),
        &["key new: create", "key k: delete", "service n1/s: deregister", "session n1/a: end 1"],
    );
}

#[test]
fn a_session_that_is_pruned_must_not_lose_keys() {
    let world = holding().key("theirs", "v", Some(1));
    let wish = desired([key("new", "v")]);
    refuses(&world.plan(&wish, &prune()), &session_id("a"), &UnsafeState::LocksHeld(vec!["theirs".to_owned()]));
    let expected = ["key new: create", "key l: delete", "key k: delete", "session n1/a: end 1"];
    does(&world.plan(&wish, &StatePolicy { prune: true, ..force() }), &expected);
    does(&holding().plan(&wish, &prune()), &expected);
}

#[test]
fn a_key_that_a_session_holds_is_not_pruned() {
    let plan = holding().plan(&desired([session("a", 1)]), &prune());
    does(&plan, &[]);
    let held = |key| Spared { id: key_id(key), reason: SpareReason::Held(uuid(1).to_string()) };
    assert_eq!(plan.spared, [held("k"), held("l")]);
}

// --- the whole --------------------------------------------------------------------------------

fn many(count: usize) -> World {
    let keys: Vec<String> = (0..count).map(|number| format!("many/{number}")).collect();
    let world = keys.iter().fold(World::default(), |world, key| world.key(key, "v", None));
    world.ours(keys.iter().map(|key| key_id(key)))
}

fn but(world: &World, deleted: usize) -> DesiredState {
    desired(world.observed.keys.keys().skip(deleted).map(|name| key(name, "v")))
}

#[test]
fn a_fifth_may_be_deleted_or_a_few() {
    let refused = |world: &World, deletes, policy: &StatePolicy| {
        let plan = world.plan(&but(world, deletes), policy);
        assert_eq!(plan.changes.len(), deletes);
        plan.refusals.first().map(|refusal| refusal.reason.clone())
    };
    let too_many = |deletes, of, most| Some(UnsafeState::TooManyDeletes { deletes, of, most });
    let (small, large) = (many(10), many(50));
    assert_eq!(refused(&small, 5, &prune()), None);
    assert_eq!(refused(&small, 6, &prune()), too_many(6, 10, 5));
    assert_eq!(refused(&large, 10, &prune()), None);
    assert_eq!(refused(&large, 11, &prune()), too_many(11, 50, 10));
    let limited = |max_delete| StatePolicy { max_delete, ..prune() };
    assert_eq!(refused(&small, 1, &limited(Limit::Count(0))), too_many(1, 10, 0));
    assert_eq!(refused(&small, 1, &limited(Limit::Percent(0))), too_many(1, 10, 0));
    assert_eq!(refused(&small, 9, &limited(Limit::Percent(90))), None);
    assert_eq!(refused(&small, 9, &limited(Limit::Count(9))), None);
}

#[test]
fn nothing_declared_deletes_nothing() {
    let world = many(3);
    let plan = world.plan(&desired([]), &prune());
    assert_eq!(plan.check(), Err(&[Refusal { id: None, reason: UnsafeState::Empty(3) }][..]));
    let allowed = world.plan(&desired([]), &StatePolicy { allow_empty: true, ..prune() });
    assert_eq!((allowed.check(), allowed.changes.len()), (Ok(()), 3));
    assert_eq!(world.plan(&desired([]), &policy()).check(), Ok(()));
    assert_eq!(World::default().plan(&desired([]), &prune()).check(), Ok(()));
}

#[test]
fn destroy_deletes_what_is_declared_and_ours() {
    let world = ours().key("other", "v", None).key("theirs", "v", None).theirs(key_id("theirs")).key("mine", "v", None);
    let world = world.ours([key_id("mine")]);
    let items = everything(2).into_iter().chain([key("other", "v"), key("theirs", "v"), key("nowhere", "v")]);
    let plan = world.destroy(&desired(items), &policy());
    does(&plan, &["key k: delete", "service n1/s: deregister", "session n1/a: end 1"]);
    let spared: Vec<_> = plan.spared.iter().map(|spared| (spared.id.clone(), spared.reason.clone())).collect();
    let foreign = SpareReason::Foreign("them".to_owned());
    assert_eq!(spared, [(key_id("other"), SpareReason::Unowned), (key_id("theirs"), foreign)]);
}

#[test]
fn destroy_obeys_what_the_source_and_the_record_protect() {
    let by_source = ours().destroy(&desired([protected(key("k", "v1"))]), &policy());
    refuses(&by_source, &key_id("k"), &UnsafeState::Protected);
    let by_record = ours().keeps([key_id("k")]).destroy(&desired([key("k", "v1")]), &policy());
    refuses(&by_record, &key_id("k"), &UnsafeState::Protected);
}
