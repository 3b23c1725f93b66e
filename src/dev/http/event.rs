//! `/v1/event/`

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Event, Fault, Resource, State};

/// Characters that make a filter a pattern, which this agent does not have.
const PATTERN: &[char] = &['.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\'];

/// How long an event may be, in bytes: its name twice, its payload, and each filter with 4. The rest of the 512 that its
/// message may take is what every event has.
const MOST: usize = 416;

pub(super) fn fire(state: &mut State, call: &Call) -> Answer {
    let name = match call.rest("/v1/event/fire/") {
        "" => return Err(Refusal::bad("Missing name")),
        name => name,
    };
    let filter = |name: &str| call.text(name).to_owned();
    let [node_filter, service_filter, tag_filter] = ["node", "service", "tag"].map(filter);
    if !tag_filter.is_empty() && service_filter.is_empty() {
        return Err(Refusal::error("Cannot provide tag filter without service filter"));
    }
    if [&node_filter, &service_filter, &tag_filter].iter().any(|filter| filter.contains(PATTERN)) {
        return Err(Refusal::missing("a pattern in an event's filter"));
    }
    // An unknown token is an error of the server's here.
    if let Err(Fault(text)) = &call.rights {
        return Err(Refusal::error(text));
    }
    call.must_write(Resource::Event, name)?;
    let filters = [&node_filter, &service_filter, &tag_filter];
    let filters: usize = filters.iter().filter(|filter| !filter.is_empty()).map(|filter| filter.len() + 4).sum();
    if 2 * name.len() + call.body.len() + filters > MOST {
        let limit = "user event exceeds configured limit of 512 bytes before encoding";
        return Err(Refusal::error(&format!(
            "1 error occurred:\n\t* error broadcasting event to segment \"\": {limit}\n\n"
        )));
    }
    let payload = (!call.body.is_empty()).then(|| BASE64.encode(&call.body));
    let event = Event { name: name.to_owned(), payload, node_filter, service_filter, tag_filter, ..Event::default() };
    Ok(Reply::json(&state.fire(event)))
}

/// The last events that may be read; of one name, where one is given.
pub(super) fn list(state: &State, call: &Call) -> Answer {
    let (rights, name) = (call.rights()?, call.text("name"));
    let events: Vec<&Event> = (state.events.all())
        .filter(|event| name.is_empty() || event.name == name)
        .filter(|event| rights.read(Resource::Event, &event.name))
        .collect();
    let index = events.last().map_or(1, |event| event.index());
    let reply = Reply { by_agent: true, ..Reply::json(&events).at(index) };
    Ok(reply)
}
