//! `lictor lock run`: its command lives no longer than the hold, whatever happens to the agent, the network and to lictor
//! itself. The commands write down themselves, by the clock of the system that the lease is measured with, when they last
//! lived.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::agent::Options;
use support::proxy::{Act, Proxy};
use support::recipe::consul_lock;
use support::run::{Run, ends_with, kill, text, until};
use support::{Agent, unique};

#[test]
fn the_command_gets_the_lock_in_its_environment_and_its_exit_code_is_ours() {
    let (agent, run) = (Agent::shared(), Run::new(&unique("run/codes")));
    let show = "echo $LICTOR_LOCK_KEY $LICTOR_FENCING_TOKEN $CONSUL_LOCK_HELD; cat; echo oops >&2; exit 7";
    let mut child = run.command(&[], &["sh", "-c", show]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let token = run.result()["token"].as_u64().unwrap();
    assert_eq!(text(&output.stdout), format!("{} {token} true\ninput\n", run.key()));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(7), "oops\n".to_owned()));
    assert_eq!(run.result()["command_code"], json!(7));
    for (command, code) in [("exit 0", 0), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(run.run(&[], &["sh", "-c", command]).status.code(), Some(code), "{command}");
    }
    assert!(run.result()["token"].as_u64().unwrap() > token, "though the key was deleted between");
    let held = "test \"$(curl -s \"$1/v1/kv/$LICTOR_LOCK_KEY\" | grep -o \"$LICTOR_SESSION\")\" = \"$LICTOR_SESSION\"";
    ends_with(&run.run(&[], &["sh", "-c", held, "sh", &run.address]), 0, &[]);
    assert_eq!(text(&run.run(&["--shell"], &["echo", "$CONSUL_LOCK_HELD;", "exit", "9"]).stdout), "true\n");
    run.left_nothing(agent);
}

#[test]
fn signals_reach_the_command() {
    let run = Run::new(&unique("run/signals"));
    for (signal, code) in [("TERM", 41), ("INT", 42), ("HUP", 43), ("QUIT", 44), ("USR1", 45), ("USR2", 46)] {
        let _ = std::fs::remove_file(run.file("ready"));
        let script = format!("trap 'exit {code}' {signal}; : >\"$0\"; while :; do sleep 0.01; done");
        let child = run.command(&[], &["sh", "-c", &script, run.file("ready").to_str().unwrap()]).spawn().unwrap();
        until(|| run.file("ready").exists());
        kill(signal, child.id());
        ends_with(&child.wait_with_output().unwrap(), code, &[]);
    }
    let child = run.beating(&[], "polite");
    kill("INT", child.id());
    ends_with(&child.wait_with_output().unwrap(), 130, &[]);
    run.left_nothing(Agent::shared());
}

#[test]
fn a_signal_ends_the_wait_for_the_lock() {
    let holder = Run::new(&unique("run/wait"));
    let waiter = Run::new(&holder.path);
    let mut first = holder.beating(&[], "polite");
    let second = waiter.command(&[], &["true"]).spawn().unwrap();
    until(|| Agent::shared().sessions(&format!("lictor lock {}", holder.path)).len() == 2);
    kill("TERM", second.id());
    ends_with(&second.wait_with_output().unwrap(), 143, &["signal 15"]);
    kill("TERM", first.id());
    assert_eq!(first.wait().unwrap().code(), Some(3));
    holder.left_nothing(Agent::shared());
}

#[test]
fn what_is_left_of_the_command_dies_with_it_but_for_a_daemon() {
    let run = Run::new(&unique("run/left"));
    // A shell that ends, of what it started: one in its group, one in a group of its own, one in a session of its own.
    let script =
        "sleep 60 & echo $! >\"$0\"; timeout 60 sleep 60 & echo $! >>\"$0\"; setsid sleep 60 & echo $! >>\"$0\"
                  until grep -q sleep /proc/$!/cmdline && ! grep -q setsid /proc/$!/cmdline; do :; done; exit 5";
    // It must not wait for the pipes that the daemon keeps open.
    let mut command = run.command(&[], &["sh", "-c", script, run.file("pids").to_str().unwrap()]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(5));
    let pids = std::fs::read_to_string(run.file("pids")).unwrap();
    let alive: Vec<bool> = pids.lines().map(|pid| Path::new("/proc").join(pid).exists()).collect();
    assert_eq!(alive, [false, false, true], "{pids}");
    kill("KILL", pids.lines().last().unwrap().parse().unwrap());
}

