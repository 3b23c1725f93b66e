//! Keys, transactions and watches of the client library, on a real agent.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lictor::consul::{Client, Condition, Error, KeyError, MAX_VALUE, Operation, PutOptions, Query, Settings, TxnError};
use support::proxy::{Act, Proxy};
use support::{Agent, unique};

fn client() -> Client {
    let settings = Settings { host: Some(Agent::shared().address()), ..Settings::default() };
    Client::new(settings.into_config().unwrap()).unwrap()
}

fn query() -> Query {
    Query::default()
}

fn put(key: &str, value: &[u8]) {
    assert!(client().kv().put(key, value, &PutOptions::default(), &query()).unwrap());
}

fn under(condition: Condition) -> PutOptions {
    PutOptions { condition, ..PutOptions::default() }
}

#[test]
fn every_key_reads_back_under_its_own_name() {
    let (client, folder) = (client(), unique("keys"));
    for name in ["plain", "with space", "a+b", "100%", "%2F", "ünï/cödé ✓", "a?b=c&d#e", "\"quoted\\", "folder/", "..."]
    {
        let key = format!("{folder}/{name}");
        put(&key, name.as_bytes());
        let pair = client.kv().get(&key, &query()).unwrap().unwrap();
        assert_eq!((pair.key.as_str(), pair.text().unwrap()), (key.as_str(), name));
        assert_eq!(client.kv().keys(&key, None, &query()).unwrap(), std::slice::from_ref(&key));
        assert!(client.kv().delete(&key, None, &query()).unwrap());
        assert_eq!(client.kv().get(&key, &query()).unwrap(), None);
    }
}

#[test]
fn keys_that_consul_would_redirect_are_refused_before_anything_is_sent() {
    let nobody = Settings { host: Some("127.0.0.1:1".to_owned()), ..Settings::default() };
    let client = Client::new(nobody.into_config().unwrap()).unwrap();
    for key in ["/a", "a//b", "a/./b", "a/../b", "", "a\nb"] {
        assert!(matches!(client.kv().get(key, &query()), Err(Error::Key(_))), "{key}");
        assert!(matches!(client.kv().put(key, b"", &PutOptions::default(), &query()), Err(Error::Key(_))), "{key}");
        assert!(matches!(client.kv().delete(key, None, &query()), Err(Error::Key(_))), "{key}");
    }
    let tree = client.kv().delete_tree("an", &query());
    assert!(matches!(tree, Err(Error::Key(KeyError::NoFolder { .. }))));
    let long = client.kv().put("a", &vec![0; MAX_VALUE + 1], &PutOptions::default(), &query());
    assert!(matches!(long, Err(Error::Key(KeyError::TooLong { .. }))));
}

