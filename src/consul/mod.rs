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
mod event;
mod health;
mod key;
mod kv;
mod list;
mod query;
mod request;
mod session;
mod settings;
mod status;
mod tls;
mod transport;
mod txn;
mod watch;

pub use acl::Acl;
pub use agent::{
    Agent, AgentConfig, AgentSelf, AgentService, CheckDefinition, CheckStatus, Member, Pool, ServiceDefinition,
};
pub use catalog::{
    Catalog, CatalogCheck, CatalogService, Deregistration, Node, NodeService, NodeServices, Registration, Weights,
};
pub use client::Client;
pub use config::{Address, Config, DEFAULT_PORT, DEFAULT_TIMEOUT, Secret, TlsSettings};
pub use error::{Call, ConfigError, Error};
pub use event::{Event, Events};
pub use health::{Health, HealthCheck, ServiceEntry};
pub use key::{KeyError, MAX_VALUE, check_key, check_prefix, check_tree, check_value};
pub use kv::{Condition, Kv, KvPair, LockedKey, PutOptions};
pub use list::RawList;
pub use query::{Consistency, Query, QueryMeta};
pub use request::{Method, Request};
pub use session::{ServiceCheckEntry, SessionApi, SessionEntry, SessionRequest};
pub use settings::Settings;
pub use status::Status;
pub use transport::{Body, Response, Transport};
pub use txn::{Operation, OperationError, Txn, TxnError};
pub use watch::Watch;
