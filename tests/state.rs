//! Many objects of one owner on a real Consul: planned, locked, applied, pruned; and what becomes of a run that is killed.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use lictor::consul::{Client, Query, Secret, Settings};
use lictor::duration::ConsulDuration;
use lictor::object::{
    At, Declared, DesiredState, ExternalNode, KeyContent, Object, ObjectId, Place, Service, ServiceSpec, Session,
};
use lictor::plan::state::{Adopt, Limit, StatePlan, StatePolicy};
use lictor::reconcile::{Error, Planned, RecordError, StateError, StateReconciler, StateReport};
use serde_json::{Value, json};
use support::agent::Options;
use support::kill::{Break, Mortal};
use support::proxy::{Act, Proxy, status};
use support::{Agent, unique};

const PATIENCE: Duration = Duration::from_secs(20);

fn client_of(agent: &Agent) -> Client {
    client_at(&agent.address(), None)
}

fn client_at(address: &str, token: Option<String>) -> Client {
    let settings = Settings { host: Some(address.to_owned()), token: token.map(Secret::new), ..Settings::default() };
    Client::new(settings.into_config().unwrap()).unwrap()
}

fn desired(owner: &str, objects: impl IntoIterator<Item = (ObjectId, Object)>) -> DesiredState {
    let declared = |object| Declared { object, prevent_destroy: false, at: At::default() };
    let objects = objects.into_iter().map(|(id, object)| (id, declared(object))).collect();
    DesiredState { owner: owner.to_owned(), place: Place::default(), objects }
}

fn session(name: &str) -> (ObjectId, Object) {
    session_with(name, |_| ())
}

fn session_with(name: &str, change: impl FnOnce(&mut Session)) -> (ObjectId, Object) {
    let mut session = Session { name: Some(name.to_owned()), ..Session::on("node1") };
    change(&mut session);
    (ObjectId::Session { node: "node1".to_owned(), name: name.to_owned() }, Object::Session(session.into()))
}

fn key(key: &str, value: &str) -> (ObjectId, Object) {
    let content = KeyContent { value: Some(value.into()), flags: None };
    (ObjectId::Key(key.to_owned()), Object::Key { content, holder: None, secret: None })
}

fn held(key: &str, value: &str, by: &str) -> (ObjectId, Object) {
    let content = KeyContent { value: Some(value.into()), flags: None };
    let holder = Some(ObjectId::Session { node: "node1".to_owned(), name: by.to_owned() });
    (ObjectId::Key(key.to_owned()), Object::Key { content, holder, secret: None })
}

fn service(id: &str, port: u16) -> (ObjectId, Object) {
    service_on(ExternalNode { name: "node1".to_owned(), ..ExternalNode::default() }, id, port)
}

fn service_on(node: ExternalNode, id: &str, port: u16) -> (ObjectId, Object) {
    let service = Service { id: id.to_owned(), name: id.to_owned(), port, ..Service::default() };
    let name = ObjectId::Service { node: node.name.clone(), id: id.to_owned() };
    (name, Object::Service { node, spec: ServiceSpec::new(service, None).unwrap() })
}

fn pruning() -> StatePolicy {
    StatePolicy { prune: true, allow_empty: true, max_delete: Limit::Percent(100), ..StatePolicy::default() }
}

fn plan(client: &Client, desired: &DesiredState, policy: &StatePolicy) -> Planned {
    let query = Query::default();
    StateReconciler { client, query: &query, policy, parallelism: 4, stop: None, first: None }.plan(desired).unwrap()
}

fn apply(client: &Client, desired: &DesiredState, policy: &StatePolicy) -> Result<StateReport, StateError> {
    let query = Query::default();
    let run = StateReconciler { client, query: &query, policy, parallelism: 4, stop: None, first: None };
    let lock = run.lock(&desired.owner, PATIENCE).unwrap();
    let planned = run.plan(desired).unwrap();
    let report = run.apply(desired, &planned, &lock, &|_| ());
    lock.release().unwrap();
    report
}

fn steps(plan: &StatePlan) -> Vec<String> {
    plan.changes.iter().map(|change| format!("{:?} {}", change.action(), change.id)).collect()
}