#[test]
fn values_are_bytes_of_any_kind() {
    let (client, key) = (client(), unique("bytes"));
    for value in [Vec::new(), (0..=255).collect(), vec![7; MAX_VALUE]] {
        put(&key, &value);
        assert!(client.kv().get(&key, &query()).unwrap().unwrap().value == value);
    }
    put(&key, br#"{"replicas": 3}"#);
    let json: serde_json::Value = client.kv().get(&key, &query()).unwrap().unwrap().json().unwrap();
    assert_eq!(json["replicas"], 3);
    put(&key, b"\xff");
    assert!(client.kv().get(&key, &query()).unwrap().unwrap().text().is_err());
}

#[test]
fn flags_are_64_bits_and_a_write_without_them_sets_them_to_0() {
    let (client, key) = (client(), unique("flags"));
    let options = PutOptions { flags: u64::MAX, ..PutOptions::default() };
    client.kv().put(&key, b"x", &options, &query()).unwrap();
    assert_eq!(client.kv().get(&key, &query()).unwrap().unwrap().flags, u64::MAX);
    put(&key, b"x");
    assert_eq!(client.kv().get(&key, &query()).unwrap().unwrap().flags, 0);
}

#[test]
fn compare_and_set_writes_only_what_has_not_moved() {
    let (client, key) = (client(), unique("cas"));
    let cas = |index| client.kv().put(&key, b"x", &under(Condition::Cas(index)), &query()).unwrap();
    assert!(cas(0), "it does not exist");
    assert!(!cas(0), "now it does");
    let index = client.kv().get(&key, &query()).unwrap().unwrap().modify_index;
    assert!(client.kv().put(&key, b"y", &under(Condition::Cas(index)), &query()).unwrap());
    assert!(!cas(index), "it has moved");
    assert!(!client.kv().delete(&key, Some(index), &query()).unwrap());
    let index = client.kv().get(&key, &query()).unwrap().unwrap().modify_index;
    assert!(client.kv().delete(&key, Some(index), &query()).unwrap());
}

#[test]
fn a_lock_is_one_sessions() {
    let (client, agent, key) = (client(), Agent::shared(), unique("lock"));
    let session = || agent.create_session(&serde_json::json!({"LockDelay": "0s"}));
    let (ours, theirs) = (session(), session());
    let with = |condition| client.kv().put(&key, b"x", &under(condition), &query());
    assert!(with(Condition::Acquire(ours.clone())).unwrap());
    assert!(with(Condition::Acquire(ours.clone())).unwrap(), "held already");
    assert!(!with(Condition::Acquire(theirs.clone())).unwrap());
    let pair = client.kv().get(&key, &query()).unwrap().unwrap();
    assert_eq!((pair.session.as_deref(), pair.lock_index), (Some(ours.as_str()), 1));
    assert!(!with(Condition::Release(theirs)).unwrap());
    assert!(with(Condition::Release(ours)).unwrap());
    assert_eq!(client.kv().get(&key, &query()).unwrap().unwrap().session, None);
    let unknown = with(Condition::Acquire("00000000-0000-0000-0000-000000000000".to_owned())).unwrap_err();
    assert!(unknown.to_string().contains("invalid session"), "{unknown}");
}

#[test]
fn trees_are_listed_with_and_without_a_separator() {
    let (client, folder) = (client(), unique("tree"));
    for name in ["a", "b/1", "b/2"] {
        put(&format!("{folder}/{name}"), b"x");
    }
    let keys = |separator| client.kv().keys(&format!("{folder}/"), separator, &query()).unwrap();
    assert_eq!(keys(None), [format!("{folder}/a"), format!("{folder}/b/1"), format!("{folder}/b/2")]);
    assert_eq!(keys(Some("/")), [format!("{folder}/a"), format!("{folder}/b/")]);
    assert_eq!(client.kv().recurse(&format!("{folder}/b/"), &query()).unwrap().0.len(), 2);
    client.kv().delete_tree(&format!("{folder}/"), &query()).unwrap();
    assert_eq!(keys(None), Vec::<String>::new());
    assert_eq!(client.kv().recurse(&format!("{folder}/"), &query()).unwrap().0, []);
}

#[test]
fn any_number_of_operations_is_packed_and_each_batch_is_whole() {
    let (client, folder) = (client(), unique("txn"));
    let key = |number: usize| format!("{folder}/{number:04}");
    let set: Vec<Operation> = (0..300).map(|number| Operation::set(&key(number), b"x", 0)).collect();
    let pairs = client.txn().apply(&set, &query()).unwrap();
    assert_eq!((pairs.len(), pairs[299].key.as_str()), (300, key(299).as_str()));
    assert_eq!(client.kv().keys(&format!("{folder}/"), None, &query()).unwrap().len(), 300);

    let large: Vec<Operation> = (0..20).map(|number| Operation::set(&key(number), &[1; 100_000], 7)).collect();
    assert_eq!(client.txn().apply(&large, &query()).unwrap().len(), 20, "512 KiB a transaction");

    // The 200th operation cannot hold: what is in its batch is not done, what is in earlier ones is.
    let mut deletes: Vec<Operation> = (0..300).map(|number| Operation::delete(&key(number))).collect();
    deletes[199] = Operation::check_index(&key(199), 1);
    let Err(TxnError::Refused { applied, failed }) = client.txn().apply(&deletes, &query()) else { panic!("refused") };
    assert_eq!((failed.len(), failed[0].index, failed[0].key.as_str()), (1, 199, key(199).as_str()));
    assert!(failed[0].what.contains("index"), "{failed:?}");
    let left = client.kv().keys(&format!("{folder}/"), None, &query()).unwrap();
    assert_eq!((left.len(), left[0].as_str()), (300 - applied, key(applied).as_str()));
    assert!(applied >= 128, "{applied}");
}

#[test]
fn one_operation_more_than_a_transaction_takes_goes_into_the_next() {
    let (client, folder) = (client(), unique("one-more"));
    for count in [64, 65, 128, 129] {
        let key = |number: usize| format!("{folder}/{count}/{number:04}");
        let set: Vec<Operation> = (0..count).map(|number| Operation::set(&key(number), b"x", 0)).collect();
        assert_eq!(client.txn().apply(&set, &query()).unwrap().len(), count);
        assert_eq!(client.kv().keys(&format!("{folder}/{count}/"), None, &query()).unwrap().len(), count);
    }
    let long = [Operation::set(&folder, b"x", 0), Operation::set(&folder, &vec![0; MAX_VALUE + 1], 0)];
    let Err(error) = client.txn().apply(&long, &query()) else { panic!("512 KiB and one byte") };
    assert!(error.to_string().contains("524289 bytes"), "{error}");
    assert_eq!(client.kv().get(&folder, &query()).unwrap(), None, "nothing is sent where one is known to be wrong");
}

#[test]
fn an_agent_that_dies_between_two_batches() {
    for (lost, more) in [(Act::Raw(Vec::new()), 0), (Act::ForwardAndClose, 64)] {
        let (folder, batches) = (unique("dies"), AtomicUsize::new(0));
        // The first is too long for this Consul, so that of 300 operations 64 go at once.
        let way = Proxy::start(&Agent::shared().address(), move |line| match line {
            "PUT /v1/txn" if batches.fetch_add(1, Ordering::Relaxed) == 2 => lost.clone(),
            _ => Act::Forward,
        });
        let settings = Settings { host: Some(way.address()), ..Settings::default() };
        let through = Client::new(settings.into_config().unwrap()).unwrap();
        let key = |number: usize| format!("{folder}/{number:04}");
        let set: Vec<Operation> = (0..300).map(|number| Operation::set(&key(number), b"x", 0)).collect();
        let error = through.txn().apply(&set, &query()).unwrap_err();
        assert!(matches!(&error, TxnError::Failed { applied: 64, .. }), "{error:?}");
        assert!(error.open() == 64 && error.to_string().starts_with("after 64 operations"), "{error}");
        let written = client().kv().keys(&format!("{folder}/"), None, &query()).unwrap();
        assert_eq!(
            (written.len(), written.last()),
            (64 + more, Some(&key(63 + more))),
            "whole batches, in their order"
        );
        assert_eq!(way.seen().len(), 3, "nothing is sent twice, and nothing after it");
    }
}

#[test]
fn a_transaction_knows_every_verb() {
    let (client, agent, folder) = (client(), Agent::shared(), unique("verbs"));
    let session = agent.create_session(&serde_json::json!({"LockDelay": "0s"}));
    let key = |name: &str| format!("{folder}/{name}");
    let apply = |operations: &[Operation]| client.txn().apply(operations, &query());
    let pairs = apply(&[
        Operation::check_not_exists(&key("a")),
        Operation::cas(&key("a"), b"1", 5, 0),
        Operation::lock(&key("lock"), b"us", 0, &session),
        Operation::get(&key("a")),
    ])
    .unwrap();
    let read = pairs.last().unwrap();
    assert_eq!((read.text().unwrap(), read.flags), ("1", 5));
    apply(&[Operation::check_session(&key("lock"), &session), Operation::set(&key("guarded"), b"x", 0)]).unwrap();
    apply(&[Operation::check_index(&key("a"), read.modify_index), Operation::delete_cas(&key("a"), read.modify_index)])
        .unwrap();
    apply(&[Operation::unlock(&key("lock"), b"", 0, &session)]).unwrap();
    let lost = apply(&[Operation::check_session(&key("lock"), &session), Operation::set(&key("guarded"), b"y", 0)]);
    assert!(matches!(lost, Err(TxnError::Refused { applied: 0, .. })), "{lost:?}");
    assert_eq!(client.kv().get(&key("guarded"), &query()).unwrap().unwrap().value, b"x", "nothing was written");
}

#[test]
fn a_watch_sees_each_change_and_a_key_that_is_not_there_yet() {
    let (client, key) = (client(), unique("watch"));
    let mut watch = client.kv().watch(&key, &query()).unwrap().wait(Duration::from_secs(30));
    let mut value = || {
        let (pairs, _) = watch.next().unwrap().unwrap();
        pairs.into_iter().next().map(|pair| pair.text().unwrap().to_owned())
    };
    assert_eq!(value(), None);
    let writer = {
        let key = key.clone();
        std::thread::spawn(move || put(&key, b"first"))
    };
    // Consul wakes the query for a missing key by other writes too: the value is what counts.
    let seen = std::iter::repeat_with(&mut value).find(Option::is_some).flatten();
    assert_eq!(seen.as_deref(), Some("first"));
    writer.join().unwrap();
    put(&key, b"second");
    assert_eq!(std::iter::repeat_with(&mut value).flatten().find(|value| value != "first").unwrap(), "second");
}
