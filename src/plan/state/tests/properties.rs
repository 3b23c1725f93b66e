//! What holds of every plan.

use proptest::prelude::*;

use super::world::*;
use crate::object::{Behavior, DesiredState, ObjectId, Session};
use crate::plan::state::{Action, Adopt, Claim, Limit, StatePlan, StatePolicy};

const SESSIONS: [&str; 2] = ["a", "b"];
const SERVICES: [&str; 2] = ["s", "t"];
const KEYS: [&str; 4] = ["k1", "k2", "k3", "k4"];

fn every_id() -> Vec<ObjectId> {
    let sessions = SESSIONS.map(session_id).into_iter();
    sessions.chain(SERVICES.map(service_id)).chain(KEYS.map(key_id)).collect()
}

/// What is there, by the position of its name.
#[derive(Clone, Debug)]
struct Seed {
    /// Delay, whether its keys end with it.
    sessions: Vec<Vec<(u64, bool)>>,
    /// Port, whose: nobody's, ours, theirs.
    services: Vec<Option<(u16, u8)>>,
    /// Value, the position of the session that holds it among all.
    keys: Vec<Option<(u8, Option<usize>)>>,
    /// Of each object: in our record, pending as it is, pending otherwise; protected; another's.
    records: Vec<(u8, bool, bool)>,
}

fn value(number: u8) -> String {
    format!("v{number}")
}

fn a_session_of(name: &str, (delay, deletes): (u64, bool)) -> Session {
    let behavior = if deletes { Behavior::Delete } else { Behavior::Release };
    Session { behavior, ..a_session(name, delay) }
}

fn any_world() -> impl Strategy<Value = World> {
    let sessions = prop::collection::vec(prop::collection::vec((1..3_u64, any::<bool>()), 0..3), SESSIONS.len());
    let services = prop::collection::vec(prop::option::of((1..3_u16, 0..3_u8)), SERVICES.len());
    let keys = prop::collection::vec(prop::option::of((0..3_u8, prop::option::of(0..4_usize))), KEYS.len());
    let records = prop::collection::vec((0..6_u8, prop::bool::weighted(0.1), prop::bool::weighted(0.1)), 8);
    (sessions, services, keys, records)
        .prop_map(|(sessions, services, keys, records)| build(&Seed { sessions, services, keys, records }))
}

fn build(seed: &Seed) -> World {
    let mut world = World::default();
    let mut numbers = 1..;
    for (name, sessions) in SESSIONS.iter().zip(&seed.sessions) {
        for session in sessions {
            world = world.session(numbers.next().unwrap(), a_session_of(name, *session));
        }
    }
    let sessions = numbers.next().unwrap() - 1;
    for (id, service) in SERVICES.iter().zip(&seed.services) {
        if let Some((port, whose)) = service {
            world = world.service(id, *port, [None, Some(OWNER), Some("them")][usize::from(*whose)]);
        }
    }
    for (name, key) in KEYS.iter().zip(&seed.keys) {
        if let Some((number, holder)) = key {
            let holder = holder.map(|holder| holder as u64 + 1).filter(|holder| *holder <= sessions);
            world = world.key(name, &value(*number), holder);
        }
    }
    for (id, (recorded, protected, theirs)) in every_id().into_iter().zip(&seed.records) {
        let as_it_is = match &id {
            ObjectId::Session { name, .. } => world.observed.sessions.get(&id).map(|sessions| {
                let session = sessions[0].session.clone();
                (session_id(name), crate::object::Object::Session(session).hash())
            }),
            ObjectId::Service { .. } => {
                world.observed.services.get(&id).map(|service| (id.clone(), service.hash.clone().unwrap()))
            }
            ObjectId::Key(name) => world
                .observed
                .keys
                .get(name)
                .map(|key| (id.clone(), content(std::str::from_utf8(&key.key.value).unwrap()).hash())),
        };
        match recorded {
            0..=2 => world = world.ours([id.clone()]),
            3 => world.claims.ours.pending.extend(as_it_is),
            4 => drop(world.claims.ours.pending.insert(id.clone(), "other".to_owned())),
            _ => {}
        }
        if *protected && *recorded < 3 {
            world = world.keeps([id.clone()]);
        }
        if *theirs {
            world = world.theirs(id);
        }
    }
    world
}

