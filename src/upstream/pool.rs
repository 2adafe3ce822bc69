//! Idle connections to one upstream, kept for the next request.
//!
//! A shelf for each worker: a connection's socket belongs to the runtime it was opened on, and
//! using it from another one would cost two wake-ups a request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout};

use super::wire::{Passed, Watch};

/// IIS closes after 120 s of silence; well before that it would be a race.
const MOST_IDLE: Duration = Duration::from_secs(55);
/// A name that has moved to another address is followed within this time.
const MOST_AGE: Duration = Duration::from_secs(300);
const MOST_KEPT: usize = 256;
/// How long an answered connection may take to be ready for the next request.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    shelves: Vec<Arc<Shelf>>,
}

#[derive(Default)]
struct Shelf(Mutex<Vec<Connection>>);

/// A connection to the upstream with no request on it, or with one.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// Not its first request.
    pub(super) reused: bool,
    watch: Watch,
    opened: Instant,
    idle_since: Instant,
}

impl Connection {
    pub(super) fn new(sender: SendRequest<Full<Bytes>>, watch: Watch) -> Self {
        let now = Instant::now();
        Self {
            sender,
            reused: false,
            watch,
            opened: now,
            idle_since: now,
        }
    }

    /// What has passed on its socket so far.
    pub(super) fn passed(&self) -> Passed {
        self.watch.passed()
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now - self.idle_since < MOST_IDLE && now - self.opened < MOST_AGE
    }
}

impl Pool {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            shelves: (0..workers.max(1)).map(|_| Arc::default()).collect(),
        }
    }

    /// The connection used last, so that a small load keeps few of them.
    pub(super) fn take(&self, worker: usize) -> Option<Connection> {
        let now = Instant::now();
        let mut shelf = self.shelves.get(worker)?.lock();
        while let Some(mut connection) = shelf.pop() {
            if connection.is_fresh(now)
                && connection.sender.is_ready()
                && connection.watch.is_quiet()
            {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Hands over a connection for as long as the body of its answer is read.
    pub(super) fn lend(&self, worker: usize, connection: Connection) -> Loan {
        Loan {
            connection: Some(connection),
            shelf: self.shelves.get(worker).cloned(),
        }
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        let mut shelf = self.lock();
        let now = connection.idle_since;
        // The oldest lie at the front.
        while shelf.len() >= MOST_KEPT || shelf.first().is_some_and(|first| !first.is_fresh(now)) {
            shelf.remove(0);
        }
        shelf.push(connection);
    }
}

/// A connection whose answer is being read. Dropped before the end, it closes the connection.
pub struct Loan {
    connection: Option<Connection>,
    shelf: Option<Arc<Shelf>>,
}

impl Loan {
    /// The answer has ended: the next request may have the connection.
    pub fn give_back(&mut self) {
        let (Some(mut connection), Some(shelf)) = (self.connection.take(), self.shelf.take())
        else {
            return;
        };
        if connection.sender.is_ready() {
            shelf.put(connection);
        } else if !connection.sender.is_closed() {
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout(SETTLE, connection.sender.ready()).await {
                    shelf.put(connection);
                }
            });
        }
    }
}
