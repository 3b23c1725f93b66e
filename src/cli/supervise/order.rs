//! What a command and its guardian tell each other: one JSON value a line, over a socket.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment by the system's monotonic clock, in nanoseconds: it means the same in every process of the machine.
pub(in crate::cli) type Moment = u64;

/// Now.
pub(in crate::cli) fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The moment of `instant`, or one that is a little earlier: never a later one.
pub(in crate::cli) fn moment(instant: Instant) -> Moment {
    // The clocks are read in this order: whatever comes between makes what is left shorter, and what is past longer.
    let (at, now) = (now(), Instant::now());
    match instant.checked_duration_since(now) {
        Some(left) => at.saturating_add(nanos(left)),
        None => at.saturating_sub(nanos(now.saturating_duration_since(instant))),
    }
}

/// A length of time in nanoseconds.
pub(in crate::cli) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the guardian is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Start the command. Comes once, first.
    Start(Start),
    /// The lease ends at this moment now.
    Deadline(Moment),
    /// Give the command this signal.
    Signal(i32),
    /// The hold is lost: end the command within this many nanoseconds.
    Lost(u64),
    /// Go on, after a stop.
    Continue,
}

/// How to start the command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// Variables, beside those that the guardian has.
    pub variables: Vec<(String, String)>,
    /// When the lease ends.
    pub deadline: Moment,
    /// How long before that the command is asked to end, in nanoseconds.
    pub grace: u64,
    /// The process group of the one who gives the orders.
    pub job: i32,
}

/// What the guardian tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The command runs, under this process id, which is its group's.
    Started(i32),
    /// It could not be started.
    Failed(Failed),
    /// It was not started, for the lease was about to end.
    Late,
    /// It was stopped, as by Ctrl-Z.
    Stopped,
    /// It has ended, and all that it started with it.
    Ended(Ended),
}

/// Why a command did not start.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Failed {
    /// 127 where there is no such command, 126 where it cannot be run: as a shell has it.
    pub code: u8,
    /// What the system said.
    pub what: String,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Ended {
    /// Its exit code, or 128 and the signal that ended it.
    pub code: u8,
    /// Whether the guardian ended it, for the hold was over.
    pub by_us: bool,
    /// When it was all over.
    pub at: Moment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_stays_where_it_is_when_it_is_past() {
        let before = now();
        let instant = Instant::now();
        let after = now();
        std::thread::sleep(Duration::from_millis(5));
        assert!(moment(instant) <= after, "it is no later for being asked later");
        assert!(moment(instant + Duration::from_secs(60)) > before + 59_000_000_000);
    }
}
