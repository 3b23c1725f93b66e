//! A blocking client for the part of Consul's HTTP API that the rest of the crate needs.
//!
//! It knows Consul and nothing of plans. Records keep HashiCorp's names as they stand on the wire.
//!
//! ```no_run
//! use lictor::consul::{Client, Config, Query};
//!
//! let client = Client::new(Config::default())?;
//! for session in client.session().list_node("web1", &Query::default())? {
//!     println!("{} {}", session.id, session.name);
//! }
//! # Ok::<(), lictor::consul::Error>(())
//! ```
//!
//! # Guarantees
//! - A request is sent again only where it cannot have been carried out, or where doing it twice is the same as
//!   once; see [`Error::is_retryable`].
//! - Redirects are never followed: Consul redirects odd keys to *other* keys.
//! - The token goes nowhere but into the request's header. Proxy variables (`HTTP_PROXY`) are not read.

mod acl;
mod agent;
mod catalog;
mod client;
mod config;
mod error;
mod health;
mod kv;
mod query;
mod request;
mod session;
mod status;
mod tls;
mod transport;

pub use acl::Acl;
pub use agent::{Agent, AgentConfig, AgentSelf};
pub use catalog::{Catalog, Node};
pub use client::Client;
pub use config::{Address, Config, Secret, Settings};
pub use error::{Call, ConfigError, Error};
pub use health::{Health, HealthCheck};
pub use kv::{Kv, LockedKey};
pub use query::{Consistency, Query, QueryMeta};
pub use request::{Method, Request};
pub use session::{ServiceCheckEntry, SessionApi, SessionEntry, SessionRequest};
pub use status::Status;
