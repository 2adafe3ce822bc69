//! Where governor keeps a number per client: a table of fixed size.
//!
//! governor's own keyed stores grow with every address until they are swept, and an attacker with
//! an IPv6 /32 has four thousand million /64s. Here a client can be in one of eight entries. If all
//! are taken, the client whose bucket has been full for the longest time, or is nearest to it, is
//! replaced: it loses nothing, or the least of the eight.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::base::client::ClientKey;

const PLACES: usize = 8;

pub(super) struct ClientStore {
    /// Keyed with a random seed, so that nobody can choose addresses that share a set.
    hasher: RandomState,
    /// A power of two sets, each with its own lock.
    sets: Box<[Mutex<[Option<Entry>; PLACES]>]>,
}

#[derive(Clone, Copy)]
struct Entry {
    key: ClientKey,
    /// governor's theoretical arrival time: the lower it is, the fuller the bucket.
    arrival: Nanos,
}

impl ClientStore {
    /// Makes room for `clients`, all of it allocated now.
    pub(super) fn new(clients: usize) -> Self {
        let sets = (clients / PLACES).next_power_of_two();
        Self {
            hasher: RandomState::new(),
            sets: (0..sets).map(|_| Mutex::new([None; PLACES])).collect(),
        }
    }

    fn set(&self, key: ClientKey) -> MutexGuard<'_, [Option<Entry>; PLACES]> {
        let index = self.hasher.hash_one(key) as usize & (self.sets.len() - 1);
        // A set is never left half-written, so a panic while the lock was held did no harm.
        self.sets[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for ClientStore {
    type Key = ClientKey;

    fn measure_and_replace<T, F, E>(&self, key: &ClientKey, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut set = self.set(*key);
        let own = set
            .iter()
            .position(|entry| entry.is_some_and(|entry| entry.key == *key));
        let (outcome, arrival) = f(own.and_then(|index| set[index]).map(|entry| entry.arrival))?;
        let fullest = || {
            (0..PLACES)
                .min_by_key(|index| set[*index].map(|entry| entry.arrival))
                .unwrap_or(0)
        };
        let place = own.unwrap_or_else(fullest);
        set[place] = Some(Entry { key: *key, arrival });
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(store: &ClientStore, client: u64, arrival: u64) -> Option<u64> {
        let before =
            |old: Option<Nanos>| Ok::<_, ()>((old.map(Nanos::as_u64), Nanos::new(arrival)));
        store
            .measure_and_replace(&ClientKey::V6(client), before)
            .unwrap()
    }

    #[test]
    fn a_million_clients_take_no_more_memory_than_the_table() {
        let store = ClientStore::new(1 << 10);
        for client in 0..1_000_000 {
            assert_eq!(spend(&store, client, client + 1), None);
        }
        let taken: usize = store
            .sets
            .iter()
            .map(|set| set.lock().unwrap().iter().flatten().count())
            .sum();
        assert_eq!(taken, 1 << 10);
    }

    #[test]
    fn the_emptiest_bucket_stays_if_other_clients_come() {
        let store = ClientStore::new(PLACES);
        assert_eq!(spend(&store, 0, u64::MAX), None);
        for client in 1..1_000 {
            spend(&store, client, client);
        }
        assert_eq!(spend(&store, 0, u64::MAX), Some(u64::MAX));
    }
}