fn message(error: &StateError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Everything in the tree of a test, and its sessions and services: what a run leaves behind, without the ids and indexes
/// that differ from run to run.
fn world(agent: &Agent, name: &str) -> BTreeMap<String, String> {
    let mut world = BTreeMap::new();
    let sessions = agent.get("/v1/session/list");
    let sessions = sessions.as_array().unwrap();
    let name_of = |id: &Value| sessions.iter().find(|session| session["ID"] == *id).map(|session| &session["Name"]);
    for session in sessions {
        let (called, ttl, delay) = (session["Name"].as_str().unwrap(), &session["TTL"], &session["LockDelay"]);
        if called.starts_with(name) {
            let count = world.keys().filter(|key: &&String| key.starts_with(&format!("session {called} "))).count();
            world.insert(format!("session {called} {count}"), format!("{ttl} {delay}"));
        }
    }
    for tree in [format!("{name}/"), format!("lictor/owners/{name}"), format!("lictor/locks/{name}")] {
        for key in agent.tree(&tree) {
            let holder = name_of(&key["Session"]);
            world.insert(format!("key {}", key["Key"].as_str().unwrap()), format!("{} {holder:?}", key["Value"]));
        }
    }
    for (id, service) in agent.get("/v1/agent/services").as_object().unwrap() {
        if id.starts_with(name) {
            world.insert(format!("service {id}"), format!("{} {}", service["Port"], service["Meta"]));
        }
    }
    world
}

#[test]
fn a_first_run_makes_everything_and_a_second_has_nothing_to_do() {
    let (agent, name) = (Agent::shared(), unique("all"));
    let client = client_of(agent);
    let external = ExternalNode { name: unique("ext"), address: Some("10.0.0.9".to_owned()), meta: None };
    let wish = desired(
        &name,
        [
            session(&name),
            key(&format!("{name}/config"), "on"),
            held(&format!("{name}/leader"), "me", &name),
            service(&name, 80),
            service_on(external.clone(), &format!("{name}-db"), 5432),
        ],
    );
    let report = apply(&client, &wish, &StatePolicy::default()).unwrap();
    assert_eq!((report.done.len(), report.created.len()), (5, 1));
    let ids = agent.session_ids(&name);
    assert_eq!(ids.len(), 1);
    assert_eq!(agent.get(&format!("/v1/kv/{name}/leader"))[0]["Session"], ids[0].as_str());
    assert_eq!(agent.get(&format!("/v1/agent/service/{name}"))["Meta"]["lictor-owner"], name.as_str());
    assert_eq!(agent.get(&format!("/v1/catalog/node/{}", external.name))["Node"]["Address"], "10.0.0.9");
    let before = world(agent, &name);
    let again = plan(&client, &wish, &StatePolicy::default());
    assert_eq!((steps(&again.plan), again.plan.unchanged), (Vec::new(), 5));
    let index = again.record_index();
    apply(&client, &wish, &StatePolicy::default()).unwrap();
    assert_eq!(plan(&client, &wish, &StatePolicy::default()).record_index(), index, "the record was not written again");
    assert_eq!(world(agent, &name), before);
}

#[test]
fn what_somebody_changed_is_mended() {
    let (agent, name) = (Agent::shared(), unique("drift"));
    let client = client_of(agent);
    let (config, leader) = (format!("{name}/config"), format!("{name}/leader"));
    // Without a lock-delay, so that the key can be held again at once.
    let lively = session_with(&name, |session| session.lock_delay = ConsulDuration::default());
    let wish = desired(&name, [lively, key(&config, "on"), held(&leader, "me", &name), service(&name, 80)]);
    apply(&client, &wish, &StatePolicy::default()).unwrap();
    let before = world(agent, &name);
    agent.put(&format!("/v1/session/destroy/{}", agent.session_ids(&name)[0]), &json!(null));
    agent.put(&format!("/v1/kv/{config}"), &json!("off"));
    agent.put(&format!("/v1/agent/service/deregister/{name}"), &json!(null));
    let planned = plan(&client, &wish, &StatePolicy::default());
    let id = |kind: &str, rest: &str| format!("{kind} {rest}");
    assert_eq!(
        steps(&planned.plan),
        [
            id("Create session", &format!("node1/{name}")),
            id("Create service", &format!("node1/{name}")),
            id("Update key", &config),
            id("Update key", &leader)
        ]
    );
    apply(&client, &wish, &StatePolicy::default()).unwrap();
    assert_eq!(world(agent, &name), before);
}

#[test]
fn a_session_that_differs_is_replaced_and_its_keys_move_along() {
    let (agent, name) = (Agent::shared(), unique("replace"));
    let client = client_of(agent);
    let leader = format!("{name}/leader");
    let wish = |ttl: u64| {
        let session = session_with(&name, |session| {
            session.ttl = Some(ConsulDuration::from_secs(ttl));
            session.behavior = lictor::object::Behavior::Delete;
        });
        desired(&name, [session, held(&leader, "me", &name)])
    };
    apply(&client, &wish(60), &StatePolicy::default()).unwrap();
    let old = agent.session_ids(&name);
    let report = apply(&client, &wish(90), &StatePolicy::default()).unwrap();
    let new = agent.session_ids(&name);
    assert_eq!((new.len(), new == old, report.created.len()), (1, false, 1));
    assert_eq!(agent.get(&format!("/v1/kv/{leader}"))[0]["Session"], new[0].as_str());
    assert!(report.warnings[0].contains("ttl"), "{:?}", report.warnings);
    // A key that nobody declares is not to be lost.
    agent.lock(&format!("{name}/other"), &new[0]);
    let error = apply(&client, &wish(120), &StatePolicy::default()).unwrap_err();
    assert!(message(&error).contains(&format!("{name}/other")), "{}", message(&error));
    assert_eq!(agent.session_ids(&name), new);
}

#[test]
fn prune_deletes_what_was_ours_and_nothing_else() {
    let (agent, name, other) = (Agent::shared(), unique("prune"), unique("other"));
    let client = client_of(agent);
    let ours = [session(&name), key(&format!("{name}/ours"), "1"), service(&name, 80)];
    apply(&client, &desired(&name, ours), &StatePolicy::default()).unwrap();
    apply(&client, &desired(&other, [key(&format!("{name}/theirs"), "2")]), &StatePolicy::default()).unwrap();
    agent.put(&format!("/v1/kv/{name}/nobodys"), &json!("3"));
    agent.create_session(&json!({"Name": format!("{name}-nobodys")}));
    let kept = desired(&name, [key(&format!("{name}/new"), "4")]);
    let spared = plan(&client, &kept, &StatePolicy::default()).plan.spared;
    assert_eq!(spared.len(), 3, "{spared:?}");
    apply(&client, &kept, &pruning()).unwrap();
    let left: Vec<String> = world(agent, &name).into_keys().collect();
    assert_eq!(
        left,
        [
            format!("key lictor/owners/{name}"),
            format!("key {name}/new"),
            format!("key {name}/nobodys"),
            format!("key {name}/theirs"),
            format!("session {name}-nobodys 0"),
        ]
    );
    // And when nothing is left, neither is the record.
    apply(&client, &desired(&name, []), &pruning()).unwrap();
    assert!(!world(agent, &name).contains_key(&format!("key lictor/owners/{name}")));
}

#[test]
fn what_is_anothers_or_nobodys_is_refused_and_not_a_byte_changes() {
    let (agent, name, other) = (Agent::shared(), unique("refused"), unique("other"));
    let client = client_of(agent);
    let theirs = [key(&format!("{name}/theirs"), "2"), service(&format!("{name}-s"), 1)];
    apply(&client, &desired(&other, theirs), &StatePolicy::default()).unwrap();
    agent.put(&format!("/v1/kv/{name}/nobodys"), &json!("3"));
    let wish = desired(
        &name,
        [
            key(&format!("{name}/free"), "1"),
            key(&format!("{name}/theirs"), "1"),
            key(&format!("{name}/nobodys"), "1"),
            service(&format!("{name}-s"), 1),
        ],
    );
    let before = (world(agent, &name), agent.tree(&format!("{name}/")));
    let error = apply(&client, &wish, &StatePolicy::default()).unwrap_err();
    let said = message(&error);
    assert!(said.starts_with("no object was changed") && said.contains(&other), "{said}");
    assert!(said.contains(&format!("{name}/nobodys")), "{said}");
    assert_eq!((world(agent, &name), agent.tree(&format!("{name}/"))), before);
    let adopt = StatePolicy { adopt: Adopt::All, ..StatePolicy::default() };
    apply(&client, &wish, &adopt).unwrap();
    assert_eq!(agent.get(&format!("/v1/kv/{name}/theirs"))[0]["Value"], "MQ==");
    assert_eq!(agent.get(&format!("/v1/agent/service/{name}-s"))["Meta"]["lictor-owner"], name.as_str());
    assert!(!world(agent, &other).contains_key(&format!("key lictor/owners/{other}")), "they have nothing any more");
}

/// What the runs of the next test begin with, and what they are to come to: something of each kind is made, changed,
/// replaced and deleted.
fn before_and_after(name: &str) -> (DesiredState, DesiredState) {
    let n = |suffix: &str| format!("{name}{suffix}");
    let with_ttl = |name: &str, ttl| {
        session_with(name, |session| {
            session.ttl = Some(ConsulDuration::from_secs(ttl));
            session.lock_delay = ConsulDuration::default();
        })
    };
    let before = [
        with_ttl(&n("-replaced"), 60),
        with_ttl(&n("-pruned"), 60),
        held(&n("/moves"), "v", &n("-replaced")),
        key(&n("/changed"), "old"),
        key(&n("/pruned"), "old"),
        service(&n("-changed"), 1),
        service(&n("-pruned"), 1),
    ];
    let after = [
        with_ttl(&n("-replaced"), 90),
        with_ttl(&n("-new"), 60),
        held(&n("/moves"), "v", &n("-replaced")),
        held(&n("/new"), "v", &n("-new")),
        key(&n("/changed"), "new"),
        service(&n("-changed"), 2),
        service(&n("-new"), 1),
    ];
    (desired(name, before), desired(name, after))
}

#[test]
fn a_kill_at_any_request_then_a_run_comes_to_the_same_end() {
    // An agent of its own: what other tests do would come between.
    let agent = Agent::start(Options::default());
    let sane = client_of(&agent);
    let renamed = |name: &str| -> BTreeMap<String, String> {
        let text = |text: String| text.replace(name, "NAME");
        let mut world = world(&agent, name);
        // The digest of a record is one of the names in it.
        let record = world.remove(&format!("key lictor/owners/{name}")).map(|_| {
            let key = agent.get(&format!("/v1/kv/lictor/owners/{name}?raw"));
            key["record"].to_string()
        });
        // So is that of a service.
        world.retain(|key, _| !key.starts_with("key lictor/owners/"));
        world.insert("record".to_owned(), record.unwrap_or_default());
        world.into_iter().map(|(key, value)| (text(key), text(value))).collect()
    };
    let without_hashes = |mut world: BTreeMap<String, String>| {
        for (key, value) in &mut world {
            if key.starts_with("service") {
                value.truncate(value.find(' ').unwrap());
            }
        }
        world
    };
    let start = |name: &str| {
        let (before, after) = before_and_after(name);
        apply(&sane, &before, &StatePolicy::default()).unwrap();
        after
    };
    let name = unique("kill");
    let after = start(&name);
    apply(&sane, &after, &pruning()).unwrap();
    let end = without_hashes(renamed(&name));
    assert_eq!(end.len(), 8, "{end:#?}");
    for how in [Break::Before, Break::After] {
        let mut at = 0;
        loop {
            let name = unique("kill");
            let after = start(&name);
            let mortal = Mortal::new(&agent, at, how);
            let (client, query, policy) = (mortal.client(), Query::default(), pruning());
            let run = StateReconciler {
                client: &client,
                query: &query,
                policy: &policy,
                parallelism: 1,
                stop: None,
                first: None,
            };
            let outcome = run.lock(&name, PATIENCE).map_err(|error| error.to_string()).and_then(|lock| {
                let planned = run.plan(&after).map_err(|error| error.to_string())?;
                let outcome = run.apply(&after, &planned, &lock, &|_| ()).map_err(|error| message(&error));
                drop(lock);
                outcome
            });
            let died = mortal.has_died();
            // The ttl of the lock would end it.
            for session in agent.get("/v1/session/list").as_array().unwrap() {
                if session["Name"].as_str().unwrap().starts_with(&format!("lictor: {name} ")) {
                    agent.put(&format!("/v1/session/destroy/{}", session["ID"].as_str().unwrap()), &json!(null));
                }
            }
            apply(&sane, &after, &pruning()).unwrap_or_else(|error| {
                panic!("{how:?} {at}: {}; the killed one: {outcome:?}", message(&error));
            });
            assert_eq!(without_hashes(renamed(&name)), end, "{how:?} {at}: {outcome:?}");
            if !died {
                break;
            }
            at += 1;
        }
        assert!(at > 25, "{at} requests only");
    }
}

#[test]
fn two_runs_at_once_come_one_after_the_other() {
    let (agent, name) = (Agent::shared(), unique("twice"));
    let wish = desired(&name, [session(&name), key(&format!("{name}/a"), "1"), service(&name, 80)]);
    std::thread::scope(|scope| {
        let run = || apply(&client_of(agent), &wish, &StatePolicy::default()).unwrap();
        let runs = [scope.spawn(run), scope.spawn(run), scope.spawn(run)];
        let mut done: Vec<usize> = runs.into_iter().map(|run| run.join().unwrap().done.len()).collect();
        done.sort_unstable();
        assert_eq!(done, [0, 0, 3], "one makes everything, the others find it");
    });
    assert_eq!(agent.session_ids(&name).len(), 1);
}

#[test]
fn whoever_waits_too_long_is_told_who_holds_the_lock() {
    let (agent, name) = (Agent::shared(), unique("held"));
    let (client, query, policy) = (client_of(agent), Query::default(), StatePolicy::default());
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 1, stop: None, first: None };
    let lock = run.lock(&name, Duration::ZERO).unwrap();
    let error = run.lock(&name, Duration::from_millis(300)).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&format!("process {} on ", std::process::id())) && said.contains(&name), "{said}");
    assert!(matches!(error, Error::OwnerLocked { .. }));
    lock.release().unwrap();
    run.lock(&name, Duration::ZERO).unwrap().release().unwrap();
    let left = agent.get("/v1/session/list");
    let lock_of = |session: &&Value| session["Name"].as_str().unwrap().contains(&name);
    assert_eq!(left.as_array().unwrap().iter().filter(lock_of).count(), 0, "no session stays behind");
}

