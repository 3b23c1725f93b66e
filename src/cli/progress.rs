//! How far an apply is: a bar on a terminal, nothing elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget};

/// A bar on standard error.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many changes. None is drawn where there is no terminal, or CI says that nobody looks.
    pub fn new(changes: usize) -> Self {
        let shown = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self(ProgressBar::with_draw_target(Some(changes as u64), target))
    }

    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
