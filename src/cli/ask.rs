//! Asks before something is done that cannot be taken back.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::error::CliError;
use super::stop::STOP;

/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Whether [`confirm`] could ask, to be called before anything is locked for it.
///
/// # Errors
/// Wrong usage where nobody can be asked, and `yes` was not given.
pub(super) fn possible(yes: bool) -> Result<(), CliError> {
    if yes || (io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(());
    }
    let problem = "this asks before it changes anything, and there is no terminal to ask on: give --yes";
    Err(CliError::usage(problem))
}

/// Goes on where `question` is answered with yes: by `--yes`, or on the terminal. It is asked on standard error, for
/// standard output is the result's.
///
/// # Errors
/// [`CliError::declined`] where the answer is another, or a signal comes; and those of [`possible`].
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    possible(yes)?;
    let unasked = |source| CliError::io("cannot ask", source);
    eprint!("{question} [y/N] ");
    io::stderr().flush().map_err(unasked)?;
    // Where signals are waited for, they do not end a read.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        tell.send(read.map(|_| answer))
    });
    loop {
        match told.recv_timeout(TICK) {
            Ok(answer) => {
                let yes = matches!(answer.map_err(unasked)?.trim(), "y" | "Y" | "yes");
                return if yes { Ok(()) } else { Err(CliError::declined()) };
            }
            Err(RecvTimeoutError::Timeout) if !STOP.load(Ordering::Relaxed) => {}
            Err(_) => return Err(CliError::declined()),
        }
    }
}
