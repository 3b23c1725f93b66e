//! The agent's time: the real one, and what somebody moved it by.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the agent has been running, as it believes.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    moved: Mutex<Duration>,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now(), moved: Mutex::default() }
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed().saturating_add(*self.moved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves it ahead.
    pub fn advance(&self, by: Duration) {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        *moved = moved.saturating_add(by);
    }
}
