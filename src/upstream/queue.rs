//! How many requests an upstream has at a time, and who is next.
//!
//! Microsoft names about 300 concurrent requests for an NDES; a wave of renewals brings more. A
//! device that is told 503 may not come back for hours, so waiting some seconds is better. The
//! clients that wait are served in turn, one request each: an office with a thousand of them does
//! not keep another's single phone waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::client::ClientKey;
use crate::observe::metrics::QueueMetrics;

/// The places of one upstream.
pub struct Queue {
    metrics: QueueMetrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests at a time.
    permits: usize,
    /// How long one may wait.
    max_wait: Duration,
    taken: usize,
    /// How many of them each client has.
    holders: HashMap<ClientKey, usize>,
    /// Whose turn comes when; each client that waits stands here once.
    turns: VecDeque<ClientKey>,
    waiting: HashMap<ClientKey, VecDeque<oneshot::Sender<Permit>>>,
    length: usize,
}

/// A place at the upstream, for as long as its answer lasts. Dropping it lets the next one in.
pub struct Permit {
    queue: Arc<Queue>,
    client: ClientKey,
}

/// What a client that asks for a place gets.
pub enum Turn<'q> {
    Now(Permit),
    Later(Waiter<'q>),
    /// There is no room to wait.
    Never,
}

/// Requests that may wait, as a multiple of the places.
const LENGTH: usize = 4;

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

    /// From now on other bounds. Who has a place keeps it; who waits does so for as long as it was
    /// promised.
    pub fn resize(self: &Arc<Self>, permits: usize, max_wait: Duration) {
        let mut state = self.state();
        (state.permits, state.max_wait) = (permits, max_wait);
        self.metrics.in_flight_max.set(permits as i64);
        self.let_in(state);
    }

    /// A place, at once or in turn.
    pub fn enter(self: &Arc<Self>, client: ClientKey) -> Turn<'_> {
        let mut state = self.state();
        // A place is free only while all that wait have their share already.
        let turn = if state.taken < state.permits && state.within_share(client) {
            Turn::Now(self.permit(&mut state, client))
        } else {
            self.wait(&mut state, client)
        };
        self.show(&state);
        turn
    }

    /// How many are at NDES, and how many wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.taken, state.length)
    }

    fn permit(self: &Arc<Self>, state: &mut State, client: ClientKey) -> Permit {
        state.taken += 1;
        *state.holders.entry(client).or_default() += 1;
        Permit {
            queue: self.clone(),
            client,
        }
    }

    /// Gives free places to those who wait.
    fn let_in<'q>(self: &'q Arc<Self>, mut state: MutexGuard<'q, State>) {
        while state.taken < state.permits {
            let Some((client, sender)) = state.next() else {
                break;
            };
            let permit = self.permit(&mut state, client);
            self.show(&state);
            drop(state);
            // Whoever has given up in between drops the place, and with it lets the next one in.
            _ = sender.send(permit);
            state = self.state();
        }
        self.show(&state);
    }

    fn show(&self, state: &State) {
        self.metrics.in_flight.set(state.taken as i64);
        self.metrics.waiting.set(state.length as i64);
    }

    fn wait(&self, state: &mut State, client: ClientKey) -> Turn<'_> {
        let longest = state.permits * LENGTH;
        let own = state.waiting.get(&client).map_or(0, VecDeque::len);
        // Half of the queue is always left to others.
        if state.length >= longest || own >= longest / 2 {
            return Turn::Never;
        }
        let (sender, turn) = oneshot::channel();
        state.length += 1;
        let line = state.waiting.entry(client).or_default();
        line.push_back(sender);
        if line.len() == 1 {
            state.turns.push_back(client);
        }
        Turn::Later(Waiter {
            queue: self,
            client,
            turn,
            max_wait: state.max_wait,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits; dropped, it waits no more.
pub struct Waiter<'q> {
    queue: &'q Queue,
    client: ClientKey,
    turn: oneshot::Receiver<Permit>,
    max_wait: Duration,
}

impl Waiter<'_> {
    /// The place, once it is free. None where that takes too long.
    pub async fn turn(mut self) -> Option<Permit> {
        timeout(self.max_wait, &mut self.turn).await.ok()?.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // A place that has been sent already is given back when the channel is dropped.
        self.turn.close();
        let mut state = self.queue.state();
        state.forget_who_gave_up(self.client);
        self.queue.show(&state);
    }
}

impl State {
    /// One place in eight is never held by the client that holds all the others.
    fn within_share(&self, client: ClientKey) -> bool {
        let held = self.holders.get(&client).copied().unwrap_or(0);
        held < self.permits - self.permits / 8
    }

