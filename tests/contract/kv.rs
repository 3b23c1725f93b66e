//! Keys and their values.

use serde_json::{Value, json};

use crate::support::target::{Reply, Target};
use crate::support::unique;

cases!(open:
    a_key_is_written_read_and_deleted,
    a_value_is_bytes_and_an_empty_one_is_null,
    flags_are_numbers_of_64_bits_and_a_write_without_them_makes_them_0,
    a_write_of_the_same_changes_no_index,
    cas_writes_what_is_as_it_was,
    a_delete_by_cas_takes_what_is_as_it_was,
    conditions_exclude_each_other,
    a_lock_is_acquired_held_and_released,
    a_lock_excludes_nobody_who_does_not_ask,
    only_the_holder_releases,
    a_session_that_does_not_exist_locks_nothing,
    anybody_may_lock_with_the_session_of_another,
    keys_below_a_lock_are_other_keys,
    a_prefix_is_a_string_and_no_folder,
    keys_are_cut_behind_a_separator,
    what_is_not_there_is_404_with_an_index,
    recurse_deletes_by_prefix,
    keys_are_percent_encoded,
    keys_that_are_no_clean_path_are_redirected,
    control_characters_are_refused,
    a_key_without_a_name_is_refused,
    values_have_a_limit_and_keys_have_none_near,
    raw_gives_the_bytes,
    a_chunked_value_is_taken,
    a_read_says_where_it_is_from,
    consistency_is_one_of_three,
    places_that_do_not_exist,
);

/// The record of a key that nobody locked, of one index.
fn pair(key: &str, value: &str, flags: u64, index: u64) -> Value {
    json!({"LockIndex": 0, "Key": key, "Flags": flags, "Value": value, "CreateIndex": index, "ModifyIndex": index})
}

#[track_caller]
fn modify_index(pair: &Value) -> u64 {
    pair["ModifyIndex"].as_u64().expect("an index")
}

fn a_key_is_written_read_and_deleted(agent: &Target) {
    let key = unique("kv/plain");
    let path = format!("kv/{key}");
    let written = agent.put(&path, "one");
    written.is(200, "true");
    assert_eq!(written.header("x-consul-index"), None, "a write has no index");
    assert_eq!(written.header("content-type"), Some("application/json"));
    let read = agent.get(&path);
    assert_eq!(read.ok(), json!([pair(&key, "b25l", 0, read.index())]));
    assert_eq!(read.header("content-type"), Some("application/json"));
    agent.put(&path, "two").is(200, "true");
    let changed = agent.get(&path);
    assert!(changed.index() > read.index());
    assert_eq!(changed.ok()[0]["CreateIndex"], json!(read.index()), "it is the key that it was");
    assert_eq!(changed.ok()[0]["ModifyIndex"], json!(changed.index()));
    agent.delete(&path).is(200, "true");
    let gone = agent.get(&path);
    gone.is(404, "");
    assert!(gone.index() > changed.index(), "a key that is gone can be waited for");
    agent.delete(&path).is(200, "true");
}

fn a_value_is_bytes_and_an_empty_one_is_null(agent: &Target) {
    let key = unique("kv/bytes");
    let path = format!("kv/{key}");
    agent.send("PUT", &path, &[], &[0, 255, 10, 128]).is(200, "true");
    assert_eq!(agent.key(&key)["Value"], "AP8KgA==");
    agent.put(&path, Value::Null).is(200, "true");
    assert_eq!(agent.key(&key)["Value"], Value::Null);
    assert_eq!(agent.get(&format!("{path}?recurse")).ok()[0]["Value"], Value::Null);
}

