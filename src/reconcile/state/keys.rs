//! The keys of a plan: written and deleted in transactions, several at once.
//!
//! All operations on one key are in one transaction, and each transaction begins with a check of the owner's lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::consul::{Condition, Operation, OperationError, PutOptions, Txn, TxnError};
use crate::object::{Key, ObservedKey, Session};
use crate::plan::key::KeyChange;
use crate::plan::state::{KeyStep, StateChange, Step};

use super::apply::{Work, about};
use super::{Error, parallel};

/// The pause before a key that is barred by a lock-delay is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// What the parts of a transaction's body that are not operations take.
const MARGIN: usize = 1_024;

/// What is to be done to one key.
struct Unit<'a> {
    change: &'a StateChange,
    operations: Vec<Operation>,
    size: usize,
}

/// The keys that are still to be written.
struct Queue<'a> {
    units: Mutex<VecDeque<Unit<'a>>>,
    /// How many operations go into a transaction.
    limit: AtomicUsize,
    /// Keys that are free, but barred for a while by the end of a session that held them.
    barred: Mutex<Vec<Unit<'a>>>,
}

/// Writes keys, and has sessions hold them.
pub(super) fn write(work: &Work<'_>) -> Result<(), Error> {
    carry_out(work, |change| !matches!(change, KeyStep::Write(KeyChange::Delete { .. })))
}

/// Deletes keys, each by itself.
pub(super) fn delete(work: &Work<'_>) -> Result<(), Error> {
    carry_out(work, |change| matches!(change, KeyStep::Write(KeyChange::Delete { .. })))
}

fn carry_out(work: &Work<'_>, wanted: fn(&KeyStep) -> bool) -> Result<(), Error> {
    let mut units = VecDeque::new();
    for change in work.changes() {
        match &change.step {
            Step::Key(step) if wanted(step) => {
                let operations = operations(work, step).map_err(|error| about(&change.id, error))?;
                let size = operations.iter().map(Operation::size).sum();
                units.push_back(Unit { change, operations, size });
            }
            _ => {}
        }
    }
    let queue = Queue { units: Mutex::new(units), limit: AtomicUsize::new(Txn::MANY), barred: Mutex::default() };
    // A batch is taken from the queue by whoever is free.
    let turns: Vec<()> = vec![(); locked(&queue.units).len()];
    let (_, failed) = parallel::each(&turns, work.run.parallelism, |()| {
        let batch = queue.take(work);
        if batch.is_empty() { Ok(()) } else { send(work, &queue, batch) }
    });
    if let Some((_, error)) = failed {
        return Err(error);
    }
    write_barred(work, &queue)
}

impl<'a> Queue<'a> {
    /// As many as fit into one transaction; at least one, where there is one.
    fn take(&self, work: &Work<'_>) -> Vec<Unit<'a>> {
        let mut units = locked(&self.units);
        let most = self.limit.load(Ordering::Relaxed) - 1;
        let (mut count, mut size) = (0, work.lock.operation().size() + MARGIN);
        let mut batch = Vec::new();
        while let Some(unit) = units.front() {
            count += unit.operations.len();
            size += unit.size;
            if !batch.is_empty() && (count > most || size > Txn::MAX_BODY) {
                break;
            }
            batch.extend(units.pop_front());
        }
        batch
    }
}

/// Does what a batch says, in one transaction; in several where the server takes fewer operations.
fn send<'a>(work: &Work<'a>, queue: &Queue<'a>, mut batch: Vec<Unit<'a>>) -> Result<(), Error> {
    while !batch.is_empty() {
        work.go_on()?;
        let mut operations = vec![work.lock.operation()];
        operations.extend(batch.iter().flat_map(|unit| unit.operations.iter().cloned()));
        if let [unit] = batch.as_slice()
            && unit.size + MARGIN > Txn::MAX_BODY
        {
            return alone(work, unit).map_err(|error| work.failed(&unit.change.id, error));
        }
        match work.run.client.txn().once(&operations, work.run.query) {
            Ok(_) => {
                batch.iter().for_each(|unit| work.finished(unit.change));
                return Ok(());
            }
            Err(TxnError::Failed { source, .. }) if source.status() == Some(413) && operations.len() > Txn::FEW => {
                queue.limit.store(Txn::FEW, Ordering::Relaxed);
                let rest = batch.split_off(batch.len() / 2);
                send(work, queue, batch)?;
                batch = rest;
            }
            Err(TxnError::Failed { source, .. }) => {
                if source.leaves_open() {
                    batch.iter().for_each(|unit| work.begun(&unit.change.id));
                }
                return Err(match batch.as_slice() {
                    [] => Error::Consul(source),
                    [unit] => about(&unit.change.id, source),
                    [first, ..] => {
                        let first = first.change.id.clone();
                        Error::Batch { first, count: batch.len(), source: Box::new(source) }
                    }
                });
            }
            Err(TxnError::Refused { failed, .. }) => {
                let barred = barred(work, &batch, &failed)?;
                let (later, now) = batch.into_iter().enumerate().partition::<Vec<_>, _>(|(at, _)| barred.contains(at));
                locked(&queue.barred).extend(later.into_iter().map(|(_, unit)| unit));
                batch = now.into_iter().map(|(_, unit)| unit).collect();
            }
        }
    }
    Ok(())
}

