//! The way to NDES: a verified TLS connection from the pool or a new one, one request on it, the
//! head of the answer. What may be repeated is decided here, and nothing else is.

mod dial;
mod failure;
pub mod fields;
mod framing;
mod pool;
mod queue;
mod records;
mod wire;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout, timeout_at};
use tower::retry::{Policy, RetryLayer};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};
use tracing::warn;

use crate::config::types::{DnsName, Origin};
use crate::metrics::UpstreamMetrics;
use crate::scep::Operation;
pub use dial::first_to_answer;
use failure::Breakdown;
pub use failure::Failure;
pub use pool::Loan;
use pool::Pool;
pub use queue::{Busy, Place, Queue};

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
    pub target: PathAndQuery,
    pub fields: HeaderMap,
    pub body: Bytes,
    /// How often it was tried before.
    repeats: u8,
}

/// The head of an answer and the first of its body. The end of the body gives the connection back.
pub struct Answer {
    pub response: Response<Incoming>,
    /// None where the body is empty.
    pub first: Option<Bytes>,
    /// When the whole body must have come.
    pub deadline: Instant,
    pub loan: Loan,
    pub after: Duration,
}

impl Answer {
    /// All of a short answer, for whoever asks on the proxy's own behalf.
    pub async fn whole(self, most: usize) -> Result<(response::Parts, Bytes), Failure> {
        let Self {
            response,
            first,
            deadline,
            mut loan,
            ..
        } = self;
        let (parts, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let mut next = first;
        while let Some(data) = next {
            if body.len() + data.len() > most {
                return Err(Failure::Framing("longer than any answer of SCEP"));
            }
            body.extend_from_slice(&data);
            let read = timeout_at(deadline, poll_fn(|cx| poll_data(&mut incoming, cx))).await;
            next = match read {
                Ok(read) => read.map_err(|error| Failure::Closed {
                    error,
                    reused: false,
                })?,
                Err(_elapsed) => return Err(Failure::ResponseTimeout),
            };
        }
        loan.give_back();
        Ok((parts, body.freeze()))
    }
}

/// Everything between an admitted request and NDES, in order.
pub type Stack = BoxCloneSyncService<Outgoing, Answer, Failure>;

/// 1. repeats what certainly did not reach NDES; 2. sends once.
pub fn stack(upstream: Arc<Upstream>) -> Stack {
    let send = service_fn(move |request| {
        let upstream = upstream.clone();
        async move { upstream.send(request).await }
    });
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .layer(RetryLayer::new(Repeat))
            .service(send),
    )
}

impl Outgoing {
    pub fn new(
        worker: usize,
        method: Method,
        operation: Option<Operation>,
        target: PathAndQuery,
    ) -> Self {
        Self {
            worker,
            method,
            operation,
            target,
            fields: HeaderMap::new(),
            body: Bytes::new(),
            repeats: 0,
        }
    }

    /// What the request line and the fields take on the wire, the empty line included: what
    /// HTTP.sys holds against MaxRequestBytes.
    pub fn head_bytes(&self) -> usize {
        let line = self.method.as_str().len() + self.target.as_str().len() + "  HTTP/1.1\r\n".len();
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + ": \r\n".len()
        };
        line + self.fields.iter().map(field).sum::<usize>() + "\r\n".len()
    }

    fn to_http(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        // From parts: a URI with scheme and host in it could not hold a target of 65534 bytes.
        *request.uri_mut() = Uri::from(self.target.clone());
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.fields.clone();
        request
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
        // The repeat of a request that a dead connection swallowed gets a new one.
        let pooled = if request.repeats == 0 {
            self.pool.take(request.worker)
        } else {
            None
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
                connection
            }
        };
        let limit = match request.operation {
            Some(Operation::PKIOperation) => self.settings.timeouts.pki_operation,
            _ => self.settings.timeouts.response,
        };
        let (started, before) = (Instant::now(), connection.passed());
        let sending = connection.sender.try_send_request(request.to_http());
        let sent = timeout(limit, sending).await;
        let response = match sent {
            Err(_elapsed) => return Err(Failure::ResponseTimeout),
            Ok(Err(error)) => {
                let passed = connection.passed();
                let breakdown = Breakdown {
                    // hyper gives back what it had not begun with; else the socket knows.
                    unsent: error.message().is_some() || passed.written == before.written,
                    reused: connection.reused,
                    new_handshake: passed.handshakes > before.handshakes,
                };
                return Err(breakdown.failure(error.into_error(), &self.settings.server_name));
            }
            Ok(Ok(response)) => response,
        };
        let (parts, mut body) = response.into_parts();
        // Nobody asked for another protocol.
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::Upgrade);
        }
        framing::check(&parts)?;
        let after = started.elapsed();
        self.metrics.responded(request.operation, after);
        // While the client has no head yet, an answer that breaks off can still become a 502.
        let deadline = Instant::now() + self.settings.timeouts.body;
        let first = poll_fn(|cx| poll_data(&mut body, cx));
        let first = match timeout_at(deadline, first).await {
            Ok(first) => first.map_err(|error| Failure::Closed {
                error,
                reused: connection.reused,
            })?,
            Err(_elapsed) => return Err(Failure::ResponseTimeout),
        };
        Ok(Answer {
            response: Response::from_parts(parts, body),
            first,
            deadline,
            loan: self.pool.lend(request.worker, connection),
            after,
        })
    }
}

/// The next bytes of a body; none at its end. Trailers are not passed on: no answer of SCEP has one.
pub fn poll_data(
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, hyper::Error>> {
    while let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)?) {
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return Poll::Ready(Ok(Some(data))),
            Ok(_) | Err(_) => {}
        }
    }
    Poll::Ready(Ok(None))
}

/// Which requests are sent again. A PKIOperation of which a byte was written never is: NDES may
/// have used up its challenge.
#[derive(Clone, Copy)]
struct Repeat;

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
            Err(Failure::Closed { reused: true, .. }) => {
                request.operation != Some(Operation::PKIOperation) && request.method != Method::POST
            }
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
