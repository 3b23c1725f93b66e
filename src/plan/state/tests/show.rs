//! What people are shown of a change.

use super::*;
use crate::object::{KeyContent, Secret};

/// `value: none -> v`
fn shown(plan: &StatePlan) -> Vec<String> {
    let differences = plan.changes.iter().flat_map(StateChange::differences);
    differences
        .map(|difference| format!("{}: {} -> {}", difference.field, difference.before, difference.after))
        .collect()
}

fn value_of(value: &[u8], secret: bool) -> Item {
    let (id, mut declared) = key("k", "");
    declared.object = Object::Key {
        content: KeyContent { value: Some(value.to_vec()), flags: Some(3) },
        holder: None,
        secret: secret.then(|| Secret::Variable("SECRET".to_owned())),
    };
    (id, declared)
}

#[test]
fn values_are_shown_as_text_or_base64_and_never_steer_a_terminal() {
    let world = World::default().key("k", "old", None).ours([key_id("k")]);
    let to = |value: &[u8]| shown(&plan(&world, [value_of(value, false)]));
    assert_eq!(to(b"new"), ["value: old -> new", "flags: none -> 3"]);
    assert_eq!(to(b"old"), ["flags: none -> 3"]);
    assert_eq!(to(b"a\x1b[2J\nb"), ["value: old -> a\\u{1b}[2J\\nb", "flags: none -> 3"]);
    assert_eq!(to(&[0xff, 0xfe])[0], "value: old -> base64 //4=");
    let long = to("ä".repeat(300).as_bytes())[0].clone();
    let expected = format!("value: old -> {}... (600 bytes, hash 50f8a4ae)", "ä".repeat(200));
    assert_eq!((long.len(), &long[..60]), (expected.len(), &expected[..60]));
}

#[test]
fn secrets_are_shown_as_a_hash() {
    let world = World::default().key("k", "old", None).ours([key_id("k")]);
    let plan = plan(&world, [value_of(b"hunter2", true)]);
    // sha256sum of `old` and of `hunter2`.
    let expected = "value: hash cba06b57, 3 bytes -> hash f52fbd32, 7 bytes";
    assert_eq!(shown(&plan), [expected, "flags: none -> 3"]);
    let deleted = world.plan(&desired([key("new", "v")]), &prune());
    assert_eq!(shown(&deleted), ["value: none -> v", "value: hash cba06b57, 3 bytes -> none"]);
}

#[test]
fn who_holds_a_key_is_shown() {
    let moved = plan(&holding(), [session("a", 2), held("k", "v", "a"), held("l", "v", "a")]);
    let moves = format!("session: session {} -> session n1/a", uuid(1));
    assert_eq!(shown(&moved), ["delay: 1s -> 2s".to_owned(), moves.clone(), moves]);
    assert_eq!(shown(&plan(&holding(), [session("a", 1), held("k", "w", "a")])), ["value: v -> w"]);
    let fresh = plan(&World::default(), [session("a", 1), held("k", "v", "a")]);
    assert_eq!(shown(&fresh), ["delay: none -> 1s", "value: none -> v", "session: none -> session n1/a"]);
    let released = holding().plan(&desired([session("a", 2), key("k", "v"), key("l", "v")]), &force());
    assert_eq!(shown(&released)[1], format!("session: session {} -> none", uuid(1)));
}

#[test]
fn services_and_their_nodes_are_shown() {
    let external = ExternalNode { name: "ext".to_owned(), address: Some("10.0.0.9".to_owned()), meta: None };
    let plan = plan(&World::default(), [service_on(external, "s", 1)]);
    assert_eq!(
        shown(&plan),
        [
            "name: none -> \"s\"",
            "service_port: none -> 1",
            "checks: none -> [service:s:ttl]",
            "node_address: none -> \"10.0.0.9\"",
            "node_meta: none -> {}",
        ]
    );
    let gone = ours().plan(&desired([session("a", 1), key("k", "v1")]), &prune());
    assert_eq!(shown(&gone), ["name: \"s\" -> none", "service_port: 1 -> none"]);
    assert_eq!(gone.changes[0].fallout(), ["takes off its 1 check: service:s:ttl"]);
}

#[test]
fn the_fallout_of_a_session_names_its_keys() {
    let world = (0..12).fold(World::default().session(1, a_session("a", 1)), |world, number| {
        world.key(&format!("k{number:02}"), "v", Some(1))
    });
    let world = world.ours([session_id("a")]);
    let forced = world.plan(&desired([session("a", 2)]), &force());
    let keys: Vec<String> = (0..10).map(|number| format!("k{number:02}")).collect();
    let expected = format!("destroys session {}: releases 12 keys: {}, ...", uuid(1), keys.join(", "));
    assert_eq!(forced.changes[0].fallout(), [expected]);
    let mut deleting = World::default().session(1, Session { behavior: Behavior::Delete, ..a_session("a", 1) });
    deleting = deleting.key("k", "v", Some(1)).ours([session_id("a")]);
    let forced = deleting.plan(&desired([session("a", 2)]), &force());
    assert_eq!(forced.changes[0].fallout(), [format!("destroys session {}: deletes 1 key: k", uuid(1))]);
}
