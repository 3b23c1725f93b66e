//! `lictor demo`: the main job in front of somebody, on an agent in memory. Each step is a command of ours, shown as one
//! types it, and has to end as it should.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::error::{CliError, PENDING};
use super::stop::{self, STOP};
use crate::consul::{Client, Settings};
use crate::dev::{Options, Server};

/// Show the main job, step by step, on an agent in memory: no Consul is needed
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Show it on this agent in place of one in memory: it has to be a throw-away one
    #[arg(long, value_name = "ADDRESS")]
    against: Option<String>,
}

const SPEC: &str = include_str!("demo.yaml");

/// The spec's name.
const FILE: &str = "demo.yaml";

/// What the lock of the demo guards.
const LOCK: &str = "demo/migration";

/// How often the demo looks whether the lock is held by now.
const TICK: Duration = Duration::from_millis(50);

const HEADING: Style = Style::new().bold();
const PROMPT: Style = AnsiColor::Cyan.on_default();

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    stop::listen()?;
    let server = match &arguments.against {
        Some(_) => None,
        None => Some(Server::start(Options::default())?),
    };
    let address = match (arguments.against, &server) {
        (Some(address), _) => address,
        (None, server) => server.as_ref().map(|server| server.address().to_string()).unwrap_or_default(),
    };
    let node = node(&address)?;
    let stage = Stage { address, folder: Folder::new()? };
    stage.write(FILE, &SPEC.replace("NODE", &node))?;
    let address = &stage.address;
    match &server {
        Some(_) => println!("An agent in memory answers at http://{address} for as long as this runs (`lictor dev`)."),
        None => println!("Consul answers at {address}."),
    }
    stage.play()
}

/// The name of the agent's node.
fn node(address: &str) -> Result<String, CliError> {
    let config = Settings { host: Some(address.to_owned()), ..Settings::default() }.into_config()?;
    Ok(Client::new(config)?.agent().read_self()?.config.node_name)
}

/// Where commands run, and against which agent.
struct Stage {
    address: String,
    folder: Folder,
}

impl Stage {
    fn play(&self) -> Result<(), CliError> {
        self.heading("A spec says what is to be");
        println!("{PROMPT}$ cat {FILE}{PROMPT:#}\n{}", self.read(FILE)?);

        self.heading("What would change?");
        self.step(&["plan", FILE, "--detailed-exitcode"], PENDING)?;
        self.heading("Make it so");
        self.step(&["apply", FILE, "--yes"], 0)?;
        self.heading("The same again: there is nothing left to do");
        self.step(&["apply", FILE, "--yes"], 0)?;

        self.heading("Somebody changes a key by hand, and deletes another one");
        self.step(&["kv", "put", "demo/config", r#"{"replicas":9}"#], 0)?;
        self.step(&["kv", "rm", "demo/features/search"], 0)?;
        self.heading("The drift is seen: the exit code is 2");
        self.step(&["plan", FILE, "--detailed-exitcode"], PENDING)?;
        self.heading("Mend it");
        self.step(&["apply", FILE, "--yes"], 0)?;
        self.step(&["plan", FILE, "--detailed-exitcode"], 0)?;

        self.heading("Two commands want one lock: the second one waits until the first is done");
        self.contend()?;

        self.heading("Take it all away again");
        self.step(&["destroy", FILE, "--yes"], 0)?;
        println!(
            "\n{HEADING}That was the main job.{HEADING:#} `lictor --help` has the rest, and docs/ tells it at length."
        );
        Ok(())
    }

    fn contend(&self) -> Result<(), CliError> {
        let run = |who: &str, work: &str| {
            let work =
                format!("echo The {who} has the lock, token $LICTOR_FENCING_TOKEN; {work} echo The {who} is done");
            self.start(&["lock", "run", LOCK, "--", "sh", "-c", &work])
        };
        let first = run("first", "sleep 2;")?;
        let held = || -> Result<bool, CliError> {
            let code = self.command(&["lock", "why", LOCK]).stdout(std::process::Stdio::null()).status();
            Ok(code.map_err(unstarted)?.code() != Some(0))
        };
        while !held()? {
            check_stop()?;
            std::thread::sleep(TICK);
        }
        let second = run("second", "")?;
        self.step(&["lock", "why", LOCK], 120)?;
        first.ends("lock run", 0)?;
        second.ends("lock run", 0)
    }

    fn heading(&self, text: &str) {
        println!("\n{HEADING}== {text}{HEADING:#}");
    }

    /// Shows a command, and runs it; it has to end with this code.
    fn step(&self, words: &[&str], code: u8) -> Result<(), CliError> {
        self.start(words)?.ends(words.first().unwrap_or(&""), code)
    }

    /// Shows a command, and starts it.
    fn start(&self, words: &[&str]) -> Result<Running, CliError> {
        check_stop()?;
        println!("{PROMPT}$ lictor {}{PROMPT:#}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        self.command(words).spawn().map(Running).map_err(unstarted)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "lictor".into()));
        command.args(words).current_dir(&self.folder.0);
        // The settings of this shell are for another agent.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONSUL_")) {
            command.env_remove(name);
        }
        command.env("CONSUL_HTTP_ADDR", &self.address);
        command
    }

    fn read(&self, file: &str) -> Result<String, CliError> {
        std::fs::read_to_string(self.folder.0.join(file)).map_err(io_error(&self.folder.0))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), CliError> {
        std::fs::write(self.folder.0.join(file), text).map_err(io_error(&self.folder.0))
    }
}

/// A folder for the spec, gone with the demo.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, CliError> {
        let folder = std::env::temp_dir().join(format!("lictor-demo-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        std::fs::create_dir(&folder).map_err(io_error(&folder))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // the system does it sooner or later
    }
}

/// A command that was started. Dropping it ends it, in an orderly way.
struct Running(Child);

impl Running {
    /// Waits for it; it has to end with this code.
    fn ends(mut self, what: &str, code: u8) -> Result<(), CliError> {
        let ended = self.0.wait().map_err(unstarted)?;
        if ended.code() == Some(code.into()) {
            return Ok(());
        }
        check_stop()?;
        Err(CliError::demo(format!("`lictor {what}` ended with {ended}, and {code} was expected")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None))
            && let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::TERM); // it may just have ended
            let _ = self.0.wait();
        }
    }
}

/// Ends the demo where a signal came.
fn check_stop() -> Result<(), CliError> {
    if STOP.load(Ordering::Relaxed) { Err(CliError::demo("somebody ended it".to_owned())) } else { Ok(()) }
}

/// A word as one types it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn unstarted(source: io::Error) -> CliError {
    CliError::io("cannot run this program once more", source)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let what = format!("cannot use {}", path.display());
    move |source| CliError::io(what, source)
}
