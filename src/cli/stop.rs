//! Signals that ask the program to end: what is under way is finished, and what was done is said.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::error::CliError;

/// What a signal sets, once [`listen`] was called.
pub(super) static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on SIGINT and SIGTERM set [`STOP`] in place of ending the program; a second one ends it at once.
///
/// # Errors
/// Where the system does not let us.
pub(super) fn listen() -> Result<(), CliError> {
    static LISTENING: OnceLock<io::Result<()>> = OnceLock::new();
    let listen = || {
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, and sets it.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, STOP.clone())?;
            signal_hook::flag::register(signal, STOP.clone())?;
        }
        Ok(())
    };
    match LISTENING.get_or_init(listen) {
        Ok(()) => Ok(()),
        Err(error) => Err(CliError::io("cannot wait for signals".to_owned(), error.kind().into())),
    }
}
