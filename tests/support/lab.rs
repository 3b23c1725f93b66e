//! A folder with specs, an agent, and `lictor` run there as a shell would run it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Agent, root};

/// How long something that is to come about may take before that is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with specs, and where `lictor` finds its agent.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Lab {
    /// An empty folder; `lictor` talks to `agent`.
    pub fn of(agent: &Agent) -> Self {
        Self::at(&agent.address())
    }

    /// The same, at an address.
    pub fn at(address: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self { folder, environment: vec![("CONSUL_HTTP_ADDR".to_owned(), address.to_owned())] }
    }

    /// With a variable in the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same files, and another agent.
    pub fn with_files_at(&self, agent: &Agent) -> Self {
        let other = Self::of(agent);
        for entry in std::fs::read_dir(self.folder.path()).expect("the folder").flatten() {
            std::fs::copy(entry.path(), other.folder.path().join(entry.file_name())).expect("a copy");
        }
        other
    }

    /// Writes a file, and the folders that it is in.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
        self
    }

    /// Writes `s.yaml`, a spec of the owner `team`.
    pub fn spec(&self, objects: &str) -> &Self {
        self.file("s.yaml", format!("version: 1\nowner: team\n{objects}"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    /// The command for this line: words with blanks between them, some in single quotes. It sees nothing of the tests'
    /// own environment.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lictor"));
        command
            .args(words(line))
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `lictor LINE`.
    #[track_caller]
    pub fn run(&self, line: &str) -> Ran {
        Ran::new(line, self.command(line).output().expect("it runs"))
    }

    /// The same, with this on standard input.
    #[track_caller]
    pub fn feed(&self, line: &str, input: &str) -> Ran {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("standard input").write_all(input.as_bytes()).expect("it reads");
        Ran::new(line, child.wait_with_output().expect("it ends"))
    }

    /// Standard output of a command that succeeds.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran.stdout
    }

    /// Standard error of a command that ends with this code.
    #[track_caller]
    pub fn fails(&self, line: &str, code: i32) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(code), "{ran}");
        ran.stderr
    }

    /// The JSON that a command prints, however it ends.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        let ran = self.run(line);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
    }

    /// Asserts that planning `s.yaml` finds nothing to do.
    #[track_caller]
    pub fn is_settled(&self) {
        let ran = self.run("plan s.yaml --prune --detailed-exitcode");
        assert_eq!(ran.code, Some(0), "{ran}");
    }

    /// Runs `lictor LINE` on a terminal, where `answer` is typed once there is a question. Gives what the terminal shows,
    /// and the exit code in a line behind it.
    #[track_caller]
    pub fn terminal(&self, line: &str, answer: &str) -> String {
        let command = self.command(line);
        let output = Command::new(super::tool("ansible").join("python"))
            .args(["-c", TERMINAL, answer])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(self.folder.path())
            .env_clear()
            .env("TERM", "xterm")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").replace("\r\n", "\n")
    }

    /// Starts `lictor LINE`; it is stopped when the test ends.
    pub fn start(&self, line: &str) -> Running {
        self.launch(self.command(line), line)
    }

    /// Starts a command that is not `lictor` itself.
    pub fn spawn(&self, command: Command) -> Running {
        let line = format!("{command:?}");
        self.launch(command, &line)
    }

    fn launch(&self, mut command: Command, line: &str) -> Running {
        let (out, err) = (self.path(".stdout"), self.path(".stderr"));
        let file = |path| Stdio::from(std::fs::File::create(path).expect("a file"));
        let child = command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err)).spawn().expect("it starts");
        Running { child, out, err, line: line.to_owned() }
    }
}

/// Runs a program on a terminal of its own.
const TERMINAL: &str = r#"
import os, pty, sys
answer, argv = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(argv[0], argv)
shown, asked = b"", False
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    shown += part
    if b"[y/N]" in shown and not asked:
        asked = True
        if answer == "^C":
            os.write(terminal, b"\x03")
        else:
            os.write(terminal, answer.encode() + b"\n")
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
print("exit code", os.waitstatus_to_exitcode(status))
"#;

/// A command that is under way.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    line: String,
}

