//! `lictor lock run`, with commands that write down when they lived, by the clock that leases are measured with.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::Agent;

/// A command that writes down in `FILE.begin` when it began, every 2 ms in `FILE.PID` that it lives, and in `FILE.term`, deaf
/// to SIGTERM, that it was asked to end. It ends by itself after as many seconds as it is told, and leaves `FILE.end`.
pub const BEAT: &str = r#"
import os, signal, sys, time
name, kind = sys.argv[1], sys.argv[2]
def leave(code):
    open(name + ".end", "w").close()
    os._exit(code)
def note(*_):
    with open(name + ".term", "w") as file: file.write(str(time.monotonic_ns()))
    if kind == "polite": leave(3)
signal.signal(signal.SIGTERM, note)
with open(name + ".begin", "w") as file: file.write("%d %s" % (time.monotonic_ns(), os.environ["LICTOR_SESSION"]))
end = time.monotonic() + float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
if kind == "family":                       # one more in a group of its own, and one in a session of its own
    if os.fork() == 0: os.setpgid(0, 0); kind = "group"
    elif os.fork() == 0: os.setsid(); kind = "session"
beats = os.open(f"{name}.{os.getpid()}", os.O_CREAT | os.O_WRONLY)
while time.monotonic() < end:
    os.pwrite(beats, b"%020d" % time.monotonic_ns(), 0)
    time.sleep(0.002)
leave(0)
"#;

/// One run of `lictor lock run`.
#[derive(Debug)]
pub struct Run {
    folder: TempDir,
    pub address: String,
    pub path: String,
}

impl Run {
    pub fn new(path: &str) -> Self {
        Self::at(&Agent::shared().address(), path)
    }

    pub fn at(address: &str, path: &str) -> Self {
        Self { folder: TempDir::new().unwrap(), address: address.to_owned(), path: path.to_owned() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut lictor = Command::new(env!("CARGO_BIN_EXE_lictor"));
        lictor
            .args(["lock", "run", &self.path, "--result-file"])
            .arg(self.file("result"))
            .args(flags)
            .arg("--")
            .args(command)
            .env_clear()
            .env("CONSUL_HTTP_ADDR", &self.address)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        lictor
    }

    pub fn run(&self, flags: &[&str], command: &[&str]) -> Output {
        self.command(flags, command).output().unwrap()
    }

    /// Starts a command that beats, and waits until it does.
    pub fn beating(&self, flags: &[&str], kind: &str) -> Child {
        let beat = self.file("beat");
        let child = self.command(flags, &["python3", "-c", BEAT, beat.to_str().unwrap(), kind]).spawn().unwrap();
        let members = if kind == "family" { 3 } else { 1 };
        until(|| self.beats().len() == members && self.result()["lease_deadline"].is_u64());
        child
    }

    /// Starts a command that beats once it holds, for `seconds` where that is said, and waits for nothing. It is killed when
    /// this is dropped.
    pub fn start(&self, flags: &[&str], kind: &str, seconds: Option<f64>) -> Process {
        let (beat, said) = (self.file("beat"), self.file("said"));
        let mut command = vec!["python3".to_owned(), "-c".to_owned(), BEAT.to_owned()];
        command.extend([beat.to_str().unwrap().to_owned(), kind.to_owned()]);
        command.extend(seconds.map(|seconds| seconds.to_string()));
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let mut lictor = self.command(flags, &words);
        lictor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&said).unwrap());
        Process { child: lictor.spawn().unwrap(), said }
    }

    /// When the command began, and the session that it ran under; `None` where it did not.
    pub fn begin(&self) -> Option<(u64, String)> {
        let text = std::fs::read_to_string(self.file("beat.begin")).ok()?;
        let (at, session) = text.split_once(' ')?;
        Some((at.parse().ok()?, session.to_owned()))
    }

    /// Whether the command ended by itself, or because it was asked to, and was not killed.
    pub fn has_ended(&self) -> bool {
        self.file("beat.end").exists()
    }

    /// When the command last lived.
    pub fn last_beat(&self) -> Option<u64> {
        self.beats().into_iter().max()
    }

    /// Until when its lease lasts, as far as it was known when that was written.
    pub fn deadline(&self) -> Option<u64> {
        self.result()["lease_deadline"].as_u64()
    }

    pub fn token(&self) -> u64 {
        self.result()["token"].as_u64().expect("a token")
    }

    /// When each process of the command last lived.
    pub fn beats(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let beats =
            files.filter(|file| file.extension().is_some_and(|end| end.to_str().unwrap().parse::<u32>().is_ok()));
        beats.filter_map(|file| std::fs::read_to_string(file).ok()?.parse().ok()).collect()
    }

    /// When the command was asked to end.
    pub fn asked(&self) -> Option<u64> {
        std::fs::read_to_string(self.file("beat.term")).ok()?.parse().ok()
    }

    pub fn result(&self) -> Value {
        let text = std::fs::read_to_string(self.file("result")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// All of the command was dead before its lease ended.
    #[track_caller]
    pub fn died_in_time(&self, members: usize) {
        let (beats, deadline) = (self.beats(), self.deadline().unwrap());
        assert_eq!(beats.len(), members);
        assert!(beats.iter().all(|last| *last < deadline), "{beats:?}, but the lease ended at {deadline}");
        // A process that still lives beats every 2 ms.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(self.beats(), beats, "it still lives");
    }

    pub fn key(&self) -> String {
        format!("{}/.lock", self.path)
    }

    /// Neither a key nor a session is left.
    #[track_caller]
    pub fn left_nothing(&self, agent: &Agent) {
        assert_eq!(agent.tree(&self.path), Vec::<Value>::new());
        assert_eq!(agent.sessions(&format!("lictor lock {}", self.path)), Vec::<Value>::new());
    }
}

/// A `lictor` that is under way.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// How it ended, if it has: the exit code, or none where a signal killed it.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        Some(self.child.try_wait().unwrap()?.code())
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ends_with(mut self, code: i32, words: &[&str]) {
        let start = Instant::now();
        while self.ended().is_none() {
            assert!(start.elapsed() < Duration::from_secs(90), "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        let output =
            Output { status: self.child.wait().unwrap(), stdout: Vec::new(), stderr: self.said().into_bytes() };
        ends_with(&output, code, words);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub fn ends_with(output: &Output, code: i32, words: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}