#[test]
fn nothing_is_written_after_the_lock_was_lost() {
    let (agent, name) = (Agent::shared(), unique("lost"));
    let (client, query, policy) = (client_of(agent), Query::default(), StatePolicy::default());
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 1, stop: None, first: None };
    let wish = desired(&name, [session(&name), key(&format!("{name}/a"), "1"), key(&format!("{name}/b"), "1")]);
    let lock = run.lock(&name, PATIENCE).unwrap();
    let planned = run.plan(&wish).unwrap();
    let break_lock = |_: &_| {
        let holder = agent.get(&format!("/v1/kv/lictor/locks/{name}"))[0]["Session"].as_str().unwrap().to_owned();
        agent.put(&format!("/v1/session/destroy/{holder}"), &json!(null));
    };
    let error = run.apply(&wish, &planned, &lock, &break_lock).unwrap_err();
    assert!(matches!(*error.source, Error::LockLost { .. }), "{}", message(&error));
    assert_eq!((error.done.len(), error.not_done.len()), (1, 2));
    assert_eq!(agent.get(&format!("/v1/kv/lictor/owners/{name}?raw"))["record"]["objects"], Value::Null, "not settled");
    assert!(!world(agent, &name).contains_key(&format!("key {name}/a")));
    drop(lock);
    assert_eq!(apply(&client, &wish, &policy).unwrap().done.len(), 2, "the next run finishes it");
}