fn flags_are_numbers_of_64_bits_and_a_write_without_them_makes_them_0(agent: &Target) {
    let key = unique("kv/flags");
    let path = format!("kv/{key}");
    agent.put(&format!("{path}?flags=18446744073709551615"), "x").is(200, "true");
    assert_eq!(agent.key(&key)["Flags"], json!(u64::MAX));
    agent.put(&format!("{path}?flags=1&flags=2"), "x").is(200, "true");
    assert_eq!(agent.key(&key)["Flags"], 1, "the first of two counts");
    agent.put(&path, "x").is(200, "true");
    assert_eq!(agent.key(&key)["Flags"], 0);
    for (flags, why) in [
        ("-1", "invalid syntax"),
        ("0x1", "invalid syntax"),
        ("", "invalid syntax"),
        ("1.0", "invalid syntax"),
        ("18446744073709551616", "value out of range"),
    ] {
        let answer = agent.put(&format!("{path}?flags={flags}"), "y");
        answer.is(500, &format!("strconv.ParseUint: parsing \"{flags}\": {why}"));
    }
    agent.put(&format!("{path}?flags=+1"), "y").is(500, "strconv.ParseUint: parsing \" 1\": invalid syntax");
    assert_eq!(agent.key(&key)["Value"], "eA==");
}

fn a_write_of_the_same_changes_no_index(agent: &Target) {
    let key = unique("kv/same");
    let path = format!("kv/{key}");
    agent.put(&format!("{path}?flags=7"), "x").is(200, "true");
    let first = agent.key(&key);
    agent.put(&format!("{path}?flags=7"), "x").is(200, "true");
    assert_eq!(agent.key(&key), first);
    agent.put(&path, "x").is(200, "true");
    assert!(modify_index(&agent.key(&key)) > modify_index(&first), "the flags are a part of it");
}

fn cas_writes_what_is_as_it_was(agent: &Target) {
    let key = unique("kv/cas");
    let path = format!("kv/{key}");
    agent.put(&format!("{path}?cas=5"), "x").is(200, "false");
    agent.put(&format!("{path}?cas=0"), "one").is(200, "true");
    agent.put(&format!("{path}?cas=0"), "two").is(200, "false");
    let first = modify_index(&agent.key(&key));
    agent.put(&format!("{path}?cas={first}"), "two").is(200, "true");
    agent.put(&format!("{path}?cas={first}"), "three").is(200, "false");
    assert_eq!(agent.key(&key)["Value"], "dHdv");
    for wrong in ["x", "-1", ""] {
        let answer = agent.put(&format!("{path}?cas={wrong}"), "four");
        answer.is(500, &format!("strconv.ParseUint: parsing \"{wrong}\": invalid syntax"));
    }
}

fn a_delete_by_cas_takes_what_is_as_it_was(agent: &Target) {
    let key = unique("kv/delete-cas");
    let path = format!("kv/{key}");
    agent.delete(&format!("{path}?cas=5")).is(200, "true");
    agent.delete(&format!("{path}?cas=0")).is(200, "true");
    agent.put(&path, "x").is(200, "true");
    let index = modify_index(&agent.key(&key));
    agent.delete(&format!("{path}?cas=0")).is(200, "false");
    agent.delete(&format!("{path}?cas={}", index - 1)).is(200, "false");
    agent.delete(&format!("{path}?cas=x")).is(500, "strconv.ParseUint: parsing \"x\": invalid syntax");
    agent.delete(&format!("{path}?cas={index}")).is(200, "true");
    agent.get(&path).is(404, "");
}

fn conditions_exclude_each_other(agent: &Target) {
    let path = format!("kv/{}", unique("kv/conflict"));
    agent.put(&format!("{path}?acquire=a&cas=1"), "x").is(400, "Conflicting flags: acquire=a&cas=1");
    agent.put(&format!("{path}?release=a&cas=1"), "x").is(400, "Conflicting flags: cas=1&release=a");
    agent.put(&format!("{path}?acquire=a&release=b"), "x").is(400, "Conflicting flags: acquire=a&release=b");
    agent.delete(&format!("{path}?recurse&cas=1")).is(400, "Conflicting flags: cas=1&recurse=");
    agent.get(&path).is(404, "");
}

