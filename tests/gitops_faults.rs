//! What must not happen, whatever befalls a run: something wrong that is said, or something of others that is touched.

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::Agent;
use support::agent::Options;
use support::lab::{Lab, until, value, world};
use support::proxy::{Act, Proxy, status};

fn agent() -> Agent {
    Agent::start(Options::default())
}

/// A proxy which answers the request of this number, among those that begin so, in its own way.
fn answering(agent: &Agent, start: &'static str, number: usize, act: Act) -> Proxy {
    let count = AtomicUsize::new(0);
    Proxy::start(&agent.address(), move |request| {
        if request.starts_with(start) && count.fetch_add(1, Ordering::SeqCst) == number {
            act.clone()
        } else {
            Act::Forward
        }
    })
}

#[test]
fn a_run_that_stops_in_the_middle_of_an_object_does_not_say_that_nothing_was_changed() {
    const REPLACED: &str = "sessions: [{name: s, node: node1, checks: [], delay: 0s, behavior: BEHAVIOR}]";
    const SERVICE: &str = "services: [{name: web, node: node1, port: PORT, checks: [{ttl: 1h, status: passing}]}]";
    const KEY: &str = "keys: [{key: a, value: BEHAVIOR}]";
    for (spec, start, number, act, object, format) in [
        // The successor stands, and its predecessor does, too.
        (REPLACED, "PUT /v1/session/destroy", 0, status(403, "Permission denied"), "session node1/s", "text"),
        (REPLACED, "PUT /v1/session/destroy", 0, Act::ForwardAndClose, "session node1/s", "json"),
        // The first request is for the lock; what became of the second, nobody knows.
        (REPLACED, "PUT /v1/session/create", 1, Act::ForwardAndClose, "session node1/s", "text"),
        (SERVICE, "PUT /v1/agent/service/register", 0, Act::ForwardAndClose, "service node1/web", "json"),
        // The record stays as it is: the first transaction is the key's.
        (KEY, "PUT /v1/txn", 0, Act::ForwardAndClose, "key a", "text"),
        (KEY, "PUT /v1/txn", 0, Act::Raw(Vec::new()), "key a", "json"),
    ] {
        let agent = agent();
        let direct = Lab::of(&agent);
        direct.spec(&spec.replace("BEHAVIOR", "release").replace("PORT", "80"));
        direct.ok("apply s.yaml --yes");
        let lab = Lab::at(&answering(&agent, start, number, act.clone()).address());
        for lab in [&direct, &lab] {
            lab.spec(&spec.replace("BEHAVIOR", "delete").replace("PORT", "81"));
        }
        let case = format!("{start} {number} {act:?}");
        let ran = lab.run(&format!("apply s.yaml --yes -o {format}"));
        assert_eq!(ran.code, Some(1), "{case}: {ran}");
        let part = format!("of 1 more a part is done, or may be ({object})");
        assert!(ran.stderr.contains(&part) && !ran.stderr.contains("no object"), "{case}: {ran}");
        if format == "json" {
            let document: Value = serde_json::from_str(&ran.stdout).unwrap();
            let lists = (&document["done"], &document["not_done"], &document["begun"]);
            assert_eq!(lists, (&json!([]), &json!([object]), &json!([object])), "{case}");
        } else {
            assert!(ran.stdout.contains(&format!("in part:  {object}\n")), "{case}: {ran}");
        }
        direct.ok("apply s.yaml --yes");
        direct.is_settled();
    }
}

#[test]
fn a_run_that_changed_nothing_says_so() {
    let agent = agent();
    let lab =
        Lab::at(&answering(&agent, "PUT /v1/session/create", 1, status(500, "Missing node registration")).address());
    lab.spec("sessions: [{name: s, node: node1, checks: []}]");
    let ran = lab.run("apply s.yaml --yes");
    assert!(ran.code == Some(1) && ran.stderr.starts_with("error: no object was changed: session node1/s: "), "{ran}");
    assert!(ran.stdout.contains("not done: session node1/s\n"), "{ran}");
    assert_eq!(agent.session_ids("s"), Vec::<String>::new());
}