/// The places in the batch of the keys that are only barred for a while, where nothing else is wrong.
fn barred(work: &Work<'_>, batch: &[Unit<'_>], failed: &[OperationError]) -> Result<Vec<usize>, Error> {
    let mut barred = Vec::new();
    for failed in failed {
        // The first operation is the check of the lock.
        let Some(mut place) = failed.index.checked_sub(1) else { return Err(work.lock.lost()) };
        let unit = batch.iter().enumerate().find(|(_, unit)| {
            let inside = place < unit.operations.len();
            place -= if inside { 0 } else { unit.operations.len() };
            inside
        });
        let Some((at, unit)) = unit else { continue };
        match refusal(failed) {
            Error::LockDelay { .. } => barred.push(at),
            error => return Err(about(&unit.change.id, error)),
        }
    }
    if barred.is_empty() {
        let what = failed.first().map_or_else(String::new, |failed| failed.what.clone());
        return Err(Error::Stale { what: format!("a transaction was refused ({what})") });
    }
    Ok(barred)
}

/// Why Consul refused an operation, in its words.
fn refusal(failed: &OperationError) -> Error {
    let OperationError { key, what, .. } = failed;
    let says = |text: &str| what.contains(text);
    if says("lock delay") {
        Error::LockDelay { key: key.clone(), what: what.clone() }
    } else if says("Permission denied") {
        Error::Denied { key: key.clone(), what: what.clone() }
    } else if says("invalid session") {
        Error::Stale { what: format!("the session that was to hold key {key:?} ended") }
    } else {
        Error::Stale { what: format!("key {key:?} was changed by somebody else ({what})") }
    }
}

/// Tries the barred keys until their lock-delay is over, which no answer tells: it is 60 s at most.
fn write_barred<'a>(work: &Work<'a>, queue: &Queue<'a>) -> Result<(), Error> {
    let start = Instant::now();
    let longest = Duration::from_nanos(Session::LOCK_DELAY_MAX.as_nanos()) + PAUSE;
    loop {
        let barred = std::mem::take(&mut *locked(&queue.barred));
        let Some(first) = barred.first().map(|unit| (unit.change.id.clone(), unit.change)) else { return Ok(()) };
        if start.elapsed() > longest {
            let what = "its lock-delay is not over after 60s".to_owned();
            return Err(about(&first.0, Error::LockDelay { key: first.0.to_string(), what }));
        }
        std::thread::sleep(PAUSE);
        send(work, queue, barred)?;
    }
}

/// Writes a value that is too long for a transaction: there the lock of the owner is only checked by the local clock.
fn alone<'a>(work: &Work<'a>, unit: &Unit<'a>) -> Result<(), Error> {
    let put = |after: &Key, condition| {
        let options = PutOptions { flags: after.flags, condition };
        work.run.client.kv().put(&after.key, &after.value, &options, work.run.query)
    };
    let Step::Key(step) = &unit.change.step else { return Ok(()) };
    let done = match step {
        KeyStep::Write(KeyChange::Delete { before }) => {
            work.run.client.kv().delete(&before.key.key, Some(before.modify_index), work.run.query)?
        }
        KeyStep::Write(KeyChange::Create { after }) => put(after, Condition::Cas(0))?,
        KeyStep::Write(KeyChange::Update { before, after }) => put(after, Condition::Cas(before.modify_index))?,
        KeyStep::Write(KeyChange::Release { after, session, .. }) => put(after, Condition::Release(session.clone()))?,
        KeyStep::Write(KeyChange::Acquire { after, session, .. }) => put(after, Condition::Acquire(session.clone()))?,
        KeyStep::Hold { after, from, .. } => {
            let session = holder(work, step)?;
            let released = match from {
                Some(from) => put(after, Condition::Release(from.as_str().to_owned()))?,
                None => true,
            };
            if released && from.is_some() {
                work.begun(&unit.change.id);
            }
            released && put(after, Condition::Acquire(session))?
        }
    };
    if !done {
        return Err(Error::Stale { what: "it was changed by somebody else".to_owned() });
    }
    work.finished(unit.change);
    Ok(())
}

/// The operations that change a key, if it is still as it was when the plan was made.
fn operations(work: &Work<'_>, step: &KeyStep) -> Result<Vec<Operation>, Error> {
    let unmoved = |before: Option<&ObservedKey>, after: &Key| match before {
        None => Operation::check_not_exists(&after.key),
        Some(before) => Operation::check_index(&after.key, before.modify_index),
    };
    let lock = |after: &Key, session: &str| Operation::lock(&after.key, &after.value, after.flags, session);
    let unlock = |after: &Key, session: &str| Operation::unlock(&after.key, &after.value, after.flags, session);
    Ok(match step {
        KeyStep::Write(KeyChange::Create { after }) => vec![Operation::cas(&after.key, &after.value, after.flags, 0)],
        KeyStep::Write(KeyChange::Update { before, after }) => {
            vec![Operation::cas(&after.key, &after.value, after.flags, before.modify_index)]
        }
        KeyStep::Write(KeyChange::Delete { before }) => {
            vec![Operation::delete_cas(&before.key.key, before.modify_index)]
        }
        KeyStep::Write(KeyChange::Acquire { before, after, session }) => {
            vec![unmoved(before.as_ref(), after), lock(after, session)]
        }
        KeyStep::Write(KeyChange::Release { before, after, session }) => {
            vec![unmoved(Some(before), after), unlock(after, session)]
        }
        KeyStep::Hold { before, after, from, .. } => {
            let session = holder(work, step)?;
            let mut operations = vec![unmoved(before.as_ref(), after)];
            operations.extend(from.as_ref().map(|from| unlock(after, from.as_str())));
            operations.push(lock(after, &session));
            operations
        }
    })
}

/// The id of the session that is to hold a key: one that stands, or one that was created just now.
fn holder(work: &Work<'_>, step: &KeyStep) -> Result<String, Error> {
    let KeyStep::Hold { holder, session, .. } = step else { return Ok(String::new()) };
    let created = work.created_of(holder).or_else(|| session.clone());
    created.map(|id| id.as_str().to_owned()).ok_or_else(|| Error::NoSession { session: holder.to_string() })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
