//! Blocking queries: what wakes them, what does not, and the index that they come back with.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::target::{Reply, Target};
use crate::support::unique;

cases!(open:
    a_key_wakes_when_it_is_made_changed_locked_and_deleted,
    a_key_does_not_wake_for_another,
    a_key_does_not_wake_for_the_same_again,
    a_prefix_wakes_for_what_is_below_it,
    a_prefix_does_not_wake_for_its_neighbours,
    names_of_keys_wake_for_a_changed_value,
    a_lower_index_is_answered_at_once,
    a_higher_index_waits_and_gets_the_lower,
    no_index_and_0_do_not_wait,
    a_wait_ends_with_the_same_index,
    what_is_no_index_and_no_wait_is_refused,
    the_end_of_a_session_wakes_who_waits_for_its_key,
    sessions_wake_when_one_is_made_or_ended,
    a_renewal_wakes_nobody,
    a_session_that_is_waited_for,
    nodes_wake_when_one_comes_or_goes,
    services_wake_when_one_comes_or_goes,
    the_health_of_a_service_wakes_for_its_checks,
    checks_of_a_node_wake,
    a_transaction_wakes,
);

fn asking(path: &str, index: u64, wait: &str) -> String {
    format!("{path}{}index={index}&wait={wait}", if path.contains('?') { '&' } else { '?' })
}

/// Waits beyond the index that is there now, while `change` is made. Gives the answers before and after it.
///
/// A change that comes before the wait is told all the same: nothing here hangs on how quick it is.
#[track_caller]
fn around(agent: &Target, path: &str, change: impl FnOnce()) -> (Reply, Reply) {
    let before = agent.get(path);
    let said = |reply: &Reply| (reply.status, reply.json_or_null());
    let after = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut index = before.index();
            loop {
                let after = agent.get(&asking(path, index, "30s"));
                assert!(after.index() > index, "{path}: nothing after {index}");
                // Other cases may wake it before, and then it brings no news.
                if said(&after) != said(&before) {
                    return after;
                }
                index = after.index();
            }
        });
        std::thread::sleep(Duration::from_millis(30));
        change();
        waiting.join().expect("an answer")
    });
    (before, after)
}

/// Makes `change`, and asserts that a query from before it waits to its end, and comes back with the same.
#[track_caller]
fn unmoved(agent: &Target, path: &str, change: impl FnOnce()) {
    let before = agent.get(path);
    change();
    let after = agent.get(&asking(path, before.index(), "200ms"));
    assert_eq!((after.index(), after.text()), (before.index(), before.text()), "{path}");
}

fn node(agent: &Target, name: &str, status: &str) {
    let service = json!({"Service": format!("of-{name}")});
    let check = json!({"CheckID": "up", "Name": "up", "Status": status, "ServiceID": format!("of-{name}")});
    let body = json!({"Node": name, "Address": "10.0.0.1", "Service": service, "Check": check});
    agent.put("catalog/register", body).is(200, "true");
}

fn a_key_wakes_when_it_is_made_changed_locked_and_deleted(agent: &Target) {
    let path = format!("kv/{}", unique("wait/key"));
    let put = |query: &str, value: &str| {
        agent.put(&format!("{path}{query}"), value).is(200, "true");
    };
    let (before, made) = around(agent, &path, || put("", "one"));
    assert_eq!((before.status, made.status), (404, 200), "a key that does not exist can be waited for");
    let (_, changed) = around(agent, &path, || put("", "two"));
    assert_eq!(changed.ok()[0]["ModifyIndex"], json!(changed.index()));
    let session = agent.session(json!({}));
    let (_, locked) = around(agent, &path, || put(&format!("?acquire={session}"), "two"));
    assert_eq!(locked.ok()[0]["Session"], json!(session));
    around(agent, &path, || put(&format!("?release={session}"), "two"));
    let (_, gone) = around(agent, &path, || {
        agent.delete(&path).is(200, "true");
    });
    assert_eq!(gone.status, 404);
}

fn a_key_does_not_wake_for_another(agent: &Target) {
    let key = unique("wait/alone");
    agent.put(&format!("kv/{key}"), "x").is(200, "true");
    unmoved(agent, &format!("kv/{key}"), || {
        for other in ["/below", "-beside", ""] {
            agent.put(&format!("kv/{key}{other}?cas=0"), "x").ok();
        }
        agent.session(json!({}));
    });
}

fn a_key_does_not_wake_for_the_same_again(agent: &Target) {
    let path = format!("kv/{}", unique("wait/same"));
    agent.put(&format!("{path}?flags=3"), "x").is(200, "true");
    unmoved(agent, &path, || {
        agent.put(&format!("{path}?flags=3"), "x").is(200, "true");
    });
}

