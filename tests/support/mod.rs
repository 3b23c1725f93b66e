//! What the suites share: a real agent, a proxy that misbehaves on demand, and the module run as Ansible runs it.
#![allow(dead_code, reason = "each suite uses a part")]

pub mod agent;
pub mod dev;
pub mod kill;
pub mod lab;
pub mod proxy;
pub mod recipe;
pub mod run;
pub mod target;
pub mod tls;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

#[allow(unused_imports, reason = "each suite uses a part")]
pub use agent::Agent;
#[allow(unused_imports, reason = "each suite uses a part")]
pub use dev::Dev;

/// A name that no other test has, in this run or beside it.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{stem}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where a tool is, as `scripts/tools.sh` knows it.
pub fn tool(name: &str) -> PathBuf {
    let output = Command::new(root().join("scripts/tools.sh")).args(["path", name]).output().expect("scripts/tools.sh");
    assert!(output.status.success(), "scripts/tools.sh path {name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim().into()
}

/// What a module answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub json: Value,
    pub stderr: String,
}

impl Answer {
    /// The result of a module that did not fail.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!((self.code, self.json.get("failed")), (0, None), "{}", self.json);
        self.json
    }

    /// The message of one that did, which has to hold every one of `words`.
    #[track_caller]
    pub fn fails_with(self, words: &[&str]) -> Value {
        assert_eq!((self.code, &self.json["failed"]), (1, &json!(true)), "{}", self.json);
        let message = self.json["msg"].as_str().expect("a message");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
        self.json
    }
}

/// A call of a module.
#[derive(Clone, Debug)]
pub struct Module {
    arguments: Value,
    environment: Vec<(String, String)>,
}

/// `consul_session` with these options.
pub fn consul_session(options: Value) -> Module {
    module("consul_session", options)
}

/// This module with these options.
pub fn module(name: &str, options: Value) -> Module {
    let mut arguments = options;
    arguments["_ansible_module_name"] = json!(name);
    Module { arguments, environment: Vec::new() }
}

impl Module {
    /// Talk to this agent.
    pub fn at(mut self, address: &str) -> Self {
        self.arguments["host"] = json!(address);
        self
    }

    pub fn option(mut self, name: &str, value: Value) -> Self {
        self.arguments[name] = value;
        self
    }

    pub fn check_mode(self) -> Self {
        self.option("_ansible_check_mode", json!(true))
    }

    pub fn diff_mode(self) -> Self {
        self.option("_ansible_diff", json!(true))
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn run(self) -> Answer {
        let child = self.spawn();
        finish(child)
    }

    /// Starts it, and does not wait.
    pub fn spawn(self) -> Child {
        start(self.arguments.to_string().as_bytes(), &self.environment)
    }
}

/// Runs the module binary with `input` on standard input, whatever that is.
pub fn run_raw(input: &[u8]) -> Answer {
    finish(start(input, &[]))
}

fn start(input: &[u8], environment: &[(String, String)]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lictor-module"))
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the module starts");
    let written = child.stdin.take().expect("standard input").write_all(input);
    // A module that has seen enough closes its end.
    assert!(written.is_ok() || written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe));
    child
}

/// Waits for a module, and reads its answer: one JSON object, and nothing else.
#[track_caller]
pub fn finish(child: Child) -> Answer {
    let output = child.wait_with_output().expect("the module ends");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout:?}"));
    assert!(json.is_object(), "{json}");
    Answer {
        code: output.status.code().expect("an exit code"),
        json,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
