//! Events that somebody fires: the last ones are kept by the agent, and are in no table.

use std::collections::VecDeque;

use serde::Serialize;

use super::{State, uuid};

/// How many are kept.
const KEPT: usize = 256;

/// An event, as it goes over the wire.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::dev) struct Event {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    /// In base64; `None` where there is none.
    pub payload: Option<String>,
    pub node_filter: String,
    pub service_filter: String,
    pub tag_filter: String,
    pub version: u64,
    #[serde(rename = "LTime")]
    pub time: u64,
}

/// The last events, the oldest first.
#[derive(Debug, Default)]
pub(in crate::dev) struct Events {
    events: VecDeque<Event>,
    /// How many there were.
    fired: u64,
}

impl Events {
    pub fn all(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}

impl Event {
    /// What a list that ends with it has for an index: no order, but another one for each event.
    pub fn index(&self) -> u64 {
        let hex: String = self.id.chars().filter(|c| *c != '-').collect();
        let half = |from: usize| u64::from_str_radix(hex.get(from..from + 16).unwrap_or_default(), 16).unwrap_or(0);
        half(0) ^ half(16)
    }
}

impl State {
    /// Fires an event, and gives it as who fires it sees it. It is kept where its filters mean this agent.
    pub fn fire(&mut self, event: Event) -> Event {
        self.next_index(); // who waits for events is told by it
        self.events.fired += 1;
        let event = Event { id: uuid(), version: 1, ..event };
        let Event { node_filter, service_filter, tag_filter, .. } = &event;
        let of_node = self.identity.node.contains(node_filter.as_str());
        let of_service = service_filter.is_empty()
            || self.local.services().any(|service| {
                let tagged = tag_filter.is_empty() || service.tags.iter().any(|tag| tag.contains(tag_filter.as_str()));
                service.name.contains(service_filter.as_str()) && tagged
            });
        if of_node && of_service {
            // The clock of events begins at 2.
            self.events.events.push_back(Event { time: self.events.fired + 1, ..event.clone() });
            while self.events.events.len() > KEPT {
                self.events.events.pop_front();
            }
        }
        event
    }
}
