//! Does the same to many things, several at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What came of the work on many things: what succeeded, with its place among them, in no order; and the failure that
/// stopped the rest.
pub(super) type Outcome<R, E> = (Vec<(usize, R)>, Option<(usize, E)>);

/// Does `work` on each of `items`, in their order, in at most `threads` threads. None is begun after one that failed.
pub(super) fn each<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Outcome<R, E> {
    each_with(items, threads, || (), |(), item| work(item))
}

/// [`each`], where each thread begins with something of its own.
pub(super) fn each_with<T: Sync, R: Send, E: Send, O>(
    items: &[T],
    threads: usize,
    own: impl Fn() -> O + Sync,
    work: impl Fn(&O, &T) -> Result<R, E> + Sync,
) -> Outcome<R, E> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let outcome = Mutex::new((Vec::with_capacity(items.len()), None));
    let worker = || {
        let own = own();
        while !stop.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return };
            let result = work(&own, item);
            let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match result {
                Ok(result) => outcome.0.push((place, result)),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    outcome.1.get_or_insert((place, error));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        // This thread works too, so that one at a time takes no further one.
        for _ in 1..threads.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// [`each`], where only everything will do: the results in the order of the items, or the first failure.
pub(super) fn all<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (mut done, failed) = each(items, threads, work);
    match failed {
        Some((_, error)) => Err(error),
        None => {
            done.sort_unstable_by_key(|(place, _)| *place);
            Ok(done.into_iter().map(|(_, result)| result).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_nothing_is_begun_after_a_failure() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(all::<_, _, ()>(&items, 8, |item| Ok(item * 2)), Ok(items.iter().map(|item| item * 2).collect()));
        assert_eq!(all::<usize, usize, ()>(&[], 8, |item| Ok(*item)), Ok(Vec::new()));
        let (done, failed) = each(&items, 1, |item| if *item == 3 { Err("no") } else { Ok(*item) });
        assert_eq!((done, failed), (vec![(0, 0), (1, 1), (2, 2)], Some((3, "no"))));
    }
}
