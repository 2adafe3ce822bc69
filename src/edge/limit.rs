//! Which public connections are open, and room for one more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::base::client::ClientKey;
use crate::observe::metrics::{Accepted, Metrics};
use crate::proxy::process::Process;

/// The connections of the whole process.
pub struct ConnectionLimit {
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
    crowd: BalancerDetector,
    connections: HashMap<u64, Arc<Idle>>,
}

/// Watches whether most connections come from one private address: the sign of a load balancer
/// that hides the clients. The majority vote of Boyer and Moore, so one counter is enough.
#[derive(Default)]
struct BalancerDetector {
    seen: u64,
    candidate: Option<ClientKey>,
    /// Votes for the candidate above those against it.
    lead: u64,
    told: bool,
}

impl BalancerDetector {
    /// Counts one more connection. True once, where the warning is due.
    fn is_one_balancer(&mut self, client: ClientKey) -> bool {
        self.seen += 1;
        match self.candidate {
            Some(candidate) if candidate == client => self.lead += 1,
            Some(_) if self.lead > 0 => self.lead -= 1,
            _ => (self.candidate, self.lead) = (Some(client), 1),
        }
        let most = self.seen >= CROWD && self.lead * 2 > self.seen;
        let due = most && !self.told && self.candidate.is_some_and(ClientKey::is_private);
        self.told |= due;
        due
    }
}

/// Connections before anything is said about where they come from.
const CROWD: u64 = 1_000;

/// Whether a connection is idle, and its way to be told to end.
struct Idle {
    /// Milliseconds since `epoch`, plus one; 0 while it is busy.
    since: AtomicU64,
    end: Notify,
}

/// An open connection; given back when dropped.
pub struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    process: Arc<Process>,
    id: u64,
    client: Option<ClientKey>,
    idle: Arc<Idle>,
}

/// Above this share of the limit, idle connections make room for new ones.
const NEARLY_FULL: (usize, usize) = (9, 10);

impl ConnectionLimit {
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

    /// Room for one more connection, or none: then it is to be closed at once. It counts for its
    /// client once that is known, see `ConnectionPermit::belongs_to`.
    pub fn take(self: &Arc<Self>, process: &Arc<Process>) -> Option<ConnectionPermit> {
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
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let idle = Arc::new(Idle {
            since: AtomicU64::new(0),
            end: Notify::new(),
        });
        table.connections.insert(id, idle.clone());
        self.open.store(open + 1, Ordering::Relaxed);
        metrics.connections_open.inc();
        Some(ConnectionPermit {
            limit: self.clone(),
            process: process.clone(),
            id,
            client: None,
            idle,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn leaves(&mut self, client: ClientKey) {
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

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

impl ConnectionPermit {
    /// Counts the connection for `client`. False where that has its share already: then it is to
    /// be closed at once.
    pub fn belongs_to(&mut self, client: ClientKey) -> bool {
        let mut table = self.limit.table();
        let of_client = table.clients.entry(client).or_default();
        if *of_client >= self.limit.per_client {
            self.process
                .metrics
                .connection(Accepted::ClientLimitReached);
            return false;
        }
        *of_client += 1;
        self.client = Some(client);
        self.process.metrics.connection(Accepted::Served);
        if table.crowd.is_one_balancer(client) {
            let client = client.to_string();
            warn!(
                client,
                "most connections come from one private address: a load balancer? Its \
                PROXY protocol (listen.proxy_protocol) would tell limits and log the real clients"
            );
        }
        true
    }

    /// Returns when the connection is to make room for others.
    pub async fn ended(&self) {
        self.idle.end.notified().await;
    }

    /// Marks the connection idle, from `now` until the result is dropped.
    pub fn idle(&self, now: Instant) -> IdleGuard<'_> {
        let since = now.saturating_duration_since(self.limit.epoch).as_millis() as u64 + 1;
        self.idle.since.store(since, Ordering::Relaxed);
        IdleGuard(&self.idle)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut table = self.limit.table();
        table.connections.remove(&self.id);
        if let Some(client) = self.client {
            table.leaves(client);
        }
        self.limit
            .open
            .store(table.connections.len(), Ordering::Relaxed);
        self.process.metrics.connections_open.dec();
    }
}

pub struct IdleGuard<'s>(&'s Idle);

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        self.0.since.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(clients: impl Iterator<Item = &'static str>) -> usize {
        let mut crowd = BalancerDetector::default();
        let key = |client: &str| ClientKey::from(client.parse::<std::net::IpAddr>().unwrap());
        clients
            .filter(|client| crowd.is_one_balancer(key(client)))
            .count()
    }

    #[test]
    fn one_private_address_for_most_of_the_traffic_is_told_once() {
        let balancer = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "192.0.2.1"];
        assert_eq!(warned(balancer.into_iter().cycle().take(5_000)), 1);
        assert_eq!(
            warned(balancer.into_iter().cycle().take(999)),
            0,
            "too early to tell"
        );
        let public = ["192.0.2.1"];
        assert_eq!(
            warned(public.into_iter().cycle().take(5_000)),
            0,
            "an office"
        );
        let many = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        assert_eq!(warned(many.into_iter().cycle().take(5_000)), 0);
    }
}
