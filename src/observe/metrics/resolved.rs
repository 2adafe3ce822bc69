//! Series that are found without hashing their labels, which saves instructions in each request.

use std::sync::OnceLock;

/// The series that were used so far, each resolved once: a list that grows at its end and is read
/// without a lock. It is for few keys, because a look-up compares them one by one.
pub(super) struct ResolvedSeries<K, S>(OnceLock<Box<Link<K, S>>>);

struct Link<K, S> {
    key: K,
    series: S,
    next: ResolvedSeries<K, S>,
}

impl<K, S> Default for ResolvedSeries<K, S> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K, S> ResolvedSeries<K, S> {
    /// Returns the first series whose key satisfies `is`. If there is none, adds the one that
    /// `resolve` returns, whose key must satisfy `is`.
    pub(super) fn find(&self, is: impl Fn(&K) -> bool, resolve: impl Fn() -> (K, S)) -> &S {
        let mut end = self;
        loop {
            // If another thread adds its series first, this one continues after it.
            let link = end.0.get_or_init(|| {
                let (key, series) = resolve();
                let next = Self::default();
                Box::new(Link { key, series, next })
            });
            if is(&link.key) {
                return &link.series;
            }
            end = &link.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::ResolvedSeries;

    #[test]
    fn all_threads_find_the_same_series() {
        let resolved = ResolvedSeries::<u32, AtomicU32>::default();
        let count = |key| {
            let series = resolved.find(|known| *known == key, || (key, AtomicU32::new(0)));
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
