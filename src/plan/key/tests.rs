//! One test for each row of the truth tables above `plan_key`.

use super::*;

fn key(value: &[u8], flags: u64) -> Key {
    Key { key: "a".to_owned(), value: value.to_vec(), flags }
}

fn observed(holder: Option<&str>) -> ObservedKey {
    ObservedKey { key: key(b"old", 7), modify_index: 5, holder: holder.map(ToOwned::to_owned) }
}

fn value(value: &[u8]) -> KeyContent {
    KeyContent { value: Some(value.to_vec()), flags: None }
}

fn present(content: KeyContent) -> DesiredKey {
    DesiredKey::Present(content)
}

fn acquired(content: KeyContent) -> DesiredKey {
    DesiredKey::Acquired { session: "us".to_owned(), content }
}

fn released(content: KeyContent) -> DesiredKey {
    DesiredKey::Released { session: "us".to_owned(), content }
}

fn plan(desired: DesiredKey, observed: Option<&ObservedKey>) -> Result<Option<KeyChange>, UnsafeKey> {
    plan_key("a", &desired, observed, &KeyPolicy::default())
}

#[test]
fn present_and_none_creates() {
    assert_eq!(plan(present(value(b"x")), None), Ok(Some(KeyChange::Create { after: key(b"x", 0) })));
}

#[test]
fn present_and_equal_in_what_was_mentioned_changes_nothing() {
    let flags = KeyContent { value: None, flags: Some(7) };
    for content in [value(b"old"), flags, KeyContent::default()] {
        assert_eq!(plan(present(content), Some(&observed(Some("them")))), Ok(None), "held or not");
    }
}

#[test]
fn present_and_different_updates_and_leaves_what_was_not_mentioned() {
    let update = |after| Ok(Some(KeyChange::Update { before: observed(None), after }));
    assert_eq!(plan(present(value(b"new")), Some(&observed(None))), update(key(b"new", 7)));
    let flags = KeyContent { value: None, flags: Some(8) };
    assert_eq!(plan(present(flags), Some(&observed(None))), update(key(b"old", 8)));
}

#[test]
fn absent_deletes_what_is_there() {
    assert_eq!(plan(DesiredKey::Absent, None), Ok(None));
    assert_eq!(plan(DesiredKey::Absent, Some(&observed(None))), Ok(Some(KeyChange::Delete { before: observed(None) })));
}

#[test]
fn a_key_that_another_session_holds_is_touched_by_force_only() {
    for desired in [present(value(b"new")), DesiredKey::Absent] {
        let held = observed(Some("them"));
        let refusal = plan(desired.clone(), Some(&held));
        assert_eq!(refusal, Err(UnsafeKey::Held { key: "a".to_owned(), holder: "them".to_owned() }));
        let force = KeyPolicy { force: true, ..KeyPolicy::default() };
        assert!(plan_key("a", &desired, Some(&held), &force).unwrap().is_some());
        let theirs = KeyPolicy { session: Some("them".to_owned()), ..KeyPolicy::default() };
        assert!(plan_key("a", &desired, Some(&held), &theirs).unwrap().is_some(), "it is their own");
    }
}

#[test]
fn acquired_is_decided_by_the_holder_and_never_by_the_value() {
    let free = observed(None);
    let acquire = |before: Option<&ObservedKey>, after| {
        Ok(Some(KeyChange::Acquire { before: before.cloned(), after, session: "us".to_owned() }))
    };
    assert_eq!(plan(acquired(value(b"old")), Some(&free)), acquire(Some(&free), key(b"old", 7)), "the same value");
    assert_eq!(plan(acquired(KeyContent::default()), Some(&free)), acquire(Some(&free), key(b"old", 7)));
    assert_eq!(plan(acquired(KeyContent::default()), None), acquire(None, key(b"", 0)));
    let ours = observed(Some("us"));
    assert_eq!(plan(acquired(KeyContent::default()), Some(&ours)), Ok(None));
    assert_eq!(plan(acquired(value(b"new")), Some(&ours)), acquire(Some(&ours), key(b"new", 7)));
}

#[test]
fn acquired_and_held_by_another_is_busy_whatever_the_force() {
    let held = observed(Some("them"));
    let force = KeyPolicy { force: true, ..KeyPolicy::default() };
    let plan = plan_key("a", &acquired(KeyContent::default()), Some(&held), &force);
    assert!(matches!(plan, Err(UnsafeKey::Held { .. })));
}

#[test]
fn released_gives_up_what_that_session_holds_and_nothing_else() {
    let ours = observed(Some("us"));
    let release = KeyChange::Release { before: ours.clone(), after: key(b"old", 7), session: "us".to_owned() };
    assert_eq!(plan(released(KeyContent::default()), Some(&ours)), Ok(Some(release)), "the value stays");
    for other in [None, Some(observed(None)), Some(observed(Some("them")))] {
        assert_eq!(plan(released(value(b"new")), other.as_ref()), Ok(None));
    }
}

#[test]
fn another_index_than_was_asked_for_is_refused() {
    let at = |cas, observed: Option<&ObservedKey>| {
        let policy = KeyPolicy { cas: Some(cas), ..KeyPolicy::default() };
        plan_key("a", &present(value(b"new")), observed, &policy)
    };
    assert!(at(5, Some(&observed(None))).unwrap().is_some());
    assert!(at(0, None).unwrap().is_some());
    let stale = |wanted, found| Err(UnsafeKey::Stale { key: "a".to_owned(), wanted, found });
    assert_eq!(at(4, Some(&observed(None))), stale(4, 5));
    assert_eq!(at(0, Some(&observed(None))), stale(0, 5));
    assert_eq!(at(5, None), stale(5, 0));
}