#[test]
fn a_plan_whose_world_has_moved_is_not_carried_out() {
    let (agent, name) = (Agent::shared(), unique("moved"));
    let (client, query, policy) = (client_of(agent), Query::default(), StatePolicy::default());
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 1, stop: None, first: None };
    let wish = desired(&name, [session(&name), key(&format!("{name}/a"), "1"), service(&name, 80)]);
    let stale = |meanwhile: &dyn Fn()| {
        let lock = run.lock(&name, PATIENCE).unwrap();
        let planned = run.plan(&wish).unwrap();
        meanwhile();
        let before = world(agent, &name);
        let error = run.apply(&wish, &planned, &lock, &|_| ()).unwrap_err();
        lock.release().unwrap();
        (message(&error), error.done.len(), before)
    };
    let (said, _, before) = stale(&|| drop(agent.create_session(&json!({"Name": name}))));
    assert!(said.contains(&format!("session node1/{name} was changed")), "{said}");
    let without_lock = |mut world: BTreeMap<String, String>| {
        world.retain(|key, _| !key.starts_with("key lictor/locks"));
        world
    };
    assert_eq!(without_lock(world(agent, &name)), without_lock(before));
    for id in agent.session_ids(&name) {
        agent.put(&format!("/v1/session/destroy/{id}"), &json!(null));
    }
    let (said, _, before) = stale(&|| drop(agent.put("/v1/agent/service/register", &json!({"Name": name}))));
    assert!(said.contains(&format!("service node1/{name} was changed")), "{said}");
    assert_eq!(without_lock(world(agent, &name)), without_lock(before));
    agent.put(&format!("/v1/agent/service/deregister/{name}"), &json!(null));
    let (said, done, _) = stale(&|| drop(agent.put(&format!("/v1/kv/{name}/a"), &json!("theirs"))));
    assert!(said.contains(&format!("key {name}/a")) && said.contains("changed by somebody else"), "{said}");
    assert_eq!(done, 2, "a key is only known to have moved when it is written");
    assert_eq!(agent.get(&format!("/v1/kv/{name}/a"))[0]["Value"], "dGhlaXJz", "theirs stays");
}

