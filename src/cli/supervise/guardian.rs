//! `lictor guardian COMMAND...`: the process between us and a command. It starts the command, and ends it when the lease
//! ends that it last heard of, or when nobody gives it orders any more. It asks nobody, and needs nobody.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process_group, set_child_subreaper, waitid,
};

use super::family::{self, Which};
use super::order::{Ended, Moment, Order, Report, Start, nanos, now};
use super::terminal::Terminal;
use super::{program, signals};

/// The name of this command. It is none of those that clap knows: it is for us alone.
pub(in crate::cli) const NAME: &str = "guardian";

/// How long before the end of the lease the command is killed: killing takes a moment, and so may we, where the machine is
/// busy.
pub(super) const MARGIN: Duration = Duration::from_millis(500);

enum Event {
    Order(Order),
    /// Nobody gives orders any more.
    Alone,
    Stopped(i32),
    /// Its exit code.
    Exited(u8),
}

/// Waits for orders on standard input, a socket.
pub(in crate::cli) fn run(command: &[OsString]) -> ExitCode {
    match guard(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lictor: the guardian failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn guard(command: &[OsString]) -> io::Result<()> {
    signals::outlive()?;
    set_child_subreaper(Some(getpid()))?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let stdin = receive(&control)?;
    let mut orders = BufReader::new(control.try_clone()?).lines();
    let Some(first) = orders.next() else { return Ok(()) }; // whoever started us gave up before
    let Order::Start(start) = parse(&first?)? else { return Err(io::Error::other("the first order is no start")) };
    let Some((program, arguments)) = command.split_first() else { return Err(io::Error::other("no command")) };
    let lease = Lease::of(&start);
    if now() >= lease.ask_at {
        return report(&control, &Report::Late); // whoever gave the order was stopped before, or we were
    }
    let spawned = Command::new(program)
        .args(arguments)
        .envs(start.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(stdin))
        .process_group(0)
        .spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) => return report(&control, &Report::Failed(program::refused(&error))),
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let (events, news) = mpsc::channel();
    let told = events.clone();
    std::thread::spawn(move || {
        for line in orders {
            let Some(order) = line.ok().and_then(|line| parse(&line).ok()) else { break };
            if told.send(Event::Order(order)).is_err() {
                return;
            }
        }
        let _ = told.send(Event::Alone);
    });
    std::thread::spawn(move || watch(pid, &events));
    let job = Pid::from_raw(start.job).unwrap_or_else(getpid);
    let mut ward = Ward { control, pid, terminal: Terminal::between(job, pid), lease };
    report(&ward.control, &Report::Started(pid.as_raw_nonzero().get()))?;
    ward.keep(&news)
}

fn parse(line: &str) -> io::Result<Order> {
    Ok(crate::json::read(line.as_bytes())?)
}

fn report(mut control: &UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    match control.write_all(&line) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()), // the end of the orders says so, too
        done => done,
    }
}

/// The command's standard input, which comes over the socket, for ours is the socket itself.
fn receive(control: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    recvmsg(control, &mut [IoSliceMut::new(&mut [0])], &mut with, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = with.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.flatten().next().ok_or_else(|| io::Error::other("there came no standard input"))
}

/// Tells when the command stops and ends. It stays a zombie, so that its process id is nobody else's.
fn watch(pid: Pid, events: &Sender<Event>) {
    let both = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    while let Ok(Some(status)) = waitid(WaitId::Pid(pid), both) {
        let Some(signal) = status.stopping_signal() else {
            let _ = events.send(Event::Exited(code(&status)));
            return;
        };
        // Taken note of, or it would be told again at once.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        let _ = events.send(Event::Stopped(signal));
    }
}

fn code(status: &WaitIdStatus) -> u8 {
    let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// What is left of the hold.
struct Lease {
    grace: u64,
    ask_at: Moment,
    kill_at: Moment,
    /// Whether the command was asked to end: then nothing brings the lease back.
    asked: bool,
}

impl Lease {
    fn of(start: &Start) -> Self {
        let mut lease = Self { grace: start.grace, ask_at: 0, kill_at: 0, asked: false };
        lease.ends_at(start.deadline);
        lease
    }

    fn ends_at(&mut self, deadline: Moment) {
        if !self.asked {
            let margin = nanos(MARGIN);
            self.kill_at = deadline.saturating_sub(margin);
            self.ask_at = deadline.saturating_sub(self.grace.max(margin));
        }
    }
}

/// The command, and what is needed to end it.
struct Ward {
    control: UnixStream,
    pid: Pid,
    terminal: Option<Terminal>,
    lease: Lease,
}

impl Ward {
    fn keep(&mut self, news: &Receiver<Event>) -> io::Result<()> {
        let (code, by_us) = loop {
            let at = now();
            if at >= self.lease.kill_at {
                break (128 + 9, true);
            }
            if at >= self.lease.ask_at && !self.lease.asked {
                self.ask();
            }
            let next = if self.lease.asked { self.lease.kill_at } else { self.lease.ask_at };
            match news.recv_timeout(Duration::from_nanos(next.saturating_sub(at))) {
                Ok(Event::Order(order)) => self.obey(&order),
                Ok(Event::Alone) => break (128 + 9, true),
                Ok(Event::Stopped(signal)) => self.stopped(signal)?,
                // Where the time is over, it was ended for us: we were stopped.
                Ok(Event::Exited(code)) => break (code, self.lease.asked || now() >= self.lease.kill_at),
                Err(_) => {} // the time has come: the threads outlive the command
            }
        };
        if let Some(terminal) = &self.terminal {
            terminal.take_back();
        }
        family::kill(if by_us { Which::All } else { Which::InSession });
        report(&self.control, &Report::Ended(Ended { code, by_us, at: now() }))
    }

    /// Asks the command, and all that it started, to end.
    fn ask(&mut self) {
        self.lease.asked = true;
        family::signal(Which::All, Signal::TERM);
        family::signal(Which::All, Signal::CONT); // what is stopped cannot hear
    }

    fn obey(&mut self, order: &Order) {
        match order {
            Order::Start(_) => {} // it has
            Order::Deadline(deadline) => self.lease.ends_at(*deadline),
            Order::Signal(signal) => self.send(Signal::from_named_raw(*signal)),
            Order::Lost(within) => {
                self.lease.kill_at = self.lease.kill_at.min(now().saturating_add(*within));
                if !self.lease.asked {
                    self.ask();
                }
            }
            Order::Continue => {
                self.lend();
                self.send(Some(Signal::CONT));
            }
        }
    }

    fn send(&self, signal: Option<Signal>) {
        if let Some(signal) = signal {
            let _ = kill_process_group(self.pid, signal); // it may just have ended
        }
    }

    fn lend(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::lend)
    }

    /// The command was stopped. Where it asked for the terminal, it gets it; where the user stopped it, the user gets the
    /// terminal back, and the whole job stops.
    fn stopped(&self, signal: i32) -> io::Result<()> {
        let asks = [Signal::TTIN, Signal::TTOU].iter().any(|one| one.as_raw() == signal);
        if asks && self.lend() {
            self.send(Some(Signal::CONT));
            return Ok(());
        }
        let Some(terminal) = &self.terminal else { return Ok(()) };
        terminal.take_back();
        report(&self.control, &Report::Stopped)
    }
}
