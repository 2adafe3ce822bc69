//! Which requests are at an upstream at a time, and which is next.
//!
//! Microsoft names about 300 concurrent requests for an NDES server; a wave of renewals brings
//! more. A device that receives 503 may not come back for hours, so waiting some seconds is better.
//! Clients that wait get permits in turn, one request each: an office with a thousand devices does
//! not keep the single phone of another client waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::client::ClientKey;
use crate::base::sync::lock;
use crate::observe::metrics::QueueMetrics;

#[cfg(test)]
mod tests;

/// The permits of one upstream, and the requests that wait for one.
pub struct Queue {
    metrics: QueueMetrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many requests may be at the upstream at a time.
    permits: usize,
    /// How long a request may wait.
    max_wait: Duration,
    in_use: usize,
    /// How many permits each client holds.
    holders: HashMap<ClientKey, usize>,
    /// The clients that wait, in the order in which they get a permit. Each is in it once.
    turns: VecDeque<ClientKey>,
    waiters: HashMap<ClientKey, VecDeque<oneshot::Sender<Permit>>>,
    /// How many requests wait, of all clients.
    waiting: usize,
}

/// The permission to have one request at the upstream until its response ends. Dropping it grants
/// it to the next waiter.
pub struct Permit {
    queue: Arc<Queue>,
    client: ClientKey,
}

/// The answer to a request for a permit.
pub enum Admission<'q> {
    Granted(Permit),
    Queued(Waiter<'q>),
    /// Too many requests wait already.
    Full,
}

/// How many requests may wait, as a multiple of the permits.
const WAITERS_PER_PERMIT: usize = 4;

impl Queue {
    pub fn new(permits: usize, max_wait: Duration, metrics: QueueMetrics) -> Arc<Self> {
        metrics.in_flight_max.set(permits as i64);
        let state = State {
            permits,
            max_wait,
            ..State::default()
        };
        Arc::new(Self {
            metrics,
            state: Mutex::new(state),
        })
    }

    /// Changes the limits. A permit stays valid, and a request that waits keeps its maximum wait.
    pub fn resize(self: &Arc<Self>, permits: usize, max_wait: Duration) {
        let mut state = lock(&self.state);
        (state.permits, state.max_wait) = (permits, max_wait);
        self.metrics.in_flight_max.set(permits as i64);
        self.grant_free(state);
    }

    /// Requests a permit for `client`.
    pub fn enter(self: &Arc<Self>, client: ClientKey) -> Admission<'_> {
        let mut state = lock(&self.state);
        // This overtakes nobody: while a permit is free, the clients that wait hold their share
        // already.
        let admission = if state.in_use < state.permits && state.is_within_share(client) {
            Admission::Granted(self.grant(&mut state, client))
        } else {
            self.wait(&mut state, client)
        };
        self.show(&state);
        admission
    }

    /// Returns how many requests are at the upstream, and how many wait.
    pub fn load(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.in_use, state.waiting)
    }

    fn grant(self: &Arc<Self>, state: &mut State, client: ClientKey) -> Permit {
        state.in_use += 1;
        *state.holders.entry(client).or_default() += 1;
        Permit {
            queue: self.clone(),
            client,
        }
    }

    /// Grants free permits to the requests that wait.
    fn grant_free<'q>(self: &'q Arc<Self>, mut state: MutexGuard<'q, State>) {
        while state.in_use < state.permits {
            let Some((client, sender)) = state.next() else {
                break;
            };
            let permit = self.grant(&mut state, client);
            self.show(&state);
            drop(state);
            // A waiter that has just given up drops the permit, which grants it to the next one.
            _ = sender.send(permit);
            state = lock(&self.state);
        }
        self.show(&state);
    }

    fn show(&self, state: &State) {
        self.metrics.in_flight.set(state.in_use as i64);
        self.metrics.waiting.set(state.waiting as i64);
    }

    fn wait(&self, state: &mut State, client: ClientKey) -> Admission<'_> {
        let longest = state.permits * WAITERS_PER_PERMIT;
        let own = state.waiters.get(&client).map_or(0, VecDeque::len);
        // One client may fill half of the queue; the other half is left to others.
        if state.waiting >= longest || own >= longest / 2 {
            return Admission::Full;
        }
        let (sender, granted) = oneshot::channel();
        state.waiting += 1;
        let line = state.waiters.entry(client).or_default();
        line.push_back(sender);
        if line.len() == 1 {
            state.turns.push_back(client);
        }
        Admission::Queued(Waiter {
            queue: self,
            client,
            granted,
            max_wait: state.max_wait,
        })
    }
}

/// A request that waits for a permit. Dropping it leaves the queue.
pub struct Waiter<'q> {
    queue: &'q Queue,
    client: ClientKey,
    granted: oneshot::Receiver<Permit>,
    max_wait: Duration,
}

impl Waiter<'_> {
    /// Returns the permit once it is granted. Returns `None` after the maximum wait.
    pub async fn permit(mut self) -> Option<Permit> {
        timeout(self.max_wait, &mut self.granted).await.ok()?.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // A permit that has been sent already is given back when the channel is dropped.
        self.granted.close();
        let mut state = lock(&self.queue.state);
        state.remove_closed(self.client);
        self.queue.show(&state);
    }
}

impl State {
    /// Returns whether `client` may hold one more permit. A client never holds the last eighth of
    /// the permits.
    fn is_within_share(&self, client: ClientKey) -> bool {
        let held = self.holders.get(&client).copied().unwrap_or(0);
        held < self.permits - self.permits / 8
    }

    fn release(&mut self, client: ClientKey) {
        self.in_use -= 1;
        if let Some(held) = self.holders.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                self.holders.remove(&client);
            }
        }
    }

    /// Removes the waiters of `client` that have given up.
    fn remove_closed(&mut self, client: ClientKey) {
        let Some(line) = self.waiters.get_mut(&client) else {
            return;
        };
        let before = line.len();
        line.retain(|sender| !sender.is_closed());
        self.waiting -= before - line.len();
        if line.is_empty() {
            self.waiters.remove(&client);
            self.turns.retain(|other| *other != client);
        }
    }

    /// Removes and returns the next waiter that has not given up, each client in its turn.
    fn next(&mut self) -> Option<(ClientKey, oneshot::Sender<Permit>)> {
        for _ in 0..self.turns.len() {
            let client = self.turns.pop_front()?;
            if !self.is_within_share(client) {
                self.turns.push_back(client);
                continue;
            }
            let line = self.waiters.get_mut(&client)?;
            let before = line.len();
            let open = std::iter::from_fn(|| line.pop_front()).find(|sender| !sender.is_closed());
            let left = line.len();
            self.waiting -= before - left;
            if left == 0 {
                self.waiters.remove(&client);
            } else {
                self.turns.push_back(client);
            }
            if let Some(sender) = open {
                return Some((client, sender));
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let queue = self.queue.clone();
        let mut state = lock(&queue.state);
        state.release(self.client);
        queue.grant_free(state);
    }
}
