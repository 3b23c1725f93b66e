//! Semaphores and waiting in line, in the library, against a real agent and the real `consul lock -n`.

mod support;

use std::sync::mpsc;
use std::time::Duration;

use lictor::consul::{Client, Operation, Query};
use lictor::coordinate::{Cancel, Error, Lock, SEMAPHORE_FLAGS, Semaphore, Session, SessionOptions, Why};
use serde_json::{Value, json};
use support::proxy::Proxy;
use support::recipe::{client, client_at, consul_lock};
use support::{Agent, unique};

fn session(client: &Client) -> Session {
    let options = SessionOptions { lock_delay: Duration::ZERO, delete_keys: true, ..SessionOptions::default() };
    Session::start(client, &Query::default(), &options).unwrap()
}

/// What `.lock` says.
fn table(path: &str) -> Value {
    let pair = client().kv().get(&format!("{path}/.lock"), &Query::default()).unwrap().expect("it is there");
    assert_eq!(pair.flags, SEMAPHORE_FLAGS);
    pair.json().unwrap()
}

#[test]
fn as_many_as_the_limit_hold_and_each_has_a_higher_token() {
    let (client, path) = (client(), unique("semaphore/many"));
    let sessions = [session(&client), session(&client), session(&client)];
    let [one, two, three] = sessions.each_ref().map(|session| Semaphore::new(session, &path, 2).unwrap());
    let first = one.try_acquire().unwrap().expect("it is free");
    let second = two.try_acquire().unwrap().expect("there is another");
    assert!(second.token() > first.token());
    assert!(three.try_acquire().unwrap().is_none());
    assert_eq!(table(&path)["Holders"].as_object().unwrap().len(), 2);
    let token = second.token();
    first.release().unwrap();
    let third = three.try_acquire().unwrap().expect("one was released");
    assert!(third.token() > token);
    second.release().unwrap();
    third.release_and_delete().unwrap();
    let left = client.kv().keys(&format!("{path}/"), None, &Query::default()).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn who_waits_gets_a_permit_that_is_released_or_whose_holder_dies() {
    let (agent, client, path) = (Agent::shared(), client(), unique("semaphore/wait"));
    let (first, second) = (session(&client), session(&client));
    let (ours, theirs) = (Semaphore::new(&first, &path, 1).unwrap(), Semaphore::new(&second, &path, 1).unwrap());
    let permit = ours.acquire().unwrap();
    assert!(theirs.acquire_or(Some(Duration::from_millis(50)), None).unwrap().is_none());
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| theirs.acquire_or(None, Some(&cancel)).unwrap().is_none());
        cancel.cancel();
        assert!(waiter.join().unwrap());
        let waiter = scope.spawn(|| theirs.acquire().unwrap().release().unwrap());
        permit.release().unwrap();
        waiter.join().unwrap();
        let permit = ours.acquire().unwrap();
        let waiter = scope.spawn(|| theirs.acquire().unwrap().release().unwrap());
        agent.put(&format!("/v1/session/destroy/{}", first.id()), &json!(""));
        waiter.join().unwrap();
        assert!(matches!(permit.release(), Err(Error::SessionLost { .. })));
    });
}

#[test]
fn a_permit_is_lost_with_its_keys_and_with_its_session() {
    let (agent, client, path) = (Agent::shared(), client(), unique("semaphore/lost"));
    for what in ["own", "table", "session"] {
        let ours = session(&client);
        let semaphore = Semaphore::new(&ours, &path, 1).unwrap();
        let permit = semaphore.acquire().unwrap();
        permit.watch().unwrap();
        assert_eq!(permit.lost().why(), None);
        match what {
            "own" => agent.delete(&format!("/v1/kv/{}", semaphore.key())),
            "table" => agent.delete(&format!("/v1/kv/{path}/.lock")),
            _ => drop(agent.put(&format!("/v1/session/destroy/{}", ours.id()), &json!(""))),
        }
        assert_eq!(permit.lost().wait(), Why::KeyLost);
        assert!(matches!(permit.release(), Err(Error::SessionLost { why: Why::KeyLost, .. })));
    }
}