#[test]
fn a_refusal_is_told_once_until_it_changes() {
    let agent = agent();
    agent.put("/v1/kv/theirs", &json!("x"));
    agent.put("/v1/kv/others", &json!("x"));
    let proxy = Proxy::start(&agent.address(), |_| Act::Forward);
    let lab = Lab::at(&proxy.address());
    let rounds = || proxy.seen().iter().filter(|request| request.starts_with("GET /v1/kv/theirs")).count();
    let several_rounds = || {
        let before = rounds();
        until("it looks again and again", || rounds() > before + 3);
    };
    lab.spec("keys: [{key: theirs, value: y}]");
    let watch = lab.start("apply s.yaml --yes --interval 1s");
    let told = || (watch.stdout().matches("Refused:").count(), watch.stderr().matches("hint:").count());
    several_rounds();
    assert_eq!(told(), (1, 1), "{}", watch.stdout());
    // What else would be done does not count.
    lab.spec("keys: [{key: theirs, value: y}, {key: new, value: x}]");
    several_rounds();
    assert_eq!(told(), (1, 1), "{}", watch.stdout());
    lab.spec("keys: [{key: theirs, value: y}, {key: others, value: y}]");
    until("another refusal is told", || told() == (2, 2));
    several_rounds();
    assert_eq!(told(), (2, 2), "{}", watch.stdout());
    // Once it was well in between, or something else was told, it is news again.
    lab.spec("keys: [{key: theirs, value: x}, {key: mine, value: x}]");
    until("it is well", || value(&agent, "mine").is_some());
    lab.spec("keys: [{key: theirs, value: y}, {key: others, value: y}]");
    until("it is told again", || told() == (3, 3));
    lab.spec("keys: [{keyy: theirs}]");
    until("a fault is told", || watch.stderr().contains("did you mean key?"));
    lab.spec("keys: [{key: theirs, value: y}, {key: others, value: y}]");
    until("it is told again", || told() == (4, 4));
    watch.signal("TERM");
    assert_eq!(watch.end().code, Some(0));
    assert_eq!(value(&agent, "theirs").as_deref(), Some("x"));
}

#[test]
fn a_service_whose_id_differs_in_case_only_is_not_taken_off_the_catalog() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let upper = "services: [{name: web, id: WEB, node: node1, port: 1}]";
    lab.spec(upper);
    lab.ok("apply s.yaml --yes");
    // To Consul's catalog these are one: to make the one and then to deregister the other would leave none.
    lab.spec(&upper.replace("WEB", "web"));
    let before = world(&agent);
    let ran = lab.run("apply s.yaml --yes --prune");
    assert!(ran.code == Some(3) && ran.stdout.contains("the node has a service \"WEB\""), "{ran}");
    assert!(ran.stderr.contains("hint: write the id as it is there"), "{ran}");
    assert_eq!(world(&agent), before);
    lab.ok("destroy s.yaml --yes");
    assert_eq!(world(&agent), before, "it is not the one that was made");
    // On a node without an agent the registration of the one would overwrite the other, which is somebody's.
    agent.put(
        "/v1/catalog/register",
        &json!({"Node": "ext", "Address": "10.0.0.9", "Service": {"Service": "theirs", "ID": "DB", "Port": 5432}}),
    );
    lab.spec("services: [{name: ours, id: db, node: ext, node_address: 10.0.0.9}]");
    let before = world(&agent);
    let ran = lab.run("apply s.yaml --yes --adopt all");
    assert!(ran.code == Some(3) && ran.stdout.contains("the node has a service \"DB\""), "{ran}");
    assert_eq!(world(&agent), before);
}

#[test]
fn a_session_that_somebody_else_has_called_alike_is_not_destroyed() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let ours = "sessions: [{name: s, node: node1, checks: [], delay: 1s}]";
    lab.spec(ours);
    lab.ok("apply s.yaml --yes");
    let theirs = agent.create_session(&json!({"Name": "s", "Node": "node1", "Checks": [], "Behavior": "delete"}));
    lab.is_settled();
    let before = world(&agent);
    for spec in ["keys: [{key: a, value: x}]", &ours.replace("1s", "2s")] {
        lab.spec(spec);
        let ran = lab.run("apply s.yaml --yes --prune");
        assert!(ran.code == Some(3) && ran.stdout.contains("nothing tells which is the owner's: "), "{ran}");
        assert!(ran.stdout.contains(&theirs) && ran.stderr.contains("hint: destroy those that are not"), "{ran}");
        assert_eq!(world(&agent), before);
    }
    // As the hint says.
    lab.ok(&format!("session destroy {theirs}"));
    lab.ok("apply s.yaml --yes --prune");
    lab.is_settled();
    lab.ok("destroy s.yaml --yes");
    assert_eq!(agent.session_ids("s").len(), 0);
}

