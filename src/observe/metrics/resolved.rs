//! Series that are found without hashing their labels.

use std::sync::OnceLock;

/// The series that were asked for so far, resolved once: a list that grows at its end and is read
/// without a lock. For few keys, as each is compared with those that came before it.
pub(super) struct Known<K, S>(OnceLock<Box<Link<K, S>>>);

struct Link<K, S> {
    key: K,
    series: S,
    next: Known<K, S>,
}

impl<K, S> Default for Known<K, S> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K, S> Known<K, S> {
    /// The first whose key `is` it. Where there is none, `resolve` gives one of which that is true.
    pub(super) fn find(&self, is: impl Fn(&K) -> bool, resolve: impl Fn() -> (K, S)) -> &S {
        let mut place = self;
        loop {
            // Another thread may be first to put its own at the end: then this one goes on.
            let link = place.0.get_or_init(|| {
                let (key, series) = resolve();
                let next = Self::default();
                Box::new(Link { key, series, next })
            });
            if is(&link.key) {
                return &link.series;
            }
            place = &link.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Known;

    #[test]
    fn whoever_asks_finds_the_same_series() {
        let known = Known::<u32, AtomicU32>::default();
        let count = |key| {
            let series = known.find(|known| *known == key, || (key, AtomicU32::new(0)));
            series.fetch_add(1, Ordering::Relaxed)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|key| _ = count(key)));
            }
        });
        for key in 0..200 {
            assert_eq!(count(key), 4, "{key}");
        }
    }
}