#[test]
fn a_record_that_is_not_as_it_was_written_stops_everything() {
    // Of its own: a record that is damaged stops every owner.
    let (agent, name) = (&Agent::start(Options::default()), unique("record"));
    let (client, query, policy) = (client_of(agent), Query::default(), StatePolicy::default());
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 1, stop: None, first: None };
    let wish = desired(&name, [key(&format!("{name}/a"), "1")]);
    apply(&client, &wish, &policy).unwrap();
    let path = format!("/v1/kv/lictor/owners/{name}");
    let whole = agent.get(&format!("{path}?raw"));
    let text = serde_json::to_string_pretty(&whole).unwrap();
    let fails = |text: &str, words: &[&str]| {
        agent.put(&path, &json!(text));
        let error = run.plan(&wish).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "{word:?} is not in {error}");
        }
        assert!(error.hint().is_some());
        // Another owner cannot know either what is free.
        assert!(run.plan(&desired("another", [key("x", "1")])).is_err());
        error
    };
    fails(&text[..text.len() / 2], &["damaged", "no JSON", &name]);
    fails("{}", &["damaged", "no version"]);
    fails(&text.replace(&format!("\"owner\": \"{name}\""), "\"owner\": \"them\""), &["damaged", "them"]);
    fails(&text.replace("\"version\": 1", "\"version\": 2"), &["version 2", "newer"]);
    fails(&text.replace("\"version\": 1,", "\"version\": 1, \"more\": 1,"), &["damaged", "more"]);
    let edited = text.replace(&format!("key {name}/a"), &format!("key {name}/b"));
    let error = fails(&edited, &["changed by hand", "digest"]);
    assert!(matches!(error, Error::Record(RecordError::Edited { .. })));
    // Where it was meant, it counts without the digest.
    let mut meant: Value = serde_json::from_str(&edited).unwrap();
    meant.as_object_mut().unwrap().remove("digest");
    agent.put(&path, &meant);
    assert!(plan(&client, &wish, &policy).claims.ours.objects.contains(&ObjectId::Key(format!("{name}/b"))));
    agent.delete(&path);
}