#[test]
fn with_the_agent_frozen_or_the_network_cut_all_of_the_command_is_dead_before_the_lease_ends() {
    let agent = Agent::start(Options::default());
    let cut = Arc::new(AtomicBool::new(false));
    let hears = cut.clone();
    let proxy =
        Proxy::start(
            &Agent::shared().address(),
            move |_| {
                if hears.load(Ordering::SeqCst) { Act::Hang } else { Act::Forward }
            },
        );
    let frozen = Run::at(&agent.address(), &unique("run/frozen"));
    let polite = Run::at(&agent.address(), &unique("run/polite"));
    let apart = Run::at(&proxy.address(), &unique("run/cut"));
    let children = [
        frozen.beating(&["--ttl", "10s"], "family"),
        polite.beating(&["--ttl", "10s"], "polite"),
        apart.beating(&["--ttl", "10s", "--grace", "5s"], "family"),
    ];
    kill("STOP", agent.pid());
    cut.store(true, Ordering::SeqCst);
    for child in children {
        ends_with(&child.wait_with_output().unwrap(), 121, &["lost"]);
    }
    kill("CONT", agent.pid());
    frozen.died_in_time(3);
    polite.died_in_time(1);
    apart.died_in_time(3);
    for (run, grace) in [(&frozen, 2), (&polite, 2), (&apart, 5)] {
        let (asked, deadline) = (run.asked().unwrap(), run.result()["lease_deadline"].as_u64().unwrap());
        assert!(asked >= deadline - grace * 1_000_000_000, "it was asked to end before its time");
        assert_eq!(run.result()["code"], json!(121));
    }
}

#[test]
fn a_short_failure_of_the_agent_costs_nothing() {
    let agent = Agent::start(Options::default());
    let run = Run::at(&agent.address(), &unique("run/short"));
    let child = run.beating(&["--ttl", "10s"], "polite");
    let deadline = run.result()["lease_deadline"].as_u64().unwrap();
    kill("STOP", agent.pid());
    std::thread::sleep(Duration::from_secs(5)); // the renewal after a third of the ttl fails
    kill("CONT", agent.pid());
    until(|| run.beats()[0] > deadline); // it lives on beyond what would have been its lease
    kill("USR1", child.id());
    ends_with(&child.wait_with_output().unwrap(), 128 + 10, &[]);
    run.left_nothing(&agent);
}

#[test]
fn a_session_that_is_destroyed_or_a_key_that_is_deleted_ends_the_command_before_the_next_one_starts() {
    let agent = Agent::shared();
    let run = Run::new(&unique("run/destroyed"));
    let next = Run::new(&run.path);
    let child = run.beating(&[], "family");
    let start = "import sys, time; open(sys.argv[1], 'w').write(str(time.monotonic_ns()))";
    let follower = next.command(&[], &["python3", "-c", start, next.file("start").to_str().unwrap()]).spawn().unwrap();
    let name = format!("lictor lock {}", run.path);
    until(|| agent.session_ids(&name).len() == 2);
    let held = agent.get(&format!("/v1/kv/{}", run.key()))[0]["Session"].as_str().unwrap().to_owned();
    agent.put(&format!("/v1/session/destroy/{held}"), &json!(""));
    ends_with(&child.wait_with_output().unwrap(), 121, &["lost"]);
    ends_with(&follower.wait_with_output().unwrap(), 0, &[]);
    run.died_in_time(3);
    let started: u64 = std::fs::read_to_string(next.file("start")).unwrap().parse().unwrap();
    assert!(run.beats().iter().all(|last| *last < started), "two at a time");
    assert!(next.result()["token"].as_u64() > run.result()["token"].as_u64());

    let run = Run::new(&unique("run/deleted"));
    let child = run.beating(&[], "polite");
    agent.delete(&format!("/v1/kv/{}", run.key()));
    ends_with(&child.wait_with_output().unwrap(), 121, &["its key was taken away"]);
    run.died_in_time(1);
    run.left_nothing(agent);
}

