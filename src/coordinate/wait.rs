//! Waiting for news from Consul, with an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::consul::{self, Watch};

use super::{Error, Session};

/// How often somebody who waits looks at the session and the cancel flag. It asks nobody; but of a hundred who wait on one
/// machine each look is felt.
const TICK: Duration = Duration::from_millis(50);

/// The longest pause before something is tried again that waits for time to pass: a lock-delay, or a failure of the cluster.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How long one blocking query waits, at most: the thread of a wait that was given up ends after that.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// Ends a wait from another thread.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl From<Arc<AtomicBool>> for Cancel {
    /// Used once the flag is set: as a signal's handler does.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

impl Cancel {
    /// One that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every wait that was given this.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release); // what was done before is seen by who sees this
    }

    /// Whether it was used.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A blocking query that another thread waits for, so that we can give up while it is under way.
pub(super) struct Waiter<T> {
    ask: Sender<()>,
    answers: Receiver<Result<T, consul::Error>>,
}

impl<T: DeserializeOwned + Default + Send + 'static> Waiter<T> {
    /// Begins to wait. The first answer comes at once.
    pub fn start(watch: Watch<T>) -> Self {
        let ((ask, asked), (tell, answers)) = (mpsc::channel(), mpsc::channel());
        let mut watch = watch.wait(WAIT);
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                let Some(answer) = watch.next() else { return };
                if tell.send(answer.map(|(value, _)| value)).is_err() {
                    return;
                }
            }
        });
        Self { ask, answers }
    }
}

/// Until when somebody waits.
pub(super) struct Limits<'a> {
    session: Option<&'a Session>,
    until: Option<Instant>,
    cancel: Option<&'a Cancel>,
}

impl<'a> Limits<'a> {
    /// `session` is what the wait is for, if for any: it ends with it.
    pub fn new(session: Option<&'a Session>, timeout: Option<Duration>, cancel: Option<&'a Cancel>) -> Self {
        // What no clock can show is for ever.
        Self { session, until: timeout.and_then(|timeout| Instant::now().checked_add(timeout)), cancel }
    }

    /// Whether there is time left. An error where the session is lost: there is nothing to wait for.
    pub fn go_on(&self) -> Result<bool, Error> {
        self.session.map_or(Ok(()), Session::check)?;
        let over = self.until.is_some_and(|until| until <= Instant::now());
        Ok(!over && !self.cancel.is_some_and(Cancel::is_cancelled))
    }

    /// How long to wait before the next look: to the end, where that is near.
    fn tick(&self) -> Duration {
        self.until.map_or(TICK, |until| TICK.min(until.saturating_duration_since(Instant::now())))
    }

    /// The next answer; `None` where the wait is over. While the agent fails, it is asked again, until then.
    pub fn next<T>(&self, waiter: &Waiter<T>) -> Result<Option<T>, Error> {
        while self.go_on()? {
            if waiter.ask.send(()).is_err() {
                return Ok(None); // the thread never ends before us
            }
            loop {
                match waiter.answers.recv_timeout(self.tick()) {
                    Ok(Ok(answer)) => return Ok(Some(answer)),
                    Ok(Err(error)) if error.is_denied() => return Err(error.into()),
                    Ok(Err(_)) => break,
                    Err(RecvTimeoutError::Disconnected) => return Ok(None),
                    Err(RecvTimeoutError::Timeout) if self.go_on()? => {}
                    Err(RecvTimeoutError::Timeout) => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    /// Rests before another try, where `error` may pass; else, or where the wait is over meanwhile, gives it back: what was tried
    /// may have been done.
    pub fn outlast(&self, error: Error) -> Result<(), Error> {
        if error.may_pass() && self.rest(PAUSE)? { Ok(()) } else { Err(error) }
    }

    /// Does `work` until it fails with nothing that may pass, or the wait is over.
    pub fn outlasting<T>(&self, mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match work() {
                Ok(done) => return Ok(done),
                Err(error) => self.outlast(error)?,
            }
        }
    }

    /// Rests for up to `pause`, with jitter. False where the wait is over.
    pub fn rest(&self, pause: Duration) -> Result<bool, Error> {
        let until = Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        while Instant::now() < until {
            if !self.go_on()? {
                return Ok(false);
            }
            std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
        }
        self.go_on()
    }
}
