//! Many contenders for a lock, for permits and in a line, that are killed, paused and resumed at random. What they write down
//! is checked afterwards. `LICTOR_SEED` repeats the choices of a run, though not what the system makes of them.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lictor::consul::{Client, Query, Settings};
use support::agent::Options;
use support::run::{Process, Run, until};
use support::{Agent, unique};

/// For how long there is chaos.
const CHAOS: Duration = Duration::from_secs(55);

/// The ttl of every session, which is Consul's least, and the lock-delay.
const TTL: Duration = Duration::from_secs(10);
const LOCK_DELAY: Duration = Duration::from_secs(1);

/// What a free permit may take longer than Consul's own time: a try each second, and processes that start on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// Those who want the same.
struct Group {
    path: String,
    flags: Vec<&'static str>,
    limit: usize,
    fair: bool,
    contenders: usize,
}

impl Group {
    fn new(flags: &[&'static str], limit: usize, contenders: usize) -> Self {
        let path = unique(if limit > 1 { "contenders/permits" } else { "contenders/lock" });
        let common = ["--ttl", "10s", "--lock-delay", "1s"];
        Self { path, flags: [flags, &common].concat(), limit, fair: flags.contains(&"--fair"), contenders }
    }
}

/// One run of a contender, and what was done to it.
struct Try {
    run: Run,
    process: Process,
    resume_at: Option<Instant>,
    was_stopped: bool,
    was_killed: bool,
}

impl Try {
    fn new(agent: &Agent, group: &Group, chance: &mut fastrand::Rng) -> Self {
        let run = Run::at(&agent.address(), &group.path);
        // One in six lasts longer than a lease that nobody renews, and must be killed then.
        let (kind, seconds) = match chance.u32(0..6) {
            0 if !group.fair => ("deaf", 16.0),
            0..3 => ("deaf", 0.1 + chance.f64()),
            _ => ("polite", 0.1 + chance.f64()),
        };
        let process = run.start(&group.flags, kind, Some(seconds));
        Self { run, process, resume_at: None, was_stopped: false, was_killed: false }
    }

    fn disturb(&mut self, chance: &mut fastrand::Rng) {
        match chance.u32(0..100) {
            0..3 => {
                self.process.signal("KILL");
                self.was_killed = true;
            }
            3..15 if self.resume_at.is_none() => {
                self.process.signal("STOP");
                self.was_stopped = true;
                // One in four loses its lease by that.
                let long = chance.u32(0..4) == 0;
                let pause = if long { chance.u64(9_000..14_000) } else { chance.u64(50..2_000) };
                self.resume_at = Some(Instant::now() + Duration::from_millis(pause));
            }
            _ => {}
        }
    }

    fn resume(&mut self) {
        if self.resume_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.process.signal("CONT");
        }
    }
}

/// What is known of a hold, in nanoseconds of the monotonic clock.
#[derive(Clone, Debug)]
struct Held {
    token: u64,
    session: String,
    from: u64,
    /// Until when nobody else may have it: its command's end; or, where its `lictor` was killed meanwhile, that of the lease.
    until: u64,
}

impl Held {
    fn of(one: &Try) -> Option<Self> {
        let (run, result) = (&one.run, one.run.result());
        let (from, session) = run.begin()?;
        let last = run.last_beat().unwrap_or(from);
        let until = match result["command_ended"].as_u64() {
            Some(ended) => ended,
            None if run.has_ended() => last,
            None => last.max(run.deadline()?),
        };
        Some(Self { token: run.token(), session, from, until })
    }
}

#[test]
fn whatever_becomes_of_its_contenders_nothing_is_held_twice_and_everything_comes_back() {
    let seed =
        std::env::var("LICTOR_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("LICTOR_SEED={seed}"); // shown where the test fails
    let mut chance = fastrand::Rng::with_seed(seed);
    let agent = Agent::start(Options::default());
    let groups = [Group::new(&[], 1, 3), Group::new(&["--limit", "3"], 3, 5), Group::new(&["--fair"], 1, 4)];
    let lines = Lines::follow(&agent, &groups);
    let mut over: [Vec<Try>; 3] = Default::default();
    let mut slots: Vec<(usize, Try)> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        slots.extend((0..group.contenders).map(|_| (number, Try::new(&agent, group, &mut chance))));
    }
    let start = Instant::now();
    while start.elapsed() < CHAOS {
        std::thread::sleep(Duration::from_millis(chance.u64(20..200)));
        for (number, slot) in &mut slots {
            slot.resume();
            if slot.process.ended().is_some() {
                over[*number].push(std::mem::replace(slot, Try::new(&agent, &groups[*number], &mut chance)));
            }
        }
        let one = chance.usize(0..slots.len());
        let (number, slot) = &mut slots[one];
        // In a line everybody waits for one who does not answer: with many of those hardly anybody would be served.
        if !groups[*number].fair || chance.u32(0..6) == 0 {
            slot.disturb(&mut chance);
        }
    }
    for (number, mut slot) in slots {
        if slot.process.ended().is_none() {
            slot.process.signal("KILL");
            slot.was_killed = true;
        }
        until(|| slot.process.ended().is_some());
        over[number].push(slot);
    }
    everything_comes_back(&agent, &groups);
    let order = lines.end();
    for (group, tries) in groups.iter().zip(&mut over) {
        for one in tries.iter_mut() {
            ended_as_it_should(one);
        }
        let mut held: Vec<_> = tries.iter().filter_map(Held::of).collect();
        held.sort_by_key(|held| held.from);
        println!("{}: {} tries, {} of them held", group.path, tries.len(), held.len());
        assert!(held.len() > group.limit, "hardly anybody came to hold {}", group.path);
        never_too_many_at_a_time(group, &held);
        tokens_rise(&held);
        if group.fair {
            first_come_first_served(&held, &order);
        }
    }
}

