//! Recipes that need a living process: what it holds, it holds safely, and knows when it does not any more.
//!
//! A [`Session`] is the base: a thread keeps it alive, and everything else borrows it. What protects you is its *lease*:
//! the time until which the hold is certain, by the local monotonic clock, whatever the network and the servers do. Do
//! nothing that the hold protects behind [`Session::deadline`], and compare the fencing token
//! ([`LockGuard::token`]) wherever a write can arrive late.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lictor::consul::{Client, Config, Query};
//! use lictor::coordinate::{Lock, Session, SessionOptions};
//!
//! let client = Client::new(Config::default())?;
//! let session = Session::start(&client, &Query::default(), &SessionOptions::default())?;
//! let lock = Lock::new(&session, "service/web/leader")?;
//! if let Some(guard) = lock.acquire_within(Duration::from_secs(30))? {
//!     println!("ours until {:?}, with token {}", guard.deadline(), guard.token());
//!     guard.release()?;
//! }
//! session.release()?;
//! # Ok::<(), lictor::coordinate::Error>(())
//! ```

mod barrier;
mod election;
mod error;
mod fence;
mod held;
mod hold;
mod holder;
mod kind;
mod leader;
mod lease;
mod line;
mod lock;
mod membership;
mod release;
mod semaphore;
mod session;
mod wait;
mod why;

use std::time::SystemTime;

use serde_json::{Map, Value};

pub use barrier::{BARRIER_FLAGS, DoubleBarrier, Entered};
pub use election::{Election, Leadership, Resigned, Stood, Term};
pub use error::Error;
pub use fence::Fence;
pub use hold::{Hold, Holds, Taken};
pub use holder::{Holder, Holders, Layout};
pub use leader::{Candidate, Changes, Leader};
pub use lease::{Lost, Why};
pub use line::LINE_FLAGS;
pub use lock::{LOCK_FLAGS, Lock, LockGuard};
pub use membership::{MEMBER_FLAGS, Member, Membership, Place};
pub use release::Released;
pub use semaphore::{Permit, SEMAPHORE_FLAGS, Semaphore};
pub use session::{Profile, Session, SessionOptions};
pub use wait::Cancel;
use wait::{Limits, Waiter};
pub use why::Standing;

/// The name of this host: who holds something, unless it says otherwise.
fn host_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// `value`, a JSON object, with the time at which it is written, for people.
fn stamped(value: &[u8]) -> Vec<u8> {
    let mut fields: Map<String, Value> = crate::json::read(value).unwrap_or_default();
    fields.insert("since".to_owned(), crate::duration::time_text(SystemTime::now()).into());
    serde_json::to_vec(&fields).unwrap_or_default()
}
