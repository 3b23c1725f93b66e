//! Renews sessions with a TTL, whatever else is going on.
//!
//! # Not guaranteed
//! Sessions are renewed one after the other: of very many with a short TTL, some may end before their turn.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::watch::Renewals;
use crate::consul::{Client, Query};
use crate::object::SessionId;

/// How often somebody looks whether one is due: the shortest TTL is 10 s.
const TICK: Duration = Duration::from_millis(200);

/// The pause after a renewal that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Each session's TTL, and when it is to be renewed.
type Due = HashMap<SessionId, (Duration, Instant)>;

/// Sessions that are kept alive in a thread of their own, until the program ends.
pub(super) struct Renewer {
    due: Arc<Mutex<Due>>,
    lost: Arc<AtomicBool>,
}

impl Renewer {
    /// Without any session so far.
    pub fn start(client: Client, query: Query) -> Self {
        let renewer = Self { due: Arc::default(), lost: Arc::default() };
        let (due, lost) = (renewer.due.clone(), renewer.lost.clone());
        std::thread::spawn(move || {
            let mut failing = false;
            loop {
                std::thread::sleep(if failing { PAUSE } else { TICK });
                let failed = renew(&client, &query, &due, &lost).err();
                if let Some(error) = failed.as_ref().filter(|_| !failing) {
                    eprintln!("warning: cannot renew sessions: {error}");
                }
                failing = failed.is_some();
            }
        });
        renewer
    }

    /// From now on, these are kept alive, with their TTLs, and no others. Each is renewed at a third of its TTL.
    pub fn keep(&self, sessions: Renewals) {
        locked(&self.due).retain(|known, _| sessions.iter().any(|(id, _)| id == known));
        self.keep_too(sessions);
    }

    /// From now on, these are kept alive, too.
    pub fn keep_too(&self, sessions: Renewals) {
        let mut due = locked(&self.due);
        let now = Instant::now();
        for (id, ttl) in sessions {
            let entry = due.entry(id).or_insert((ttl, now));
            if entry.0 != ttl {
                *entry = (ttl, now);
            }
        }
    }

    /// Whether one of them has ended since this was last asked.
    pub fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }
}

fn renew(client: &Client, query: &Query, due: &Mutex<Due>, lost: &AtomicBool) -> Result<(), crate::consul::Error> {
    let now = Instant::now();
    let ids: Vec<SessionId> = locked(due).iter().filter(|(_, (_, at))| *at <= now).map(|(id, _)| id.clone()).collect();
    for id in ids {
        let start = Instant::now();
        let renewed = client.session().renew(id.as_str(), query)?;
        let mut due = locked(due);
        if renewed.is_none() {
            due.remove(&id);
            lost.store(true, Ordering::Relaxed);
        } else if let Some((ttl, at)) = due.get_mut(&id) {
            *at = start + *ttl / 3;
        }
    }
    Ok(())
}

fn locked(due: &Mutex<Due>) -> MutexGuard<'_, Due> {
    due.lock().unwrap_or_else(PoisonError::into_inner)
}