#[test]
fn the_command_dies_with_a_lictor_that_is_killed_and_in_time_with_one_that_is_stopped() {
    let killed = Run::new(&unique("run/killed"));
    let mut child = killed.beating(&[], "family");
    kill("KILL", child.id());
    child.wait().unwrap();
    let mut last = killed.beats();
    until(|| {
        std::thread::sleep(Duration::from_millis(100));
        std::mem::replace(&mut last, killed.beats()) == killed.beats()
    });
    killed.died_in_time(3);

    let stopped = Run::new(&unique("run/stopped"));
    let child = stopped.beating(&["--ttl", "10s"], "family");
    kill("STOP", child.id());
    until(|| {
        std::thread::sleep(Duration::from_millis(100));
        let before = stopped.beats();
        std::thread::sleep(Duration::from_millis(100));
        before == stopped.beats()
    });
    kill("CONT", child.id());
    ends_with(&child.wait_with_output().unwrap(), 121, &["lost"]);
    stopped.died_in_time(3);
    assert!(stopped.asked() < stopped.beats().into_iter().max(), "it was asked first");
}

#[test]
fn a_lock_that_is_told_of_when_its_lease_is_over_starts_nothing() {
    let (asked, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (asks, tells) = (asked.clone(), told.clone());
    // No renewal is answered. The first look at the key takes five seconds; the lock is given, and that is told late.
    let proxy = Proxy::start(&Agent::shared().address(), move |request| match request {
        request if request.contains("/session/renew/") => Act::Hang,
        request if request.starts_with("GET") => {
            std::thread::sleep(Duration::from_secs(5));
            Act::Forward
        }
        "PUT /v1/txn" => {
            asks.store(true, Ordering::SeqCst);
            while !tells.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Act::Forward
        }
        _ => Act::Forward,
    });
    let run = Run::at(&proxy.address(), &unique("run/late"));
    let child = run.command(&["--ttl", "10s"], &["touch", run.file("ran").to_str().unwrap()]).spawn().unwrap();
    until(|| asked.load(Ordering::SeqCst));
    kill("STOP", child.id());
    told.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(5_500)); // the lease has ten seconds, five of which are over
    kill("CONT", child.id());
    ends_with(&child.wait_with_output().unwrap(), 121, &["lost"]);
    assert!(!run.file("ran").exists(), "the command ran after its lease");
}

#[test]
fn the_command_dies_with_its_guardian() {
    let run = Run::new(&unique("run/guardian"));
    let script = "echo $PPID >\"$0\"; exec sleep 60";
    let child = run.command(&[], &["sh", "-c", script, run.file("guardian").to_str().unwrap()]).spawn().unwrap();
    let guardian = || std::fs::read_to_string(run.file("guardian")).unwrap_or_default().trim().parse().ok();
    until(|| guardian().is_some());
    kill("KILL", guardian().unwrap());
    ends_with(&child.wait_with_output().unwrap(), 125, &["guardian"]);
    run.left_nothing(Agent::shared());
}

#[test]
fn a_guardian_that_is_stopped_is_woken_to_end_all_of_the_command_in_time() {
    let proxy = Proxy::start(&Agent::shared().address(), |request| match request {
        request if request.contains("/session/renew/") => Act::Hang,
        _ => Act::Forward,
    });
    let run = Run::at(&proxy.address(), &unique("run/asleep"));
    let child = run.beating(&["--ttl", "10s"], "family");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    kill("STOP", std::fs::read_to_string(children).unwrap().trim().parse().unwrap());
    ends_with(&child.wait_with_output().unwrap(), 121, &["lost"]);
    run.died_in_time(3);
}

