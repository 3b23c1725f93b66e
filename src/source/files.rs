//! The files of specs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::spec::{Fault, Text};

/// The largest file of specs, in bytes. 100,000 objects take some 10 MB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What the names of specs end in.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads the files that `paths` name: files, folders with all below them (`*.yaml`, `*.yml`, `*.json`, sorted; names that
/// begin with a dot are passed over), and `-` for standard input. A file that is named twice is read once. What can't be
/// read is a fault, and the others are read all the same.
pub fn read(paths: &[PathBuf]) -> (Vec<Text>, Vec<Fault>) {
    let mut reading = Reading::default();
    for path in paths {
        if path.as_os_str() == "-" {
            if reading.seen.insert("-".into()) {
                reading.add(path, io::stdin().lock(), 0, Path::new("."));
            }
        } else if path.is_dir() {
            let before = reading.found;
            reading.folder(path, path, &mut Vec::new());
            if reading.found == before {
                let hint = format!("files of specs end in .{}", ENDINGS.join(", ."));
                reading.fault(path, "no file of specs in this folder", Some(&hint));
            }
        } else {
            reading.file(path, folder_of(path));
        }
    }
    (reading.texts, reading.faults)
}

#[derive(Default)]
struct Reading {
    texts: Vec<Text>,
    faults: Vec<Fault>,
    /// How many files were found, faulty ones and ones that were read before too.
    found: usize,
    /// The files that were read, by their real paths.
    seen: BTreeSet<PathBuf>,
}

impl Reading {
    fn fault(&mut self, path: &Path, message: &str, hint: Option<&str>) {
        self.faults.push(Fault::of_file(path.display().to_string(), message, hint));
    }

    /// `above`: the real paths of the folders that this one is in, so that a link back to one of them is seen.
    fn folder(&mut self, folder: &Path, tree: &Path, above: &mut Vec<PathBuf>) {
        let entries = fs::canonicalize(folder).and_then(|real| Ok((real, sorted(folder)?)));
        let (real, entries) = match entries {
            Ok(found) => found,
            Err(error) => {
                self.found += 1;
                return self.fault(folder, &format!("this folder can't be read: {error}"), None);
            }
        };
        if above.contains(&real) {
            self.found += 1;
            return self.fault(folder, "this link leads back to a folder that it is in", Some("take the link away"));
        }
        above.push(real);
        for path in entries {
            if path.is_dir() {
                self.folder(&path, tree, above);
            } else if !path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
                // Something else.
            } else if path.is_file() || path.is_symlink() {
                self.file(&path, tree);
            } else {
                self.found += 1;
                self.fault(&path, "this is no file", None);
            }
        }
        above.pop();
    }

    fn file(&mut self, path: &Path, tree: &Path) {
        self.found += 1;
        match File::open(path) {
            Ok(file) => {
                // A pipe, such as `<(...)` of a shell, has no real path.
                let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                if self.seen.insert(real) {
                    let size = file.metadata().map_or(0, |file| file.len());
                    self.add(path, file, size, tree);
                }
            }
            Err(error) => self.fault(path, &format!("can't be read: {error}"), None),
        }
    }

    /// `size`: how long it most likely is, in bytes.
    fn add(&mut self, path: &Path, reader: impl Read, size: u64, tree: &Path) {
        // With room to see the end, so that it is read at once.
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(LARGEST)).unwrap_or(0) + 64);
        match reader.take(LARGEST + 1).read_to_end(&mut bytes) {
            Err(error) => return self.fault(path, &format!("can't be read: {error}"), None),
            Ok(_) if bytes.len() as u64 > LARGEST => {
                let hint = "split it: a call takes several files";
                return self.fault(path, &format!("larger than {} MB", LARGEST / 1024 / 1024), Some(hint));
            }
            Ok(_) => {}
        }
        match String::from_utf8(bytes) {
            Ok(mut content) => {
                if content.starts_with('\u{feff}') {
                    content.remove(0); // a byte order mark
                }
                let name = path.display().to_string().into();
                self.texts.push(Text { name, content, folder: folder_of(path).into(), tree: tree.into() });
            }
            Err(error) => self.not_utf8(path, error.as_bytes(), error.utf8_error().valid_up_to()),
        }
    }

    fn not_utf8(&mut self, path: &Path, bytes: &[u8], valid: usize) {
        let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
        let line = before.rsplit('\n').next().unwrap_or_default();
        let mut fault = Fault::of_file(
            path.display().to_string(),
            "not UTF-8",
            Some("specs are UTF-8; bytes stand in value: {base64: ...}"),
        );
        fault.line = before.matches('\n').count() as u64 + 1;
        fault.column = line.chars().count() as u64 + 1;
        self.faults.push(fault);
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` in `folder`, for people: nothing is put before it where the folder is the current one.
pub(super) fn joined(folder: &Path, path: &Path) -> PathBuf {
    if folder.as_os_str() == "." { path.to_owned() } else { folder.join(path) }
}

/// What is in a folder, sorted by name, without what begins with a dot.
pub(super) fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            paths.push(joined(folder, name.as_ref()));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
