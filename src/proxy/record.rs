//! The record of one request, which is counted and logged once, when its response has ended.

mod end;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::application::Application;
use super::peer::Peer;
use super::process::Process;
use crate::base::client::RequestId;
use crate::base::head::{Head, Method};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::insight::{Audit, Health, Insight, ResponseEnd};
use crate::observe::log::{Cut, Line, put};
use crate::observe::metrics::{CompletedRequest, Incomplete};
use crate::scep::Operation;
use crate::upstream::{Answer, Failure};
use end::End;

/// Travels in the body of the response. Dropping it ends the request.
pub struct Record {
    process: Arc<Process>,
    peer: Arc<Peer>,
    /// Counted from 1 within the connection.
    number: u64,
    /// `None` if the head could not be read.
    head: Option<Arc<Head>>,
    pub started: Instant,
    /// `None` if the request reached no application.
    pub application: Option<Arc<Application>>,
    pub operation: Option<Operation>,
    pub request_body: usize,
    /// Set once the gate has admitted the request and its body was read.
    pub insight: Option<Insight>,
    /// The time from sending the request to NDES to the head of its response.
    upstream: Option<Duration>,
    /// The time that the request waited for a permit.
    pub waited: Option<Duration>,
    /// `None` if the request ended before there was a response.
    status: Option<StatusCode>,
    rejection: Option<Rejection>,
    /// Bytes of the response body that were handed to the client.
    sent: usize,
    end: End,
}

impl Record {
    pub fn start(
        process: &Arc<Process>,
        peer: &Arc<Peer>,
        number: u64,
        head: Option<Arc<Head>>,
    ) -> Box<Self> {
        process.metrics.requests_in_flight.inc();
        Box::new(Self {
            process: process.clone(),
            peer: peer.clone(),
            number,
            head,
            started: Instant::now(),
            application: None,
            operation: None,
            request_body: 0,
            insight: None,
            upstream: None,
            waited: None,
            status: None,
            rejection: None,
            sent: 0,
            end: End::default(),
        })
    }

    /// Returns the server name that the client requested in TLS.
    pub fn sni(&self) -> Option<&str> {
        self.peer.sni.as_ref().map(|sni| &*sni.name)
    }

    /// Records the head of a response of NDES, before any header field is removed. `health` belongs
    /// to the server.
    pub fn upstream_answered(&mut self, answer: &Answer, health: &Arc<Health>) {
        self.upstream = Some(answer.after);
        if let Some(insight) = &mut self.insight {
            insight.answered(&answer.response, health);
        }
    }

    /// Records that NDES gave no response. `health` belongs to the server.
    pub fn upstream_failed(&mut self, failure: &Failure, health: &Arc<Health>) {
        if let Some(insight) = &mut self.insight {
            insight.failed(failure, health);
        }
    }

    /// Records the response that the client will receive, and the rejection if it is the proxy's.
    pub fn answered(&mut self, status: StatusCode, rejection: Option<Rejection>) {
        self.status = Some(status);
        self.rejection = rejection;
        if let (Some(insight), Some(Rejection::UpstreamBusy)) = (&mut self.insight, rejection) {
            insight.got_no_permit();
        }
    }

    /// Records a piece of the response body.
    pub fn received(&mut self, data: &Bytes) {
        if let Some(insight) = &mut self.insight {
            insight.received(data);
        }
        if !self.end.is_detached() {
            self.sent += data.len();
        }
    }

    /// Records that the whole response was received.
    pub fn complete(&mut self) {
        self.end = self.end.complete();
    }

    /// Records that the client has closed its side of the connection. The response is written all
    /// the same, because the other side may be open.
    pub fn client_half_closed(&mut self) {
        self.end = self.end.half_closed();
    }

    /// Records that the client did not take the piece that it was handed last.
    pub fn not_taken(&mut self) {
        self.end = self.end.not_taken();
    }

    /// Records that the response broke off. `late`: it did not end in time.
    pub fn broken_by_upstream(&mut self, late: bool) {
        self.end = self.end.broken(late);
    }

    /// Records that the client has left. Returns where to read the rest of the response: NDES has
    /// used up the challenge of an enrolment, and nobody else will learn its outcome. Returns
    /// `None` if the rest is of no interest.
    pub fn detach(&mut self) -> Option<TaskTracker> {
        let was_detached = self.end.is_detached();
        self.end = self.end.detach();
        let is_enrolment = self.operation == Some(Operation::PKIOperation);
        let goes_on = is_enrolment && !was_detached && !self.process.is_cutting();
        (goes_on && Handle::try_current().is_ok()).then(|| self.process.detached.clone())
    }