#[test]
fn a_lock_that_is_taken_is_not_had() {
    let run = Run::new(&unique("run/taken"));
    let other = Run::new(&run.path);
    let mut child = run.beating(&["--reason", "a migration"], "polite");
    let value =
        Command::new("curl").args(["-s", &format!("{}/v1/kv/{}?raw", run.address, run.key())]).output().unwrap();
    let value: Value = serde_json::from_slice(&value.stdout).unwrap();
    assert_eq!((&value["reason"], &value["pid"]), (&json!("a migration"), &json!(child.id())));
    ends_with(&other.run(&["--try"], &["true"]), 120, &["taken"]);
    ends_with(&other.run(&["--timeout", "100ms"], &["true"]), 124, &["in time"]);
    kill("TERM", child.id());
    child.wait().unwrap();
    run.left_nothing(Agent::shared());
}

#[test]
fn a_semaphore_is_no_lock_and_a_token_may_not_do_everything() {
    let (agent, run) = (Agent::shared(), Run::new(&unique("run/semaphore")));
    let mut theirs = consul_lock(&["-n=2"], &run.path, &["cat"]).spawn().unwrap();
    until(|| !agent.tree(&run.key()).is_empty());
    ends_with(&run.run(&["--try"], &["true"]), 122, &["is not a lock"]);
    drop(theirs.stdin.take());
    assert!(theirs.wait().unwrap().success());

    let master = "11111111-2222-3333-4444-555555555555";
    let agent = Agent::start(Options {
        config: json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": master}}}),
        token: Some(master.to_owned()),
        ..Options::default()
    });
    let sessions = "session_prefix \"\" { policy = \"write\" } key_prefix \"\" { policy = \"read\" }";
    agent.put("/v1/acl/policy", &json!({"Name": "sessions", "Rules": sessions}));
    let token = agent.put("/v1/acl/token", &json!({"Policies": [{"Name": "sessions"}]}));
    let token: Value = serde_json::from_str(&token).unwrap();
    let run = Run::at(&agent.address(), &unique("run/denied"));
    ends_with(&run.run(&[], &["true"]), 123, &["ermission denied"]);
    let mut lictor = run.command(&[], &["true"]);
    let output = lictor.env("CONSUL_HTTP_TOKEN", token["SecretID"].as_str().unwrap()).output().unwrap();
    ends_with(&output, 123, &[&run.key()]);
    run.left_nothing(&agent);
}

#[test]
fn consul_lock_keeps_us_out_and_we_keep_it_out() {
    let (agent, run) = (Agent::shared(), Run::new(&unique("run/consul")));
    let mut theirs = consul_lock(&[], &run.path, &["cat"]).spawn().unwrap();
    until(|| agent.tree(&run.key()).iter().any(|key| key["Session"].is_string()));
    ends_with(&run.run(&["--try"], &["true"]), 120, &[]);
    let waits = run.command(&[], &["sh", "-c", "exit 4"]).spawn().unwrap();
    drop(theirs.stdin.take());
    assert!(theirs.wait().unwrap().success());
    ends_with(&waits.wait_with_output().unwrap(), 4, &[]);
    let ours = run.beating(&[], "polite");
    assert!(!consul_lock(&["-try=200ms"], &run.path, &["true"]).output().unwrap().status.success());
    let waits = consul_lock(&[], &run.path, &["echo", "theirs"]).spawn().unwrap();
    kill("TERM", ours.id());
    ends_with(&ours.wait_with_output().unwrap(), 3, &[]);
    assert_eq!(text(&waits.wait_with_output().unwrap().stdout), "theirs\n");
    run.left_nothing(agent);
}