fn a_prefix_wakes_for_what_is_below_it(agent: &Target) {
    let root = unique("wait/tree");
    let path = format!("kv/{root}/?recurse");
    let put = |name: &str, value: &str| {
        agent.put(&format!("kv/{root}/{name}"), value).is(200, "true");
    };
    around(agent, &path, || put("a", "one"));
    around(agent, &path, || put("b/c", "one"));
    let (_, changed) = around(agent, &path, || put("a", "two"));
    assert_eq!(changed.ok().as_array().map(Vec::len), Some(2));
    assert_eq!(agent.get(&format!("kv/{root}/a")).index(), changed.index(), "the index of the youngest below it");
    let (_, one) = around(agent, &path, || {
        agent.delete(&format!("kv/{root}/a")).is(200, "true");
    });
    assert_eq!(one.ok().as_array().map(Vec::len), Some(1));
    let (_, none) = around(agent, &path, || {
        agent.delete(&format!("kv/{root}/?recurse")).is(200, "true");
    });
    none.is(404, "");
}

fn a_prefix_does_not_wake_for_its_neighbours(agent: &Target) {
    let root = unique("wait/neighbours");
    agent.put(&format!("kv/{root}/a"), "x").is(200, "true");
    agent.put(&format!("kv/{root}-beside"), "x").is(200, "true");
    let change = || {
        agent.put(&format!("kv/{root}-beside"), "y").is(200, "true");
        agent.put(&format!("kv/{root}"), "y").is(200, "true");
        agent.delete(&format!("kv/{root}-beside")).is(200, "true");
    };
    unmoved(agent, &format!("kv/{root}/?recurse"), change);
    unmoved(agent, &format!("kv/{root}/?keys"), change);
}

fn names_of_keys_wake_for_a_changed_value(agent: &Target) {
    let root = unique("wait/names");
    agent.put(&format!("kv/{root}/a"), "x").is(200, "true");
    let path = format!("kv/{root}/?keys");
    let before = agent.get(&path);
    agent.put(&format!("kv/{root}/a"), "y").is(200, "true");
    let after = agent.get(&asking(&path, before.index(), "30s"));
    assert!(after.index() > before.index());
    assert_eq!(after.ok(), before.ok());
}

fn a_lower_index_is_answered_at_once(agent: &Target) {
    let path = format!("kv/{}", unique("wait/lower"));
    agent.put(&path, "x").is(200, "true");
    let index = agent.get(&path).index();
    // The client gives up before such a wait would end.
    let answer = agent.get(&asking(&path, index - 1, "10m"));
    assert_eq!((answer.status, answer.index()), (200, index));
    assert_eq!(agent.get(&asking(&path, 1, "10m")).index(), index);
    assert_eq!(agent.get(&asking(&path, 1, "2h")).index(), index, "more than the most is the most");
}

fn a_higher_index_waits_and_gets_the_lower(agent: &Target) {
    let path = format!("kv/{}", unique("wait/higher"));
    agent.put(&path, "x").is(200, "true");
    let index = agent.get(&path).index();
    assert_eq!(agent.get(&asking(&path, index + 100_000, "200ms")).index(), index);
}

fn no_index_and_0_do_not_wait(agent: &Target) {
    let path = format!("kv/{}", unique("wait/0"));
    agent.get(&asking(&path, 0, "10m")).is(404, "");
    agent.get(&format!("{path}?wait=10m")).is(404, "");
    agent.get("session/node/nope?wait=10m").is(200, "[]");
}

fn a_wait_ends_with_the_same_index(agent: &Target) {
    let key = unique("wait/end");
    agent.put(&format!("kv/{key}"), "x").is(200, "true");
    for path in [format!("kv/{key}"), format!("kv/{key}?recurse"), format!("kv/{key}?keys"), format!("kv/{key}?raw")] {
        unmoved(agent, &path, || ());
    }
}

fn what_is_no_index_and_no_wait_is_refused(agent: &Target) {
    for path in ["kv/a", "session/list", "catalog/nodes", "catalog/service/a", "health/service/a", "health/state/any"] {
        for index in ["x", "-1", "1.5", "18446744073709551616"] {
            agent.get(&format!("{path}?index={index}&wait=1ms")).is(400, "Invalid index");
        }
        for wait in ["x", "1", "1d", "5"] {
            agent.get(&format!("{path}?wait={wait}")).is(400, "Invalid wait time");
        }
    }
    for path in ["kv/a", "txn"] {
        agent.put(&format!("{path}?index=x"), "[]").is(400, "Invalid index");
        agent.put(&format!("{path}?wait=x"), "[]").is(400, "Invalid wait time");
    }
    agent.delete("kv/a?index=x").is(400, "Invalid index");
}