impl Running {
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by its own id.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ran {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < PATIENCE, "it does not end: {}{}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        let code = self.child.wait().expect("its end").code();
        Ran { line: self.line.clone(), code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("lictor {}\n{}{}", self.line, self.stdout(), self.stderr());
        }
    }
}

/// Waits until `is` holds.
#[track_caller]
pub fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "not after {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Ran {
    fn new(line: &str, output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            line: line.to_owned(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ lictor {}", self.line)?;
        let part = |f: &mut std::fmt::Formatter<'_>, name: &str, text: &str| match text {
            "" => Ok(()),
            text if text.ends_with('\n') => write!(f, "--- {name}\n{text}"),
            text => write!(f, "--- {name}, which ends without a line's end\n{text}\n"),
        };
        part(f, "stdout", &self.stdout)?;
        part(f, "stderr", &self.stderr)?;
        writeln!(f, "--- exit code {}", self.code.map_or_else(|| "none".to_owned(), |code| code.to_string()))
    }
}

/// Compares whole commands, their output, errors and exit codes, with `tests/snapshots/NAME.txt`; ids and indexes are
/// masked. `LICTOR_GENERATE` writes the file anew: look at what it says before you keep it.
#[track_caller]
pub fn snapshot(name: &str, commands: &[Ran]) {
    let mut text = String::new();
    for ran in commands {
        let _ = writeln!(text, "{ran}");
    }
    let text = masked(&text);
    let path = root().join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("LICTOR_GENERATE").is_some() {
        std::fs::write(&path, &text).expect("the snapshot");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = similar::TextDiff::from_lines(&stored, &text);
    assert!(stored == text, "{}:\n{}", path.display(), difference.unified_diff());
}

/// `text` with one word in the place of each id of a session, index, address or time.
pub fn masked(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "\",;:()'`|*<".contains(c)) {
        let bare = word.trim_end_matches(|c: char| c.is_whitespace() || "\",;:()'`|*<.".contains(c));
        let groups: Vec<usize> = bare.split('-').map(str::len).collect();
        let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let before = words.last().map_or("", |word: &String| word.trim_end());
        let mask = match groups.as_slice() {
            [8, 4, 4, 4, 12] if hex(bare) => "ID",
            [32] if hex(bare) => "DIGEST",
            [_] if !bare.is_empty() && before == "index" && bare.chars().all(|c| c.is_ascii_digit()) => "N",
            _ => bare,
        };
        words.push(word.replacen(bare, mask, 1));
    }
    words.concat()
}

/// Everything that Consul keeps and people make: keys with values and indexes, sessions, services.
pub fn world(agent: &Agent) -> BTreeMap<String, Value> {
    let mut world = BTreeMap::new();
    for pair in agent.tree("") {
        world.insert(format!("key {}", pair["Key"]), pair);
    }
    for session in agent.get("/v1/session/list").as_array().expect("a list") {
        world.insert(format!("session {}", session["ID"]), session.clone());
    }
    for node in agent.get("/v1/catalog/nodes").as_array().expect("a list") {
        let name = node["Node"].as_str().expect("a name");
        let services = agent.get(&format!("/v1/catalog/node/{name}"));
        world.insert(format!("node {name}"), services["Services"].clone());
        world.insert(format!("checks {name}"), checks(&agent.get(&format!("/v1/health/node/{name}"))));
    }
    world.insert("agent".to_owned(), agent.get("/v1/agent/services"));
    world
}

/// What checks are, without what they have last found.
fn checks(checks: &Value) -> Value {
    let mut checks = checks.clone();
    for check in checks.as_array_mut().expect("a list") {
        for changing in ["Output", "ModifyIndex", "Status"] {
            check.as_object_mut().expect("a check").remove(changing);
        }
    }
    checks
}

/// The value of a key.
pub fn value(agent: &Agent, key: &str) -> Option<String> {
    use base64::Engine as _;
    let pairs = agent.tree(key);
    let pair = pairs.iter().find(|pair| pair["Key"] == *key)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(pair["Value"].as_str().unwrap_or_default());
    Some(String::from_utf8_lossy(&bytes.expect("base64")).into_owned())
}

/// The words of a line, as a shell tells them apart.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(place, part)| match place % 2 {
            0 => part.split_whitespace().map(ToOwned::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}
