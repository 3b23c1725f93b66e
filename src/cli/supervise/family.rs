//! A process and all that it started, whatever group or session they are in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

/// How long the pause is between two looks at who is left.
const PAUSE: Duration = Duration::from_millis(1);

/// Which of our descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All.
    All,
    /// Those in our own session: a daemon has left it on purpose.
    InSession,
}

/// Sends a signal to our descendants. How many got it.
pub(super) fn signal(which: Which, signal: Signal) -> usize {
    descendants(which).into_iter().filter(|pid| kill_process(*pid, signal).is_ok()).count()
}

/// Kills our descendants, and those that they start meanwhile, and waits until they are gone. Whoever adopts orphans
/// (`PR_SET_CHILD_SUBREAPER`) finds them all. Those that may not be killed, another user's, are left.
pub(super) fn kill(which: Which) {
    // Who has adopted all orphans, and has no child, has no descendants: no need to look at every process of the machine.
    while has_children() && signal(which, Signal::KILL) > 0 {
        std::thread::sleep(PAUSE);
    }
}

/// Whether we have children that live. Those that are dead are taken note of, and gone.
fn has_children() -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(error) => return error != Errno::CHILD,
        }
    }
}

/// Who lives of those that we, or they, started.
fn descendants(which: Which) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<(i32, i32)>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some((parent, links)) = links(&stat) {
            children.entry(parent).or_default().push((pid, links.session));
        }
    }
    let own = own().session;
    let (mut found, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![getpid().as_raw_nonzero().get()]);
    while let Some(parent) = next.pop() {
        for (pid, session) in children.remove(&parent).unwrap_or_default() {
            if seen.insert(pid) {
                next.push(pid);
                if which == Which::All || session == own {
                    found.extend(Pid::from_raw(pid));
                }
            }
        }
    }
    found
}

/// The group and the session of a process; 0 where its leader is outside of our namespace, as with `docker exec`: there
/// the system calls answer 0 as well, which their wrappers do not expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    pub group: i32,
    pub session: i32,
}

/// Our own.
pub(super) fn own() -> Links {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    links(&stat).map(|(_, links)| links).unwrap_or_default()
}

/// Of a line of `/proc/PID/stat`: the parent and the links; `None` where the process is dead. The name of the program, in
/// parentheses, may hold anything.
fn links(stat: &str) -> Option<(i32, Links)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let mut next = || fields.next()?.parse().ok();
    Some((next()?, Links { group: next()?, session: next()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_program_is_called() {
        assert_eq!(links("12 (a) b) S) S 3 4 5 6"), Some((3, Links { group: 4, session: 5 })));
        assert_eq!(links("12 (a) S 0 0 0 6"), Some((0, Links { group: 0, session: 0 })), "in a container");
        assert_eq!(links("12 (a) Z 3 4 5 6"), None, "it is dead");
        assert_eq!(links(""), None);
    }
}