fn a_lock_is_acquired_held_and_released(agent: &Target) {
    let (one, other) = (agent.session(json!({})), agent.session(json!({})));
    let key = unique("kv/lock");
    let path = format!("kv/{key}");
    agent.put(&format!("{path}?acquire={one}&flags=3"), "v").is(200, "true");
    let held = agent.get(&path);
    let index = held.index();
    assert_eq!(
        held.ok(),
        json!([{
            "LockIndex": 1, "Key": key, "Flags": 3, "Value": "dg==", "Session": one,
            "CreateIndex": index, "ModifyIndex": index
        }])
    );
    agent.put(&format!("{path}?acquire={one}&flags=3"), "v").is(200, "true");
    assert_eq!(modify_index(&agent.key(&key)), index, "the same again is no change");
    agent.put(&format!("{path}?acquire={other}"), "w").is(200, "false");
    assert_eq!(modify_index(&agent.key(&key)), index);
    agent.put(&format!("{path}?acquire={one}"), "w").is(200, "true");
    let again = agent.key(&key);
    assert_eq!((&again["LockIndex"], &again["Flags"], &again["Value"]), (&json!(1), &json!(0), &json!("dw==")));
    assert!(modify_index(&again) > index, "the holder writes by acquiring again");
    agent.put(&format!("{path}?release={one}"), Value::Null).is(200, "true");
    let free = agent.get(&path);
    assert_eq!(
        free.ok(),
        json!([{
            "LockIndex": 1, "Key": key, "Flags": 0, "Value": null,
            "CreateIndex": index, "ModifyIndex": free.index()
        }]),
        "a release replaces the value, and there is no session any more"
    );
    agent.put(&format!("{path}?acquire={other}"), "u").is(200, "true");
    let other_holds = agent.key(&key);
    assert_eq!((&other_holds["LockIndex"], &other_holds["Session"]), (&json!(2), &json!(other)));
    agent.put(&format!("{path}?release={other}&flags=9"), "end").is(200, "true");
    let last = agent.key(&key);
    assert_eq!((&last["LockIndex"], &last["Flags"], &last["Value"]), (&json!(2), &json!(9), &json!("ZW5k")));
}

fn a_lock_excludes_nobody_who_does_not_ask(agent: &Target) {
    let session = agent.session(json!({}));
    let key = unique("kv/advisory");
    let path = format!("kv/{key}");
    agent.put(&format!("{path}?acquire={session}"), "v").is(200, "true");
    agent.put(&path, "plain").is(200, "true");
    let written = agent.key(&key);
    assert_eq!((&written["Session"], &written["LockIndex"]), (&json!(session), &json!(0)));
    agent.put(&format!("{path}?cas={}", modify_index(&written)), "cas").is(200, "true");
    assert_eq!(agent.key(&key)["Session"], json!(session));
    agent.delete(&path).is(200, "true");
    agent.get(&path).is(404, "");
    agent.put(&format!("{path}?acquire={session}"), "v").is(200, "true");
    assert_eq!(agent.key(&key)["LockIndex"], 1, "the key is a new one");
}

fn only_the_holder_releases(agent: &Target) {
    let (one, other) = (agent.session(json!({})), agent.session(json!({})));
    let key = unique("kv/release");
    let path = format!("kv/{key}");
    agent.put(&format!("{path}?release={one}"), "x").is(200, "false");
    agent.get(&path).is(404, "");
    agent.put(&format!("{path}?acquire={one}"), "v").is(200, "true");
    for session in [&other, "00000000-0000-0000-0000-000000000000", "abc"] {
        agent.put(&format!("{path}?release={session}"), "x").is(200, "false");
    }
    agent.put(&format!("{path}?release="), "x").is(500, "missing session");
    assert_eq!(agent.key(&key)["Value"], "dg==");
    agent.put(&format!("{path}?release={one}"), "x").is(200, "true");
    agent.put(&format!("{path}?release={one}"), "y").is(200, "false");
    assert_eq!(agent.key(&key)["Value"], "eA==");
}