fn the_end_of_a_session_wakes_who_waits_for_its_key(agent: &Target) {
    let path = format!("kv/{}", unique("wait/held"));
    let session = agent.session(json!({"LockDelay": "0s"}));
    agent.put(&format!("{path}?acquire={session}"), "x").is(200, "true");
    let (_, after) = around(agent, &path, || {
        agent.put(&format!("session/destroy/{session}"), Value::Null).is(200, "true");
    });
    assert_eq!(after.ok()[0].get("Session"), None);
}

fn sessions_wake_when_one_is_made_or_ended(agent: &Target) {
    let name = unique("wait-node");
    node(agent, &name, "passing");
    for path in ["session/list".to_owned(), format!("session/node/{name}")] {
        let mut made = String::new();
        around(agent, &path, || made = agent.session(json!({"Node": name, "NodeChecks": []})));
        around(agent, &path, || {
            agent.put(&format!("session/destroy/{made}"), Value::Null).is(200, "true");
        });
    }
}

fn a_renewal_wakes_nobody(agent: &Target) {
    let name = unique("wait-renewed");
    node(agent, &name, "passing");
    let session = agent.session(json!({"Node": name, "NodeChecks": [], "TTL": "1h"}));
    let before = agent.get(&format!("session/info/{session}")).ok();
    agent.put(&format!("session/renew/{session}"), Value::Null).ok();
    assert_eq!(agent.get(&format!("session/info/{session}")).ok(), before);
}

fn a_session_that_is_waited_for(agent: &Target) {
    let session = agent.session(json!({}));
    let (before, after) = around(agent, &format!("session/info/{session}"), || {
        agent.put(&format!("session/destroy/{session}"), Value::Null).is(200, "true");
    });
    assert_eq!(before.ok().as_array().map(Vec::len), Some(1));
    after.is(200, "[]");
}

fn nodes_wake_when_one_comes_or_goes(agent: &Target) {
    let name = unique("wait-come");
    around(agent, "catalog/nodes", || node(agent, &name, "passing"));
    let (before, after) = around(agent, &format!("catalog/node/{name}"), || {
        let service = json!({"Node": name, "Address": "10.0.0.1", "Service": {"Service": "more"}});
        agent.put("catalog/register", service).is(200, "true");
    });
    assert_eq!((before.ok()["Services"].get("more"), after.ok()["Services"].get("more").is_some()), (None, true));
    around(agent, "catalog/nodes", || {
        agent.put("catalog/deregister", json!({"Node": name})).is(200, "true");
    });
}

fn services_wake_when_one_comes_or_goes(agent: &Target) {
    let name = unique("wait-services");
    around(agent, "catalog/services", || node(agent, &name, "passing"));
    let path = format!("catalog/service/of-{name}");
    let (before, after) = around(agent, &path, || {
        agent.put("catalog/deregister", json!({"Node": name, "ServiceID": format!("of-{name}")})).is(200, "true");
    });
    assert_eq!((before.ok().as_array().map(Vec::len), after.ok()), (Some(1), json!([])));
    let (_, after) = around(agent, &path, || node(agent, &name, "passing"));
    assert_eq!(after.ok().as_array().map(Vec::len), Some(1));
}

fn the_health_of_a_service_wakes_for_its_checks(agent: &Target) {
    let name = unique("wait-health");
    node(agent, &name, "passing");
    for path in [format!("health/service/of-{name}"), format!("health/service/of-{name}?passing=1")] {
        around(agent, &path, || node(agent, &name, "critical"));
        around(agent, &path, || node(agent, &name, "passing"));
    }
    unmoved(agent, &format!("health/service/of-{name}"), || {
        node(agent, &name, "passing");
        node(agent, &format!("{name}-other"), "passing");
    });
}

fn checks_of_a_node_wake(agent: &Target) {
    let name = unique("wait-checks");
    node(agent, &name, "passing");
    for path in [format!("health/node/{name}"), format!("health/checks/of-{name}"), "health/state/any".to_owned()] {
        around(agent, &path, || node(agent, &name, "warning"));
        around(agent, &path, || node(agent, &name, "passing"));
    }
}

fn a_transaction_wakes(agent: &Target) {
    let key = unique("wait/txn");
    let (_, after) = around(agent, &format!("kv/{key}"), || {
        agent.put("txn", json!([{"KV": {"Verb": "set", "Key": key, "Value": "eA=="}}])).ok();
    });
    assert_eq!(after.ok()[0]["Value"], "eA==");
    around(agent, &format!("kv/{key}"), || {
        agent.put("txn", json!([{"KV": {"Verb": "delete-tree", "Key": key}}])).ok();
    });
}
