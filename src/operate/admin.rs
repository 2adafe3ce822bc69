//! The admin listener: metrics and health over plain HTTP, for Prometheus and orchestrators, and a
//! status page for people. It runs on a thread of its own, so that no load on the public side
//! starves it.

mod page;
mod status;
mod upstreams;

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::base::shutdown::Shutdown;
use crate::operate::reload;
use crate::proxy::generation::Generation;
use crate::proxy::process::Process;

/// The admin listener and the state that it reports.
pub struct Admin {
    pub process: Arc<Process>,
    pub current: Arc<ArcSwap<Generation>>,
    pub shutdown: Shutdown,
    /// Set once the workers serve.
    pub serving: Arc<AtomicBool>,
    pub reload: Arc<reload::Status>,
}

/// Most connections at a time; Prometheus and a probe need two.
const CONNECTIONS: usize = 64;
/// How long a client may take to send a request head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may stay open; Prometheus then opens another one.
const MOST_TIME: Duration = Duration::from_secs(120);

impl Admin {
    /// Serves until the process ends.
    pub async fn run(self, listener: TcpListener) {
        let (admin, permits) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };
            let Ok((tcp, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let admin = admin.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = admin.respond(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
                // The time limit stops a client that does not read from keeping Prometheus out.
                _ = timeout(MOST_TIME, http.serve_connection(TokioIo::new(tcp), service)).await;
                drop(permit);
            });
        }
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "use GET");
        }
        match request.uri().path() {
            "/" => page::response(),
            "/status.json" => json(&status::Status::of(self, Instant::now(), SystemTime::now())),
            "/metrics" => self.metrics(),
            "/upstreams" => json(&upstreams::of(&self.current.load())),
            "/livez" => text(StatusCode::OK, "alive"),
            "/readyz" if self.shutdown.has_begun() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "stopping")
            }
            "/readyz" if !self.serving.load(Ordering::Relaxed) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "starting")
            }
            "/readyz" if is_verbose(request.uri()) => text(
                StatusCode::OK,
                format!(
                    "ready\nreload: {}\n{}",
                    self.reload.line(),
                    upstreams::lines(&self.current.load()).trim_end()
                ),
            ),
            "/readyz" => text(StatusCode::OK, "ready"),
            _ => text(
                StatusCode::NOT_FOUND,
                "here are /, /status.json, /metrics, /upstreams, /livez and /readyz",
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let metrics = &self.process.metrics;
        self.process.scep.expire(Instant::now());
        metrics
            .buffered_bytes
            .set(i64::try_from(self.process.buffers.leased()).unwrap_or(i64::MAX));
        let counted = metrics.log_lines_dropped.get();
        metrics
            .log_lines_dropped
            .inc_by(self.process.log.dropped().saturating_sub(counted));
        match metrics.text() {
            Ok(body) => typed(Full::from(body), prometheus::TEXT_FORMAT),
            Err(error) => {
                tracing::error!("metrics cannot be written: {error}");
                text(StatusCode::INTERNAL_SERVER_ERROR, "see the log")
            }
        }
    }
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => typed(Full::from(body), "application/json"),
        Err(error) => {
            tracing::error!("a response cannot be written: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, "see the log")
        }
    }
}

/// Whether the query has `verbose`, with or without a value, as for the API server of Kubernetes.
fn is_verbose(uri: &Uri) -> bool {
    let mut keys = uri.query().unwrap_or_default().split('&');
    keys.any(|pair| pair.split('=').next() == Some("verbose"))
}

fn text(status: StatusCode, line: impl Display) -> Response<Full<Bytes>> {
    let body = Full::from(format!("{line}\n"));
    let mut response = typed(body, "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn typed(body: Full<Bytes>, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
