//! A simulated NDES: HTTPS, the limits of HTTP.sys, and what mscep.dll answers once the Intune
//! policy module is installed.
//!
//! Called by the demo, and by tests and benches that want an upstream. It enrols nobody by itself;
//! with a real SCEP server behind it, it does.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::http_sys::{self, HttpSysLimits};
use super::iis::{self, Answer, Place};
use super::pki::Issued;
use super::query;
use super::ra::ScepCertificates;
use super::record::{Record, Seen};
use super::relay::{RelayError, ScepServer};
use crate::scep;

/// How to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    pub limits: HttpSysLimits,
    /// Answers GetCACaps, GetCACert and PKIOperation instead of the simulation.
    pub scep_server: Option<ScepServer>,
    /// Keep the last 1000 requests for [`SimulatedNdes::requests`].
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            limits: HttpSysLimits::default(),
            scep_server: None,
            record: false,
        }
    }
}

/// A simulated NDES at work, until it is stopped or dropped.
pub struct SimulatedNdes {
    pub address: SocketAddr,
    server: Arc<Server>,
    accepting: JoinHandle<()>,
}

impl SimulatedNdes {
    /// The number of TCP connections so far, those without a TLS handshake included.
    pub fn connections(&self) -> u64 {
        self.server.connections.load(Ordering::Relaxed)
    }

    /// The last 1000 requests, oldest first; none without [`Options::record`].
    pub fn requests(&self) -> Vec<Seen> {
        self.server.record.requests()
    }

    /// Closes the listener and all connections; the port is free when this returns.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Cancelled is what it is meant to be.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for SimulatedNdes {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Starts a simulated NDES with this TLS certificate, whose GetCACert gives these certificates.
///
/// # Errors
/// Those of binding `options.listen`; `InvalidInput` if rustls does not take the certificate.
pub async fn start(
    options: Options,
    certificate: &Issued,
    scep: &ScepCertificates,
) -> io::Result<SimulatedNdes> {
    let tls = certificate
        .server_config()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let server = Arc::new(Server {
        ca_and_ra: Bytes::from(scep.get_ca_cert()),
        options,
        connections: AtomicU64::new(0),
        record: Record::default(),
    });
    let accepting = tokio::spawn(accept(
        listener,
        TlsAcceptor::from(Arc::new(tls)),
        Arc::clone(&server),
    ));
    Ok(SimulatedNdes {
        address,
        server,
        accepting,
    })
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, server: Arc<Server>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    server.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(Arc::clone(&server).serve(stream, tls.clone()));
                }
                // Out of file descriptors: it passes when connections end.
                Err(error) => {
                    tracing::warn!(%error, "simulated NDES: accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Server {
    options: Options,
    /// The body of an answer to GetCACert.
    ca_and_ra: Bytes,
    connections: AtomicU64,
    record: Record,
}

impl Server {
    /// One connection. How it ends is the client's business: a refused certificate is the usual way.
    async fn serve(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let Ok(stream) = tls.accept(stream).await else {
            return;
        };
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let _ = http1::Builder::new()
            .max_buf_size(HEAD_BUFFER)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        // Read whole before any answer: an early one could be lost when the connection closes.
        let Ok(body) = Limited::new(body, MAX_ALLOWED_CONTENT_LENGTH)
            .collect()
            .await
        else {
            return iis::page(
                StatusCode::PAYLOAD_TOO_LARGE,
                "413 - Request entity too large.",
                "The body is too long or broke off.",
            );
        };
        let body = body.to_bytes();
        let target = head.uri.to_string();
        if self.options.record {
            self.record.add(Seen::new(&head, &target, &body));
        }
        if let Err(refusal) = self.options.limits.check(&head, &target) {
            return refusal.into_answer();
        }
        match Place::of(head.uri.path()) {
            Place::Mscep => self.mscep(&head, body).await,
            Place::MscepAdmin => iis::windows_authentication(),
            Place::Elsewhere => http_sys::not_found(),
        }
    }

    async fn mscep(&self, head: &request::Parts, body: Bytes) -> Answer {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&head.method) {
            return iis::page(
                StatusCode::METHOD_NOT_ALLOWED,
                "405 - HTTP verb used to access this page is not allowed.",
                "SCEP uses GET and POST.",
            );
        }
        let raw_query = head.uri.query().unwrap_or_default();
        let operation = query::operation(raw_query);
        let scep_server = self.options.scep_server.as_ref();
        match (operation.as_deref(), scep_server) {
            (Some(b"GetCACaps"), None) => iis::answer(StatusCode::OK, "text/plain", CAPABILITIES),
            (Some(b"GetCACert"), None) => iis::answer(
                StatusCode::OK,
                "application/x-x509-ca-ra-cert",
                self.ca_and_ra.clone(),
            ),
            (Some(b"GetCACaps" | b"GetCACert"), Some(server)) => {
                relayed(server.get(raw_query).await)
            }
            (Some(b"PKIOperation"), Some(server)) => match message(head, body) {
                Some(message) => relayed(server.pki_operation(message).await),
                None => internal_error(),
            },
            // Nobody is there to enrol; NDES answers so when it cannot read a message.
            (Some(b"PKIOperation"), None) => internal_error(),
            // What shows an admin that the policy module works.
            _ => iis::page(
                StatusCode::FORBIDDEN,
                "403 - Forbidden: Access is denied.",
                "This page cannot be shown with the rights that you have.",
            ),
        }
    }
}

/// The bytes of a PKIOperation: the body of a POST, else the `message` parameter.
fn message(head: &request::Parts, body: Bytes) -> Option<Bytes> {
    if head.method == Method::POST {
        return Some(body);
    }
    let query = head.uri.query().unwrap_or_default();
    let message = scep::message_of_query(query.as_bytes());
    message.ok().map(Bytes::from)
}

fn relayed(answer: Result<Answer, RelayError>) -> Answer {
    answer.unwrap_or_else(|error| {
        tracing::warn!(%error, cause = error.source(), "simulated NDES: relay");
        internal_error()
    })
}

fn internal_error() -> Answer {
    iis::page(
        StatusCode::INTERNAL_SERVER_ERROR,
        "500 - Internal server error.",
        "The request could not be worked on.",
    )
}

/// What NDES says of itself, one capability a line.
const CAPABILITIES: &str = "POSTPKIOperation\r\nRenewal\r\nSHA-512\r\nSHA-256\r\nSHA-1\r\nDES3\r\n";

/// Above all sensible `HttpSysLimits`, so that these answer and not hyper.
const HEAD_BUFFER: usize = 1 << 20;

/// Request filtering's default.
const MAX_ALLOWED_CONTENT_LENGTH: usize = 30_000_000;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