#[test]
fn a_watch_outlasts_a_network_that_fails_and_tells_of_a_loss_after_it() {
    let (agent, path) = (Agent::shared(), unique("semaphore/faulty"));
    let proxy = Proxy::faulty(&agent.address());
    let ours = session(&client_at(&proxy.address()));
    let semaphore = Semaphore::new(&ours, &path, 1).unwrap();
    let permit = semaphore.acquire().unwrap();
    proxy.fail(6);
    permit.watch().unwrap();
    proxy.reads_again();
    assert_eq!(permit.lost().why(), None, "nobody has taken it away");
    agent.delete(&format!("/v1/kv/{}", semaphore.key()));
    assert_eq!(permit.lost().wait(), Why::KeyLost);
}

#[test]
fn who_waits_outlasts_a_network_that_fails_at_every_step() {
    for fair in [false, true] {
        let (client, path) = (client(), unique("semaphore/patient"));
        let first = session(&client);
        let held = Semaphore::new(&first, &path, 1).unwrap();
        let permit = held.acquire().unwrap();
        let token = permit.token();
        let proxy = Proxy::faulty(&Agent::shared().address());
        let second = session(&client_at(&proxy.address()));
        let semaphore = Semaphore::new(&second, &path, 1).unwrap();
        let semaphore = if fair { semaphore.fair() } else { semaphore };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| semaphore.acquire().unwrap().token());
            proxy.has_seen("index=");
            proxy.fail(3); // each in its own way, the writes that take the permit too
            permit.release().unwrap();
            assert!(waiter.join().unwrap() > token);
        });
    }
}

#[test]
fn a_write_in_one_transaction_with_the_permit_is_refused_once_it_is_lost() {
    let (client, path) = (client(), unique("semaphore/guarded"));
    let ours = session(&client);
    let semaphore = Semaphore::new(&ours, &path, 3).unwrap();
    let permit = semaphore.acquire().unwrap();
    let (mark, data) = (permit.guard(), format!("{path}-data"));
    let write = |value: &[u8]| client.txn().once(&[mark.clone(), Operation::set(&data, value, 0)], &Query::default());
    write(b"held").unwrap();
    permit.release().unwrap();
    write(b"late").unwrap_err();
}

#[test]
fn another_limit_and_another_layout_are_refused_and_force_goes_over_the_limit() {
    let (client, path) = (client(), unique("semaphore/conflict"));
    let (first, second) = (session(&client), session(&client));
    let ours = Semaphore::new(&first, &path, 1).unwrap();
    let permit = ours.acquire().unwrap();
    assert!(!permit.is_over_limit());
    let other = Semaphore::new(&second, &path, 2).unwrap();
    assert!(matches!(other.try_acquire(), Err(Error::Limit { ours: 2, theirs: 1, .. })));
    let lock = Lock::new(&second, &format!("{path}/.lock")).unwrap();
    let refused = lock.try_acquire().unwrap_err();
    assert!(refused.to_string().contains("not a lock, but a semaphore"), "{refused}");
    assert!(Semaphore::new(&second, &path, 0).is_err());
    let forced = Semaphore::new(&second, &path, 1).unwrap().force();
    let over = forced.try_acquire().unwrap().expect("by force");
    assert!(over.is_over_limit());
    assert_eq!(table(&path), json!({"Limit": 1, "Holders": {first.id(): true, second.id(): true}}));
    over.release().unwrap();
    permit.release().unwrap();
}

#[test]
fn a_damaged_table_is_left_alone() {
    let (agent, client, path) = (Agent::shared(), client(), unique("semaphore/damaged"));
    agent.put(&format!("/v1/kv/{path}/.lock?flags={SEMAPHORE_FLAGS}"), &json!("half"));
    let ours = session(&client);
    let refused = Semaphore::new(&ours, &path, 1).unwrap().try_acquire().unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
    assert_eq!(client.kv().get(&format!("{path}/.lock"), &Query::default()).unwrap().unwrap().value, b"half");
}