#[test]
fn a_record_that_outgrows_a_value_stands_in_parts() {
    // Of its own: a record that is damaged stops every owner.
    let (agent, name) = (&Agent::start(Options::default()), unique("large"));
    let client = client_of(agent);
    let long = "x".repeat(900);
    let keys = |count: usize| (0..count).map(|number| key(&format!("{name}/{long}/{number:04}"), "1"));
    let wish = desired(&name, keys(1000));
    apply(&client, &wish, &StatePolicy::default()).unwrap();
    let parts = || {
        let listed = agent.get(&format!("/v1/kv/lictor/owners/{name}@?keys"));
        listed.as_array().cloned().unwrap_or_default()
    };
    assert!(parts().len() >= 3, "{:?}", parts());
    let again = plan(&client, &wish, &StatePolicy::default());
    assert_eq!((steps(&again.plan), again.plan.unchanged), (Vec::new(), 1000));
    // A part that a killed run left is taken away by the next write.
    agent.put(&format!("/v1/kv/lictor/owners/{name}@left/00001"), &json!("{}"));
    let before = parts();
    let fewer = desired(&name, keys(998));
    apply(&client, &fewer, &pruning()).unwrap();
    assert!(parts().iter().all(|part| !before.contains(part)), "{:?}", parts());
    // A part that is missing is noticed.
    agent.delete(&format!("/v1/kv/{}", parts()[0].as_str().unwrap()));
    let (query, policy) = (Query::default(), pruning());
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 1, stop: None, first: None };
    assert!(run.plan(&fewer).unwrap_err().to_string().contains("missing"));
    agent.delete(&format!("/v1/kv/lictor/owners/{name}?recurse"));
}

#[test]
fn an_agent_that_refuses_for_a_moment_or_loses_its_leader() {
    let (agent, name) = (Agent::shared(), unique("moment"));
    let wish = desired(&name, [session(&name), key(&format!("{name}/a"), "1"), service(&name, 80)]);
    // What certainly was not carried out is tried again.
    let first = Mutex::new(std::collections::BTreeSet::new());
    let proxy = Proxy::start(&agent.address(), move |request| {
        let path = request.split('?').next().unwrap().to_owned();
        let new = first.lock().unwrap().insert(path);
        match request {
            request if !new || request.starts_with("GET") => Act::Forward,
            request if request.contains("txn") => status(429, "Your IP is issuing too many concurrent connections"),
            request if request.contains("session/create") => status(500, "No cluster leader"),
            _ => Act::Forward,
        }
    });
    assert_eq!(apply(&client_at(&proxy.address(), None), &wish, &StatePolicy::default()).unwrap().done.len(), 3);
    // What may have been carried out is not: the error says how far it came, and the next run finishes.
    let (name, once) = (unique("moment"), AtomicBool::new(true));
    let own = name.clone();
    let wish = desired(&name, [session(&name), key(&format!("{name}/a"), "1"), service(&name, 80)]);
    let proxy = Proxy::start(&agent.address(), move |request| {
        let hit = request.contains("txn") && Agent::shared().session_ids(&own).len() == 1;
        if hit && once.swap(false, Ordering::SeqCst) { status(500, "rpc error: EOF") } else { Act::Forward }
    });
    let error = apply(&client_at(&proxy.address(), None), &wish, &StatePolicy::default()).unwrap_err();
    assert_eq!((error.done.len(), error.not_done.len()), (2, 1));
    assert!(message(&error).contains("2 of 3 objects were changed") && message(&error).contains("rpc error"));
    assert_eq!(apply(&client_of(agent), &wish, &StatePolicy::default()).unwrap().done.len(), 1);
}

const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";

fn guarded() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        Agent::start(Options {
            config: json!({"acl": {
                "enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}
            }}),
            token: Some(MASTER.to_owned()),
            ..Options::default()
        })
    })
}

/// A client with a token of these rules.
fn restricted(rules: &str) -> Client {
    let (agent, name) = (guarded(), unique("policy"));
    agent.put("/v1/acl/policy", &json!({"Name": name, "Rules": rules}));
    let made: Value =
        serde_json::from_str(&agent.put("/v1/acl/token", &json!({"Policies": [{"Name": name}]}))).unwrap();
    client_at(&agent.address(), Some(made["SecretID"].as_str().unwrap().to_owned()))
}

