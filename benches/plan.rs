//! What the pure part of a plan costs: an owner's objects, a third of them sessions, services and keys each, as they are
//! declared, all to be made, and all to be deleted.
//!
//!     scripts/bench.sh plan

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lictor::object::{
    At, Check, Claims, Declared, DesiredState, ExternalNode, HeldLocks, Key, KeyContent, NodeState, Object, ObjectId,
    ObservedKey, ObservedNode, ObservedService, ObservedSession, ObservedState, Service, ServiceSpec, Session,
    SessionId,
};
use lictor::plan::state::{Limit, StatePlan, StatePolicy};

/// The allocator of the `lictor` command, of which this is a part: a plan is made of small texts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Few objects, and ten times as many.
const SIZES: [usize; 2] = [10_000, 100_000];
/// How often each is measured; the median counts.
const ROUNDS: usize = 9;
/// The most that 100,000 may take.
const BOUND: Duration = Duration::from_millis(200);
/// The exit code where a bound failed.
const BOUND_FAILED: u8 = 10;

type Scene = (DesiredState, ObservedState, Claims);

/// `count` objects that are as declared. There are 100 nodes; half of the keys are held.
fn settled(count: usize) -> Scene {
    let mut desired = DesiredState { owner: "platform/bench".to_owned(), ..DesiredState::default() };
    let (mut observed, mut claims) = (ObservedState::default(), Claims::default());
    for number in 0..count / 3 {
        let node = format!("node-{:02}", number % 100);
        let at = NodeState::default();
        let state = observed.nodes.entry(node.clone()).or_insert(at);
        state.node.get_or_insert(ObservedNode {
            address: "10.0.0.1".to_owned(),
            has_agent: true,
            ..Default::default()
        });
        let holder = session(&mut desired, &mut observed, &node, number);
        service(&mut desired, &mut observed, &node, number);
        key(&mut desired, &mut observed, number, holder);
    }
    claims.ours.objects = desired.objects.keys().cloned().collect();
    (desired, observed, claims)
}

fn declare(desired: &mut DesiredState, id: ObjectId, object: Object) {
    desired.objects.insert(id, Declared { object, prevent_destroy: false, at: At::default() });
}

fn session(
    desired: &mut DesiredState,
    observed: &mut ObservedState,
    node: &str,
    number: usize,
) -> (ObjectId, SessionId) {
    let name = format!("service/web-{number:06}/leader");
    let id = ObjectId::Session { node: node.to_owned(), name: name.clone() };
    let session = Session { name: Some(name), ..Session::on(node) };
    let uuid = SessionId::parse(&format!("8f3c7a3e-1d2b-4c5d-8e9f-{number:012}")).expect("a UUID");
    let seen = ObservedSession {
        id: uuid.clone(),
        create_index: number as u64,
        session: session.clone().into(),
        locks: HeldLocks::NotLooked,
        replacement_notes: Vec::new(),
    };
    observed.sessions.insert(id.clone(), vec![seen]);
    declare(desired, id.clone(), Object::Session(session.into()));
    (id, uuid)
}

fn service(desired: &mut DesiredState, observed: &mut ObservedState, node: &str, number: usize) {
    let service = Service {
        id: format!("web-{number:06}"),
        name: "web".to_owned(),
        port: 8080,
        tags: ["v1".to_owned(), "blue".to_owned()].into(),
        ..Service::default()
    };
    let check = Check {
        http: Some("http://127.0.0.1:8080/health".to_owned()),
        interval: Some("10s".parse().expect("a duration")),
        ..Check::default()
    };
    let id = ObjectId::Service { node: node.to_owned(), id: service.id.clone() };
    let spec = ServiceSpec::new(service, Some(vec![check])).expect("a service");
    let seen = ObservedService {
        service: spec.service().clone(),
        hash: Some(spec.hash().to_owned()),
        owner: Some(desired.owner.clone()),
        checks: spec.checks().into_iter().flatten().filter_map(|check| check.id.clone()).collect(),
    };
    let checks = seen.checks.iter().map(|check| (check.clone(), spec.service().id.clone()));
    observed.nodes.entry(node.to_owned()).or_default().checks.extend(checks);
    observed.services.insert(id.clone(), seen);
    let node = ExternalNode { name: node.to_owned(), ..ExternalNode::default() };
    declare(desired, id, Object::Service { node, spec });
}