#[test]
fn in_line_the_first_to_come_is_the_first_to_be_served_whoever_dies_meanwhile() {
    for limit in [None, Some(2)] {
        let (agent, client, path) = (Agent::shared(), client(), unique("semaphore/line"));
        let key = format!("{path}/.lock");
        let sessions: Vec<_> = (0..10).map(|_| session(&client)).collect();
        let holder = session(&client);
        // So many hold it that everybody waits.
        let held_lock = Lock::new(&holder, &key).unwrap();
        let held_permit = Semaphore::new(&holder, &path, limit.unwrap_or(1)).unwrap();
        let other = session(&client);
        let held_other = Semaphore::new(&other, &path, limit.unwrap_or(1)).unwrap();
        let lock = if limit.is_none() { Some(held_lock.acquire().unwrap()) } else { None };
        let permits =
            if limit.is_some() { Some((held_permit.acquire().unwrap(), held_other.acquire().unwrap())) } else { None };
        let (tell, served) = mpsc::channel();
        std::thread::scope(|scope| {
            for (number, session) in sessions.iter().enumerate() {
                let (tell, path, key) = (tell.clone(), &path, &key);
                scope.spawn(move || {
                    let token = match limit {
                        None => {
                            let lock = Lock::new(session, key).unwrap().fair();
                            lock.acquire().map(|guard| (guard.token(), guard.release().unwrap()).0)
                        }
                        Some(limit) => {
                            let semaphore = Semaphore::new(session, path, limit).unwrap().fair();
                            semaphore.acquire().map(|permit| (permit.token(), permit.release().unwrap()).0)
                        }
                    };
                    tell.send((number, token)).unwrap();
                });
                // In line before the next one comes.
                let place = format!("{key}.line/{}", session.id());
                while client.kv().get(&place, &Query::default()).unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            for dead in [0, 4, 5] {
                agent.put(&format!("/v1/session/destroy/{}", sessions[dead].id()), &json!(""));
            }
            drop((lock, permits));
        });
        drop(tell);
        let mut tokens: Vec<_> = served.iter().filter_map(|(number, token)| Some((token.ok()?, number))).collect();
        tokens.sort_unstable();
        let order: Vec<_> = tokens.iter().map(|(_, number)| *number).collect();
        assert_eq!(order, [1, 2, 3, 6, 7, 8, 9]);
        let left = client.kv().keys(&format!("{key}.line/"), None, &Query::default()).unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn who_does_not_wait_does_not_overtake_the_line() {
    let (client, path) = (client(), unique("semaphore/overtake"));
    let key = format!("{path}/.lock");
    let (first, second, third) = (session(&client), session(&client), session(&client));
    let held = Lock::new(&first, &key).unwrap();
    let guard = held.acquire().unwrap();
    let (waits, tries) = (Lock::new(&second, &key).unwrap().fair(), Lock::new(&third, &key).unwrap().fair());
    // It waits in line for a lock that is not released until it has given up.
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| waits.acquire_or(None, Some(&cancel)).unwrap().is_none());
        while client.kv().get(&format!("{key}.line/{}", second.id()), &Query::default()).unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(tries.try_acquire().unwrap().is_none(), "somebody is before it");
        cancel.cancel();
        assert!(waiter.join().unwrap());
    });
    guard.release().unwrap();
    tries.try_acquire().unwrap().expect("nobody is before it").release().unwrap();
}

#[test]
fn the_real_consul_lock_counts_us_and_we_count_it() {
    let (client, path) = (client(), unique("semaphore/consul"));
    let sessions = [session(&client), session(&client)];
    let [one, two] = sessions.each_ref().map(|session| Semaphore::new(session, &path, 2).unwrap());
    let (first, second) = (one.acquire().unwrap(), two.acquire().unwrap());
    let refused = consul_lock(&["-n=2", "-try=1s"], &path, &["true"]).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    second.release().unwrap();
    // It runs until the end of its input.
    let mut theirs = consul_lock(&["-n=2"], &path, &["cat"]).spawn().unwrap();
    let holders = || table(&path)["Holders"].as_object().unwrap().len();
    while holders() < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(two.try_acquire().unwrap().is_none());
    drop(theirs.stdin.take());
    assert!(theirs.wait().unwrap().success());
    two.acquire().unwrap().release().unwrap();
    first.release().unwrap();
}

#[test]
fn two_threads_do_not_take_one_permit_of_their_session_for_two() {
    let (client, path) = (client(), unique("semaphore/claimed"));
    let ours = session(&client);
    let (one, two) = (Semaphore::new(&ours, &path, 2).unwrap(), Semaphore::new(&ours, &path, 2).unwrap());
    let permit = one.try_acquire().unwrap().expect("it is free");
    assert!(matches!(two.try_acquire(), Err(Error::Claimed { .. })));
    assert!(matches!(two.acquire(), Err(Error::Claimed { .. })));
    permit.release().unwrap();
    two.acquire().unwrap().release().unwrap();
}