fn a_session_that_does_not_exist_locks_nothing(agent: &Target) {
    let path = format!("kv/{}", unique("kv/no-session"));
    let nobody = "00000000-0000-0000-0000-000000000000";
    agent.put(&format!("{path}?acquire={nobody}"), "x").is(500, &format!("invalid session \"{nobody}\""));
    let malformed = "failed session lookup: index error: UUID must be 36 characters";
    agent.put(&format!("{path}?acquire=abc"), "x").is(500, malformed);
    agent.put(&format!("{path}?acquire="), "x").is(500, "missing session");
    let session = agent.session(json!({}));
    agent.put(&format!("session/destroy/{session}"), Value::Null).is(200, "true");
    agent.put(&format!("{path}?acquire={session}"), "x").is(500, &format!("invalid session \"{session}\""));
    agent.get(&path).is(404, "");
}

fn anybody_may_lock_with_the_session_of_another(agent: &Target) {
    let session = agent.session(json!({"Name": "of another"}));
    let key = unique("kv/capability");
    agent.put(&format!("kv/{key}?acquire={session}"), "x").is(200, "true");
    assert_eq!(agent.key(&key)["Session"], json!(session));
    // An id in capitals is found, and is another text than the one that holds the key.
    agent.put(&format!("kv/{key}?acquire={}", session.to_uppercase()), "x").is(200, "false");
}

fn keys_below_a_lock_are_other_keys(agent: &Target) {
    let (one, other) = (agent.session(json!({})), agent.session(json!({})));
    let key = unique("kv/tree");
    agent.put(&format!("kv/{key}?acquire={one}"), "x").is(200, "true");
    agent.put(&format!("kv/{key}/x?acquire={other}"), "x").is(200, "true");
    agent.put(&format!("kv/{key}/?acquire={other}"), "x").is(200, "true");
}

/// Writes these keys below a folder of its own, which it gives.
fn folder(agent: &Target, names: &[&str]) -> String {
    let folder = unique("kv/folder");
    for name in names {
        agent.put(&format!("kv/{folder}{name}"), "x").is(200, "true");
    }
    folder
}

/// The keys of an answer, without what stands before them.
#[track_caller]
fn names(answer: &Reply, folder: &str) -> Vec<String> {
    let keys = answer.ok();
    let keys = keys.as_array().expect("a list").iter();
    let name =
        |key: &Value| key["Key"].as_str().or(key.as_str()).expect("a key").strip_prefix(folder).map(str::to_owned);
    keys.map(|key| name(key).expect("a key of the folder")).collect()
}

const NAMES: &[&str] = &["/", "/a", "/a/b", "/b/c", "/b/d", "x"];

fn a_prefix_is_a_string_and_no_folder(agent: &Target) {
    let folder = folder(agent, &["x", "/b/d", "/a", "/b/c", "/", "/a/b"]);
    let all = agent.get(&format!("kv/{folder}?keys"));
    assert_eq!(names(&all, &folder), NAMES, "in order, and with the neighbour");
    assert_eq!(names(&agent.get(&format!("kv/{folder}?recurse")), &folder), NAMES);
    assert_eq!(names(&agent.get(&format!("kv/{folder}/?recurse")), &folder), NAMES[..5]);
    assert_eq!(names(&agent.get(&format!("kv/{folder}/b/?keys")), &folder), ["/b/c", "/b/d"]);
    assert_eq!(names(&agent.get(&format!("kv/{folder}/a?keys")), &folder), ["/a", "/a/b"]);
    assert_eq!(names(&agent.get(&format!("kv/{folder}/a?keys&recurse")), &folder), ["/a", "/a/b"], "keys wins");
    let whole: Vec<_> = names(&agent.get("kv/?keys"), "").into_iter().filter(|key| key.starts_with(&folder)).collect();
    assert_eq!(whole.len(), NAMES.len(), "the root");
}

fn keys_are_cut_behind_a_separator(agent: &Target) {
    let folder = folder(agent, NAMES);
    let ask = |what: &str| names(&agent.get(&format!("kv/{folder}{what}")), &folder);
    assert_eq!(ask("/?keys&separator=/"), ["/", "/a", "/a/", "/b/"]);
    assert_eq!(ask("/?keys&separator=%2F"), ["/", "/a", "/a/", "/b/"]);
    assert_eq!(ask("?keys&separator=/"), ["/", "x"]);
    assert_eq!(ask("/?keys&separator=b/"), ["/", "/a", "/a/b", "/b/"]);
    assert_eq!(ask("/?keys&separator="), NAMES[..5]);
    assert_eq!(ask("/?keys&separator=z"), NAMES[..5]);
    assert_eq!(ask("/?recurse&separator=/"), NAMES[..5], "for keys alone");
}

