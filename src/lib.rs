//! Lictor makes a HashiCorp Consul cluster agree with what was declared.
//!
//! Everything declarative is one flow; [`reconcile`] is that flow, top to bottom:
//!
//! ```text
//! desired   <- a face (Ansible arguments, a command line)
//! observed  <- observe: only what desired mentions
//! plan      <- Plan::between(desired, observed, policy)    pure
//! check     <- plan.check(policy)                          typed refusals, before anything is written
//! report    <- apply(plan)                                 always writes, change by change
//! result    <- the face renders the plan and the report
//! ```
//!
//! A dry run is where a face stops, not a flag that it carries down: Ansible's check mode stops after the plan.
//!
//! # The rooms
//!
//! | module | what it is for | may use |
//! |---|---|---|
//! | [`duration`] | Consul's durations: parse, print | nothing |
//! | `json` | reading JSON | nothing |
//! | `printable` | names and values for a terminal | nothing |
//! | `sort` | one sort for all types | nothing |
//! | [`object`] | the nouns that both sides of a plan share | `duration`, `sort` |
//! | [`consul`] | the blocking HTTP client; knows nothing of plans | `duration`, `json` |
//! | [`coordinate`] | recipes that need a living process: locks and the like | `consul`, `duration`, `json`, `printable`, `sort` |
//! | [`plan`] | pure: the difference between desired and observed, and what is too dangerous to do | `object`, `sort` |
//! | [`reconcile`] | the input and output around a plan: observe, apply | `plan`, `object`, `consul`, `json`, `sort` |
//! | `spec` | texts into the state that they declare, or all their faults (feature `spec`) | `object`, `duration`, `json`, `sort`, `consul`'s rules for keys |
//! | `source` | where those texts come from: files (feature `spec`) | `spec`, `object` |
//! | `render` | a plan, and what became of it, as a document (feature `spec`); as text, Markdown and annotations (feature `cli`) | `plan`, `object`, `reconcile`, `printable` |
//! | [`ansible`] | a face: the module protocol | all above |
//! | `dev` | an agent in memory that speaks Consul's HTTP API (feature `dev`) | `duration`, `json` |
//! | `cli` | a face: the commands (feature `cli`) | all above, but no other face |
//!
//! `tests/project.rs` reads the `use crate::` lines against this table.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod ansible;
#[cfg(feature = "cli")]
pub mod cli;
pub mod consul;
pub mod coordinate;
#[cfg(feature = "dev")]
pub mod dev;
pub mod duration;
mod json;
pub mod object;
pub mod plan;
mod printable;
pub mod reconcile;
#[cfg(feature = "spec")]
pub mod render;
mod sort;
#[cfg(feature = "spec")]
pub mod source;
#[cfg(feature = "spec")]
pub mod spec;

/// The example in `docs/library.md` compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
mod library_guide {}

/// The example in `docs/dev.md` works.
#[cfg(all(doctest, feature = "dev"))]
#[doc = include_str!("../docs/dev.md")]
mod dev_guide {}

/// The examples in `docs/coordination.md` compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/coordination.md")]
mod coordination_guide {}
