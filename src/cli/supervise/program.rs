//! Whether a command can be run: known before anything is held for it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, access};

use super::order::Failed;

/// Where no such command is.
const MISSING: u8 = 127;

/// Where it is there, and cannot be run.
const NO_PROGRAM: u8 = 126;

/// Looks for `command` as the system does when it starts it: along `path`, unless it has a slash.
///
/// # Errors
/// The exit code and the reason. That it is no program after all, such as a script without an interpreter, shows only
/// when it is started.
pub(in crate::cli) fn find(command: &OsStr, path: &OsStr) -> Result<(), Failed> {
    let places: Vec<_> = if command.as_bytes().contains(&b'/') {
        vec![Path::new(command).to_owned()]
    } else {
        std::env::split_paths(path).map(|folder| folder.join(command)).collect()
    };
    let mut code = MISSING;
    for place in places {
        match std::fs::metadata(&place) {
            Ok(found) if found.is_file() && access(&place, Access::EXEC_OK).is_ok() => return Ok(()),
            Ok(_) => code = NO_PROGRAM,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => code = NO_PROGRAM,
            Err(_) => {}
        }
    }
    let what = if code == MISSING { "there is no such command" } else { "it cannot be executed" };
    Err(Failed { code, what: what.to_owned() })
}

/// The same, of what the system said when it was to start the command.
pub(super) fn refused(error: &io::Error) -> Failed {
    let code = if error.kind() == io::ErrorKind::NotFound { MISSING } else { NO_PROGRAM };
    Failed { code, what: error.to_string() }
}
