//! An agent in memory that speaks Consul's HTTP API (feature `dev`): to try things, to dry-run them, to break them.
//!
//! It is one process, on loopback, and behaves as `consul agent -dev` does, as far as sessions, keys, transactions,
//! blocking queries, services, checks, nodes and ACL tokens go; what it leaves out answers 501 with its name.
//!
//! # Not guaranteed
//! It is for tests and demonstrations. It has no replication, no persistence but a file, and no security but tokens.

mod agent;
mod clock;
mod fault;
mod file;
mod http;
mod line;
mod probe;
mod server;
mod state;

pub use fault::{Faults, ParseFaultError};
pub use file::FileError;
pub use server::{AclDefault, Options, Server, StartError};