    fn leave(&mut self, client: ClientKey) {
        self.taken -= 1;
        if let Some(held) = self.holders.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                self.holders.remove(&client);
            }
        }
    }

    fn forget_who_gave_up(&mut self, client: ClientKey) {
        let Some(line) = self.waiting.get_mut(&client) else {
            return;
        };
        let before = line.len();
        line.retain(|sender| !sender.is_closed());
        self.length -= before - line.len();
        if line.is_empty() {
            self.waiting.remove(&client);
            self.turns.retain(|other| *other != client);
        }
    }

    /// Takes the next one that still waits out of the queue, each client in its turn.
    fn next(&mut self) -> Option<(ClientKey, oneshot::Sender<Permit>)> {
        for _ in 0..self.turns.len() {
            let client = self.turns.pop_front()?;
            if !self.within_share(client) {
                self.turns.push_back(client);
                continue;
            }
            let line = self.waiting.get_mut(&client)?;
            let before = line.len();
            let patient =
                std::iter::from_fn(|| line.pop_front()).find(|sender| !sender.is_closed());
            let left = line.len();
            self.length -= before - left;
            if left == 0 {
                self.waiting.remove(&client);
            } else {
                self.turns.push_back(client);
            }
            if let Some(sender) = patient {
                return Some((client, sender));
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        state.leave(self.client);
        queue.let_in(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    const A: ClientKey = ClientKey::V6(1);
    const B: ClientKey = ClientKey::V6(2);
    const C: ClientKey = ClientKey::V6(3);

    fn queue(permits: usize) -> Arc<Queue> {
        Queue::new(
            permits,
            Duration::from_secs(15),
            Metrics::new().unwrap().queue("a"),
        )
    }

    async fn enter(queue: &Arc<Queue>, client: ClientKey) -> Option<Permit> {
        match queue.enter(client) {
            Turn::Now(permit) => Some(permit),
            Turn::Later(waiting) => waiting.turn().await,
            Turn::Never => None,
        }
    }

    fn waiting_and_taken(queue: &Queue) -> (usize, usize) {
        let state = queue.state();
        (state.length, state.taken)
    }

    /// Runs all that can run.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_than_the_places_waits_and_then_gives_up() {
        let queue = queue(2);
        let (_first, second) = (
            enter(&queue, A).await.unwrap(),
            enter(&queue, B).await.unwrap(),
        );
        let began = tokio::time::Instant::now();
        assert_eq!(enter(&queue, B).await.map(drop), None);
        assert_eq!(began.elapsed(), Duration::from_secs(15));
        assert_eq!(waiting_and_taken(&queue), (0, 2));
        drop(second);
        assert!(
            enter(&queue, B).await.is_some(),
            "who gave up holds no place"
        );
        assert_eq!(waiting_and_taken(&queue), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn new_bounds_count_for_those_who_are_there() {
        let queue = queue(2);
        let (first, second) = (
            enter(&queue, A).await.unwrap(),
            enter(&queue, B).await.unwrap(),
        );
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { enter(&queue, C).await.map(drop) }
        });
        settle().await;
        queue.resize(1, Duration::from_secs(1));
        assert_eq!(queue.metrics.in_flight_max.get(), 1);
        drop(first);
        settle().await;
        assert_eq!(waiting_and_taken(&queue), (1, 1), "one place only");
        queue.resize(2, Duration::from_secs(1));
        assert_eq!(waiting.await.unwrap(), Some(()), "the new place");
        drop(second);
        assert_eq!(waiting_and_taken(&queue), (0, 0));
        let _all = (
            enter(&queue, A).await.unwrap(),
            enter(&queue, B).await.unwrap(),
        );
        let began = tokio::time::Instant::now();
        assert_eq!(enter(&queue, C).await.map(drop), None);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_wait_are_served_in_turn() {
        let queue = queue(2);
        let _held = enter(&queue, C).await.unwrap();
        let held = enter(&queue, A).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        for client in [A, A, A, B] {
            let (queue, order) = (queue.clone(), order.clone());
            tokio::spawn(async move {
                let _permit = enter(&queue, client).await.unwrap();
                order.lock().unwrap().push(client);
            });
            settle().await;
        }
        drop(held);
        settle().await;
        assert_eq!(*order.lock().unwrap(), [A, B, A, A]);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_queue_is_left_to_others() {
        let queue = queue(1);
        let _held = enter(&queue, A).await.unwrap();
        for _ in 0..2 {
            tokio::spawn({
                let queue = queue.clone();
                async move { enter(&queue, A).await.is_some() }
            });
        }
        settle().await;
        let began = tokio::time::Instant::now();
        assert_eq!(enter(&queue, A).await.map(drop), None);
        assert_eq!(began.elapsed(), Duration::ZERO, "refused at once");
        tokio::spawn({
            let queue = queue.clone();
            async move { enter(&queue, B).await.is_some() }
        });
        settle().await;
        assert_eq!(waiting_and_taken(&queue), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_makes_room_at_once() {
        let queue = queue(1);
        let held = enter(&queue, A).await.unwrap();
        let spawn = |client| {
            let queue = queue.clone();
            tokio::spawn(async move { enter(&queue, client).await.is_some() })
        };
        let (first, second) = (spawn(A), spawn(A));
        let other = spawn(B);
        settle().await;
        assert_eq!(waiting_and_taken(&queue), (3, 1));
        first.abort();
        second.abort();
        settle().await;
        assert_eq!(waiting_and_taken(&queue), (1, 1));
        // Left in the moment in which its place was given to it.
        drop(held);
        other.abort();
        settle().await;
        assert_eq!(waiting_and_taken(&queue), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_cannot_hold_every_place() {
        let queue = queue(8);
        let mut held = Vec::new();
        for _ in 0..7 {
            held.push(enter(&queue, A).await.unwrap());
        }
        let waits = tokio::spawn({
            let queue = queue.clone();
            async move { enter(&queue, A).await.is_some() }
        });
        settle().await;
        assert_eq!(waiting_and_taken(&queue), (1, 7));
        let _eighth = enter(&queue, B).await.unwrap();
        held.pop();
        assert!(waits.await.unwrap());
    }
}
