//! Specs: texts in YAML or JSON that say what there is to be, and the state that they make, or all that is wrong with
//! them.
//!
//! ```text
//! text -> tree        YAML, each node with its place
//!      -> shape       held against the schema: every fault of structure
//!      -> document    the types that the schema is derived from
//!      -> state       held against the bounds that Consul has, and against each other
//! ```
//!
//! Nothing here reads a file or the environment: [`Values`] does.

mod check;
mod document;
mod fault;
mod gather;
mod glance;
mod key;
mod page;
mod scalar;
mod service;
mod session;
mod shape;
mod tree;
mod typed;
mod write;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use crate::object::DesiredState;

pub use document::{bare_schema, schema};
pub use fault::Fault;
pub use gather::SAVED_PLAN;
pub use glance::glance;
pub use write::document;

/// One file of specs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The file, as it was named; `-` for standard input.
    pub name: Arc<str>,
    /// What it holds.
    pub content: String,
    /// The folder at which the paths in it start.
    pub folder: PathBuf,
    /// The folder that they may not leave.
    pub tree: PathBuf,
}

/// Where values come from that are not in the specs themselves.
#[derive(Clone, Copy)]
pub struct Values<'v> {
    /// Reads the files.
    pub files: &'v dyn Files,
    /// Looks up an environment variable. `None`: nobody looks, and what would come from a variable is empty; such a
    /// state is not to be applied.
    pub variable: Option<Variables<'v>>,
}

/// Looks up an environment variable.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<OsString>;

/// Reads files that specs refer to. Paths start at the folder of the text, and may not leave its tree.
pub trait Files {
    /// The content of a file, or why there is none, in words that follow the path: "can't be read: ...".
    ///
    /// # Errors
    /// See above.
    fn read(&self, text: &Text, path: &str) -> Result<ValueFile, String>;

    /// All files below a folder, sorted, and what is wrong with those that can't be read.
    fn folder(&self, text: &Text, path: &str) -> (Vec<ValueFile>, Vec<String>);
}

/// A file that holds a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueFile {
    /// Its path in the folder that was asked for, with slashes; empty for a single file.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub content: Vec<u8>,
}

/// What `texts` declare together.
///
/// # Errors
/// Every fault of every text, in their order.
pub fn read(texts: &[Text], values: Values<'_>) -> Result<DesiredState, Vec<Fault>> {
    // Written by `make generate`: to derive it here would take longer, and a fortieth of the binary.
    const SCHEMA: &str = include_str!("schema.json");
    static SHAPE: LazyLock<shape::Shape> =
        LazyLock::new(|| shape::Shape::of(&crate::json::read(SCHEMA.as_bytes()).unwrap_or_default()));
    let mut gathered = gather::Gathered::default();
    for text in texts {
        gathered.text(text, &SHAPE, values);
    }
    gathered.finish(texts)
}

#[cfg(test)]
mod tests;
