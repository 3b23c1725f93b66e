//! Locks and permits where servers die, are cut off or stand still, and where a holder is killed: against clusters of three
//! servers, and through proxies that delay and drop. What runs under a hold is dead before its lease ends, the next one runs
//! after that, with a higher token, and nothing is left behind.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::proxy::{Act, Proxy};
use support::run::{Process, Run, kill, until};
use support::{Agent, unique};

/// A lock, and the one permit of a semaphore: what holds of the one must hold of the other.
const KINDS: [&[&str]; 2] = [&["--lock-delay", "1s"], &["--limit", "1"]];

/// The ttl of a hold that is to end soon, and of one that is to outlast an election.
const SHORT: [&str; 2] = ["--ttl", "10s"];
const LONG: [&str; 2] = ["--ttl", "15s"];

/// A holder, and one who waits for it to end.
struct Pair {
    run: Run,
    holder: Process,
    next: Run,
    waiter: Process,
}

impl Pair {
    /// A holder that is "polite" ends, with code 3, when it is asked to; one that is "deaf" has to be killed.
    fn new(kind: &[&str], manner: &str, ttl: [&str; 2], holder: &str, waiter: &Agent) -> Self {
        let run = Run::at(holder, &unique("cluster/pair"));
        let next = Run::at(&waiter.address(), &run.path);
        let flags = [kind, &ttl].concat();
        let holder = run.start(&flags, manner, None);
        until(|| run.last_beat().is_some() && run.deadline().is_some());
        let waiter = next.start(&flags, "polite", None);
        until(|| sessions(&next.address, &run).len() == 2);
        Self { run, holder, next, waiter }
    }

    fn has_followed(&self) -> bool {
        self.next.begin().is_some()
    }

    /// The holder has lost its hold: its command was dead in time. The next one comes, after it, with a higher token, and
    /// ends by a signal.
    #[track_caller]
    fn loses_to_the_next(self, by: &Agent) {
        let Self { run, holder, next, waiter } = self;
        holder.ends_with(121, &["lost"]);
        run.died_in_time(1);
        Self::is_followed(&run, &next, waiter, by);
    }

    #[track_caller]
    fn is_followed(run: &Run, next: &Run, waiter: Process, by: &Agent) {
        until(|| next.last_beat().is_some());
        let (began, _) = next.begin().unwrap();
        assert!(run.last_beat().unwrap() < began, "two at a time");
        assert!(next.token() > run.token(), "{} is not above {}", next.token(), run.token());
        waiter.signal("TERM");
        waiter.ends_with(3, &[]);
        until(|| sessions(&by.address(), run).is_empty()); // a session that nobody renews any more ends by its ttl
        run.left_nothing(by);
    }
}

/// The sessions that there are for the path of `run`.
fn sessions(address: &str, run: &Run) -> Vec<Value> {
    let text = support::agent::http().get(format!("http://{address}/v1/session/list")).call().unwrap();
    let all: Value = serde_json::from_str(&text.into_body().read_to_string().unwrap()).unwrap_or_default();
    let name = format!("lictor lock {}", run.path);
    all.as_array().into_iter().flatten().filter(|session| session["Name"] == *name).cloned().collect()
}

/// Whether `server` knows a leader that others follow.
fn takes_writes(server: &Agent) -> bool {
    let written = support::agent::http().put(format!("http://{}/v1/kv/cluster/probe", server.address())).send("x");
    written.is_ok_and(|answer| answer.status() == 200)
}

/// A cluster's leader, and the others.
fn cluster() -> (Agent, [Agent; 2]) {
    let mut servers = Agent::cluster(3);
    let leader = servers.iter().position(Agent::is_leader).expect("a leader");
    let leader = servers.swap_remove(leader);
    (leader, servers.try_into().expect("two others"))
}

#[test]
fn when_the_leader_dies_a_hold_lives_on_through_another_server_and_one_through_the_leader_ends_in_time() {
    let (leader, [one, other]) = cluster();
    let lasting = KINDS.map(|kind| Pair::new(kind, "polite", LONG, &one.address(), &other));
    let doomed = KINDS.map(|kind| Pair::new(kind, "deaf", SHORT, &leader.address(), &one));
    let deadlines = lasting.each_ref().map(|pair| pair.run.deadline().unwrap());
    kill("KILL", leader.pid());
    for pair in doomed {
        pair.loses_to_the_next(&one);
    }
    for (pair, deadline) in lasting.into_iter().zip(deadlines) {
        // Beyond what would have been its lease, had nobody renewed it since.
        until(|| pair.run.last_beat().unwrap() > deadline);
        assert!(!pair.has_followed());
        let Pair { run, holder, next, waiter } = pair;
        holder.signal("TERM");
        holder.ends_with(3, &[]);
        Pair::is_followed(&run, &next, waiter, &other);
    }
}

