//! The way to NDES: a verified TLS connection from the pool or a new one, one request on it, the
//! head of the answer. What may be repeated is decided here, and nothing else is.

mod connection;
mod dial;
mod failure;
pub mod fields;
pub mod head;
mod pool;
mod queue;
mod records;
mod wire;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{Method, Response, response};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout, timeout_at};
use tower::Service;
use tower::retry::{Policy, Retry};
use tracing::warn;

use crate::base::deadline::within;
use crate::base::head::Target;
use crate::config::types::{DnsName, Origin};
use crate::observe::metrics::UpstreamMetrics;
use crate::scep::Operation;
use connection::Broken;
pub use connection::Incoming;
pub use dial::first_to_answer;
use failure::Breakdown;
pub use failure::Failure;
use pool::Pool;
pub use queue::{Permit, Queue, Turn};

/// One NDES server.
pub struct Upstream {
    pub settings: Settings,
    pub tls: Arc<ClientConfig>,
    pub metrics: UpstreamMetrics,
    pool: Pool,
    /// What the name resolved to last, for when the name server fails.
    resolved: std::sync::Mutex<Vec<SocketAddr>>,
    /// An ill upstream fails every request: one line in a while says it, the counters say how often.
    failure_log: DefaultDirectRateLimiter,
}

/// All that makes an upstream the one it is: with equal settings its connections and TLS sessions
/// are as good after a reload as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub origin: Origin,
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

/// A request for NDES. Cheap to clone: all of it is shared.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Whose pool it uses: a connection belongs to the runtime it was opened on.
    pub worker: usize,
    pub method: Method,
    pub operation: Option<Operation>,
    /// Sent without scheme and authority.
    pub target: Target,
    /// Of `fields::Lines`.
    pub fields: Bytes,
    pub body: Bytes,
    /// How often it was tried before.
    repeats: u8,
}

/// The head of an answer and the first of its body.
pub struct Answer {
    pub response: Response<Incoming>,
    /// None where the body is empty.
    pub first: Option<Bytes>,
    /// When the whole body must have come.
    pub deadline: Instant,
    pub after: Duration,
}

impl Answer {
    /// All of a short answer, for whoever asks on the proxy's own behalf.
    pub async fn whole(self, most: usize) -> Result<(response::Parts, Bytes), Failure> {
        let (parts, mut incoming) = self.response.into_parts();
        let mut body = BytesMut::new();
        let mut next = self.first;
        while let Some(data) = next {
            if body.len() + data.len() > most {
                return Err(Failure::Framing("longer than any answer of SCEP"));
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

/// Everything between an admitted request and NDES, in order: 1. repeats what certainly did not
/// reach NDES; 2. sends once.
pub type Stack = Retry<Repeat, Once>;

pub fn stack(upstream: Arc<Upstream>) -> Stack {
    Retry::new(Repeat, Once(upstream))
}

/// Sends each request once.
#[derive(Clone)]
pub struct Once(Arc<Upstream>);

impl Service<Outgoing> for Once {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Outgoing) -> Self::Future {
        let upstream = self.0.clone();
        Box::pin(async move { upstream.send(request).await })
    }
}

impl Outgoing {
    pub fn new(
        worker: usize,
        method: Method,
        operation: Option<Operation>,
        target: Target,
        fields: Bytes,
    ) -> Self {
        Self {
            worker,
            method,
            operation,
            target,
            fields,
            body: Bytes::new(),
            repeats: 0,
        }
    }

    /// What the request line and the fields take on the wire, the empty line included: what
    /// HTTP.sys holds against MaxRequestBytes.
    pub fn head_bytes(&self) -> usize {
        let wire = self.on_the_wire();
        wire.iter().map(|piece| piece.len()).sum::<usize>() - self.body.len()
    }

    /// One after the other; a target of 64 KB is not copied.
    fn on_the_wire(&self) -> [&[u8]; 6] {
        [
            self.method.as_str().as_bytes(),
            b" ",
            &self.target.path_and_query,
            b" HTTP/1.1\r\n",
            &self.fields,
            &self.body,
        ]
    }

    /// Whether it may be sent again though it may have arrived. A PKIOperation never: NDES may
    /// have used up its challenge.
    fn is_repeatable(&self) -> bool {
        self.operation != Some(Operation::PKIOperation) && self.method != Method::POST
    }
}

impl Upstream {
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
            resolved: std::sync::Mutex::default(),
            failure_log: RateLimiter::direct(quota),
        }
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
                    repeated = request.repeats,
                    "{}", failure.explained()
                );
            }
        }
        result
    }

    async fn try_send(&self, request: &Outgoing) -> Result<Answer, Failure> {
        let idle = self.pool.idle(request.worker);
        let mut started = Instant::now();
        let pooled = match &idle {
            // The repeat of a request that a dead connection swallowed gets a new one.
            Some(idle) if request.repeats == 0 => idle.take(started),
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
            Ok(Err(Broken::Answer(failure))) => return Err(failure),
            Ok(Err(Broken::Io(error))) => {
                let passed = connection.passed();
                let breakdown = Breakdown {
                    unsent: passed.written == before.written,
                    reused: connection.reused,
                    new_handshake: passed.handshakes > before.handshakes,
                };
                return Err(breakdown.failure(error, &self.settings.server_name));
            }
            Ok(Ok(head)) => head,
        };
        let after = started.elapsed();
        self.metrics.responded(request.operation, after);
        // While the client has no head yet, an answer that breaks off can still become a 502.
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

/// Which requests are sent again.
#[derive(Clone, Copy)]
pub struct Repeat;

const MOST_REPEATS: u8 = 2;

impl Policy<Outgoing, Answer, Failure> for Repeat {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        request: &mut Outgoing,
        result: &mut Result<Answer, Failure>,
    ) -> Option<Self::Future> {
        let again = match result {
            Ok(_) => false,
            Err(Failure::Unsent(_)) => true,
            // A pooled connection that NDES closed while the request was on its way.
            Err(Failure::Closed { reused: true, .. }) => request.is_repeatable(),
            Err(_) => false,
        };
        if !again || request.repeats == MOST_REPEATS {
            return None;
        }
        request.repeats += 1;
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Outgoing) -> Option<Outgoing> {
        Some(request.clone())
    }
}
