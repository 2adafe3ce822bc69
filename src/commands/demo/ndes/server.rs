//! Serves one connection. Each request passes HTTP.sys, then IIS, then mscep.dll.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http::{Method, Request, StatusCode, request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::commands::demo::condition::{
    Condition, GET_CA_CAPS, GET_CA_CERT, PKI_OPERATION, capabilities,
};
use crate::commands::demo::enrolment::Transactions;
use crate::commands::demo::http_sys;
use crate::commands::demo::iis::{self, FullResponse, Resource};
use crate::commands::demo::query;
use crate::commands::demo::record::{RecordedRequest, Recorder};
use crate::commands::demo::relay::RelayError;
use crate::scep;

use super::Options;
use super::state::{Snapshot, State};

pub(super) struct Server {
    options: Options,
    pub(super) state: State,
    transactions: Transactions,
    pub(super) connections: AtomicU64,
    pub(super) record: Recorder,
}

/// The connection is closed instead of a response.
#[derive(Debug, thiserror::Error)]
#[error("the simulated NDES closes the connection")]
struct HungUp;

impl Server {
    pub(super) fn new(options: Options, state: State) -> Self {
        Self {
            options,
            state,
            transactions: Transactions::default(),
            connections: AtomicU64::new(0),
            record: Recorder::default(),
        }
    }

    /// Serves one connection. Ignores its errors, because clients commonly refuse the certificate.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let Ok(stream) = tls.accept(stream).await else {
            return;
        };
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { server.respond(request).await }
        });
        let _ = http1::Builder::new()
            .max_buf_size(HEAD_BUFFER)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<FullResponse, HungUp> {
        let (head, body) = request.into_parts();
        // Reads the whole body before any response, because the client could lose an early response
        // when the connection closes.
        let Ok(body) = Limited::new(body, MAX_ALLOWED_CONTENT_LENGTH)
            .collect()
            .await
        else {
            return Ok(iis::page(
                StatusCode::PAYLOAD_TOO_LARGE,
                "413 - Request entity too large.",
                "The body is too long or incomplete.",
            ));
        };
        let body = body.to_bytes();
        let target = head.uri.to_string();
        if self.options.record {
            self.record.add(RecordedRequest::new(&head, &target, &body));
        }
        let now = self.state.when_not_late().await;
        if now.condition == Condition::HangsUp {
            return Err(HungUp);
        }
        let limits = now.condition.limits(&self.options.limits);
        if let Err(refusal) = limits.check(&head, &target) {
            return Ok(refusal.into_response());
        }
        Ok(match Resource::of(head.uri.path()) {
            Resource::Mscep => self.mscep(&head, body, &now).await,
            Resource::MscepAdmin => iis::windows_authentication(),
            Resource::Elsewhere => http_sys::not_found(),
        })
    }

    async fn mscep(&self, head: &request::Parts, body: Bytes, now: &Snapshot) -> FullResponse {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&head.method) {
            return iis::page(
                StatusCode::METHOD_NOT_ALLOWED,
                "405 - HTTP verb used to access this page is not allowed.",
                "SCEP uses GET and POST.",
            );
        }
        let raw_query = head.uri.query().unwrap_or_default();
        let operation = query::operation(raw_query);
        let operation = operation.as_deref();
        if let Some(response) = now.condition.response(operation) {
            return response;
        }
        let scep_server = self.options.scep_server.as_ref();
        match (operation, scep_server) {
            (Some(GET_CA_CAPS), None) => capabilities(CAPABILITIES),
            (Some(GET_CA_CERT), None) => now.certificates(),
            (Some(GET_CA_CERT), _) if now.condition.changes_certificates() => now.certificates(),
            (Some(GET_CA_CAPS | GET_CA_CERT), Some(server)) => relayed(server.get(raw_query).await),
            (Some(PKI_OPERATION), Some(server)) => match message(head, body) {
                Some(message) => relayed(server.pki_operation(message).await),
                None => iis::internal_error(),
            },
            (Some(PKI_OPERATION), None) => message(head, body)
                .and_then(|message| self.cert_rep(&message, now))
                // The response of NDES to a message that it cannot read.
                .unwrap_or_else(iis::internal_error),
            // This 403 is the usual proof that the policy module works.
            _ => iis::forbidden(),
        }
    }

    fn cert_rep(&self, message: &[u8], now: &Snapshot) -> Option<FullResponse> {
        let (enrolment, signer) = (now.enrolment.as_ref()?, &now.served.signing);
        let cert_rep = self.transactions.answer(enrolment, message, signer)?;
        Some(iis::response(
            StatusCode::OK,
            "application/x-pki-message",
            cert_rep,
        ))
    }
}

impl Snapshot {
    /// Returns the response to GetCACert.
    fn certificates(&self) -> FullResponse {
        let (content_type, body) = match self.condition {
            // RFC 8894 §4.2.1.1: a CA without RA sends its certificate without PKCS #7.
            Condition::RaMissing => ("application/x-x509-ca-cert", self.served.ca.to_vec()),
            _ => ("application/x-x509-ca-ra-cert", self.served.get_ca_cert()),
        };
        iis::response(StatusCode::OK, content_type, body)
    }
}

/// Returns the message of a PKIOperation: the body of a POST, otherwise the `message` parameter.
fn message(head: &request::Parts, body: Bytes) -> Option<Bytes> {
    if head.method == Method::POST {
        return Some(body);
    }
    let query = head.uri.query().unwrap_or_default();
    let message = scep::message_of_query(query.as_bytes());
    message.ok().map(Bytes::from)
}

fn relayed(response: Result<FullResponse, RelayError>) -> FullResponse {
    response.unwrap_or_else(|error| {
        tracing::warn!(%error, cause = error.source(), "simulated NDES: relay");
        iis::internal_error()
    })
}

/// The response of NDES to GetCACaps, one capability per line.
const CAPABILITIES: &str = "POSTPKIOperation\r\nRenewal\r\nSHA-512\r\nSHA-256\r\nSHA-1\r\nDES3\r\n";

/// Larger than all sensible `HttpSysLimits`, so that these respond and not hyper.
const HEAD_BUFFER: usize = 1 << 20;

/// The default of request filtering.
const MAX_ALLOWED_CONTENT_LENGTH: usize = 30_000_000;
