//! Services as a table.

use crate::consul::AgentService;

pub(super) const HEADINGS: [&str; 5] = ["id", "name", "address", "port", "tags"];

pub(super) fn row(service: &AgentService) -> Vec<String> {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let port = if service.port == 0 { String::new() } else { service.port.to_string() };
    [service.id.clone(), service.service.clone(), service.address.clone(), port, service.tags.join(",")]
        .map(or_dash)
        .to_vec()
}
