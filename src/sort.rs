//! Sorting what is long enough to be sorted well, and rare enough that all types may share one sort.

use std::cmp::Ordering;
use std::mem;

/// Puts `items` in order; those that are alike stay as they stand. The standard library's sorts are 3 KB of code for each
/// type: here their places are sorted, and the items follow.
pub(crate) fn by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let at = |place: usize| items.get(place);
    let mut order = places(items.len(), &|a, b| at(a).zip(at(b)).map_or(Ordering::Equal, |(a, b)| compare(a, b)));
    for start in 0..items.len() {
        let mut here = start;
        // `here` gets the item from its place in `order`, that place the one from its own, and so on around to `start`.
        while let Some(place) = order.get_mut(here) {
            let from = mem::replace(place, here);
            if from == start {
                break;
            }
            items.swap(here, from);
            here = from;
        }
    }
}

fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|a, b| compare(*a, *b));
    places
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_order_is_that_of_a_stable_sort() {
        let mut random = fastrand::Rng::with_seed(7);
        for count in 0..200 {
            let mut items: Vec<(u8, usize)> = (0..count).map(|at| (random.u8(..16), at)).collect();
            let mut wanted = items.clone();
            wanted.sort_by_key(|(key, _)| *key);
            super::by(&mut items, |(a, _), (b, _)| a.cmp(b));
            assert_eq!(items, wanted);
        }
    }
}
