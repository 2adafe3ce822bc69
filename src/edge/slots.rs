//! Which public connections are open, and room for one more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::ClientKey;
use crate::metrics::{Accepted, Metrics};

/// The connections of the whole process.
pub struct Slots {
    limit: usize,
    per_client: usize,
    open: AtomicUsize,
    next: AtomicU64,
    epoch: Instant,
    /// Taken at the start and the end of a connection, never during a request.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    clients: HashMap<ClientKey, usize>,
    connections: HashMap<u64, Arc<Idle>>,
}

/// Whether a connection is idle, and its way to be told to end.
struct Idle {
    /// Milliseconds since `epoch`, plus one; 0 while it is busy.
    since: AtomicU64,
    end: Notify,
}

/// An open connection; given back when dropped.
pub struct Slot {
    slots: Arc<Slots>,
    metrics: Arc<crate::process::Process>,
    id: u64,
    client: ClientKey,
    idle: Arc<Idle>,
}

/// Above this share of the limit, idle connections make room for new ones.
const NEARLY_FULL: (usize, usize) = (9, 10);

impl Slots {
    pub fn new(limit: usize, per_client: usize) -> Self {
        Self {
            limit,
            per_client,
            open: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            epoch: Instant::now(),
            table: Mutex::default(),
        }
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Room for a connection of `client`, or none: then it is to be closed at once.
    pub fn take(
        self: &Arc<Self>,
        client: ClientKey,
        process: &Arc<crate::process::Process>,
    ) -> Option<Slot> {
        let metrics = &process.metrics;
        let mut table = self.table();
        let open = table.connections.len();
        if open >= self.limit * NEARLY_FULL.0 / NEARLY_FULL.1 {
            table.end_oldest_idle(metrics);
        }
        if open >= self.limit {
            metrics.connection(Accepted::LimitReached);
            return None;
        }
        let of_client = table.clients.entry(client).or_default();
        if *of_client >= self.per_client {
            metrics.connection(Accepted::ClientLimitReached);
            return None;
        }
        *of_client += 1;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let idle = Arc::new(Idle {
            since: AtomicU64::new(0),
            end: Notify::new(),
        });
        table.connections.insert(id, idle.clone());
        self.open.store(open + 1, Ordering::Relaxed);
        metrics.connection(Accepted::Served);
        metrics.connections_open.inc();
        Some(Slot {
            slots: self.clone(),
            metrics: process.clone(),
            id,
            client,
            idle,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Looks at every connection: some 10 us for 8000, and only when nearly all are open.
    fn end_oldest_idle(&self, metrics: &Metrics) {
        let idle = self
            .connections
            .values()
            .filter(|idle| idle.since.load(Ordering::Relaxed) != 0);
        if let Some(oldest) = idle.min_by_key(|idle| idle.since.load(Ordering::Relaxed)) {
            // Told once: until it has gone, the next oldest is the one to choose.
            oldest.since.store(0, Ordering::Relaxed);
            oldest.end.notify_one();
            metrics.connection(Accepted::IdleClosed);
        }
    }
}

impl Slot {
    /// Marks the connection idle until the result is dropped.
    pub fn idle(&self) -> IdleGuard<'_> {
        let since = self.slots.epoch.elapsed().as_millis() as u64 + 1;
        self.idle.since.store(since, Ordering::Relaxed);
        IdleGuard(&self.idle)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        table.connections.remove(&self.id);
        if let Some(count) = table.clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                table.clients.remove(&self.client);
            }
        }
        self.slots
            .open
            .store(table.connections.len(), Ordering::Relaxed);
        self.metrics.metrics.connections_open.dec();
    }
}

pub struct IdleGuard<'s>(&'s Idle);

impl IdleGuard<'_> {
    /// Returns when the connection is to make room.
    pub async fn ended(&self) {
        self.0.end.notified().await;
    }
}

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        self.0.since.store(0, Ordering::Relaxed);
    }
}
