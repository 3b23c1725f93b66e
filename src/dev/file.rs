//! The file that an agent keeps its state in, so that it outlives the process.
//!
//! # Guarantees
//! The file is whole at any time: it is written beside, and put in its place once it is on the disk.
//!
//! # Caveats
//! What was written within the last second may be missing after a kill, and of many megabytes what was written while they were
//! written twice; a regular end keeps everything. TTLs begin anew, as with a new leader; lock-delays are forgotten, as by a
//! server that is started anew.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// It is of another agent than this one is to be.
    #[error(
        "the state file {} is of node {node:?} in datacenter {datacenter:?}; it was left as it is: name these with --node and --datacenter", .file.display()
    )]
    Elsewhere {
        /// The file.
        file: PathBuf,
        /// The node of its agent.
        node: String,
        /// Its datacenter.
        datacenter: String,
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

/// The state file of one agent, and of no other for as long as this is open.
#[derive(Debug)]
pub(super) struct StateFile {
    file: PathBuf,
    /// Who has it writes the file. True: nobody does any more.
    closed: Mutex<bool>,
    /// Keeps others out.
    _lock: File,
}

impl StateFile {
    /// Opens it. The lock is a file beside it, which stays: the state file itself is another one after each write.
    pub fn open(file: &Path) -> Result<Self, FileError> {
        // Behind a link, it is what the link names that is put in place.
        let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        // To read a pipe would last for ever, and a device would be replaced by a file.
        if std::fs::metadata(&file).is_ok_and(|there| !there.is_file()) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
            return Err(FileError::Read { file, source });
        }
        let failed = |source| FileError::Write { file: file.clone(), source };
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside(&file, ".lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { file, closed: Mutex::default(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse { file }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Reads what was kept, into a state that is new. Where there is no file, there is nothing.
    pub fn load(&self, state: &mut State) -> Result<(), FileError> {
        let file = || self.file.clone();
        let damaged = |problem: String| FileError::Damaged { file: file(), problem };
        let bytes = match std::fs::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(FileError::Read { file: file(), source }),
        };
        let Versioned { version } = crate::json::read(&bytes).map_err(|error| damaged(error.to_string()))?;
        match version {
            None => return Err(damaged("it names no version".to_owned())),
            Some(version) if version > VERSION => return Err(FileError::Newer { file: file(), version }),
            Some(_) => {}
        }
        let document: Document<Kept> = crate::json::read(&bytes).map_err(|error| damaged(error.to_string()))?;
        let kept = document.state;
        if !state.is_of(&kept) {
            let (node, datacenter) = (kept.node, kept.datacenter);
            return Err(FileError::Elsewhere { file: file(), node, datacenter });
        }
        state.restore(kept).map_err(|fault| damaged(fault.0))
    }

    /// Writes what is to be kept by now, unless it is closed.
    pub fn save(&self, kept: impl FnOnce() -> Kept) -> Result<(), FileError> {
        let closed = self.turn();
        if *closed { Ok(()) } else { self.replace(&kept()) }
    }

    /// Writes what is to be kept, for the last time, behind whoever is writing.
    pub fn close(&self, kept: impl FnOnce() -> Kept) -> Result<(), FileError> {
        let mut closed = self.turn();
        *closed = true;
        self.replace(&kept())
    }

    fn turn(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, kept: &Kept) -> Result<(), FileError> {
        let beside = beside(&self.file, ".tmp"); // one that a kill left is written over
        let written = write(&beside, kept).and_then(|()| std::fs::rename(&beside, &self.file));
        written.map_err(|source| {
            let _ = std::fs::remove_file(&beside); // it is of no use to anybody
            FileError::Write { file: self.file.clone(), source }
        })
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    // Tokens may be in it.
    let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    let mut to = io::BufWriter::new(created);
    serde_json::to_writer(&mut to as &mut dyn io::Write, &Document { version: VERSION, state: kept })?;
    to.flush()?;
    to.get_ref().sync_all()
}
