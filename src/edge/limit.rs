//! The limit of public connections: which are open, and whether there is room for one more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::base::client::ClientKey;
use crate::observe::metrics::{ConnectionResult, Metrics};
use crate::proxy::process::Process;

/// The connections of the whole process.
pub struct ConnectionLimit {
    limit: usize,
    per_client: usize,
    open: AtomicUsize,
    next: AtomicU64,
    epoch: Instant,
    /// Locked at the start and the end of a connection, never during a request.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    clients: HashMap<ClientKey, usize>,
    balancer: BalancerDetector,
    connections: HashMap<u64, Arc<Idle>>,
}

/// Detects that most connections come from one private address, which is the sign of a load
/// balancer that hides the clients. Uses the majority vote of Boyer and Moore, so that one counter
/// is enough.
#[derive(Default)]
struct BalancerDetector {
    total: u64,
    candidate: Option<ClientKey>,
    /// Votes for the candidate minus votes against it.
    lead: u64,
    is_reported: bool,
}

impl BalancerDetector {
    /// Counts one more connection. Returns `true` once, when the warning is due.
    fn observe(&mut self, client: ClientKey) -> bool {
        self.total += 1;
        match self.candidate {
            Some(candidate) if candidate == client => self.lead += 1,
            Some(_) if self.lead > 0 => self.lead -= 1,
            _ => (self.candidate, self.lead) = (Some(client), 1),
        }
        let most = self.total >= BALANCER_SAMPLE && self.lead * 2 > self.total;
        let due = most && !self.is_reported && self.candidate.is_some_and(ClientKey::is_private);
        self.is_reported |= due;
        due
    }
}

/// Connections that are counted before the warning.
const BALANCER_SAMPLE: u64 = 1_000;

/// Whether a connection is idle, and how it is asked to close.
struct Idle {
    /// Milliseconds since `epoch`, plus one. 0 while the connection is busy.
    since: AtomicU64,
    evict: Notify,
}

/// An open connection. Dropping it makes room for another one.
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
    /// Allows `limit` open connections, and `per_client` of them to each client.
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

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns a permit for one more connection, or `None` if the connection must be closed at once. The permit
    /// counts for its client once that is known, see `ConnectionPermit::count_for`.
    pub fn try_acquire(self: &Arc<Self>, process: &Arc<Process>) -> Option<ConnectionPermit> {
        let metrics = &process.metrics;
        let mut table = self.table();
        let open = table.connections.len();
        if open >= self.limit * NEARLY_FULL.0 / NEARLY_FULL.1 {
            table.evict_oldest_idle(metrics);
        }
        if open >= self.limit {
            metrics.connection(ConnectionResult::LimitReached);
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let idle = Arc::new(Idle {
            since: AtomicU64::new(0),
            evict: Notify::new(),
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
    fn remove_client(&mut self, client: ClientKey) {
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// Asks the connection that has been idle for longest to close. Examines every connection, which
    /// takes about 10 us for 8000, but only while nearly all are open.
    fn evict_oldest_idle(&self, metrics: &Metrics) {
        let idle = self
            .connections
            .values()
            .filter(|idle| idle.since.load(Ordering::Relaxed) != 0);
        if let Some(oldest) = idle.min_by_key(|idle| idle.since.load(Ordering::Relaxed)) {
            // Asked once: until it has closed, the next oldest is chosen.
            oldest.since.store(0, Ordering::Relaxed);
            oldest.evict.notify_one();
            metrics.connection(ConnectionResult::IdleClosed);
        }
    }
}

impl ConnectionPermit {
    /// Counts the connection for `client`. Returns `false` if the client has reached its limit and
    /// the connection must be closed at once.
    pub fn count_for(&mut self, client: ClientKey) -> bool {
        let mut table = self.limit.table();
        let open = table.clients.entry(client).or_default();
        if *open >= self.limit.per_client {
            self.process
                .metrics
                .connection(ConnectionResult::ClientLimitReached);
            return false;
        }
        *open += 1;
        self.client = Some(client);
        self.process.metrics.connection(ConnectionResult::Served);
        if table.balancer.observe(client) {
            let client = client.to_string();
            warn!(
                client,
                "most connections come from one private address: if it is a load balancer, its PROXY \
                protocol (listen.proxy_protocol) would show the real clients to limits and log"
            );
        }
        true
    }

    /// Returns when the connection must make room for others.
    pub async fn evicted(&self) {
        self.idle.evict.notified().await;
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
            table.remove_client(client);
        }
        self.limit
            .open
            .store(table.connections.len(), Ordering::Relaxed);
        self.process.metrics.connections_open.dec();
    }
}

/// Marks a connection idle until it is dropped.
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
        let mut balancer = BalancerDetector::default();
        let key = |client: &str| ClientKey::from(client.parse::<std::net::IpAddr>().unwrap());
        clients
            .filter(|client| balancer.observe(key(client)))
            .count()
    }

    #[test]
    fn one_private_address_for_most_connections_is_reported_once() {
        let balancer = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "192.0.2.1"];
        assert_eq!(warned(balancer.into_iter().cycle().take(5_000)), 1);
        assert_eq!(
            warned(balancer.into_iter().cycle().take(999)),
            0,
            "too few connections"
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