#[test]
fn bad_input_is_refused_before_anything_is_held() {
    let run = Run::new(&unique("run/bad"));
    for (flags, words) in [
        (&["--ttl", "9s"][..], "ttl is 9s"),
        (&["--ttl", "25h"], "ttl is 25h"),
        (&["--lock-delay", "61s"], "lock-delay is 1m1s"),
        (&["--grace", "16s"], "grace is 16s"),
        (&["--grace", "8s"], "7.5s at most"),
        (&["--try", "--timeout", "1s"], "cannot be used with"),
        (&["--timeout", "soon"], "not a duration"),
    ] {
        ends_with(&run.run(flags, &["true"]), 64, &[words]);
    }
    ends_with(&Run::new("a//b").run(&[], &["true"]), 64, &["a//b"]);
    ends_with(&run.run(&[], &["no-such-command"]), 127, &["no-such-command", "no such command"]);
    ends_with(&run.run(&[], &["/no/such/command"]), 127, &[]);
    ends_with(&run.run(&[], &["/etc/passwd"]), 126, &["cannot be executed"]);
    ends_with(&run.run(&[], &["/etc"]), 126, &[]);
    // That its interpreter is missing shows only when it is started.
    let script = run.file("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    ends_with(&run.run(&[], &[script.to_str().unwrap()]), 127, &["script"]);
    ends_with(&Run::at("127.0.0.1:1", "x").run(&[], &["true"]), 125, &["cannot connect"]);
    run.left_nothing(Agent::shared());
}

#[test]
fn on_a_terminal_the_command_can_be_typed_to_and_ctrl_c_reaches_it_once() {
    let run = Run::new(&unique("run/terminal"));
    // It counts SIGINT, and ends with that number once a line was typed.
    let counts = "import signal, sys
seen = []
signal.signal(signal.SIGINT, lambda *_: (seen.append(1), print('interrupted', flush=True)))
print('ready', flush=True)
while (line := sys.stdin.readline()) != 'end\\n': print('got', line, flush=True)
sys.exit(40 + len(seen))";
    let types = "import os, pty, sys
pid, tty = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
seen = b''
def expect(word):
    global seen
    while word not in seen: seen += os.read(tty, 4096)
    seen = b''
expect(b'ready'); os.write(tty, b'hello\\n'); expect(b'got hello')
os.write(tty, b'\\x03'); expect(b'interrupted')
os.write(tty, b'end\\n')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let lictor = run.command(&[], &["python3", "-c", counts]);
    let mut typist = Command::new("python3");
    typist.args(["-c", types]).arg(lictor.get_program()).args(lictor.get_args()).env("CONSUL_HTTP_ADDR", &run.address);
    let output = typist.output().unwrap();
    assert_eq!(output.status.code(), Some(41), "{}", text(&output.stderr));
    run.left_nothing(Agent::shared());
}

#[test]
fn a_fencing_token_is_current_while_its_holder_holds() {
    let (agent, run) = (Agent::shared(), Run::new(&unique("run/fence")));
    let verify = |key: &str, token: &str| {
        let mut lictor = Command::new(env!("CARGO_BIN_EXE_lictor"));
        lictor.args(["fence", "verify", key, token]).env_clear().env("CONSUL_HTTP_ADDR", &run.address);
        lictor.output().unwrap()
    };
    let child = run.beating(&[], "polite");
    let token = run.result()["token"].to_string();
    ends_with(&verify(&run.key(), &token), 0, &[]);
    ends_with(&verify(&run.key(), "1"), 121, &["token 1 ", &token]);
    kill("TERM", child.id());
    ends_with(&child.wait_with_output().unwrap(), 3, &[]);
    ends_with(&verify(&run.key(), &token), 121, &["no such key"]);
    agent.put(&format!("/v1/kv/{}", run.key()), &json!("x"));
    ends_with(&verify(&run.key(), &token), 121, &["nobody holds"]);
    ends_with(&verify(&run.key(), "soon"), 64, &["soon"]);
    agent.delete(&format!("/v1/kv/{}", run.key()));
}
