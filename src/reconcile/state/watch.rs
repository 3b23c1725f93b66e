//! Waits until something that a state mentions may have changed.
//!
//! # Guarantees
//! - Each watched thing has one blocking query under way, and a thread that waits for it: an idle watch sends one
//!   request a wait period (60 s) for each.
//! - A change made by anybody is noticed as soon as Consul answers the query; one that comes while another is being dealt
//!   with is not lost.
//!
//! # Not guaranteed
//! More is watched than is mentioned where that takes fewer queries, so that a change nearby wakes it too.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::consul::{Client, Error as ConsulError, Query, Watch};
use crate::object::{DesiredState, ObjectId};

use super::inventory::OWNERS;

/// The most things of one kind that are watched each by itself. Beyond that, a wider one is watched in their place.
const MOST: usize = 16;

/// How long to wait for more news behind the first: a transaction wakes several queries at once.
const SETTLE: Duration = Duration::from_millis(20);

/// What one blocking query follows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watched {
    /// Every session of the place.
    Sessions,
    /// The sessions of a node.
    SessionsOf(String),
    /// The services of a node.
    Node(String),
    /// The keys that begin with this.
    Keys(String),
}

/// Watches what a state mentions, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    news: Receiver<()>,
    watched: BTreeSet<Watched>,
}

impl Watcher {
    /// Starts to watch what `desired` mentions, and its owner's record. What changes after this has returned is noticed.
    ///
    /// # Errors
    /// Where one of the keys is none.
    pub fn start(client: &Client, query: &Query, desired: &DesiredState) -> Result<Self, ConsulError> {
        let watched = watched(desired);
        let (tell, news) = mpsc::sync_channel(1);
        let (ready, all_ready) = mpsc::channel();
        for one in &watched {
            let (tell, ready) = (tell.clone(), ready.clone());
            match one {
                Watched::Sessions => follow(client.session().watch(None, query), tell, ready),
                Watched::SessionsOf(node) => follow(client.session().watch(Some(node), query), tell, ready),
                Watched::Node(node) => follow(client.catalog().watch_node(node, query), tell, ready),
                Watched::Keys(prefix) => follow(client.kv().watch_keys(prefix, query)?, tell, ready),
            }
        }
        drop(ready);
        // Nothing is ever sent: each thread drops its end when it has its first answer, and what changes after that is
        // news to it.
        let _ = all_ready.recv();
        Ok(Self { news, watched })
    }

    /// Whether this watches just what `desired` mentions.
    pub fn fits(&self, desired: &DesiredState) -> bool {
        self.watched == watched(desired)
    }

    /// Waits until something may have changed, for `timeout` at most. True where it may have.
    pub fn wait(&self, timeout: Duration) -> bool {
        match self.news.recv_timeout(timeout) {
            Ok(()) => {
                std::thread::sleep(SETTLE);
                while self.news.try_recv().is_ok() {}
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                // Every thread has ended, which none does while this lives.
                std::thread::sleep(timeout);
                false
            }
        }
    }
}

/// Tells of each answer that is not the one before. `ready` is dropped after the first.
fn follow<T>(watch: Watch<T>, tell: SyncSender<()>, ready: Sender<()>)
where
    T: DeserializeOwned + Default + Send + 'static,
{
    std::thread::spawn(move || {
        let mut ready = Some(ready);
        let mut index = None;
        for answer in watch {
            // A query that failed is tried again by the watch itself. What happened meanwhile, nobody knows.
            let now = answer.ok().and_then(|(_, meta)| meta.index);
            let news = ready.take().is_none() && now.is_some() && now != index;
            index = now;
            if news && tell.try_send(()) == Err(TrySendError::Disconnected(())) {
                return;
            }
        }
    });
}

fn watched(desired: &DesiredState) -> BTreeSet<Watched> {
    let (mut session_nodes, mut nodes, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for id in desired.objects.keys() {
        match id {
            ObjectId::Session { node, .. } => session_nodes.insert(node.clone()),
            ObjectId::Service { node, .. } => nodes.insert(node.clone()),
            ObjectId::Key(key) => keys.insert(key.clone()),
        };
    }
    let mut watched = BTreeSet::from([Watched::Keys(format!("{OWNERS}{}", desired.owner))]);
    if session_nodes.len() > MOST {
        watched.insert(Watched::Sessions);
    } else {
        watched.extend(session_nodes.into_iter().map(Watched::SessionsOf));
    }
    watched.extend(nodes.into_iter().map(Watched::Node));
    watched.extend(widened(keys).into_iter().map(Watched::Keys));
    watched
}

/// At most [`MOST`] prefixes that cover `keys`: folders in place of what is in them, the deepest first.
fn widened(mut prefixes: BTreeSet<String>) -> BTreeSet<String> {
    let depth = |prefix: &str| prefix.trim_end_matches('/').matches('/').count();
    while prefixes.len() > MOST {
        let deepest = prefixes.iter().map(|prefix| depth(prefix)).max().unwrap_or_default();
        if deepest == 0 {
            return BTreeSet::from([String::new()]);
        }
        let folder = |prefix: String| match prefix.trim_end_matches('/').rsplit_once('/') {
            Some((folder, _)) if depth(&prefix) == deepest => format!("{folder}/"),
            _ => prefix,
        };
        prefixes = prefixes.into_iter().map(folder).collect();
    }
    // What is in a folder that is watched is watched already. In order, a folder comes before what is in it.
    let mut wide: BTreeSet<String> = BTreeSet::new();
    for prefix in prefixes {
        let folders = prefix.match_indices('/').map(|(at, _)| prefix.get(..=at).unwrap_or_default());
        if !folders.into_iter().any(|folder| folder != prefix && wide.contains(folder)) {
            wide.insert(prefix);
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widen(keys: impl IntoIterator<Item = String>) -> Vec<String> {
        widened(keys.into_iter().collect()).into_iter().collect()
    }

    #[test]
    fn a_few_keys_are_watched_each_by_itself() {
        assert_eq!(widen(["a/b".to_owned(), "c".to_owned()]), ["a/b", "c"]);
    }

    #[test]
    fn of_many_keys_the_folder_is_watched() {
        let twenty = |form: fn(u32) -> String| (0..20).map(form);
        assert_eq!(widen(twenty(|n| format!("app/config/k{n}")).chain(["other".to_owned()])), ["app/config/", "other"]);
        assert_eq!(widen(twenty(|n| format!("app/{n}/key"))), ["app/"]);
        assert_eq!(widen(twenty(|n| format!("k{n}"))), [""]);
    }

    #[test]
    fn a_folder_covers_what_is_in_it() {
        let keys = (0..20).map(|n| format!("a/b/k{n}")).chain(["a/".to_owned(), "a".to_owned()]);
        assert_eq!(widen(keys), ["a", "a/"]);
    }
}