/// What a token needs to take the lock and to keep the record.
const BOOKS: &str = r#"key_prefix "lictor/" { policy = "write" } session "node1" { policy = "write" }"#;

#[test]
fn a_token_that_may_read_but_not_write_is_told_what_it_lacks() {
    let name = unique("readonly");
    let wish = desired(&name, [key(&format!("{name}/a"), "1"), key(&format!("{name}/b"), "1")]);
    let read = r#"key_prefix "" { policy = "read" }"#;
    let client = restricted(read);
    assert_eq!(plan(&client, &wish, &StatePolicy::default()).plan.changes.len(), 2, "a plan takes read only");
    let (query, policy) = (Query::default(), StatePolicy::default());
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 1, stop: None, first: None };
    assert!(run.lock(&name, PATIENCE).unwrap_err().hint().unwrap().contains("session"));
    let no_record = r#"key_prefix "" { policy = "read" } key_prefix "lictor/locks/" { policy = "write" }
        session "node1" { policy = "write" }"#;
    let error = apply(&restricted(no_record), &wish, &StatePolicy::default()).unwrap_err();
    assert!(message(&error).starts_with("no object was changed"), "{}", message(&error));
    assert!(message(&error).contains("lictor/owners/") && message(&error).contains("Permission denied"));
    let error = apply(&restricted(&format!("{read} {BOOKS}")), &wish, &StatePolicy::default()).unwrap_err();
    assert!(message(&error).contains(&format!("key {name}/a")), "{}", message(&error));
    assert_eq!((error.done.len(), error.not_done.len()), (0, 2));
    assert!(error.source.hint().unwrap().contains("key:write"), "{:?}", error.source.hint());
    let master = client_at(&guarded().address(), Some(MASTER.to_owned()));
    assert_eq!(apply(&master, &wish, &StatePolicy::default()).unwrap().done.len(), 2);
}

