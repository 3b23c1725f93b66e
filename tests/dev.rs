//! `lictor dev` beside what Consul does: its options, its file, its clock, its faults, and what it withstands.
//! That it answers as Consul does is shown by the suites `contract`, `differential` and `peers`.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::agent::http;
use support::lab::{Lab, Running, until};

/// A `lictor dev` that was started with some arguments.
struct Dev {
    lab: Lab,
    running: Running,
    address: String,
}

impl Dev {
    fn start(arguments: &str) -> Self {
        Self::of(Lab::at("nowhere"), arguments)
    }

    fn of(lab: Lab, arguments: &str) -> Self {
        let running = lab.start(&format!("dev --listen 127.0.0.1:0 {arguments}"));
        until("it listens", || running.stdout().contains('\n'));
        let address = running.stdout().trim().rsplit("http://").next().unwrap().to_owned();
        Self { lab, running, address }
    }

    /// Ends it by a signal, which is no failure, and gives the folder that it ran in.
    #[track_caller]
    fn end(self) -> Lab {
        self.running.signal("TERM");
        let ran = self.running.end();
        assert!(ran.code == Some(0) && ran.stderr.is_empty(), "{ran}");
        self.lab
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), ureq::Error> {
        let url = format!("http://{}/v1/{path}", self.address);
        let mut answer = match method {
            "GET" => http().get(&url).call()?,
            "DELETE" => http().delete(&url).call()?,
            _ => http().put(&url).send(body)?,
        };
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?.trim().to_owned()))
    }

    #[track_caller]
    fn put(&self, path: &str, body: &str) -> String {
        let (status, text) = self.send("PUT", path, body).expect("an answer");
        assert_eq!(status, 200, "{text}");
        text
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, text) = self.send("GET", path, "").expect("an answer");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn faults(&self, faults: &str) {
        self.put("lictor/faults", faults);
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("a connection")
    }

    /// The memory that it takes, in MiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    #[track_caller]
    fn is_up(&self) {
        assert_eq!(self.put("kv/up", "x"), "true");
        assert_eq!(self.get("kv/up")[0]["Value"], "eA==");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dev = Dev::start("");
    let lab = Lab::at("nowhere");
    let stderr = lab.fails(&format!("dev --listen {}", dev.address), 1);
    assert!(stderr.contains(&format!("cannot listen on {}", dev.address)) && stderr.contains("in use"), "{stderr}");
    assert!(stderr.contains("--listen 127.0.0.1:0"), "{stderr}");
}

#[test]
fn others_are_let_in_only_with_a_warning() {
    let lab = Lab::at("nowhere");
    let running = lab.start("dev --listen 0.0.0.0:0");
    until("it listens", || running.stdout().contains('\n'));
    assert!(running.stderr().contains("warning: others can reach 0.0.0.0:"), "{}", running.stderr());
    assert_eq!(
        Dev::start("").end().fails("dev --listen nowhere", 64).lines().next().map(|line| line.contains("--listen")),
        Some(true)
    );
}

