//! What the record says before and after.

use super::*;
use crate::object::Record;

fn record(objects: impl IntoIterator<Item = ObjectId>) -> Record {
    Record { objects: objects.into_iter().collect(), ..Record::default() }
}

fn done(ids: impl IntoIterator<Item = ObjectId>) -> impl Fn(&ObjectId) -> bool {
    let ids: BTreeSet<ObjectId> = ids.into_iter().collect();
    move |id| ids.contains(id)
}

fn with_pending(mut record: Record, items: impl IntoIterator<Item = Item>) -> Record {
    record.pending.extend(items.into_iter().map(|(id, declared)| (id, declared.object.hash())));
    record
}

#[test]
fn what_is_to_be_made_is_pending_until_it_was() {
    let world = World::default().key("old", "v", None).ours([key_id("old")]);
    let wish = desired([key("old", "w"), key("a", "v"), key("b", "v")]);
    let plan = world.plan(&wish, &policy());
    let ahead = plan.ahead(&wish, &world.claims);
    assert_eq!(ahead, with_pending(record([key_id("old")]), [key("a", "v"), key("b", "v")]));
    let half = plan.settled(&wish, &world.claims, done([key_id("a")]));
    assert_eq!(half, with_pending(record([key_id("old"), key_id("a")]), [key("b", "v")]));
    let all = plan.settled(&wish, &world.claims, done([key_id("a"), key_id("b"), key_id("old")]));
    assert_eq!(all, record([key_id("old"), key_id("a"), key_id("b")]));
}

#[test]
fn what_was_deleted_or_is_gone_goes() {
    let world = ours().ours([key_id("gone")]);
    let wish = desired([session("a", 1)]);
    let plan = world.plan(&wish, &prune());
    assert_eq!(plan.ahead(&wish, &world.claims), world.claims.ours);
    let half = plan.settled(&wish, &world.claims, done([key_id("k")]));
    assert_eq!(half, record([session_id("a"), service_id("s")]));
    assert_eq!(plan.settled(&wish, &world.claims, done([key_id("k"), service_id("s")])), record([session_id("a")]));
}

#[test]
fn what_is_taken_over_comes_in_and_what_is_spared_does_not() {
    let wish = desired([session("a", 1), key("k", "v")]);
    let adopting = nobodys().plan(&wish, &adopt(Adopt::Unowned));
    let pending = with_pending(Record::default(), wish.objects.clone());
    assert_eq!(adopting.ahead(&wish, &nobodys().claims), pending, "not ours before it is certain");
    assert_eq!(adopting.settled(&wish, &nobodys().claims, done([])), record([session_id("a"), key_id("k")]));
    let sparing = nobodys().plan(&wish, &policy());
    assert_eq!(sparing.settled(&wish, &nobodys().claims, done([])), Record::default());
}

#[test]
fn what_was_pending_is_ours_where_it_is_as_it_was_to_be_made() {
    let world = World::default().key("made", "v", None).key("other", "x", None);
    let world = world.pending(key("made", "v")).pending(key("other", "v")).pending(key("never", "v"));
    let wish = desired([key("made", "w")]);
    let plan = world.plan(&wish, &policy());
    let ahead = plan.ahead(&wish, &world.claims);
    assert_eq!(ahead, with_pending(record([key_id("made")]), [key("other", "v"), key("never", "v")]));
    assert_eq!(plan.settled(&wish, &world.claims, done([])), record([key_id("made")]));
}

#[test]
fn a_session_that_is_being_replaced_is_named_until_it_is_gone() {
    let wish = desired([session("a", 2)]);
    let plan = ours().plan(&wish, &policy());
    let claims = ours().claims;
    assert_eq!(plan.ahead(&wish, &claims).replacing, BTreeSet::from([uuid(1)]));
    assert_eq!(plan.settled(&wish, &claims, done([])).replacing, BTreeSet::from([uuid(1)]));
    assert_eq!(plan.settled(&wish, &claims, done([session_id("a")])).replacing, BTreeSet::new());
    // One that holds another's key stays, and stays named.
    let mut world = ours().session(2, a_session("a", 2)).key("theirs", "v", Some(1));
    world.claims.ours.replacing = BTreeSet::from([uuid(1), uuid(99)]);
    let plan = world.plan(&wish, &policy());
    assert_eq!(plan.settled(&wish, &world.claims, done([])).replacing, BTreeSet::from([uuid(1)]));
}

#[test]
fn what_is_protected_stays_so_until_it_is_declared_without() {
    let world = World::default().key("a", "v", None).key("b", "v", None).ours([key_id("a"), key_id("b")]);
    let world = world.keeps([key_id("a"), key_id("b"), key_id("gone")]);
    let wish = desired([key("a", "v"), protected(key("c", "v"))]);
    let plan = world.plan(&wish, &policy());
    let ahead = plan.ahead(&wish, &world.claims).protected;
    assert_eq!(ahead, ["a", "b", "c", "gone"].map(key_id).into());
    assert_eq!(plan.settled(&wish, &world.claims, done([key_id("c")])).protected, ["b", "c"].map(key_id).into());
}
