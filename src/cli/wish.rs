//! What the specs on the command line declare.

use std::path::PathBuf;

use super::connect::{self, Connect};
use super::error::CliError;
use crate::consul::{Client, Query};
use crate::object::DesiredState;
use crate::reconcile::FirstLook;
use crate::source;
use crate::spec;

/// Reads `paths`: files, folders, `-` for standard input; and the variables and files that they name.
///
/// # Errors
/// [`CliError::faults`], every one of every file.
pub(super) fn read(paths: &[PathBuf]) -> Result<DesiredState, CliError> {
    let variable = |name: &str| std::env::var_os(name);
    source::desired(paths, Some(&variable)).map(|(desired, _)| desired).map_err(CliError::faults)
}

/// What specs declare, and the way to the agent.
pub(super) struct Wish {
    pub desired: DesiredState,
    pub client: Client,
    pub query: Query,
    /// What the first plan most likely reads, asked for before the specs were read.
    pub first: Option<FirstLook>,
}

/// As [`read`], while the agent already answers what a plan reads first.
///
/// # Errors
/// As for [`read`]; then, where the agent can't be reached by these flags.
pub(super) fn read_ahead(paths: &[PathBuf], connect: Connect) -> Result<Wish, CliError> {
    let (texts, faults) = source::read(paths);
    // The faults of the specs come first.
    let opened = connect.open();
    let first = opened
        .as_ref()
        .ok()
        .filter(|_| faults.is_empty())
        .and_then(|(client, query)| spec::glance(&texts).map(|nodes| FirstLook::begin(client, query, &nodes)));
    let variable = |name: &str| std::env::var_os(name);
    let desired = source::declared(&texts, faults, Some(&variable)).map_err(CliError::faults)?;
    let (client, query) = connect::settled(opened?, &desired.place)?;
    Ok(Wish { desired, client, query, first })
}

/// The same of what is declared elsewhere, or read again and again: nothing is sent ahead.
///
/// # Errors
/// Where the agent can't be reached by these flags.
pub(super) fn of(desired: DesiredState, connect: Connect) -> Result<Wish, CliError> {
    let (client, query) = connect.open_for(&desired.place)?;
    Ok(Wish { desired, client, query, first: None })
}
