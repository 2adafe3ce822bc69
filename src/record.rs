//! The record of one request: counted and logged once, when its answer has ended.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tracing::{info, warn};

use crate::client::Peer;
use crate::head::{Head, Method};
use crate::metrics::{Answered, Incomplete};
use crate::process::Process;
use crate::rejection::Rejection;
use crate::scep::Operation;
use crate::site::Site;

/// Travels in the body of the answer; its drop is the end of the request.
pub struct Record {
    process: Arc<Process>,
    site: Arc<Site>,
    peer: Arc<Peer>,
    /// Counted from 1 within the connection.
    number: u64,
    /// None where the head could not be read.
    head: Option<Head>,
    started: Instant,
    pub application: Option<usize>,
    pub operation: Option<Operation>,
    pub request_body: usize,
    /// From sending the request upstream to the head of its answer.
    pub upstream: Option<Duration>,
    /// In the queue before the upstream.
    pub waited: Option<Duration>,
    /// None where it ended before there was an answer.
    status: Option<StatusCode>,
    rejection: Option<Rejection>,
    sent: usize,
    incomplete: Option<Incomplete>,
}

impl Record {
    pub fn start(
        process: &Arc<Process>,
        site: &Arc<Site>,
        peer: &Arc<Peer>,
        number: u64,
        head: Option<Head>,
    ) -> Box<Self> {
        process.metrics.requests_in_flight.inc();
        Box::new(Self {
            process: process.clone(),
            site: site.clone(),
            peer: peer.clone(),
            number,
            head,
            started: Instant::now(),
            application: None,
            operation: None,
            request_body: 0,
            upstream: None,
            waited: None,
            status: None,
            rejection: None,
            sent: 0,
            // Until its end is seen, the answer has broken off; most often the client has left.
            incomplete: Some(Incomplete::Client),
        })
    }

    /// The answer that the client will get, and why where it is our own.
    pub fn answered(&mut self, status: StatusCode, rejection: Option<Rejection>) {
        self.status = Some(status);
        self.rejection = rejection;
    }

    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    pub fn completed(&mut self) {
        self.incomplete = None;
    }

    pub fn broken(&mut self, cause: Incomplete) {
        self.incomplete = Some(cause);
    }

    fn count(&self, duration: Duration) {
        let metrics = &self.process.metrics;
        metrics.requests_in_flight.dec();
        metrics.request(&Answered {
            application: self.application_name(),
            operation: self.operation,
            method: self.head.as_ref().map_or(Method::Other, |head| head.method),
            status: self.status,
            duration,
            uri_bytes: self.head.as_ref().map(|head| head.target.bytes),
        });
        if let Some(rejection) = self.rejection {
            metrics.refused(rejection);
        }
        if let Some(cause) = self.incomplete {
            metrics.incomplete(cause);
        }
    }

    fn log(&self, duration: Duration) {
        if self.rejection.is_some_and(Rejection::is_refusal) && !self.process.may_log_refusal() {
            self.process.metrics.log_lines_suppressed.inc();
            return;
        }
        let head = self.head.as_ref();
        let method = head.map(|head| head.method.as_str());
        let path = head.map(|head| Escaped(head.target.path(), 120));
        let user_agent = head
            .and_then(|head| head.user_agent.as_ref())
            .map(|agent| Escaped(agent.as_bytes(), 120));
        info!(
            target: "access",
            request_id = %format_args!("{}-{}", self.peer.connection, self.number),
            application = self.application_name(),
            client = %self.peer.address.ip().to_canonical(),
            port = self.peer.address.port(),
            tls = self.peer.tls,
            sni = self.peer.sni.as_deref(),
            method,
            path = path.as_ref().map(tracing::field::display),
            operation = self.operation.map(Operation::as_str),
            uri_bytes = head.map(|head| head.target.bytes),
            head_bytes = head.map(|head| head.size.head),
            request_bytes = self.request_body,
            status = self.status.map(|status| status.as_u16()),
            reason = self.rejection.map(Rejection::reason),
            response_bytes = self.sent,
            incomplete = self.incomplete.map(Incomplete::as_str),
            duration_ms = milliseconds(duration),
            queue_ms = self.waited.map(milliseconds),
            upstream_ms = self.upstream.map(milliseconds),
            user_agent = user_agent.as_ref().map(tracing::field::display),
        );
    }

    fn application_name(&self) -> Option<&str> {
        self.application
            .and_then(|index| self.site.applications.get(index))
            .map(|application| application.name.as_str())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        if self.incomplete.is_some() && self.process.is_cutting() {
            self.incomplete = Some(Incomplete::Shutdown);
        }
        self.count(duration);
        self.log(duration);
        if std::thread::panicking() {
            warn!(request_id = %format_args!("{}-{}", self.peer.connection, self.number), "a defect ended this request");
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Bytes that a client chose, fit for a log: at most so many of them, visible ASCII, quotes and
/// backslashes escaped.
pub struct Escaped<'a>(pub &'a [u8], pub usize);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, most) = *self;
        write!(f, "{}", bytes[..bytes.len().min(most)].escape_ascii())?;
        if bytes.len() > most {
            f.write_str("...")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn what_a_client_sent_cannot_break_a_line_or_fill_it() {
        assert_eq!(
            Escaped(b"a\r\nb\"\x1b[31m\xff", 99).to_string(),
            r#"a\r\nb\"\x1b[31m\xff"#
        );
        assert_eq!(Escaped(&[b'a'; 500], 3).to_string(), "aaa...");
    }
}