#[test]
fn two_owners_who_set_out_to_make_the_same_at_once_do_not_both_make_it() {
    let agent = Agent::shared();
    let lab = Lab::of(agent);
    let spec = "sessions: [{name: s, node: node1, checks: []}]\nkeys: [{key: race/a, value: x}]";
    let theirs = json!({"version": 1, "owner": "other", "record": {"pending": {"session node1/s": "hash"}}});
    let asked = AtomicUsize::new(0);
    // The other one writes its record behind our plan, and before ours.
    let proxy = Proxy::start(&agent.address(), move |request| {
        if request.starts_with("PUT /v1/txn") && asked.fetch_add(1, Ordering::SeqCst) == 0 {
            Agent::shared().put("/v1/kv/lictor/owners/other", &theirs);
        }
        Act::Forward
    });
    let late = Lab::at(&proxy.address());
    late.spec(spec);
    let said = late.fails("apply s.yaml --yes", 1);
    let told =
        "error: no object was changed: session node1/s: owner \"other\" set out to make it while this run was at work";
    assert!(said.starts_with(told), "{said}");
    assert_eq!((agent.session_ids("s").len(), agent.tree("race/").len()), (0, 0));
    assert_eq!(agent.tree("lictor/owners/team"), Vec::<Value>::new(), "the record is as it was");
    lab.spec(spec);
    let refused = lab.run("apply s.yaml --yes");
    assert!(refused.code == Some(3) && refused.stdout.contains("session node1/s: it is \"other\"'s"), "{refused}");
    agent.delete("/v1/kv/lictor/owners/other");
    lab.ok("apply s.yaml --yes");
    lab.is_settled();
}

#[test]
fn deletes_are_of_just_these_objects() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let names = ["a", "a/", "a/b", "ab", "A", "a b", "a%2Fb", "ä"];
    let spec = |names: &[&str]| -> String {
        let keys: String = names.iter().map(|name| format!("  - {{key: \"p/{name}\", value: x}}\n")).collect();
        let services: String = names
            .iter()
            .filter(|name| !name.contains(['/', 'A']))
            .map(|name| format!("  - {{name: \"{name}\", node: node1}}\n"))
            .collect();
        let sessions: String =
            names.iter().map(|name| format!("  - {{name: \"{name}\", node: node1, checks: []}}\n")).collect();
        format!("keys:\n{keys}sessions:\n{sessions}services:\n{services}")
    };
    lab.spec(&spec(&names));
    lab.ok("apply s.yaml --yes");
    for gone in 0..names.len() {
        let left: Vec<&str> = [&names[..gone], &names[gone + 1..]].concat();
        let mut expected = world(&agent);
        lab.spec(&spec(&left));
        lab.ok("apply s.yaml --yes --prune");
        let key = serde_json::to_string(&format!("p/{}", names[gone])).unwrap();
        assert!(expected.remove(&format!("key {key}")).is_some(), "{key}");
        let now = world(&agent);
        let of = |world: &std::collections::BTreeMap<String, Value>| -> Vec<(String, Value)> {
            let keys = world.iter().filter(|(name, _)| name.starts_with("key \"p/"));
            keys.map(|(name, pair)| (name.clone(), pair.clone())).collect()
        };
        assert_eq!(of(&now), of(&expected), "{key}");
        assert!(agent.session_ids(names[gone]).is_empty());
        let sessions = left.iter().map(|name| agent.session_ids(name).len()).sum::<usize>();
        let services = agent.get("/v1/agent/services").as_object().unwrap().len();
        assert_eq!((sessions, services), (left.len(), left.iter().filter(|name| !name.contains(['/', 'A'])).count()));
        lab.is_settled();
        lab.spec(&spec(&names));
        lab.ok("apply s.yaml --yes");
    }
}

#[test]
fn no_record_makes_a_run_delete_the_records_of_others() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.file("other.yaml", "version: 1\nowner: other\nkeys: [{key: theirs, value: x}]\n");
    lab.ok("apply other.yaml --yes");
    // Without a digest a record counts as it stands.
    let record = json!({"version": 1, "owner": "team", "record": {"objects": ["key lictor/owners/other", "key mine"]}});
    agent.put("/v1/kv/mine", &json!("x"));
    agent.put("/v1/kv/lictor/owners/team", &record);
    lab.spec("keys: [{key: new, value: x}]");
    let before = world(&agent);
    for command in ["apply s.yaml --yes --prune", "destroy s.yaml --yes", "owner transfer team new --yes"] {
        let said = lab.fails(command, 1);
        assert!(said.contains("is damaged: it has key lictor/owners/other, which is Lictor's own"), "{said}");
        assert_eq!(world(&agent), before, "{command}");
    }
}

#[test]
fn a_spec_of_an_owner_who_is_called_like_a_saved_plan_is_a_spec() {
    let agent = agent();
    let lab = Lab::of(&agent);
    for (file, spec) in [
        ("a.yaml", "version: 1\nowner: \"lictor-plan\"\nkeys: [{key: a, value: x}]\n"),
        ("a.json", "{\"version\": 1, \"owner\": \"lictor-plan\", \"keys\": [{\"key\": \"a\", \"value\": \"x\"}]}"),
    ] {
        lab.file(file, spec);
        lab.ok(&format!("apply {file} --yes"));
    }
    assert_eq!(value(&agent, "a").as_deref(), Some("x"));
}

