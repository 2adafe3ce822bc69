//! The state that lives as long as the process, through every reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio_util::task::TaskTracker;

use crate::base::buffers::Buffers;
use crate::base::client::ConnectionId;
use crate::config::Config;
use crate::insight::ScepStates;
use crate::observe::history::{Hour, Reasons};
use crate::observe::log::Log;
use crate::observe::metrics::Metrics;
use crate::proxy::gate::rate::Rates;

pub struct Process {
    pub log: Log,
    pub metrics: Metrics,
    pub rates: Rates,
    pub buffers: Arc<Buffers>,
    pub scep: ScepStates,
    /// Requests that the proxy answered itself, by reason.
    pub refusals: Hour<Reasons>,
    /// Enrolments whose clients have left, which are read to their end.
    pub detached: TaskTracker,
    /// Keeps scanners from filling the disk. The counters still count every refusal.
    refusal_log: RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>,
    started: u32,
    connections: AtomicU64,
    cutting: AtomicBool,
}

/// Access lines of refused requests per second.
const REFUSALS_LOGGED: std::num::NonZeroU32 = std::num::NonZeroU32::new(100).expect("positive");

impl Process {
    pub fn new(config: &Config, log: Log) -> Result<Self, prometheus::Error> {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as u32);
        let (metrics, limits) = (Metrics::new()?, &config.limits);
        metrics.connections_max.set(limits.connections as i64);
        metrics.buffered_bytes_max.set(limits.buffered_bytes as i64);
        Ok(Self {
            log,
            metrics,
            rates: Rates::new(&config.rate_limit),
            buffers: Arc::new(Buffers::new(limits.buffered_bytes)),
            refusal_log: RateLimiter::new(
                Quota::per_second(REFUSALS_LOGGED),
                InMemoryState::default(),
                MonotonicClock,
            ),
            scep: ScepStates::default(),
            refusals: Hour::new(Instant::now()),
            detached: TaskTracker::new(),
            started,
            connections: AtomicU64::new(0),
            cutting: AtomicBool::new(false),
        })
    }

    /// Returns the start of the process, accurate to the second.
    pub fn started(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.started.into())
    }

    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId {
            process: self.started,
            number: 1 + self.connections.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// From now on connections are closed because the deadline of the shutdown has passed.
    pub(crate) fn cut(&self) {
        self.cutting.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.load(Ordering::Relaxed)
    }

    pub(crate) fn may_log_refusal(&self) -> bool {
        self.refusal_log.check().is_ok()
    }
}
