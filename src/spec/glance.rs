//! What texts seem to declare, at a glance: long before they are read, and it may be wrong.

use std::collections::BTreeSet;

use memchr::memmem::Finder;

use super::Text;

/// The nodes of whose sessions `texts` seem to speak, so that reads of those can begin early. `None` where they seem to name
/// another place than the agent's: early reads would go to the wrong one.
pub fn glance(texts: &[Text]) -> Option<BTreeSet<&str>> {
    let field = Finder::new("node:");
    let mut nodes = BTreeSet::new();
    let mut last = "";
    for text in texts {
        let mut of_sessions = false;
        for line in text.content.lines() {
            // What begins a line is a field of the document.
            if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
                if ["datacenter:", "namespace:", "partition:"].iter().any(|place| line.starts_with(place)) {
                    return None;
                }
                of_sessions = ["sessions:", "defaults:"].iter().any(|section| line.starts_with(section));
            }
            let Some(at) = of_sessions.then(|| field.find(line.as_bytes())).flatten() else { continue };
            let value = line.get(at + "node:".len()..).unwrap_or_default().trim_start();
            let node = value.split([',', '}', ' ', '#']).next().unwrap_or_default().trim_matches(['"', '\'']);
            if node != last && !node.is_empty() {
                nodes.insert(node);
                last = node;
            }
        }
    }
    Some(nodes)
}