#[test]
fn what_was_handed_on_is_applied_as_the_warning_says() {
    let agent = agent();
    let lab = Lab::of(&agent);
    let spec = "services: [{name: web, node: node1, port: 80}]\nkeys: [{key: a, value: x}]";
    lab.spec(spec);
    lab.ok("apply s.yaml --yes");
    assert_eq!(lab.run("owner transfer team new --yes 'key a'").stderr, "");
    let ran = lab.run("owner transfer team new --yes");
    assert!(ran.code == Some(0) && ran.stderr.starts_with("warning: 1 service "), "{ran}");
    lab.file("new.yaml", format!("version: 1\nowner: new\n{spec}\n"));
    assert!(lab.run("apply new.yaml --yes").stdout.contains("service node1/web: it is \"team\"'s"));
    assert!(ran.stderr.contains("`lictor apply --adopt all`"), "{ran}");
    lab.ok("apply new.yaml --yes --adopt all");
    assert!(lab.ok("plan new.yaml --prune --detailed-exitcode").contains("2 unchanged"));
}

/// What a program sees of the wall clock with this: each look is two centuries from the one before, forth and back. The
/// other clocks go as they go.
const JUMPING_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static const long JUMP = 100L * 365 * 24 * 3600;
static int looks;
static long jump(void) { return __sync_fetch_and_add(&looks, 1) % 2 ? JUMP : -JUMP; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    if (now) *now = time.tv_sec;
    return time.tv_sec;
}
"#;

/// Leases, waits and renewals go by the monotonic clock, and neither records nor saved plans hold a time. The wall clock
/// is only told to people: who holds a lock, and since when.
#[test]
fn a_clock_that_jumps_does_no_harm() {
    let agent = agent();
    let lab = Lab::of(&agent);
    lab.file("clock.c", JUMPING_CLOCK);
    let (source, library) = (lab.path("clock.c"), lab.path("clock.so"));
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.expect("a C compiler").success());
    let jumping = |address: &str| Lab::at(address).env("LD_PRELOAD", library.to_str().unwrap());

    // Everything that a pipeline does, and what is to be there at the end.
    let spec = "version: 1\nowner: team\nsessions: [{name: s, node: node1, checks: [], ttl: 10s}]\n\
                keys: [{key: a, value: VALUE}, {key: b, value: x, session: s}]\n";
    let there = jumping(&agent.address());
    there.file("s.yaml", spec.replace("VALUE", "one"));
    there.ok("apply s.yaml --yes");
    there.is_settled();
    there.file("s.yaml", spec.replace("VALUE", "two"));
    there.ok("plan s.yaml --prune --out plan.json");
    there.ok("apply plan.json --yes");
    assert_eq!(value(&agent, "a").as_deref(), Some("two"));
    there.ok("lock run jobs/nightly -- true");

    // A run that takes its time while it has the lock: it renews it, and whoever waits waits no longer than asked.
    let slow = Proxy::start(&agent.address(), |request| {
        if request.starts_with("PUT /v1/session/create") {
            std::thread::sleep(Duration::from_secs(3));
        }
        Act::Forward
    });
    let slow = jumping(&slow.address());
    let many: String = (0..20).map(|n| format!("  - {{name: s{n}, node: node1, checks: []}}\n")).collect();
    slow.file("s.yaml", format!("version: 1\nowner: team\nsessions:\n{many}"));
    let watch = there.start("apply s.yaml --yes --watch");
    let holder = slow.start("apply s.yaml --yes --parallelism 1");
    until("it has the lock", || !agent.tree("lictor/locks/team").is_empty());
    let renewed = agent.session_ids("s");
    let since = value(&agent, "lictor/locks/team").unwrap();
    assert!(
        since.contains("\"since\":\"1970-") || since.contains("\"since\":\"21"),
        "the clock does not jump: {since}"
    );
    there.file("other.yaml", spec.replace("VALUE", "three"));
    let said = there.fails("apply other.yaml --yes --lock-timeout 22s", 1);
    assert!(said.contains("another run for owner \"team\" is at work") && said.contains("waited 22 s"), "{said}");
    // Consul ends a session of this ttl after 20 s: the watch has renewed it all the same.
    assert_eq!(agent.session_ids("s"), renewed, "{}", watch.stderr());
    drop(holder);
    watch.signal("TERM");
    let ran = watch.end();
    assert!(ran.code == Some(0) && !ran.stderr.contains("panicked"), "{ran}");
}