#[test]
fn what_the_token_may_not_see_stops_everything() {
    let name = unique("blind");
    let master = client_at(&guarded().address(), Some(MASTER.to_owned()));
    let all = desired(&name, [session(&name), key(&format!("{name}/a"), "1"), service(&name, 80)]);
    apply(&master, &all, &StatePolicy::default()).unwrap();
    let before = world(guarded(), &name);
    let fewer = desired(&name, [key(&format!("{name}/new"), "1")]);
    let (query, policy) = (Query::default(), pruning());
    let fails = |rules: &str, words: &[&str]| {
        let client = restricted(rules);
        let run = StateReconciler {
            client: &client,
            query: &query,
            policy: &policy,
            parallelism: 2,
            stop: None,
            first: None,
        };
        let error = run.plan(&fewer).map(|planned| planned.plan).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
    };
    let (keys, sessions) = (r#"key_prefix "" { policy = "read" }"#, r#"session_prefix "" { policy = "read" }"#);
    let agent = r#"agent "node1" { policy = "read" } node "node1" { policy = "read" }"#;
    fails(sessions, &["lictor/owners/"]);
    fails(&format!(r#"{sessions} {agent} key_prefix "lictor/" {{ policy = "read" }}"#), &["403", &name]);
    fails(&format!("{keys} {agent}"), &["sessions of node 'node1'", "session \"node1\" = read"]);
    fails(&format!("{keys} {sessions}"), &["/v1/agent/self", "403"]);
    fails(&format!("{keys} {sessions} {agent}"), &["/v1/agent/service/", "403"]);
    assert_eq!(world(guarded(), &name), before);
    let sees_all = format!(r#"{keys} {sessions} {agent} service_prefix "" {{ policy = "read" }}"#);
    assert_eq!(plan(&restricted(&sees_all), &fewer, &pruning()).plan.changes.len(), 4);
    // One key of a tree, which is read as a whole: Consul leaves it out without a word.
    let many = unique("blind");
    let tree = (0..70).map(|number| key(&format!("{many}/{number}"), "1"));
    apply(&master, &desired(&many, tree), &StatePolicy::default()).unwrap();
    let client = restricted(&format!(r#"{sees_all} key "{many}/7" {{ policy = "deny" }}"#));
    let run =
        StateReconciler { client: &client, query: &query, policy: &policy, parallelism: 2, stop: None, first: None };
    let error = run.plan(&desired(&many, [])).map(|planned| planned.plan).unwrap_err().to_string();
    assert!(error.contains("403") && error.contains(&format!("/v1/kv/{many}/7")), "{error}");
}

#[test]
fn a_session_that_depends_on_a_service_of_the_same_state() {
    let (agent, name) = (Agent::shared(), unique("depends"));
    let check = lictor::object::Check {
        ttl: Some(ConsulDuration::from_secs(60)),
        status: Some(lictor::object::CheckState::Passing),
        ..lictor::object::Check::default()
    };
    let registered = Service { id: name.clone(), name: name.clone(), ..Service::default() };
    let spec = ServiceSpec::new(registered, Some(vec![check])).unwrap();
    let id = spec.checks().unwrap()[0].id.clone().unwrap();
    let node = ExternalNode { name: "node1".to_owned(), ..ExternalNode::default() };
    let service = (ObjectId::Service { node: "node1".to_owned(), id: name.clone() }, Object::Service { node, spec });
    let session = session_with(&name, |session| session.checks = [id].into());
    let wish = desired(&name, [session, service]);
    // The agent tells the catalog of the check a moment later.
    let creates = AtomicUsize::new(0);
    let proxy = Proxy::start(&agent.address(), move |request| {
        // The first is the lock's.
        let second = request.contains("session/create") && creates.fetch_add(1, Ordering::SeqCst) == 1;
        if second { status(500, "Missing check 'service:web' registration") } else { Act::Forward }
    });
    let client = client_at(&proxy.address(), None);
    assert_eq!(apply(&client, &wish, &StatePolicy::default()).unwrap().done.len(), 2);
    assert!(plan(&client, &wish, &StatePolicy::default()).plan.is_empty());
    // In the other direction the session goes first.
    assert_eq!(apply(&client, &desired(&name, []), &pruning()).unwrap().done.len(), 2);
}

#[test]
fn a_key_that_a_lock_delay_bars_is_waited_for() {
    let (agent, name) = (Agent::shared(), unique("delay"));
    let client = client_of(agent);
    let session = session_with(&name, |session| session.lock_delay = ConsulDuration::from_secs(2));
    let wish = desired(&name, [session, held(&format!("{name}/a"), "1", &name), key(&format!("{name}/b"), "1")]);
    apply(&client, &wish, &StatePolicy::default()).unwrap();
    agent.put(&format!("/v1/session/destroy/{}", agent.session_ids(&name)[0]), &json!(null));
    apply(&client, &wish, &StatePolicy::default()).unwrap();
    assert_eq!(agent.get(&format!("/v1/kv/{name}/a"))[0]["Session"], agent.session_ids(&name)[0].as_str());
}

#[test]
fn nodes_are_the_same_in_upper_and_lower_case() {
    let (agent, name) = (Agent::shared(), unique("case"));
    let client = client_of(agent);
    let on = |node: &str| {
        let session = Session { name: Some(name.clone()), ..Session::on(node) };
        let id = ObjectId::Session { node: node.to_owned(), name: name.clone() };
        desired(&name, [(id, Object::Session(session.into()))])
    };
    apply(&client, &on("NODE1"), &StatePolicy::default()).unwrap();
    for node in ["node1", "Node1", "NODE1"] {
        let planned = plan(&client, &on(node), &pruning());
        assert_eq!((steps(&planned.plan), planned.plan.unchanged), (Vec::new(), 1), "{node}");
    }
    assert_eq!(agent.session_ids(&name).len(), 1);
}

#[test]
fn a_service_on_a_node_with_another_agent_is_registered_there() {
    let (agent, name) = (Agent::start(Options::default()), unique("beside"));
    let other = Agent::beside(&agent, "node2");
    let client = client_of(&agent);
    let node = ExternalNode { name: "node2".to_owned(), ..ExternalNode::default() };
    let wish = |port| desired(&name, [service_on(node.clone(), &name, port), service(&name, 1)]);
    assert_eq!(apply(&client, &wish(80), &StatePolicy::default()).unwrap().done.len(), 2);
    let there = other.get("/v1/agent/services");
    assert_eq!((&there[&name]["Port"], there.as_object().unwrap().len()), (&json!(80), 1));
    // Its agent tells the catalog a moment later.
    while agent.get("/v1/catalog/node/node2")["Services"][&name].is_null() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(plan(&client, &wish(80), &StatePolicy::default()).plan.is_empty());
    // Where another agent answers at the address, nothing is written.
    let own = ExternalNode { name: "node3".to_owned(), ..ExternalNode::default() };
    agent.put(
        "/v1/catalog/register",
        &json!({"Node": "node3", "Address": "127.0.0.2", "Check": {
        "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing"}}),
    );
    let error = apply(&client, &desired(&name, [service_on(own, &name, 1)]), &StatePolicy::default()).unwrap_err();
    assert!(message(&error).starts_with("no object was changed"), "{}", message(&error));
    assert!(message(&error).contains("'node3'") && message(&error).contains("'node2'"), "{}", message(&error));
    apply(&client, &desired(&name, []), &pruning()).unwrap();
    assert_eq!(other.get("/v1/agent/services"), json!({}));
}
