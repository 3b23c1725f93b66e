//! What texts seem to declare, at a glance: long before they are read, and it may be wrong.

use std::collections::BTreeSet;

use memchr::memchr_iter;
use memchr::memmem::Finder;

use super::Text;

/// The nodes of whose sessions `texts` seem to speak, so that reads of those can begin early. `None` where they seem to name
/// another place than the agent's: early reads would go to the wrong one.
pub fn glance(texts: &[Text]) -> Option<BTreeSet<&str>> {
    let field = Finder::new("node:");
    let mut nodes = BTreeSet::new();
    let mut last = "";
    for section in texts.iter().flat_map(|text| sections(&text.content)) {
        if ["datacenter:", "namespace:", "partition:"].iter().any(|place| section.starts_with(place)) {
            return None;
        }
        if !["sessions:", "defaults:"].iter().any(|part| section.starts_with(part)) {
            continue;
        }
        for at in field.find_iter(section.as_bytes()) {
            let rest = section.get(at + "node:".len()..).unwrap_or_default().trim_start_matches(' ');
            // Of very many, most are on the node of the one before.
            let again = (!last.is_empty()).then(|| rest.strip_prefix(last)).flatten();
            if again.is_some_and(|rest| rest.starts_with([',', '}', '\n'])) {
                continue;
            }
            let value = rest.lines().next().unwrap_or_default();
            let node = value.split([',', '}', ' ', '#']).next().unwrap_or_default().trim_matches(['"', '\'']);
            if node != last && !node.is_empty() {
                nodes.insert(node);
                last = node;
            }
        }
    }
    Some(nodes)
}

/// The parts of a text that begin with a field of a document: with a letter at the beginning of a line.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    let is_field = |at: &usize| text.as_bytes().get(*at).is_some_and(u8::is_ascii_alphabetic);
    let starts = memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
    let mut starts = std::iter::once(0).chain(starts).filter(is_field).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        text.get(start..starts.peek().copied().unwrap_or(text.len()))
    })
}
