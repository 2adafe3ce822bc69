//! Keys that are remembered for a while, bounded in number and in time whatever clients do.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Keys in the order of their arrival, each with its time.
pub(super) struct Recent<K> {
    since: HashMap<K, Instant>,
    /// Holds each key of `since`, and until they expire also keys that were taken out.
    order: VecDeque<(Instant, K)>,
    most: usize,
    time: Duration,
}

impl<K: Clone + Eq + Hash> Recent<K> {
    /// Remembers at most `most` keys, each for `time`.
    pub(super) fn new(most: usize, time: Duration) -> Self {
        Self {
            since: HashMap::new(),
            order: VecDeque::new(),
            most,
            time,
        }
    }

    /// Remembers `key` since `now`, unless it is remembered already. If there is no room, the
    /// oldest key is forgotten.
    pub(super) fn note(&mut self, key: K, now: Instant) {
        if self.since.contains_key(&key) {
            return;
        }
        if self.order.len() >= self.most {
            self.pop();
        }
        self.order.push_back((now, key.clone()));
        self.since.insert(key, now);
    }

    /// Takes `key` out and returns since when it was remembered.
    pub(super) fn take<Q>(&mut self, key: &Q) -> Option<Instant>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        // The map is empty as a rule, and hashing the key is not needed.
        if self.since.is_empty() {
            return None;
        }
        self.since.remove(key)
    }

    /// Removes every key that has been remembered for the whole time. Returns how many there were.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        while let Some((since, _)) = self.order.front()
            && now.saturating_duration_since(*since) >= self.time
        {
            expired += usize::from(self.pop());
        }
        expired
    }

    /// Forgets the oldest key. Returns `false` if it had been taken out before.
    fn pop(&mut self) -> bool {
        let Some((since, key)) = self.order.pop_front() else {
            return false;
        };
        // A key that was taken out and remembered again is also further back in the queue.
        let still = self.since.get(&key) == Some(&since);
        if still {
            self.since.remove(&key);
        }
        still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_key_that_is_not_taken_in_time_expires_once() {
        let (mut recent, start) = (Recent::new(10, MINUTE), Instant::now());
        recent.note("stays", start);
        recent.note("taken", start);
        recent.note("stays", start + MINUTE / 2);
        assert_eq!(recent.take(&"taken"), Some(start));
        assert_eq!(recent.take(&"taken"), None);
        assert_eq!(recent.expire(start + MINUTE - Duration::from_nanos(1)), 0);
        assert_eq!(recent.expire(start + MINUTE), 1);
        assert_eq!(recent.expire(start + 2 * MINUTE), 0);
    }

    #[test]
    fn a_key_that_is_noted_again_counts_from_then() {
        let (mut recent, start) = (Recent::new(10, MINUTE), Instant::now());
        recent.note(1, start);
        recent.take(&1);
        recent.note(1, start + MINUTE / 2);
        assert_eq!(recent.expire(start + MINUTE), 0);
        assert_eq!(recent.take(&1), Some(start + MINUTE / 2));
    }

    #[test]
    fn there_are_never_more_keys_than_the_maximum() {
        let (mut recent, start) = (Recent::new(3, MINUTE), Instant::now());
        for key in 0..1_000 {
            recent.note(key, start);
            if key % 2 == 0 {
                recent.take(&key);
            }
        }
        assert!(recent.order.len() <= 3 && recent.since.len() <= 3);
        assert_eq!(recent.take(&0), None, "the oldest is forgotten");
        assert_eq!(recent.take(&999), Some(start));
    }
}
