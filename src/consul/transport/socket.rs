//! TCP and Unix sockets. ureq's own look at a connection with three calls of the system before each request, three behind
//! it, and two that set timeouts: ten a request, where these make four.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout as Direction, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

/// The shortest time that a connection is given, however many addresses there are to try.
const SHORTEST: Duration = Duration::from_millis(10);

/// Connects to the Unix socket at a path, whatever the URI's host is; without one, to that host.
#[derive(Debug)]
pub(super) struct SocketConnector(pub Option<PathBuf>);

impl Connector for SocketConnector {
    type Out = Socket;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Socket>, Error> {
        let file = match &self.0 {
            Some(path) => UnixStream::connect(path)?.into(),
            None => tcp(details)?.into(),
        };
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Socket { file, buffers, receive: None, send: None }))
    }
}

/// Tries one address after the other; each gets its share of the time that is left.
fn tcp(details: &ConnectionDetails) -> Result<TcpStream, Error> {
    let start = Instant::now();
    let mut failed = Error::ConnectionFailed;
    for (address, to_try) in details.addrs.iter().zip((1..=details.addrs.len()).rev()) {
        let connected = match details.timeout.not_zero() {
            None => TcpStream::connect(address),
            Some(all) => {
                let share = all.saturating_sub(start.elapsed()) / u32::try_from(to_try).unwrap_or(u32::MAX);
                TcpStream::connect_timeout(address, share.max(SHORTEST))
            }
        };
        failed = match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Error::Timeout(Timeout::Connect),
            Err(error) => Error::Io(error),
        };
    }
    Err(failed)
}

/// A connection.
pub(super) struct Socket {
    file: OwnedFd,
    buffers: LazyBuffers,
    /// How long the system waits when it receives, as it was told last.
    receive: Option<Duration>,
    /// And when it sends.
    send: Option<Duration>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// How long a socket may take over something.
struct Limit {
    direction: Direction,
    reason: Timeout,
    end: Option<Instant>,
}

impl Limit {
    fn new(direction: Direction, timeout: NextTimeout) -> Self {
        let end = if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) };
        Self { direction, reason: timeout.reason, end }
    }

    /// Does `call`, which waits. `told` is what the system was told last of how long it may: it is told anew where that is
    /// off by more than a thousandth, which for each of many requests with one timeout it is not.
    fn wait(
        &self,
        file: &OwnedFd,
        told: &mut Option<Duration>,
        mut call: impl FnMut() -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        loop {
            let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout(self.reason));
            }
            let fits = match (*told, left) {
                (Some(told), Some(left)) => told.abs_diff(left) <= left / 1000,
                (told, left) => told == left,
            };
            if !fits {
                set_socket_timeout(file, self.direction, left).map_err(std::io::Error::from)?;
                *told = left;
            }
            match call() {
                // The time is up, or nearly so; or a signal came.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Ok(result.map_err(std::io::Error::from)?),
            }
        }
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Self { file, buffers, send: told, .. } = self;
        let mut output = buffers.output().get(..amount).unwrap_or_default();
        let limit = Limit::new(Direction::Send, timeout.for_write());
        while !output.is_empty() {
            let sent = limit.wait(file, told, || send(&*file, output, SendFlags::NOSIGNAL))?;
            output = output.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Self { file, buffers, receive: told, .. } = self;
        let input = buffers.input_append_buf();
        let limit = Limit::new(Direction::Recv, timeout.for_read());
        let amount = limit.wait(file, told, || Ok(recv(&*file, &mut *input, RecvFlags::empty())?.1))?;
        buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A kept connection that the agent has closed reads as its end; an idle one would block.
        let next = recv(&self.file, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(next, Err(Errno::AGAIN))
    }
}
