//! Where specs come from: files, folders of files, standard input. And the files that values come from.

mod files;
mod values;

use std::path::PathBuf;

use crate::object::DesiredState;
use crate::spec::{self, Fault, Text, Values, Variables};

pub use files::read;
pub use values::ValueFiles;

/// What the specs at `paths` declare, and how many files they are.
///
/// `variable` looks up environment variables; where it is `None`, what would come from one is empty, and the state is for
/// looking at only.
///
/// # Errors
/// Every fault of every file.
pub fn desired(paths: &[PathBuf], variable: Option<Variables<'_>>) -> Result<(DesiredState, usize), Vec<Fault>> {
    let (texts, faults) = read(paths);
    declared(&texts, faults, variable).map(|state| (state, texts.len()))
}

/// What `texts` declare, as [`desired`] says it; `faults` are those that were found when the texts were read.
///
/// # Errors
/// Every fault.
pub fn declared(
    texts: &[Text],
    mut faults: Vec<Fault>,
    variable: Option<Variables<'_>>,
) -> Result<DesiredState, Vec<Fault>> {
    match spec::read(texts, Values { files: &ValueFiles, variable }) {
        Ok(state) if faults.is_empty() => Ok(state),
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}