fn any_desired() -> impl Strategy<Value = DesiredState> {
    let guarded = || prop::bool::weighted(0.1);
    let sessions = prop::collection::vec(prop::option::of((1..3_u64, any::<bool>(), guarded())), SESSIONS.len());
    let services = prop::collection::vec(prop::option::of((1..3_u16, guarded())), SERVICES.len());
    let keys = prop::collection::vec(prop::option::of((0..3_u8, prop::option::of(0..2_usize), guarded())), KEYS.len());
    (sessions, services, keys).prop_map(|(sessions, services, keys)| {
        let guard = |item: Item, guarded: bool| if guarded { protected(item) } else { item };
        let mut items = Vec::new();
        for (name, wish) in SESSIONS.iter().zip(&sessions) {
            items.extend(wish.map(|(delay, deletes, guarded)| {
                let mut item = session(name, delay);
                item.1.object = crate::object::Object::Session(a_session_of(name, (delay, deletes)).into());
                guard(item, guarded)
            }));
        }
        for (id, wish) in SERVICES.iter().zip(&services) {
            items.extend(wish.map(|(port, guarded)| guard(service(id, port), guarded)));
        }
        for (name, wish) in KEYS.iter().zip(&keys) {
            items.extend(wish.map(|(number, holder, guarded)| {
                let item = match holder.filter(|holder| sessions[*holder].is_some()) {
                    Some(holder) => held(name, &value(number), SESSIONS[holder]),
                    None => key(name, &value(number)),
                };
                guard(item, guarded)
            }));
        }
        desired(items)
    })
}

fn any_policy() -> impl Strategy<Value = StatePolicy> {
    let adopt = prop_oneof![Just(Adopt::Ours), Just(Adopt::Unowned), Just(Adopt::All)];
    let limit = prop_oneof![Just(Limit::default()), (0..4_usize).prop_map(Limit::Count)];
    (prop::bool::weighted(0.8), adopt, limit, any::<bool>(), any::<bool>()).prop_map(
        |(prune, adopt, max_delete, allow_empty, force)| StatePolicy { prune, adopt, max_delete, allow_empty, force },
    )
}

/// What an object is, sessions with their ids.
fn state_of(world: &World, id: &ObjectId) -> String {
    let observed = &world.observed;
    match id {
        ObjectId::Session { .. } => {
            let sessions = observed.sessions.get(id).into_iter().flatten();
            format!("{:?}", sessions.map(|session| (&session.id, &session.session)).collect::<Vec<_>>())
        }
        ObjectId::Service { .. } => format!("{:?}", observed.services.get(id)),
        ObjectId::Key(key) => format!("{:?}", observed.keys.get(key)),
    }
}

