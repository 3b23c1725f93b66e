//! Runs a command for as long as something is held, and not a moment longer.
//!
//! ```text
//! this process --- socket ---> guardian ---> the command, in its own process group
//! ```
//!
//! The guardian alone decides when the command dies: by the clock, at the end of the lease that it last heard of, or when
//! the socket closes, for then this process is gone. So it does not matter whether this process is stopped, busy or
//! killed. Should the guardian die, this process kills the command's group.

mod family;
mod guardian;
mod order;
mod program;
mod signals;
mod terminal;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use signal_hook::consts::SIGTSTP;
use signal_hook::iterator::Handle;

use crate::coordinate::{Cancel, Lost};

pub(super) use guardian::{NAME, run as guardian};
pub(super) use order::{Ended, Failed, Moment, moment};
pub(super) use program::find;

use order::{Order, Report, Start, nanos};

/// How long a guardian that should have ended the command may take to say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens while a command runs.
enum Event {
    Signal(i32),
    Report(Report),
    /// The guardian is dead.
    Alone,
    Deadline(Instant),
    Lost,
}

/// Why a command's end is not known.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It could not be started.
    Failed(Failed),
    /// It was not started: the hold was over, or about to be.
    Late,
    /// The guardian could not do its work; the command, where it ran, was killed.
    Guardian(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Guardian(error)
    }
}

/// A guardian that waits for the order to start its command. Dropping it ends it, and the command.
pub(super) struct Supervisor {
    guardian: Child,
    control: UnixStream,
    events: Sender<Event>,
    news: Receiver<Event>,
    signals: Handle,
}

/// For how long the command may run.
pub(super) struct Hold<'a> {
    /// Tells when the hold is over.
    pub lost: &'a Lost,
    /// How long before the end of the lease the command is asked to end.
    pub grace: Duration,
    /// How long it has to end where the hold is lost all of a sudden.
    pub notice: Duration,
}

impl Supervisor {
    /// Starts a guardian for `command`. From now on signals are caught: they end waits by `cancel`, and the command gets
    /// them once it runs.
    pub fn new(command: &[OsString], cancel: Cancel) -> io::Result<Self> {
        let (events, news) = mpsc::channel();
        let signals = signals::forward(events.clone(), cancel)?;
        let (control, theirs) = UnixStream::pair()?;
        let guardian = Command::new("/proc/self/exe")
            .arg0("lictor")
            .arg(NAME)
            .args(command)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0) // what is sent to our group is not for it
            .spawn()?;
        let stdin = io::stdin();
        let descriptors = [stdin.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        with.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&control, &[IoSlice::new(&[0])], &mut with, SendFlags::empty())?;
        Ok(Self { guardian, control, events, news, signals })
    }

    /// The signal that asked for an end before the command was started.
    pub fn ending_signal(&self) -> Option<i32> {
        self.news.try_iter().find_map(|event| match event {
            Event::Signal(signal) if signals::is_ending(signal) => Some(signal),
            _ => None,
        })
    }

    /// Starts the command with these variables, and waits for its end, and that of all that it started in our session.
    pub fn run(mut self, variables: Vec<(String, String)>, hold: &Hold<'_>) -> Result<Ended, Trouble> {
        if hold.lost.why().is_some() {
            return Err(Trouble::Late); // we were stopped, or the answer that gave us the hold took long
        }
        let deadline = hold.lost.deadline();
        let start = Start { variables, deadline: moment(deadline), grace: nanos(hold.grace), job: family::own().group };
        self.tell(&Order::Start(start))?;
        self.signals.add_signal(SIGTSTP)?;
        self.listen()?;
        self.follow(hold.lost.clone(), deadline);
        let done = self.supervise(deadline, hold.notice);
        drop(self.control);
        let _ = self.guardian.wait(); // it has said what there is to say
        done
    }

    fn tell(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.control.write_all(&line)
    }

    /// Makes events of what the guardian reports.
    fn listen(&self) -> io::Result<()> {
        let (reports, events) = (BufReader::new(self.control.try_clone()?).lines(), self.events.clone());
        std::thread::spawn(move || {
            for line in reports {
                let Some(report) = line.ok().and_then(|line| crate::json::read(line.as_bytes()).ok()) else {
                    break;
                };
                if events.send(Event::Report(report)).is_err() {
                    return;
                }
            }
            let _ = events.send(Event::Alone);
        });
        Ok(())
    }

    /// Makes events of what becomes of the hold.
    fn follow(&self, lost: Lost, mut deadline: Instant) {
        let events = self.events.clone();
        std::thread::spawn(move || {
            loop {
                let event = match lost.next_deadline(deadline) {
                    Ok(next) => {
                        deadline = next;
                        Event::Deadline(next)
                    }
                    Err(_) => Event::Lost,
                };
                let over = matches!(event, Event::Lost);
                if events.send(event).is_err() || over {
                    return;
                }
            }
        });
    }

    fn supervise(&mut self, mut deadline: Instant, notice: Duration) -> Result<Ended, Trouble> {
        let (mut command, mut late) = (None, false);
        loop {
            // The guardian kills a little before. Should it be stopped, we do.
            let last = match late {
                false => deadline.checked_sub(guardian::MARGIN / 2).unwrap_or(deadline),
                true => deadline + PATIENCE,
            };
            let left = last.saturating_duration_since(Instant::now());
            let order = match self.news.recv_timeout(left) {
                Ok(Event::Signal(signal)) => Order::Signal(signal),
                Ok(Event::Deadline(next)) => {
                    deadline = next;
                    Order::Deadline(moment(next))
                }
                Ok(Event::Lost) => Order::Lost(nanos(notice)),
                Ok(Event::Report(Report::Started(pid))) => {
                    command = Pid::from_raw(pid);
                    if late {
                        kill_group(command);
                    }
                    continue;
                }
                Ok(Event::Report(Report::Stopped)) => {
                    let _ = kill_process(getpid(), Signal::STOP); // until the shell says otherwise
                    Order::Continue
                }
                Ok(Event::Report(Report::Ended(ended))) => return Ok(ended),
                Ok(Event::Report(Report::Failed(failed))) => return Err(Trouble::Failed(failed)),
                Ok(Event::Report(Report::Late)) => return Err(Trouble::Late),
                Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => {
                    kill_group(command);
                    return Err(io::Error::other("the guardian ended before the command").into());
                }
                Err(RecvTimeoutError::Timeout) if !late => {
                    // It alone knows all that is to be killed, and whether there is a command: it must live to do that.
                    late = true;
                    kill_group(command);
                    self.resume_guardian();
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    kill_group(command);
                    let _ = self.guardian.kill();
                    return Err(io::Error::other("the guardian did not end the command in time").into());
                }
            };
            // Where the guardian is dead, the next event says so.
            let _ = self.tell(&order);
        }
    }

    fn resume_guardian(&self) {
        if let Some(pid) = i32::try_from(self.guardian.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::CONT); // it may just have ended
        }
    }
}

fn kill_group(command: Option<Pid>) {
    if let Some(group) = command {
        let _ = kill_process_group(group, Signal::KILL); // it may be gone already
    }
}
