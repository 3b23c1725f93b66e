//! `/v1/health/`

use serde_json::Value;

use super::call::Call;
use super::catalog::{has_meta, has_tags, named, nearest_first, no_filter, sees};
use super::reply::{Answer, Refusal, Reply};
use super::views;
use crate::dev::state::{Check, PASSING, State, Table};

/// What every list of checks is filtered by.
fn checks(state: &State, call: &Call, checks: &mut dyn Iterator<Item = &Check>) -> Answer {
    no_filter(call)?;
    let on_such = |check: &&Check| state.catalog.node(&check.node).is_some_and(|node| has_meta(call, node));
    let rights = call.rights()?;
    let visible = |check: &&Check| sees(rights, &check.node, &check.service_name);
    let mut found: Vec<&Check> = checks.filter(on_such).filter(visible).collect();
    nearest_first(state, call, &mut found, |check| &check.node);
    Ok(Reply::json(&found).at(state.tables.last(&[Table::Checks])))
}

pub(super) fn of_node(state: &State, call: &Call) -> Answer {
    let node = named(call, "/v1/health/node/", "node name")?;
    checks(state, call, &mut state.catalog.checks_of(node))
}

pub(super) fn of_service(state: &State, call: &Call) -> Answer {
    let name = named(call, "/v1/health/checks/", "service name")?;
    checks(state, call, &mut state.catalog.checks().filter(|check| check.service_name.eq_ignore_ascii_case(name)))
}

pub(super) fn in_state(state: &State, call: &Call) -> Answer {
    let wanted = named(call, "/v1/health/state/", "check state")?;
    checks(state, call, &mut state.catalog.checks().filter(|check| wanted == "any" || check.status == wanted))
}

/// The instances of a service with what tells of their health.
pub(super) fn service(state: &State, call: &Call) -> Answer {
    let name = named(call, "/v1/health/service/", "service name")?;
    let passing = match call.get("passing") {
        None => false,
        Some("") => true,
        Some(text) => go_bool(text).ok_or_else(|| Refusal::bad("Invalid value for ?passing"))?,
    };
    no_filter(call)?;
    let mut instances = state.catalog.instances(name);
    let rights = call.rights()?;
    instances.retain(|(node, service)| {
        has_meta(call, node) && has_tags(call, &service.tags) && sees(rights, &node.node, &service.name)
    });
    nearest_first(state, call, &mut instances, |(node, _)| &node.node);
    if passing {
        let passes = |service| state.catalog.health_of(service).iter().all(|check| check.status == PASSING);
        // The last one takes the place of each that does not pass: clients see that order.
        let mut place = 0;
        while let Some((_, service)) = instances.get(place) {
            if passes(service) {
                place += 1;
            } else {
                instances.swap_remove(place);
            }
        }
    }
    let views: Vec<Value> =
        instances.into_iter().map(|(node, service)| views::with_health(state, node, service)).collect();
    Ok(Reply::json(&views).at(state.service_index(name, true)))
}

/// Yes or no, as Go reads it.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