fn what_is_not_there_is_404_with_an_index(agent: &Target) {
    let key = unique("kv/none");
    for what in ["", "?recurse", "?keys", "?raw", "?keys&separator=/"] {
        let answer = agent.get(&format!("kv/{key}{what}"));
        answer.is(404, "");
        assert!(answer.index() > 0, "{what}");
    }
    for what in ["?recurse", "?keys"] {
        agent.get(&format!("kv/{key}/{what}")).is(404, "");
    }
}

fn recurse_deletes_by_prefix(agent: &Target) {
    let folder = folder(agent, NAMES);
    let session = agent.session(json!({}));
    agent.put(&format!("kv/{folder}/held?acquire={session}"), "x").is(200, "true");
    agent.delete(&format!("kv/{folder}/?recurse")).is(200, "true");
    assert_eq!(names(&agent.get(&format!("kv/{folder}?keys")), &folder), ["x"]);
    agent.delete(&format!("kv/{folder}/?recurse")).is(200, "true");
    agent.delete(&format!("kv/{folder}?recurse=false")).is(200, "true");
    agent.get(&format!("kv/{folder}?keys")).is(404, "");
}

fn keys_are_percent_encoded(agent: &Target) {
    let folder = folder(agent, &["/p+q", "/p%20q", "/p%2Fq", "/%25", "/%C3%BC", "/a=b%26c%3Fd%23", "/e/", "/e"]);
    let mut keys = names(&agent.get(&format!("kv/{folder}/?keys")), &folder);
    keys.sort();
    assert_eq!(keys, ["/%", "/a=b&c?d#", "/e", "/e/", "/p q", "/p+q", "/p/q", "/ü"]);
    assert_eq!(agent.key(&format!("{folder}/p%20q"))["Key"], json!(format!("{folder}/p q")));
    assert_eq!(agent.key(&format!("{folder}/%C3%BC"))["Key"], json!(format!("{folder}/ü")));
}

fn keys_that_are_no_clean_path_are_redirected(agent: &Target) {
    let root = unique("kv-odd");
    for (key, to) in [
        (format!("/{root}"), format!("kv/{root}")),
        (format!("%2F{root}"), format!("kv/{root}")),
        (format!("{root}//b"), format!("kv/{root}/b")),
        (format!("{root}/./b"), format!("kv/{root}/b")),
        (format!("{root}/a/../b"), format!("kv/{root}/b")),
        (format!("{root}/a%2F..%2Fb"), format!("kv/{root}/b")),
        (format!("{root}/."), format!("kv/{root}")),
        (format!("{root}/.."), "kv/".to_owned()),
        (format!("{root}/../../c"), "c".to_owned()),
        (format!("{root}//?recurse&x=1"), format!("kv/{root}/?recurse&x=1")),
    ] {
        for method in ["PUT", "GET", "DELETE"] {
            let answer = agent.send(method, &format!("kv/{key}"), &[], b"");
            assert_eq!(
                (answer.status, answer.header("location")),
                (301, Some(&*format!("/v1/{to}"))),
                "{method} {key}"
            );
        }
    }
    let answer = agent.put("kv/..", "x");
    assert_eq!((answer.status, answer.header("location")), (301, Some("/v1")));
    let answer = agent.get("kv");
    assert_eq!((answer.status, answer.header("location")), (301, Some("/v1/kv/")));
    agent.get(&format!("kv/{root}?keys")).is(404, "");
}

fn control_characters_are_refused(agent: &Target) {
    let root = unique("kv-control");
    for character in ["%00", "%0A", "%1F", "%7F", "%C2%85"] {
        agent.put(&format!("kv/{root}{character}"), "x").is(400, "");
        agent.get(&format!("kv/{root}{character}")).is(400, "");
    }
    // What is no UTF-8 is taken, and shown as far as JSON goes.
    agent.put(&format!("kv/{root}%ffb"), "x").is(200, "true");
    assert_eq!(agent.key(&format!("{root}%ffb"))["Key"], json!(format!("{root}\u{fffd}b")));
}