fn key(desired: &mut DesiredState, observed: &mut ObservedState, number: usize, holder: (ObjectId, SessionId)) {
    let (name, value) = (format!("service/web-{number:06}/config"), br#"{"replicas": 3, "colour": "blue"}"#.to_vec());
    let holder = Some(holder).filter(|_| number.is_multiple_of(2));
    let key = Key { key: name.clone(), value: value.clone(), flags: 42 };
    let session = holder.as_ref().map(|(_, uuid)| uuid.to_string());
    observed.keys.insert(name.clone(), ObservedKey { key, modify_index: number as u64, holder: session });
    let content = KeyContent { value: Some(value), flags: Some(42) };
    let object = Object::Key { content, holder: holder.map(|(id, _)| id), secret: None };
    declare(desired, ObjectId::Key(name), object);
}

fn settle(count: usize) -> (Scene, usize) {
    (settled(count), 0)
}

fn create(count: usize) -> (Scene, usize) {
    let (desired, observed, _) = settled(count);
    let nodes = observed.nodes.into_iter().map(|(name, state)| (name, NodeState { checks: BTreeMap::new(), ..state }));
    let empty = ObservedState { nodes: nodes.collect(), ..ObservedState::default() };
    let changes = desired.objects.len();
    ((desired, empty, Claims::default()), changes)
}

fn delete(count: usize) -> (Scene, usize) {
    let (desired, observed, claims) = settled(count);
    let changes = desired.objects.len();
    ((DesiredState { objects: BTreeMap::new(), ..desired }, observed, claims), changes)
}

struct Times {
    first: Duration,
    median: Duration,
}

/// The times of some rounds, of the plan alone. Few objects are planned so often that it comes to as many as the most:
/// the clock is coarse, and both then need as much memory.
fn measure((desired, observed, claims): &Scene, changes: usize, repeat: u32) -> Times {
    let policy =
        StatePolicy { prune: true, allow_empty: true, max_delete: Limit::Count(usize::MAX), ..StatePolicy::default() };
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = processor_time();
            let plans: Vec<StatePlan> =
                (0..repeat).map(|_| StatePlan::between(desired, observed, claims, &policy)).collect();
            let time = processor_time().saturating_sub(start) / repeat;
            let as_meant = |plan: &StatePlan| plan.is_safe() && plan.changes.len() == changes;
            assert!(plans.iter().all(as_meant), "not the plan that was to be measured");
            time
        })
        .collect();
    let first = times[0];
    times.sort_unstable();
    Times { first, median: times[ROUNDS / 2] }
}

/// The time that this thread has had of a processor, as Linux says it: what else the machine does stays out of it.
/// Elsewhere, the time on the wall.
fn processor_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = status.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// The most memory that the process has had, as Linux says it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|line| line.split_whitespace().next());
    peak.and_then(|kb| kb.parse::<u64>().ok()).map_or_else(|| "unknown".to_owned(), |kb| format!("{} MB", kb / 1_000))
}

fn main() -> ExitCode {
    println!(
        "### plan\n\nThe pure part of a plan: objects of all kinds, desired, observed and recorded. The time is that of one core, with the allocator of `lictor`.\n"
    );
    println!("| measured | lictor | peer | peer's figure | ratio | bound | |\n|---|---:|---|---:|---:|---|---|");
    let verdict = |passed: bool| if passed { "PASS" } else { "**FAIL**" };
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    let mut all_passed = true;
    for (what, scene) in [
        ("nothing to do", settle as fn(usize) -> (Scene, usize)),
        ("all to be made", create),
        ("all to be deleted", delete),
    ] {
        let [few, many] = [(SIZES[0], 10), (SIZES[1], 1)].map(|(count, repeat)| {
            let (scene, changes) = scene(count);
            measure(&scene, changes, repeat)
        });
        let [small, large] = SIZES;
        let fast = many.median < BOUND;
        all_passed &= fast;
        let (time, bound) = (ms(many.median), ms(BOUND));
        println!("| {large} objects, {what} | {time} | | | | under {bound} | {} |", verdict(fast));
        println!("| the first time, with memory fresh from the system | {} | | | | | |", ms(many.first));
        let ratio = many.median.as_secs_f64() / few.median.as_secs_f64();
        println!("| beside {small} | {time} | {small} | {} | {ratio:.2} | | |", ms(few.median));
    }
    println!("| peak memory of all this, what is compared included | {} | | | | | |", peak_memory());
    println!("\n10,000 objects fit into the cache of a processor, and 100,000 do not: the ratio has no bound.");
    if all_passed { ExitCode::SUCCESS } else { ExitCode::from(BOUND_FAILED) }
}
