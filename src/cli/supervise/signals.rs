//! The signals that a command is to get when its supervisor does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};

use crate::coordinate::Cancel;

use super::Event;

/// Those that ask for an end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Those that are passed on besides.
const OTHERS: [i32; 4] = [SIGALRM, SIGUSR1, SIGUSR2, SIGWINCH];

/// Passes signals on, from now: each becomes an event, and those that ask for an end also end a wait by `cancel`. What
/// was ignored when we were started stays so, as under `nohup`.
pub(super) fn forward(events: Sender<Event>, cancel: Cancel) -> io::Result<Handle> {
    let ignored = ignored();
    let wanted = ENDING.into_iter().chain(OTHERS).filter(|signal| !is_in(ignored, *signal));
    let mut signals = Signals::new(wanted)?;
    let handle = signals.handle();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // First, for whoever finds the wait cancelled looks here for the reason. Nobody listens any more: we are about to
            // end.
            let _ = events.send(Event::Signal(signal));
            if is_ending(signal) {
                cancel.cancel();
            }
        }
    });
    Ok(handle)
}

/// Whether a signal asks for an end.
pub(super) fn is_ending(signal: i32) -> bool {
    ENDING.contains(&signal)
}

/// From now on none of the signals that can be caught ends this process.
pub(super) fn outlive() -> io::Result<()> {
    let (ignored, nobody) = (ignored(), Arc::new(AtomicBool::new(false)));
    for signal in ENDING.into_iter().chain(OTHERS).chain([SIGPIPE, SIGTSTP]) {
        // A handler, which the command does not inherit, where one that ignores it would be inherited.
        if !is_in(ignored, signal) {
            signal_hook::flag::register(signal, nobody.clone())?;
        }
    }
    Ok(())
}

fn is_in(set: u64, signal: i32) -> bool {
    set & (1 << (signal - 1)) != 0
}

/// The set of signals that are ignored; empty where the system does not say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}