#[test]
fn with_the_leader_frozen_for_a_minute_another_takes_over_and_after_it_nothing_is_left() {
    let (leader, [one, other]) = cluster();
    let pairs = KINDS.map(|kind| Pair::new(kind, "deaf", SHORT, &leader.address(), &one));
    let frozen = Instant::now();
    kill("STOP", leader.pid());
    // While it stands still, its holders end, and others follow through the servers that go on.
    let mut paths = Vec::new();
    for pair in pairs {
        paths.push(pair.run.path.clone());
        pair.loses_to_the_next(&other);
    }
    std::thread::sleep(Duration::from_secs(60).saturating_sub(frozen.elapsed()));
    kill("CONT", leader.pid());
    // It wakes with what it knew, and may call for another election: until all three have agreed, and go on to.
    let agree = || [&leader, &one, &other].into_iter().all(takes_writes);
    until(|| agree() && (0..10).all(|_| (std::thread::sleep(Duration::from_millis(300)), agree()).1));
    for (path, kind) in paths.iter().zip(KINDS) {
        let run = Run::at(&leader.address(), path);
        run.start(&[kind, &SHORT].concat(), "polite", Some(0.0)).ends_with(0, &[]);
        for server in [&leader, &one, &other] {
            until(|| sessions(&server.address(), &run).is_empty());
            run.left_nothing(server);
        }
    }
}

#[test]
fn a_hold_through_a_leader_that_is_cut_off_from_the_others_ends_in_time() {
    let (leader, others) = cluster();
    let runs = KINDS.map(|kind| {
        let run = Run::at(&leader.address(), &unique("cluster/alone"));
        let holder = run.start(&[kind, &SHORT].concat(), "deaf", None);
        until(|| run.last_beat().is_some());
        (run, holder)
    });
    for other in &others {
        kill("STOP", other.pid());
    }
    let runs = runs.map(|(run, holder)| {
        holder.ends_with(121, &["lost"]);
        run.died_in_time(1);
        run
    });
    for other in &others {
        kill("CONT", other.pid());
    }
    until(|| takes_writes(&others[0]));
    for (run, kind) in runs.iter().zip(KINDS) {
        let next = Run::at(&others[0].address(), &run.path);
        let waiter = next.start(&[kind, &SHORT].concat(), "polite", None);
        Pair::is_followed(run, &next, waiter, &others[0]);
    }
}

#[test]
fn through_a_network_that_delays_a_hold_lives_on_and_through_one_that_drops_it_ends_in_time() {
    let agent = Agent::shared();
    // Less than a renewal is given.
    let slow = Proxy::start(&agent.address(), |_| {
        std::thread::sleep(Duration::from_secs(2));
        Act::Forward
    });
    let dropping = Arc::new(AtomicBool::new(false));
    let drops = dropping.clone();
    // What is asked for is done, the renewals too, and no answer comes.
    let deaf =
        Proxy::start(
            &agent.address(),
            move |_| {
                if drops.load(Ordering::SeqCst) { Act::ForwardAndClose } else { Act::Forward }
            },
        );
    let slowly = KINDS.map(|kind| Pair::new(kind, "polite", SHORT, &slow.address(), agent));
    let deafly = KINDS.map(|kind| Pair::new(kind, "deaf", SHORT, &deaf.address(), agent));
    dropping.store(true, Ordering::SeqCst);
    for pair in deafly {
        pair.loses_to_the_next(agent);
    }
    for pair in slowly {
        let deadline = pair.run.deadline().unwrap();
        until(|| pair.run.last_beat().unwrap() > deadline);
        assert!(!pair.has_followed());
        let Pair { run, holder, next, waiter } = pair;
        holder.signal("TERM");
        holder.ends_with(3, &[]);
        Pair::is_followed(&run, &next, waiter, agent);
    }
}

#[test]
fn after_a_holder_that_is_killed_the_next_one_comes_and_in_a_line_the_first_one() {
    let agent = Agent::shared();
    let line = [&["--lock-delay", "1s", "--fair"][..], &["--limit", "1", "--fair"]];
    let pairs = KINDS.into_iter().chain(line).map(|kind| Pair::new(kind, "deaf", SHORT, &agent.address(), agent));
    let pairs: Vec<_> = pairs.collect();
    let latecomers: Vec<_> = pairs[2..].iter().map(|pair| Run::new(&pair.run.path)).collect();
    let mut late = Vec::new();
    for (run, kind) in latecomers.iter().zip(line) {
        until(|| agent.tree(&format!("{}.line/", run.key())).len() == 1);
        late.push(run.start(&[kind, &SHORT].concat(), "polite", Some(0.0)));
        until(|| agent.tree(&format!("{}.line/", run.key())).len() == 2);
    }
    for pair in &pairs {
        pair.holder.signal("KILL");
    }
    for pair in &pairs {
        until(|| pair.next.last_beat().is_some());
    }
    let second: Vec<_> = pairs[2..].iter().map(|pair| pair.next.token()).collect();
    assert!(latecomers.iter().all(|run| run.begin().is_none()), "they overtook");
    for Pair { run, holder, next, waiter } in pairs {
        drop(holder);
        assert!(run.last_beat().unwrap() < next.begin().unwrap().0, "two at a time");
        assert!(next.token() > run.token());
        waiter.signal("TERM");
        waiter.ends_with(3, &[]);
    }
    for (process, (run, second)) in late.into_iter().zip(latecomers.iter().zip(second)) {
        process.ends_with(0, &[]);
        assert!(run.token() > second);
        until(|| sessions(&agent.address(), run).is_empty());
        run.left_nothing(agent);
    }
}
