//! A plan, and what became of it, as text, JSON, Markdown and annotations for CI. Pure: texts come out.

#[cfg(feature = "cli")]
mod annotations;
#[cfg(feature = "cli")]
mod applied;
#[cfg(feature = "cli")]
mod diff;
mod document;
#[cfg(feature = "cli")]
mod markdown;
#[cfg(feature = "cli")]
mod text;

#[cfg(feature = "cli")]
pub use annotations::{github, gitlab};
#[cfg(feature = "cli")]
pub use applied::{AppliedDocument, applied};
#[cfg(feature = "cli")]
pub use diff::diff;
pub use document::{ChangeDocument, Difference, NotDone, PlanDocument, Position, Summary};
#[cfg(feature = "cli")]
pub use markdown::markdown;
#[cfg(feature = "cli")]
pub use text::text;
