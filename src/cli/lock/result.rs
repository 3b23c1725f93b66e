//! The file of `--result-file`.

use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use crate::cli::supervise::{Ended, Moment};

/// What became of a run. Moments are nanoseconds of the system's monotonic clock (`CLOCK_MONOTONIC`).
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    #[serde(skip)]
    file: Option<PathBuf>,
    /// The key of the lock, or of the permit.
    key: String,
    /// The fencing token; absent where the lock was not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<u64>,
    /// When the lease ends, as far as it was known when this was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_deadline: Option<Moment>,
    /// When the command had ended, and all that it started with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_ended: Option<Moment>,
    /// The command's exit code, or 128 and its signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_code: Option<u8>,
    /// The exit code of lictor; absent while the command runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

impl Outcome {
    pub fn new(key: String, file: Option<PathBuf>) -> Self {
        Self { file, key, token: None, lease_deadline: None, command_ended: None, command_code: None, code: None }
    }

    /// The lock is held, and the command is about to start.
    pub fn held(&mut self, key: &str, token: u64, deadline: Moment) -> Result<(), Failure> {
        (self.key, self.token, self.lease_deadline) = (key.to_owned(), Some(token), Some(deadline));
        self.write()
    }

    /// The command has ended, under a lease until `deadline`.
    pub fn ended(&mut self, ended: Option<&Ended>, deadline: Moment) {
        self.lease_deadline = Some(deadline);
        self.command_ended = ended.map(|ended| ended.at);
        self.command_code = ended.map(|ended| ended.code);
    }

    /// All is over.
    pub fn over(&mut self, code: u8) -> Result<(), Failure> {
        self.code = Some(code);
        self.write()
    }

    /// Writes it in one step: whoever reads it meanwhile finds the old one or the new one.
    fn write(&self) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut name = file.as_os_str().to_owned();
        name.push(".new");
        let text = format!("{}\n", serde_json::to_string(self).unwrap_or_default());
        let written = std::fs::write(&name, text).and_then(|()| std::fs::rename(&name, file));
        written.map_err(|source| Failure::System { what: format!("cannot write {}", file.display()), source })
    }
}