fn destroys(plan: &StatePlan, id: &ObjectId) -> bool {
    plan.changes.iter().any(|change| change.id == *id && matches!(change.action(), Action::Delete | Action::Replace))
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn planning_an_applied_plan_gives_nothing_to_do(mut world in any_world(), desired in any_desired(), policy in any_policy()) {
        let plan = world.plan(&desired, &policy);
        prop_assume!(plan.is_safe());
        world.apply(&plan, &desired, None);
        let again = world.plan(&desired, &policy);
        prop_assert_eq!(again.check(), Ok(()));
        prop_assert!(again.is_empty(), "{:#?}", again.changes);
        prop_assert!(!plan.is_empty() || plan.changes.is_empty());
    }

    #[test]
    fn a_run_that_is_killed_at_any_step_and_run_again_comes_to_the_same_end(
        world in any_world(), desired in any_desired(), policy in any_policy(),
    ) {
        // How much may be deleted at once depends on what is left to delete.
        let policy = StatePolicy { max_delete: Limit::Count(100), ..policy };
        let plan = world.plan(&desired, &policy);
        prop_assume!(plan.is_safe() && !plan.is_empty());
        // One more run: the record forgets what went as a consequence of the last one.
        let end = |mut world: World| {
            for _ in 0..2 {
                let plan = world.plan(&desired, &policy);
                assert_eq!(plan.check(), Ok(()), "{world:#?}");
                world.apply(&plan, &desired, None);
            }
            world.essence()
        };
        let expected = end(world.clone());
        for stop in 0..World::operations(&plan) {
            let mut killed = world.clone();
            killed.apply(&plan, &desired, Some(stop));
            prop_assert_eq!(&end(killed), &expected, "killed before operation {}", stop);
        }
    }

    #[test]
    fn the_order_of_what_is_read_does_not_matter(world in any_world(), wish in any_desired(), policy in any_policy()) {
        let mut turned = world.clone();
        turned.observed.sessions.values_mut().for_each(|sessions| sessions.reverse());
        let backwards = desired(wish.objects.clone().into_iter().rev());
        prop_assert_eq!(world.plan(&wish, &policy), turned.plan(&backwards, &policy));
    }

    #[test]
    fn what_is_not_ours_is_not_touched(mut world in any_world(), desired in any_desired(), policy in any_policy()) {
        let plan = world.plan(&desired, &policy);
        for change in &plan.changes {
            let touchable = !matches!(change.claim, Claim::Foreign { .. } | Claim::Unowned);
            prop_assert!(touchable, "{change:?}");
        }
        // By force, keys of sessions that end go with them.
        prop_assume!(plan.is_safe() && !policy.force);
        let before = world.clone();
        world.apply(&plan, &desired, None);
        for id in every_id() {
            let record = &before.claims.ours;
            let by_meta = before.observed.services.get(&id).and_then(|service| service.owner.as_deref());
            let nothing_says_so = !record.objects.contains(&id) && !record.pending.contains_key(&id) && by_meta != Some(OWNER);
            let exists = state_of(&before, &id) != state_of(&World::default(), &id);
            if exists && nothing_says_so && (policy.adopt == Adopt::Ours || !desired.objects.contains_key(&id)) {
                prop_assert_eq!(state_of(&before, &id), state_of(&world, &id), "{}", id);
            }
            if by_meta == Some("them") && policy.adopt != Adopt::All {
                prop_assert_eq!(state_of(&before, &id), state_of(&world, &id), "{}", id);
            }
        }
    }

    #[test]
    fn what_is_refused_or_protected_is_not_destroyed(world in any_world(), desired in any_desired(), policy in any_policy()) {
        let plan = world.plan(&desired, &policy);
        for id in plan.refusals.iter().filter_map(|refusal| refusal.id.as_ref()) {
            prop_assert!(!plan.changes.iter().any(|change| change.id == *id), "{id}");
        }
        for id in every_id() {
            let protected = desired.objects.get(&id).map_or_else(
                || world.claims.ours.protected.contains(&id),
                |declared| declared.prevent_destroy,
            );
            prop_assert!(!protected || !destroys(&plan, &id), "{id}");
        }
    }

    #[test]
    fn sessions_come_before_the_keys_that_they_hold_and_deletes_last(
        world in any_world(), desired in any_desired(), policy in any_policy(),
    ) {
        let plan = world.plan(&desired, &policy);
        let rank = |id: &ObjectId| match id {
            ObjectId::Session { .. } => 0,
            ObjectId::Service { .. } => 1,
            ObjectId::Key(_) => 2,
        };
        let ranks = plan.changes.iter().map(|change| match change.action() {
            Action::Delete => 5 - rank(&change.id),
            _ => rank(&change.id),
        });
        prop_assert!(ranks.is_sorted());
    }

    #[test]
    fn destroying_leaves_nothing_of_ours_but_what_is_protected_or_held(
        mut world in any_world(), desired in any_desired(), policy in any_policy(),
    ) {
        let policy = StatePolicy { max_delete: Limit::Count(100), ..policy };
        let plan = world.destroy(&desired, &policy);
        for change in &plan.changes {
            prop_assert!(desired.objects.contains_key(&change.id) && change.ends_object());
            prop_assert_eq!(change.action(), Action::Delete);
        }
        prop_assume!(plan.is_safe());
        world.apply(&plan, &desired, None);
        let again = world.destroy(&desired, &policy);
        prop_assert!(again.is_safe() && again.is_empty());
    }
}
