//! The HTTP/1.1 client to one NDES server: it sends a request on a verified TLS connection, from
//! the pool or new, and reads the head of the response.
//!
//! Which requests are sent again is decided in `retry`, and nowhere else.

mod connection;
mod dial;
mod failure;
pub mod fields;
pub mod head;
mod incoming;
mod pool;
mod queue;
mod records;
mod request;
mod retry;
mod wire;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{Response, response};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use crate::base::deadline::within;
use crate::config::types::{DnsName, Origin};
use crate::observe::metrics::UpstreamMetrics;
use crate::scep::Operation;
use connection::NoHead;
pub use dial::first_to_answer;
use failure::ConnectionFailure;
pub use failure::Failure;
pub use incoming::Incoming;
use pool::Pool;
pub use queue::{Admission, Permit, Queue};
pub use request::Outgoing;
pub use retry::{Stack, stack};

/// The client to one NDES server.
pub struct Client {
    pub settings: Settings,
    pub tls: Arc<ClientConfig>,
    pub metrics: UpstreamMetrics,
    pool: Pool,
    /// The last result of resolving the name, used while the name server fails.
    resolved: Mutex<Vec<SocketAddr>>,
    /// Expiry of the certificate that the server presented last, seconds since 1970.
    not_after: AtomicI64,
    /// An unreachable server fails every request. The log has one line per second; the counters
    /// have every failure.
    failure_log: DefaultDirectRateLimiter,
}

/// No certificate was presented yet.
const NO_CERTIFICATE: i64 = i64::MIN;

/// Everything that identifies a server and the way to it. If the settings are equal after a reload,
/// connections and TLS sessions are used further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub origin: Origin,
    /// Dialled instead of resolving the host of `origin`.
    pub address: Option<SocketAddr>,
    pub server_name: DnsName,
    pub roots: Vec<CertificateDer<'static>>,
    pub pin_sha256: Option<[u8; 32]>,
    pub timeouts: Timeouts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub response: Duration,
    pub pki_operation: Duration,
    pub body: Duration,
}

/// The head of a response and the first piece of its body.
pub struct Answer {
    pub response: Response<Incoming>,
    /// `None` if the body is empty.
    pub first: Option<Bytes>,
    /// When the whole body must have arrived.
    pub deadline: Instant,
    /// The time from sending the request to the head of the response.
    pub after: Duration,
}

impl Answer {
    /// Reads the whole body, of at most `most` bytes. For requests of the proxy itself.
    ///
    /// # Errors
    /// The body is longer, breaks off, or does not end in time.
    pub async fn whole(self, most: usize) -> Result<(response::Parts, Bytes), Failure> {
        let (parts, mut incoming) = self.response.into_parts();
        let mut body = BytesMut::new();
        let mut next = self.first;
        while let Some(data) = next {
            if body.len() + data.len() > most {
                return Err(Failure::Framing("longer than any SCEP response"));
            }
            body.extend_from_slice(&data);
            let read = timeout_at(self.deadline, poll_fn(|cx| incoming.poll_data(cx))).await;
            next = match read {
                Ok(read) => read.map_err(|error| Failure::Closed {
                    error,
                    reused: false,
                })?,
                Err(_elapsed) => return Err(Failure::ResponseTimeout),
            };
        }
        Ok((parts, body.freeze()))
    }
}

impl Client {
    /// `workers` is the number of threads that have a pool of their own.
    pub fn new(
        settings: Settings,
        tls: Arc<ClientConfig>,
        metrics: UpstreamMetrics,
        workers: usize,
    ) -> Self {
        let quota = Quota::per_second(std::num::NonZeroU32::MIN)
            .allow_burst(const { std::num::NonZeroU32::new(10).expect("positive") });
        Self {
            settings,
            tls,
            metrics,
            pool: Pool::new(workers),
            resolved: Mutex::default(),
            not_after: AtomicI64::new(NO_CERTIFICATE),
            failure_log: RateLimiter::direct(quota),
        }
    }

    /// Returns the name for people, such as `ndes.corp.local:443`.
    pub fn name(&self) -> String {
        let origin = &self.settings.origin;
        format!("{}:{}", origin.host, origin.port)
    }

    /// Returns when the certificate expires that the server presented last, in seconds since 1970.
    /// Returns `None` before the first connection.
    pub fn certificate_not_after(&self) -> Option<i64> {
        let not_after = self.not_after.load(Ordering::Relaxed);
        (not_after != NO_CERTIFICATE).then_some(not_after)
    }

    /// Sends `request` once.
    async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        let result = self.try_send(&request).await;
        if let Err(failure) = &result {
            self.metrics.failed(failure.kind());
            if self.failure_log.check().is_ok() {
                warn!(
                    target: "upstream",
                    upstream = %self.settings.origin.host,
                    operation = request.operation.map(Operation::as_str),
                    kind = failure.kind(),
                    repeated = request.retries,
                    "{}", failure.explained()
                );
            }
        }
        result
    }

    async fn try_send(&self, request: &Outgoing) -> Result<Answer, Failure> {
        let idle = self.pool.of(request.worker);
        let mut started = Instant::now();
        let pooled = match &idle {
            // A request that failed on a closed connection is sent again on a new one.
            Some(idle) if request.retries == 0 => idle.take(started),
            _ => None,
        };
        let mut connection = match pooled {
            Some(connection) => {
                self.metrics.reused.inc();
                connection
            }
            None => {
                let connection = timeout(self.settings.timeouts.connect, self.connect()).await;
                let connection = connection.unwrap_or(Err(Failure::ConnectTimeout))?;
                self.metrics.opened.inc();
                started = Instant::now();
                connection
            }
        };
        let limit = match request.operation {
            Some(Operation::PKIOperation) => self.settings.timeouts.pki_operation,
            _ => self.settings.timeouts.response,
        };
        let before = connection.passed();
        let head = match timeout_at(started + limit, connection.ask(request)).await {
            Err(_elapsed) => return Err(Failure::ResponseTimeout),
            Ok(Err(NoHead::Answer(failure))) => return Err(failure),
            Ok(Err(NoHead::Io(error))) => {
                let passed = connection.passed();
                let state = ConnectionFailure {
                    unsent: passed.written == before.written,
                    reused: connection.reused,
                    new_handshake: passed.handshakes > before.handshakes,
                };
                return Err(state.failure(error, &self.settings.server_name));
            }
            Ok(Ok(head)) => head,
        };
        let after = started.elapsed();
        self.metrics.responded(request.operation, after);
        // The client has received nothing yet, so a response that breaks off here is still a 502.
        let deadline = started + after + self.settings.timeouts.body;
        let reused = connection.reused;
        let mut incoming = Incoming::new(connection, head.body, head.keep_alive, idle);
        let first = poll_fn(|cx| incoming.poll_data(cx));
        let first = match within(self.settings.timeouts.body, first).await {
            Ok(first) => first.map_err(|error| Failure::Closed { error, reused })?,
            Err(_elapsed) => return Err(Failure::ResponseTimeout),
        };
        Ok(Answer {
            response: Response::from_parts(head.parts, incoming),
            first,
            deadline,
            after,
        })
    }
}
