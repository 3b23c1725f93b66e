//! The files that values come from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::files::{joined, sorted};
use crate::spec::{Files, Text, ValueFile};

/// The largest file that is read for a value, in bytes: more than any value may have, so that what is wrong with a larger
/// one is said where values are checked.
const LARGEST: u64 = 1024 * 1024;

/// Reads the files of values from the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValueFiles;

impl Files for ValueFiles {
    fn read(&self, text: &Text, path: &str) -> Result<ValueFile, String> {
        let path = joined(&text.folder, path.as_ref());
        let content = content(&within(text, &path)?).map_err(|error| unread(&path, &error))?;
        Ok(ValueFile { name: String::new(), path, content })
    }

    fn folder(&self, text: &Text, path: &str) -> (Vec<ValueFile>, Vec<String>) {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        walk(text, &joined(&text.folder, path.as_ref()), "", &mut Vec::new(), &mut files, &mut problems);
        (files, problems)
    }
}

/// The real path of `path`. An error where that leaves the tree, through a link too.
fn within(text: &Text, path: &Path) -> Result<PathBuf, String> {
    let real = fs::canonicalize(path).map_err(|error| unread(path, &error))?;
    let tree = fs::canonicalize(&text.tree).map_err(|error| unread(&text.tree, &error))?;
    if real.starts_with(&tree) {
        Ok(real)
    } else {
        Err(format!("{path:?} is outside of {:?}: values come from files within it", text.tree))
    }
}

fn unread(path: &Path, error: &io::Error) -> String {
    format!("{path:?} can't be read: {error}")
}

/// Reads what is below `folder`; `name` is its own path, and `above` are the real paths of the folders that it is in.
fn walk(
    text: &Text,
    folder: &Path,
    name: &str,
    above: &mut Vec<PathBuf>,
    files: &mut Vec<ValueFile>,
    problems: &mut Vec<String>,
) {
    let real = match within(text, folder) {
        Ok(real) => real,
        Err(problem) => return problems.push(problem),
    };
    if above.contains(&real) {
        return problems.push(format!("{folder:?} is a link that leads back to a folder that it is in"));
    }
    let entries = match sorted(folder) {
        Ok(entries) => entries,
        Err(error) => return problems.push(unread(folder, &error)),
    };
    above.push(real);
    for path in entries {
        let Some(own) = path.file_name().and_then(|name| name.to_str()) else {
            problems.push(format!("{path:?} has a name that is not UTF-8, and keys are"));
            continue;
        };
        let name = if name.is_empty() { own.to_owned() } else { format!("{name}/{own}") };
        if path.is_dir() {
            walk(text, &path, &name, above, files, problems);
            continue;
        }
        // Each by itself: a link may lead out.
        match within(text, &path).and_then(|real| content(&real).map_err(|error| unread(&path, &error))) {
            Ok(content) => files.push(ValueFile { name, path, content }),
            Err(problem) => problems.push(problem),
        }
    }
    above.pop();
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