/// Of those whom nobody has disturbed, none failed; and no command outlived its lease.
fn ended_as_it_should(one: &mut Try) {
    let (code, said, result) = (one.process.ended().expect("it has ended"), one.process.said(), one.run.result());
    let allowed: &[Option<i32>] = match (one.was_killed, one.was_stopped) {
        (true, _) => &[None, Some(0), Some(121)], // it may have ended just before
        (_, true) => &[Some(0), Some(121), Some(125)],
        _ => &[Some(0)],
    };
    assert!(allowed.contains(&code), "{code:?}: {said}");
    // A `lictor` that was killed has not told of its renewals.
    if let (Some(last), Some(deadline), true) = (one.run.last_beat(), one.run.deadline(), result["code"].is_u64()) {
        let ended = result["command_ended"].as_u64().unwrap_or(last);
        assert!(last <= ended, "the command lived at {last}, and had ended at {ended}");
        assert!(ended < deadline, "the command ended at {ended}, the lease at {deadline}: {said}");
    }
}

fn never_too_many_at_a_time(group: &Group, held: &[Held]) {
    for one in held {
        let at_once: Vec<_> = held.iter().filter(|other| (other.from..other.until).contains(&one.from)).collect();
        assert!(at_once.len() <= group.limit, "{} at a time: {at_once:#?}", at_once.len());
    }
}

/// Who came after another had ended has the higher token.
fn tokens_rise(held: &[Held]) {
    let tokens: BTreeSet<_> = held.iter().map(|held| held.token).collect();
    assert_eq!(tokens.len(), held.len(), "a token came twice: {held:#?}");
    for (earlier, later) in held.iter().flat_map(|one| held.iter().map(move |other| (one, other))) {
        assert!(earlier.until > later.from || earlier.token < later.token, "{earlier:?} came before {later:?}");
    }
}

/// In the order in which they joined the line.
fn first_come_first_served(held: &[Held], order: &BTreeMap<String, u64>) {
    let served: BTreeMap<_, _> = held.iter().map(|held| (held.token, &held.session)).collect();
    let places: Vec<_> = served.values().filter_map(|session| order.get(*session)).collect();
    assert!(places.len() > 2, "hardly anybody was seen in line");
    assert!(places.is_sorted(), "{places:?}");
}

/// Within twice the ttl and the lock-delay from when everybody was killed; and then nothing is left.
fn everything_comes_back(agent: &Agent, groups: &[Group]) {
    let timeout = format!("{}s", (2 * TTL + LOCK_DELAY + SLACK).as_secs());
    let mut fresh: Vec<(Run, Process)> = Vec::new();
    for group in groups {
        for _ in 0..group.limit {
            let run = Run::at(&agent.address(), &group.path);
            let process = run.start(&[&group.flags, &["--timeout", &timeout][..]].concat(), "polite", None);
            fresh.push((run, process));
        }
    }
    // All at the same time: every permit is there again.
    for (run, process) in &mut fresh {
        until(|| {
            assert_eq!(process.ended(), None, "{}: {}", run.path, process.said());
            run.begin().is_some()
        });
    }
    for (_, process) in fresh {
        process.signal("TERM");
        process.ends_with(3, &[]);
    }
    for group in groups {
        let run = Run::at(&agent.address(), &group.path);
        until(|| agent.sessions(&format!("lictor lock {}", group.path)).is_empty());
        run.left_nothing(agent);
    }
}

/// Who stood in which place of a line: the index with which each session's key was made.
struct Lines {
    over: Arc<AtomicBool>,
    followers: Vec<std::thread::JoinHandle<BTreeMap<String, u64>>>,
}

impl Lines {
    fn follow(agent: &Agent, groups: &[Group]) -> Self {
        let settings = Settings { host: Some(agent.address()), ..Settings::default() };
        let client = Client::new(settings.into_config().unwrap()).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let follow = |group: &Group| {
            let folder = format!("{}/.lock.line/", group.path);
            let watch = client.kv().watch_prefix(&folder, &Query::default()).unwrap().wait(Duration::from_secs(1));
            let over = over.clone();
            std::thread::spawn(move || {
                let mut places = BTreeMap::new();
                for answer in watch.take_while(|_| !over.load(Ordering::Relaxed)) {
                    let (pairs, _) = answer.expect("the agent answers");
                    places.extend(pairs.into_iter().filter_map(|pair| Some((pair.session?, pair.create_index))));
                }
                places
            })
        };
        let followers = groups.iter().filter(|group| group.fair).map(follow).collect();
        Self { over, followers }
    }

    fn end(self) -> BTreeMap<String, u64> {
        self.over.store(true, Ordering::Relaxed);
        self.followers.into_iter().flat_map(|follower| follower.join().expect("it does not fail")).collect()
    }
}
