//! Idle connections to one upstream, kept for the next request.
//!
//! A shelf for each worker: a connection's socket belongs to the runtime it was opened on, and
//! using it from another one would cost two wake-ups a request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connection::Connection;

/// IIS closes after 120 s of silence; well before that it would be a race.
const MOST_IDLE: Duration = Duration::from_secs(55);
/// A name that has moved to another address is followed within this time.
const MOST_AGE: Duration = Duration::from_secs(300);
const MOST_KEPT: usize = 256;

pub(super) struct Pool {
    workers: Vec<Arc<IdleConnections>>,
}

#[derive(Default)]
pub(super) struct IdleConnections(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    /// The one that is idle for the longest time at the front.
    connections: Vec<Connection>,
    /// Somebody closes those that nobody uses.
    is_swept: bool,
}

impl Pool {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Arc::default()).collect(),
        }
    }

    /// Where the connections of `worker` lie; none for who is no worker.
    pub(super) fn idle(&self, worker: usize) -> Option<Arc<IdleConnections>> {
        self.workers.get(worker).cloned()
    }
}

impl IdleConnections {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, so that a small load keeps few of them.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.lock();
        while let Some(mut connection) = idle.connections.pop() {
            if connection.is_fresh(now) && connection.is_quiet(now) {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn put(self: &Arc<Self>, mut connection: Connection) {
        connection.idle_since = Instant::now();
        let mut idle = self.lock();
        if idle.connections.len() >= MOST_KEPT {
            idle.connections.remove(0);
        }
        idle.connections.push(connection);
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes what has been idle for too long, until nothing is left. A shelf that nobody uses any more
/// goes at once, with all that lies on it.
async fn sweep(idle: Weak<IdleConnections>) {
    let mut next = Instant::now() + MOST_IDLE;
    loop {
        sleep_until(next).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock();
        let now = Instant::now();
        idle.connections
            .retain(|connection| connection.is_fresh(now));
        let Some(oldest) = idle.connections.first() else {
            idle.is_swept = false;
            return;
        };
        next = oldest.idle_since + MOST_IDLE;
    }
}

impl Connection {
    fn is_fresh(&self, now: Instant) -> bool {
        now - self.idle_since < MOST_IDLE && now - self.opened < MOST_AGE
    }
}
