//! Idle connections to one upstream, kept for the next request.
//!
//! Each worker has its own: the socket of a connection belongs to the runtime that opened it, and
//! using it from another runtime would cost two wake-ups per request.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use crate::base::sync::lock;

/// IIS closes a connection after 120 s without a request. Closing well before that avoids a race.
const MOST_IDLE: Duration = Duration::from_secs(55);
/// A name that has moved to another address is followed within this time.
const MOST_AGE: Duration = Duration::from_secs(300);
/// Idle connections per worker.
const MOST_KEPT: usize = 256;

pub(super) struct Pool {
    workers: Vec<Arc<IdleConnections>>,
}

#[derive(Default)]
pub(super) struct IdleConnections(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    /// The connection that has been idle for the longest time is the first.
    connections: Vec<Connection>,
    /// Whether a task runs that closes connections which nobody uses.
    is_swept: bool,
}

impl Pool {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Arc::default()).collect(),
        }
    }

    /// Returns the idle connections of `worker`. Returns `None` if there is no such worker.
    pub(super) fn of(&self, worker: usize) -> Option<Arc<IdleConnections>> {
        self.workers.get(worker).cloned()
    }
}

impl IdleConnections {
    /// Takes the connection that was used last, so that a small load keeps few connections.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = lock(&self.0);
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
        let mut idle = lock(&self.0);
        if idle.connections.len() >= MOST_KEPT {
            idle.connections.remove(0);
        }
        idle.connections.push(connection);
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that have been idle for too long, until none is left. A pool that nobody uses
/// any more is dropped at once, with all its connections.
async fn sweep(idle: Weak<IdleConnections>) {
    let mut next = Instant::now() + MOST_IDLE;
    loop {
        sleep_until(next).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = lock(&idle.0);
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
