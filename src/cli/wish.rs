//! What the specs on the command line declare.

use std::path::PathBuf;

use super::error::CliError;
use crate::object::DesiredState;
use crate::source;

/// Reads `paths`: files, folders, `-` for standard input; and the variables and files that they name.
///
/// # Errors
/// [`CliError::Faults`], with every fault of every file.
pub(super) fn read(paths: &[PathBuf]) -> Result<DesiredState, CliError> {
    let variable = |name: &str| std::env::var_os(name);
    source::desired(paths, Some(&variable)).map(|(desired, _)| desired).map_err(CliError::Faults)
}
