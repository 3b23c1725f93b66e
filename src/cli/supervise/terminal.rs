//! The terminal, which belongs to one process group at a time: it is lent to the command once the command asks.

use std::fs::File;

use rustix::process::{Pid, setpgid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// The terminal of this session, and between whom it goes.
#[derive(Debug)]
pub(super) struct Terminal {
    tty: File,
    job: Pid,
    command: Pid,
}

impl Terminal {
    /// The terminal between the group `job`, which the shell knows, and the group `command`. `None` where there is none.
    pub fn between(job: Pid, command: Pid) -> Option<Self> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self { tty, job, command })
    }

    /// Lends it to the command, if the job has it. Whether the command has it then.
    pub fn lend(&self) -> bool {
        self.hand(self.job, self.command) || tcgetpgrp(&self.tty) == Ok(self.command)
    }

    /// Takes it back from the command, whose group must not be gone yet.
    pub fn take_back(&self) {
        self.hand(self.command, self.job);
    }

    /// From one group to another. Only a member of the group that has it may do so without being stopped for it
    /// (SIGTTOU): so we join, and leave again.
    fn hand(&self, from: Pid, to: Pid) -> bool {
        if tcgetpgrp(&self.tty) != Ok(from) || setpgid(None, Some(from)).is_err() {
            return false;
        }
        let done = tcsetpgrp(&self.tty, to).is_ok();
        let _ = setpgid(None, None); // a group of our own: there is nothing that could fail
        done
    }
}
