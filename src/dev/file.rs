//! The file that an agent keeps its state in, so that it outlives the process.
//!
//! # Guarantees
//! The file is whole at any time: it is written beside, and put in its place once it is on the disk.
//!
//! # Caveats
//! What was written within the last second may be missing after a kill; a regular end keeps everything. TTLs begin anew,
//! as with a new leader; lock-delays are forgotten, as by a server that is started anew.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Kept, State};

/// The version of files that this program writes, and the latest that it reads.
const VERSION: u64 = 1;

/// Why a file is not taken. It is left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the state file {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no state file, or only the beginning of one.
    #[error("the state file {} is damaged: {problem}; it was left as it is: move it away to start with nothing", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer program wrote it.
    #[error("the state file {} is of version {version}, and this program knows {VERSION}; it was left as it is", .file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Another agent keeps its state in it.
    #[error("another agent keeps its state in {}: name another file", .file.display())]
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the state file {}: {source}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Document<K> {
    version: u64,
    state: K,
}

/// Makes sure that no other agent uses the file, for as long as what this gives is open. The lock is a file beside it, which
/// stays: the state file itself is another one after each write.
pub(super) fn lock(file: &Path) -> Result<File, FileError> {
    let failed = |source| FileError::Write { file: file.to_owned(), source };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(FileError::InUse { file: file.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Reads what was kept, into a state that is new. Where there is no file, there is nothing.
pub(super) fn load(file: &Path, state: &mut State) -> Result<(), FileError> {
    let damaged = |problem: String| FileError::Damaged { file: file.to_owned(), problem };
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(FileError::Read { file: file.to_owned(), source }),
    };
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match version {
        None => return Err(damaged("it names no version".to_owned())),
        Some(version) if version > VERSION => return Err(FileError::Newer { file: file.to_owned(), version }),
        Some(_) => {}
    }
    let document: Document<Kept> = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    state.restore(document.state).map_err(|fault| damaged(fault.0))
}

/// Writes what is to be kept.
pub(super) fn save(file: &Path, kept: &Kept) -> Result<(), FileError> {
    let failed = |source| FileError::Write { file: file.to_owned(), source };
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let written = write(&beside, kept).and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|source| {
        let _ = std::fs::remove_file(&beside); // it is of no use to anybody
        failed(source)
    })
}

fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    // Tokens may be in it.
    let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    let mut to = io::BufWriter::new(created);
    serde_json::to_writer(&mut to, &Document { version: VERSION, state: kept })?;
    to.flush()?;
    to.get_ref().sync_all()
}