    /// Returns why the client did not receive all of the response.
    fn incomplete(&self) -> Option<Incomplete> {
        let incomplete = self.end.incomplete()?;
        Some(match self.process.is_cutting() {
            true => Incomplete::Shutdown,
            false => incomplete,
        })
    }

    fn count(&self, incomplete: Option<Incomplete>, duration: Duration) {
        let metrics = &self.process.metrics;
        metrics.requests_in_flight.dec();
        metrics.request(&CompletedRequest {
            application: self.application_name(),
            operation: self.operation,
            method: self.head.as_ref().map_or(Method::Other, |head| head.method),
            status: self.status,
            duration,
            uri_bytes: self.head.as_ref().map(|head| head.target.bytes),
        });
        if let Some(rejection) = self.rejection {
            let reason = rejection.reason();
            metrics.refused(reason);
            let now = self.started + duration;
            let refusals = &self.process.refusals;
            refusals.count(now, |minute| minute.add(reason, 1));
        }
        if let Some(cause) = incomplete {
            metrics.incomplete(cause);
        }
    }

    fn log(&self, incomplete: Option<Incomplete>, duration: Duration) {
        if self.rejection.is_some_and(Rejection::is_charged) && !self.process.may_log_refusal() {
            self.process.metrics.log_lines_suppressed.inc();
            return;
        }
        let log = &self.process.log;
        log.info("access", |line| self.access(incomplete, duration, line));
    }

    fn access(&self, incomplete: Option<Incomplete>, duration: Duration, line: &mut Line) {
        let head = self.head.as_ref();
        let user_agent = head.and_then(|head| head.user_agent.as_ref());
        let anomaly = self.insight.as_ref().and_then(Insight::anomaly);
        put!(
            line,
            "request_id" = self.id(),
            "application" = self.application_name(),
            "client" = self.peer.address.ip().to_canonical(),
            "port" = self.peer.address.port(),
            "tls" = self.peer.tls,
            "sni" = self.sni(),
            "method" = head.map(|head| head.method.as_str()),
            "path" = head.map(|head| Cut(head.target.path(), MOST)),
            "operation" = self.operation.map(Operation::as_str),
            "uri_bytes" = head.map(|head| head.target.bytes),
            "head_bytes" = head.map(|head| head.size.head),
            "request_bytes" = self.request_body,
            "status" = self.status.map(|status| status.as_u16()),
            "reason" = self.rejection.map(|rejection| rejection.reason().word()),
            "anomaly" = anomaly.map(Reason::word),
            "response_bytes" = self.sent,
            "incomplete" = incomplete.map(Incomplete::as_str),
            "duration_ms" = duration,
            "queue_ms" = self.waited,
            "upstream_ms" = self.upstream,
            "user_agent" = user_agent.map(|agent| Cut(agent.as_bytes(), MOST)),
        );
    }

    fn audit(&self, incomplete: Option<Incomplete>, duration: Duration) {
        if self.operation != Some(Operation::PKIOperation) {
            return;
        }
        let audit = Audit {
            request_id: self.id(),
            application: self.application_name(),
            client: self.peer.address.ip().to_canonical(),
            reason: self.rejection.map(Rejection::reason),
            client_gone: self.end.client_gone() || incomplete == Some(Incomplete::Client),
            duration,
            upstream: self.upstream,
        };
        let log = &self.process.log;
        log.info("scep", |line| audit.write(self.insight.as_ref(), line));
    }

    fn id(&self) -> RequestId {
        RequestId {
            connection: self.peer.connection,
            number: self.number,
        }
    }

    fn application_name(&self) -> Option<&str> {
        self.application.as_ref().map(|one| one.name.as_str())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let incomplete = self.incomplete();
        let end = match self.end.response_end() {
            // The shutdown has cut the connection to NDES as well.
            ResponseEnd::BrokenByUpstream if incomplete == Some(Incomplete::Shutdown) => {
                ResponseEnd::Other
            }
            end => end,
        };
        if let Some(insight) = &mut self.insight {
            insight.ended(end, self.started + duration);
        }
        self.count(incomplete, duration);
        self.log(incomplete, duration);
        self.audit(incomplete, duration);
        if std::thread::panicking() {
            warn!(request_id = %self.id(), "a defect of the proxy ended this request");
        }
    }
}

/// The most bytes of a text that a client chose.
const MOST: usize = 120;
