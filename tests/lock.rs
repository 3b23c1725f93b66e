//! Locks of the library, against a real agent and against the real `consul lock`.

mod support;

use std::time::Duration;

use lictor::consul::{Client, Operation, Query};
use lictor::coordinate::{Cancel, Error, LOCK_FLAGS, Lock, Session, SessionOptions, Why};
use serde_json::json;
use support::proxy::Proxy;
use support::recipe::{client, client_at, consul_lock};
use support::{Agent, unique};

fn session(client: &Client) -> Session {
    let options = SessionOptions { lock_delay: Duration::ZERO, ..SessionOptions::default() };
    Session::start(client, &Query::default(), &options).unwrap()
}

#[test]
fn one_holder_at_a_time_and_each_has_a_higher_token() {
    let (client, key) = (client(), unique("lock/one"));
    let (first, second) = (session(&client), session(&client));
    let (ours, theirs) = (Lock::new(&first, &key).unwrap(), Lock::new(&second, &key).unwrap());
    let guard = ours.try_acquire().unwrap().expect("it is free");
    assert!(theirs.try_acquire().unwrap().is_none());
    let mut tokens = vec![guard.token()];
    guard.release().unwrap();
    for lock in [&theirs, &ours, &ours, &theirs] {
        let guard = lock.try_acquire().unwrap().expect("it was released");
        tokens.push(guard.token());
        guard.release().unwrap();
        if tokens.len() == 3 {
            Agent::shared().delete(&format!("/v1/kv/{key}"));
        }
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

#[test]
fn who_waits_gets_it_when_it_is_released_or_its_time_is_over_or_it_is_cancelled() {
    let (client, key) = (client(), unique("lock/wait"));
    let (first, second) = (session(&client), session(&client));
    let (ours, theirs) = (Lock::new(&first, &key).unwrap(), Lock::new(&second, &key).unwrap());
    let guard = ours.acquire().unwrap();
    assert!(theirs.acquire_within(Duration::from_millis(100)).unwrap().is_none());
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| theirs.acquire_or(None, Some(&cancel)).unwrap().is_none());
        cancel.cancel();
        assert!(waiter.join().unwrap());
        let waiter = scope.spawn(|| theirs.acquire().unwrap().token());
        let token = guard.token();
        guard.release().unwrap();
        assert!(waiter.join().unwrap() > token);
    });
}

#[test]
fn a_lock_is_lost_with_its_session_and_with_its_key() {
    let (agent, client, key) = (Agent::shared(), client(), unique("lock/lost"));
    let ours = session(&client);
    let lock = Lock::new(&ours, &key).unwrap();
    let guard = lock.acquire().unwrap();
    assert_eq!(guard.lost().why(), None);
    guard.watch().unwrap();
    agent.delete(&format!("/v1/kv/{key}"));
    assert_eq!(guard.lost().wait(), Why::KeyLost);
    assert!(matches!(guard.release(), Err(Error::SessionLost { why: Why::KeyLost, .. })));
    let guard = lock.acquire().unwrap();
    agent.put(&format!("/v1/session/destroy/{}", ours.id()), &json!(""));
    assert_eq!(guard.lost().wait(), Why::SessionEnded, "the next renewal says so");
    assert!(matches!(lock.acquire(), Err(Error::SessionLost { .. })));
}

#[test]
fn a_watch_outlasts_a_network_that_fails_and_tells_of_a_loss_after_it() {
    let (agent, key) = (Agent::shared(), unique("lock/faulty"));
    let proxy = Proxy::faulty(&agent.address());
    let ours = session(&client_at(&proxy.address()));
    let lock = Lock::new(&ours, &key).unwrap();
    let guard = lock.acquire().unwrap();
    proxy.fail(6);
    guard.watch().unwrap();
    proxy.reads_again();
    assert_eq!(guard.lost().why(), None, "nobody has taken it away");
    agent.delete(&format!("/v1/kv/{key}"));
    assert_eq!(guard.lost().wait(), Why::KeyLost);
}

#[test]
fn who_waits_outlasts_a_network_that_fails_at_every_step() {
    for fair in [false, true] {
        let (client, key) = (client(), unique("lock/patient"));
        let first = session(&client);
        let held = Lock::new(&first, &key).unwrap();
        let guard = held.acquire().unwrap();
        let token = guard.token();
        let proxy = Proxy::faulty(&Agent::shared().address());
        let second = session(&client_at(&proxy.address()));
        let lock = Lock::new(&second, &key).unwrap();
        let lock = if fair { lock.fair() } else { lock };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock.acquire().unwrap().token());
            proxy.has_seen("index=");
            proxy.fail(3); // each in its own way, the writes that take the lock too
            guard.release().unwrap();
            assert!(waiter.join().unwrap() > token);
        });
    }
}