fn a_key_without_a_name_is_refused(agent: &Target) {
    agent.get("kv/").is(400, "Missing key name");
    agent.put("kv/", "x").is(400, "Missing key name");
    agent.delete("kv/").is(400, "Missing key name");
}

fn values_have_a_limit_and_keys_have_none_near(agent: &Target) {
    let key = unique("kv/size");
    let path = format!("kv/{key}");
    agent.put(&path, "x".repeat(524_288)).is(200, "true");
    let answer = agent.put(&path, "y".repeat(524_289));
    assert_eq!(answer.status, 413);
    assert!(answer.text().starts_with("Request body(524289 bytes) too large, max size: 524288 bytes."), "{answer:?}");
    assert_eq!(agent.get(&format!("{path}?raw")).body, "x".repeat(524_288).as_bytes());
    agent.delete(&path).is(200, "true");
    let long = format!("{path}{}", "k".repeat(2000));
    agent.put(&long, "x").is(200, "true");
    agent.get(&format!("{long}?raw")).is(200, "x");
}

fn raw_gives_the_bytes(agent: &Target) {
    let path = format!("kv/{}", unique("kv/raw"));
    agent.send("PUT", &path, &[], &[0, 159, 10]).is(200, "true");
    let answer = agent.get(&format!("{path}?raw"));
    assert_eq!((answer.status, &*answer.body), (200, &[0, 159, 10][..]));
    assert!(answer.index() > 0);
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    agent.put(&path, Value::Null).is(200, "true");
    agent.get(&format!("{path}?raw")).is(200, "");
    assert_eq!(agent.get(&format!("{path}?raw&recurse")).ok()[0]["Value"], Value::Null);
}

fn a_chunked_value_is_taken(agent: &Target) {
    let key = unique("kv/chunked");
    let answer = agent.raw(
        format!(
            "PUT /v1/kv/{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        )
        .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.trim_end().ends_with("\r\n\r\ntrue"), "{answer}");
    assert_eq!(agent.key(&key)["Value"], "aGVsbG8=");
}

fn a_read_says_where_it_is_from(agent: &Target) {
    let path = format!("kv/{}", unique("kv/meta"));
    agent.put(&path, "x").is(200, "true");
    for what in ["", "?recurse", "?keys", "?stale", "?consistent", "?dc=dc1"] {
        let answer = agent.get(&format!("{path}{what}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-consul-knownleader"), Some("true"), "{what}");
        assert_eq!(answer.header("x-consul-lastcontact"), Some("0"), "{what}");
        assert_eq!(answer.header("x-consul-results-filtered-by-acls"), None, "{what}");
    }
}

fn consistency_is_one_of_three(agent: &Target) {
    let both = "Cannot specify ?stale with ?consistent, conflicting semantics.";
    for what in ["kv/a", "kv/?keys", "session/list", "session/node/node1", "catalog/nodes", "health/state/any"] {
        let and = if what.contains('?') { '&' } else { '?' };
        agent.get(&format!("{what}{and}stale&consistent")).is(400, both);
    }
    agent.put("txn?stale&consistent", json!([{"KV": {"Verb": "get", "Key": "a"}}])).is(400, both);
}

fn places_that_do_not_exist(agent: &Target) {
    let path = format!("kv/{}", unique("kv/elsewhere"));
    agent.put(&format!("{path}?dc=nope"), "x").is(500, "No path to datacenter");
    agent.get(&format!("{path}?dc=nope")).is(500, "No path to datacenter");
    let enterprise = "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature";
    agent.get(&format!("{path}?ns=team")).is(400, enterprise);
    agent.put(&format!("{path}?ns=team"), "x").is(400, enterprise);
    agent.put(&format!("{path}?partition=p"), "x").is(200, "true");
    agent.get(&format!("{path}?partition=q&raw")).is(200, "x");
}