#[test]
fn its_file_outlives_it() {
    let dev = Dev::start("--file state.json");
    dev.put("kv/plain", "here");
    let made: Value = serde_json::from_str(&dev.put("session/create", r#"{"Name":"mine","TTL":"10s"}"#)).unwrap();
    let id = made["ID"].as_str().unwrap().to_owned();
    assert_eq!(dev.put(&format!("kv/held?acquire={id}&flags=7"), "x"), "true");
    dev.put("catalog/register", r#"{"Node":"other","Address":"10.0.0.1","Service":{"Service":"db","Port":5432}}"#);
    dev.put("agent/service/register", r#"{"Name":"web","Port":80}"#);
    let before =
        [dev.get("kv/?recurse"), dev.get("session/list"), dev.get("catalog/service/db"), dev.get("agent/services")];

    // The clock begins anew, and so do TTLs.
    dev.put("lictor/clock?advance=19s", "");
    let lab = dev.end();
    let dev = Dev::of(lab, "--file state.json");
    let after =
        [dev.get("kv/?recurse"), dev.get("session/list"), dev.get("catalog/service/db"), dev.get("agent/services")];
    assert_eq!(before, after);
    dev.put("lictor/clock?advance=19s", "");
    assert_eq!(dev.get("session/list").as_array().map(Vec::len), Some(1));
    dev.put("lictor/clock?advance=1s", "");
    assert_eq!(dev.get("session/list"), json!([]));
    // Indexes never go back.
    dev.put("kv/new", "x");
    let index = |value: &Value| value[0]["ModifyIndex"].as_u64().unwrap();
    assert!(index(&dev.get("kv/new")) > index(&dev.get("kv/held")));

    // Nobody else writes it meanwhile.
    let other = dev.lab.fails("dev --listen 127.0.0.1:0 --file state.json", 1);
    assert!(other.contains("another agent keeps its state in") && other.contains("state.json"), "{other}");

    // And a kill loses nothing that was written a while ago.
    let lab = &dev.lab;
    until("it is written", || lab.read("state.json").contains("\"new\""));
    dev.running.signal("KILL");
    let Dev { lab, running, .. } = dev;
    drop(running);
    let dev = Dev::of(lab, "--file state.json");
    assert_eq!(dev.get("kv/new")[0]["Value"], "eA==");
}

#[test]
fn a_file_that_makes_no_sense_is_refused_and_kept() {
    let dev = Dev::start("--file good.json");
    dev.put("kv/a", "x");
    let lab = dev.end();
    let good = lab.read("good.json");
    let newer = good.replacen("\"version\":1", "\"version\":2", 1);
    for (text, problem) in [
        (&good[..good.len() - 10], "is damaged: EOF"),
        ("", "is damaged: EOF"),
        ("{}", "it names no version"),
        ("[1]", "is damaged"),
        (&newer, "is of version 2, and this program knows 1"),
        (r#"{"version":1,"state":{"keys":5}}"#, "is damaged"),
    ] {
        lab.file("state.json", text);
        let stderr = lab.fails("dev --listen 127.0.0.1:0 --file state.json", 1);
        assert!(
            stderr.contains(problem) && stderr.contains("state.json") && stderr.contains("left as it is"),
            "{stderr}"
        );
        assert_eq!(lab.read("state.json"), text);
    }
    lab.file("state.json", &good);
    let stderr = lab.fails("dev --listen 127.0.0.1:0 --file state.json --node other", 1);
    assert!(stderr.contains("is of node \"node1\" in datacenter \"dc1\"") && !stderr.contains("damaged"), "{stderr}");
    let nowhere = lab.fails("dev --listen 127.0.0.1:0 --file nowhere/state.json", 1);
    assert!(nowhere.contains("cannot write the state file nowhere/state.json"), "{nowhere}");
    assert!(lab.fails("dev --acl-default deny --acl-token secret", 64).contains("write a UUID"));
    lab.file("folder/x", "");
    assert!(Command::new("mkfifo").arg(lab.path("pipe")).status().unwrap().success());
    for odd in ["folder", "pipe"] {
        let stderr = lab.fails(&format!("dev --listen 127.0.0.1:0 --file {odd}"), 1);
        assert!(stderr.contains("cannot read the state file") && stderr.contains("it is no regular file"), "{stderr}");
        assert!(!lab.path(&format!("{odd}.lock")).exists());
    }
}

#[test]
fn a_disk_that_is_full_leaves_the_last_whole_state() {
    let lab = Lab::at("nowhere");
    // No file of this shell and its children is longer than 8 KiB.
    let mut command = Command::new("bash");
    let line = "trap '' XFSZ; ulimit -f 8; exec \"$0\" dev --listen 127.0.0.1:0 --file state.json 2>errors";
    command.args(["-c", line, env!("CARGO_BIN_EXE_lictor")]).current_dir(lab.path("."));
    let running = lab.spawn(command);
    until("it listens", || running.stdout().contains('\n'));
    let address = running.stdout().trim().rsplit("http://").next().unwrap().to_owned();
    let dev = Dev { lab, running, address };
    dev.put("kv/small", "x");
    until("it is written", || dev.lab.path("state.json").exists() && dev.lab.read("state.json").contains("small"));
    let whole = dev.lab.read("state.json");
    dev.put("kv/large", &"x".repeat(20_000));
    until("it is told", || dev.lab.read("errors").contains("warning: cannot write the state file state.json"));
    dev.is_up();
    assert_eq!(dev.lab.read("state.json"), whole);
    let left =
        std::fs::read_dir(dev.lab.path(".")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.ends_with(".tmp")));
    // Once there is room, it goes on.
    dev.send("DELETE", "kv/large", "").unwrap();
    until("it is written", || dev.lab.read("state.json").contains("\"up\""));
}

#[test]
fn requests_that_are_too_long_do_no_harm() {
    let dev = Dev::start("");
    for (path, chunked) in [("kv/a", false), ("kv/a", true), ("session/create", false), ("txn", true)] {
        let mut line = dev.connect();
        let length =
            if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {}", 1_u64 << 30) };
        write!(line, "PUT /v1/{path} HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n").unwrap();
        let part = vec![b'x'; 1 << 20];
        // It answers early, and reads on for a while only.
        for _ in 0..1024 {
            let sent = if chunked {
                write!(line, "{:x}\r\n", part.len())
                    .and_then(|()| line.write_all(&part))
                    .and_then(|()| line.write_all(b"\r\n"))
            } else {
                line.write_all(&part)
            };
            if sent.is_err() {
                break;
            }
        }
        dev.is_up();
    }
    assert!(dev.memory() < 100, "{} MiB", dev.memory());
    // A head that never ends.
    let mut line = dev.connect();
    while line.write_all(&[b'x'; 1024]).is_ok() {} // until it is cut off
    dev.is_up();
    assert!(dev.memory() < 100, "{} MiB", dev.memory());
}

#[test]
fn connections_that_say_nothing_or_little_do_no_harm() {
    let dev = Dev::start("");
    let idle: Vec<TcpStream> = (0..10_000).map(|_| dev.connect()).collect();
    // Slow ones: half a head, half a body.
    let mut slow = Vec::new();
    for text in ["PUT /v1/kv/a HTT", "PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"] {
        for _ in 0..100 {
            let mut line = dev.connect();
            line.write_all(text.as_bytes()).unwrap();
            slow.push(line);
        }
    }
    dev.is_up();
    assert!(dev.memory() < 300, "{} MiB", dev.memory());
    drop((idle, slow));
    dev.is_up();
}

#[test]
fn who_has_nothing_more_to_say_is_answered() {
    let dev = Dev::start("");
    dev.put("kv/half", "x");
    let index = dev.get("kv/half")[0]["ModifyIndex"].as_u64().unwrap();
    for path in ["kv/half".to_owned(), format!("kv/half?index={index}&wait=100ms")] {
        let mut line = dev.connect();
        write!(line, "GET /v1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        line.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer:?}");
    }
}

#[test]
fn an_end_in_the_middle_of_a_write_of_the_file_loses_nothing() {
    let dev = Dev::start("--file real.json");
    for number in 0..60 {
        dev.put(&format!("kv/many/{number}"), &"x".repeat(400_000));
    }
    dev.put("kv/last", "x");
    dev.send("DELETE", "kv/many/?recurse", "").unwrap(); // what is written now is shorter than what was
    let lab = dev.end();
    std::os::unix::fs::symlink("real.json", lab.path("link.json")).unwrap();
    let dev = Dev::of(lab, "--file link.json");
    assert_eq!(dev.get("kv/?keys"), json!(["last"]));
    dev.put("kv/new", "x");
    let lab = dev.end();
    assert!(lab.path("link.json").is_symlink() && lab.read("real.json").contains("\"new\""));
}

#[test]
fn its_clock_is_moved() {
    let dev = Dev::start("");
    let made: Value = serde_json::from_str(&dev.put("session/create", r#"{"TTL":"1h","LockDelay":"30s"}"#)).unwrap();
    assert_eq!(dev.put(&format!("kv/held?acquire={}", made["ID"].as_str().unwrap()), "x"), "true");
    let index = dev.get("kv/held")[0]["ModifyIndex"].as_u64().unwrap();
    // Whoever waits hears of what time brings.
    let waits = std::thread::scope(|scope| {
        let waits = scope.spawn(|| dev.get(&format!("kv/held?index={index}&wait=5m")));
        dev.put("lictor/clock?advance=2h", "");
        waits.join().unwrap()
    });
    assert_eq!((waits[0].get("Session"), dev.get("session/list")), (None, json!([])));
    let made: Value = serde_json::from_str(&dev.put("session/create", "{}")).unwrap();
    let acquire = || dev.put(&format!("kv/held?acquire={}", made["ID"].as_str().unwrap()), "y");
    assert_eq!(acquire(), "false", "its lock-delay is not over");
    dev.put("lictor/clock?advance=30s", "");
    assert_eq!(acquire(), "true");
    // A wait is by the same clock.
    let start = Instant::now();
    let index = dev.get("kv/held")[0]["ModifyIndex"].as_u64().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| dev.get(&format!("kv/held?index={index}&wait=10m")));
        while !waits.is_finished() {
            dev.put("lictor/clock?advance=1m", "");
        }
    });
    assert!(start.elapsed() < Duration::from_secs(600));
    let (status, text) = dev.send("PUT", "lictor/clock?advance=soon", "").unwrap();
    assert_eq!(status, 400, "{text}");
}

#[test]
fn faults_happen_as_they_are_asked_for() {
    let dev = Dev::start("--fault 500=100%");
    let (status, text) = dev.send("GET", "kv/a", "").unwrap();
    assert_eq!((status, text.as_str()), (500, "rpc error making call: a fault on purpose"));
    dev.faults("429=100%");
    assert_eq!(dev.send("GET", "kv/a", "").unwrap().0, 429);

    dev.faults("reset=100%");
    assert!(dev.send("PUT", "kv/reset", "x").is_err());
    dev.faults("drop=100%");
    assert!(dev.send("PUT", "kv/dropped", "x").is_err());
    dev.faults("corrupt=100%");
    let (status, text) = dev.send("GET", "kv/dropped", "").unwrap();
    assert!(status == 200 && serde_json::from_str::<Value>(&text).is_err(), "{text}");
    dev.faults("");
    assert_eq!(dev.send("GET", "kv/reset", "").unwrap().0, 404, "it was not done");
    assert_eq!(dev.get("kv/dropped")[0]["Value"], "eA==", "it was done");

    dev.faults("leaderless");
    let (status, text) = dev.send("PUT", "kv/a", "x").unwrap();
    assert_eq!((status, text.as_str()), (500, "No cluster leader"));
    assert_eq!(dev.get("kv/dropped?stale")[0]["Value"], "eA==");
    dev.faults("latency=10ms@100%");
    dev.is_up();

    dev.faults("freeze");
    let answer = std::thread::scope(|scope| {
        let asks = scope.spawn(|| dev.get("kv/dropped"));
        let mut line = dev.connect();
        line.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        line.write_all(b"GET /v1/kv/dropped HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(line.read(&mut [0; 1]).is_err(), "nobody is answered");
        dev.send("DELETE", "lictor/faults", "").unwrap();
        asks.join().unwrap()
    });
    assert_eq!(answer[0]["Value"], "eA==", "it thawed");
    assert_eq!(dev.get("lictor/faults"), json!({"Faults": ""}));

    let (status, text) = dev.send("PUT", "lictor/faults", "500=never").unwrap();
    assert!(status == 400 && text.contains("a share is a number of percent"), "{text}");
    let lab = dev.end();
    assert!(lab.fails("dev --listen 127.0.0.1:0 --fault later=1%", 64).contains("write latency=200ms@10%"));
}

#[test]
fn checks_over_http_and_tcp_are_made() {
    let dev = Dev::start("");
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for line in server.incoming().map_while(Result::ok) {
            let mut line = std::io::BufReader::new(line);
            let mut head = String::new();
            // A TCP check says nothing.
            while std::io::BufRead::read_line(&mut line, &mut head).is_ok_and(|length| length > 2) {}
            let status = if head.starts_with("GET /well ") { "200 OK" } else { "503 Sick" };
            let _ = write!(line.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let check = |name: &str, looks: &str, at: String| json!({"ID": name, "Name": name, looks: at, "Interval": "1s"});
    let checks = [
        check("well", "HTTP", format!("http://{address}/well")),
        check("sick", "HTTP", format!("http://{address}/sick")),
        check("open", "TCP", address.to_string()),
        check("closed", "TCP", "127.0.0.1:1".to_owned()),
    ];
    for check in &checks {
        assert_eq!(dev.put("agent/check/register", &check.to_string()), "");
    }
    let status = |name: &str| dev.get("agent/checks")[name]["Status"].as_str().unwrap().to_owned();
    until("two pass", || status("well") == "passing" && status("open") == "passing");
    // All were made by now: each is critical until it is.
    let output = |name: &str| dev.get("agent/checks")[name]["Output"].as_str().unwrap().to_owned();
    until("all were made", || !output("sick").is_empty() && !output("closed").is_empty());
    assert_eq!((status("sick"), status("closed")), ("critical".to_owned(), "critical".to_owned()));
    assert_eq!(dev.get("health/node/node1").as_array().map(Vec::len), Some(5));
}

#[test]
fn what_it_leaves_out_is_named() {
    let dev = Dev::start("");
    for path in ["connect/ca/roots", "config", "operator/raft/configuration", "snapshot", "query"] {
        let (status, text) = dev.send("GET", path, "").unwrap();
        assert!(status == 501 && text.contains(&format!("lictor dev does not have /v1/{path}")), "{status} {text}");
    }
    assert_eq!(dev.send("GET", "nothing", "").unwrap().0, 404);
}

#[test]
fn the_demo_shows_the_main_job_and_leaves_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let lab = Lab::at("nowhere").env("TMPDIR", folder.path().to_str().unwrap()).env("PATH", "/usr/bin:/bin");
    let shown = lab.ok("demo");
    for line in [
        "$ lictor plan demo.yaml --detailed-exitcode",
        "demo: 6 to create; 0 unchanged",
        "Done: 6 objects changed.",
        "demo: nothing to do; 6 unchanged",
        "demo: 1 to create, 1 to update; 4 unchanged",
        "The first is done",
        "The second has the lock, token",
        "demo/migration/.lock: held by",
        "demo: 6 to delete; 0 unchanged",
    ] {
        assert!(shown.contains(line), "{line:?} is not in: {shown}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let agent = support::Agent::start(support::agent::Options::default());
    lab.ok(&format!("demo --against {}", agent.address()));
    assert_eq!((agent.tree("").len(), agent.get("/v1/session/list")), (0, json!([])));
}