#[test]
fn a_write_in_one_transaction_with_the_lock_is_refused_once_it_is_lost() {
    let (client, key) = (client(), unique("lock/guarded"));
    let ours = session(&client);
    let lock = Lock::new(&ours, &key).unwrap();
    let guard = lock.acquire().unwrap();
    let (mark, data) = (guard.guard(), format!("{key}-data"));
    let write = |value: &[u8]| client.txn().once(&[mark.clone(), Operation::set(&data, value, 0)], &Query::default());
    write(b"held").unwrap();
    guard.release().unwrap();
    write(b"late").unwrap_err();
    assert_eq!(client.kv().get(&data, &Query::default()).unwrap().unwrap().value, b"held");
}

#[test]
fn a_key_that_is_no_lock_is_left_alone() {
    let (agent, client, key) = (Agent::shared(), client(), unique("lock/data"));
    agent.put(&format!("/v1/kv/{key}?flags=42"), &json!("data"));
    let ours = session(&client);
    let lock = Lock::new(&ours, &key).unwrap();
    assert!(matches!(lock.try_acquire(), Err(Error::Conflict { flags: 42, .. })));
    assert_eq!(agent.get(&format!("/v1/kv/{key}"))[0]["Flags"], json!(42));
}

#[test]
fn a_lock_that_is_barred_by_a_lock_delay_is_waited_for() {
    let (agent, client, key) = (Agent::shared(), client(), unique("lock/delay"));
    let options = SessionOptions { lock_delay: Duration::from_secs(2), ..SessionOptions::default() };
    let first = Session::start(&client, &Query::default(), &options).unwrap();
    std::mem::forget(Lock::new(&first, &key).unwrap().acquire().unwrap());
    agent.put(&format!("/v1/session/destroy/{}", first.id()), &json!(""));
    let second = session(&client);
    let lock = Lock::new(&second, &key).unwrap();
    assert!(lock.try_acquire().unwrap().is_none(), "nobody holds it, but it is barred");
    lock.acquire().unwrap().release().unwrap();
}

#[test]
fn the_real_consul_lock_and_we_keep_each_other_out() {
    let (agent, client, prefix) = (Agent::shared(), client(), unique("lock/consul"));
    let key = format!("{prefix}/.lock");
    let ours = session(&client);
    let lock = Lock::new(&ours, &key).unwrap();
    let guard = lock.acquire().unwrap();
    let refused = consul_lock(&["-try=1s"], &prefix, &["true"]).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    guard.release().unwrap();
    // It runs until the end of its input.
    let mut theirs = consul_lock(&[], &prefix, &["cat"]).spawn().unwrap();
    let held = || client.kv().get(&key, &Query::default()).unwrap().is_some_and(|pair| pair.session.is_some());
    while !held() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(agent.get(&format!("/v1/kv/{key}"))[0]["Flags"], json!(LOCK_FLAGS));
    assert!(lock.try_acquire().unwrap().is_none());
    drop(theirs.stdin.take());
    assert!(theirs.wait().unwrap().success());
    lock.acquire().unwrap().release().unwrap();
}

#[test]
fn no_session_is_left_behind() {
    let (client, name) = (client(), unique("left"));
    let options = SessionOptions { name: name.clone(), ..SessionOptions::default() };
    let released = Session::start(&client, &Query::default(), &options).unwrap();
    let dropped = Session::start(&client, &Query::default(), &options).unwrap();
    assert_eq!(Agent::shared().sessions(&name).len(), 2);
    released.release().unwrap();
    drop(dropped);
    assert_eq!(Agent::shared().sessions(&name).len(), 0);
}

#[test]
fn two_threads_do_not_take_one_hold_of_their_session_for_two() {
    let (client, key) = (client(), unique("lock/claimed"));
    let (ours, other) = (session(&client), session(&client));
    let (one, two) = (Lock::new(&ours, &key).unwrap(), Lock::new(&ours, &key).unwrap());
    let guard = one.try_acquire().unwrap().expect("it is free");
    assert!(matches!(two.try_acquire(), Err(Error::Claimed { .. })));
    assert!(matches!(two.acquire_within(Duration::from_secs(1)), Err(Error::Claimed { .. })));
    guard.release().unwrap();
    let guard = two.try_acquire().unwrap().expect("it was released");
    drop(guard);
    // Nor while one of them waits; behind that, the other may.
    let held = Lock::new(&other, &key).unwrap();
    let guard = held.acquire().unwrap();
    assert!(one.acquire_within(Duration::from_millis(20)).unwrap().is_none());
    guard.release().unwrap();
    two.acquire().unwrap().release().unwrap();
}

#[test]
fn a_wait_of_more_than_any_clock_shows_is_one_for_ever() {
    let (client, key) = (client(), unique("lock/ever"));
    let ours = session(&client);
    let lock = Lock::new(&ours, &key).unwrap();
    let guard = lock.acquire_within(Duration::MAX).unwrap().expect("it is free");
    let lost = guard.lost();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lost.wait_for(Duration::MAX));
        guard.release().unwrap();
        assert_eq!(waiter.join().unwrap(), Some(Why::Released));
    });
}
