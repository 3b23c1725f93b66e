//! What somebody wants.

use std::sync::Arc;

use crate::object::{Properties, Session, SessionId};

/// What somebody wants of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// One session of this name on this node, with these properties.
    Present {
        /// The session; it has a name.
        session: Arc<Session>,
    },
    /// A new session. Without a name there is nothing to find an earlier one by.
    Anonymous {
        /// The session.
        session: Arc<Session>,
    },
    /// The session of this id has to exist, and to be as mentioned.
    Existing {
        /// Its id.
        id: SessionId,
        /// What was mentioned of it.
        given: Properties,
    },
    /// No session of this name on this node.
    Absent {
        /// The node.
        node: String,
        /// The name.
        name: String,
    },
    /// No session of this id.
    Gone {
        /// Its id.
        id: SessionId,
        /// What was mentioned of it: a session that is another than was meant is not touched.
        given: Properties,
    },
}
