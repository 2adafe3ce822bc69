//! The record of one request: counted and logged once, when its answer has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::base::client::{Peer, RequestId};
use crate::base::head::{Head, Method};
use crate::base::rejection::Rejection;
use crate::insight::diagnosis::Anomaly;
use crate::insight::{Audit, End, Insight};
use crate::observe::log::{Cut, Line, put};
use crate::observe::metrics::{Answered, Incomplete};
use crate::proxy::process::Process;
use crate::proxy::site::Site;
use crate::scep::Operation;
use crate::upstream::{Answer, Failure};

/// Travels in the body of the answer; its drop is the end of the request.
pub struct Record {
    process: Arc<Process>,
    site: Arc<Site>,
    peer: Arc<Peer>,
    /// Counted from 1 within the connection.
    number: u64,
    /// None where the head could not be read.
    head: Option<Arc<Head>>,
    pub started: Instant,
    pub application: Option<usize>,
    pub operation: Option<Operation>,
    pub request_body: usize,
    /// Of a request that the gate has admitted.
    pub insight: Option<Insight>,
    /// From sending the request upstream to the head of its answer.
    upstream: Option<Duration>,
    /// In the queue before the upstream.
    pub waited: Option<Duration>,
    /// None where it ended before there was an answer.
    status: Option<StatusCode>,
    rejection: Option<Rejection>,
    sent: usize,
    incomplete: Option<Incomplete>,
    /// The client left before it had the answer, or seems to.
    pub client_gone: bool,
    /// What follows is read for the record only.
    detached: bool,
    /// All of the answer has come.
    whole: bool,
}

impl Record {
    pub fn start(
        process: &Arc<Process>,
        site: &Arc<Site>,
        peer: &Arc<Peer>,
        number: u64,
        head: Option<Arc<Head>>,
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
            insight: None,
            upstream: None,
            waited: None,
            status: None,
            rejection: None,
            sent: 0,
            // Until its end is seen, the answer has broken off; most often the client has left.
            incomplete: Some(Incomplete::Client),
            client_gone: false,
            detached: false,
            whole: false,
        })
    }

    /// The name that the client's TLS asked for.
    pub fn sni(&self) -> Option<&str> {
        self.peer.sni.as_deref()
    }

    /// The head of NDES's answer, before anything is taken out of it.
    pub fn upstream_answered(&mut self, answer: &Answer) {
        self.upstream = Some(answer.after);
        if let Some(insight) = &mut self.insight {
            insight.answered(&answer.response);
        }
    }

    pub fn upstream_failed(&mut self, failure: &Failure) {
        if let Some(insight) = &mut self.insight {
            insight.failed(failure);
        }
    }

    /// The answer that the client will get, and why where it is our own.
    pub fn answered(&mut self, status: StatusCode, rejection: Option<Rejection>) {
        self.status = Some(status);
        self.rejection = rejection;
        if let (Some(insight), Some(Rejection::UpstreamBusy)) = (&mut self.insight, rejection) {
            insight.found_no_turn();
        }
    }

    /// A piece of the body.
    pub fn passed(&mut self, data: &Bytes) {
        if let Some(insight) = &mut self.insight {
            insight.passed(data);
        }
        if !self.detached {
            self.sent += data.len();
        }
    }

    pub fn completed(&mut self) {
        self.incomplete = self.detached.then_some(Incomplete::Client);
        self.whole = true;
    }

    /// The client has left. Whether the rest of the answer is to be read all the same: NDES has
    /// used up the challenge of an enrolment, and nobody else will learn its outcome.
    pub fn goes_on_without_client(&mut self) -> bool {
        self.client_gone = true;
        let first = !std::mem::replace(&mut self.detached, true);
        let is_enrolment = self.operation == Some(Operation::PKIOperation);
        first && is_enrolment && !self.process.is_cutting() && Handle::try_current().is_ok()
    }

    /// Where tasks go that no client waits for.
    pub fn detached(&self) -> TaskTracker {
        self.process.detached.clone()
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
            let now = self.started + duration;
            let refusals = &self.process.refusals;
            refusals.count(now, |minute| minute.add(rejection.reason(), 1));
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
        let log = &self.process.log;
        log.info("access", |line| self.access(duration, line));
    }

    fn access(&self, duration: Duration, line: &mut Line) {
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
            "sni" = self.peer.sni.as_deref(),
            "method" = head.map(|head| head.method.as_str()),
            "path" = head.map(|head| Cut(head.target.path(), MOST)),
            "operation" = self.operation.map(Operation::as_str),
            "uri_bytes" = head.map(|head| head.target.bytes),
            "head_bytes" = head.map(|head| head.size.head),
            "request_bytes" = self.request_body,
            "status" = self.status.map(|status| status.as_u16()),
            "reason" = self.rejection.map(Rejection::reason),
            "anomaly" = anomaly.map(Anomaly::reason),
            "response_bytes" = self.sent,
            "incomplete" = self.incomplete.map(Incomplete::as_str),
            "duration_ms" = duration,
            "queue_ms" = self.waited,
            "upstream_ms" = self.upstream,
            "user_agent" = user_agent.map(|agent| Cut(agent.as_bytes(), MOST)),
        );
    }

    fn audit(&self, duration: Duration) {
        if self.operation != Some(Operation::PKIOperation) {
            return;
        }
        let audit = Audit {
            request_id: self.id(),
            application: self.application_name(),
            client: self.peer.address.ip().to_canonical(),
            reason: self.rejection.map(Rejection::reason),
            client_gone: self.client_gone || self.incomplete == Some(Incomplete::Client),
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
        let end = match self.incomplete {
            _ if self.whole => End::Whole,
            Some(Incomplete::Upstream | Incomplete::UpstreamLate) => End::BrokenByUpstream,
            _ => End::Other,
        };
        if let Some(insight) = &mut self.insight {
            insight.ended(end, self.started + duration);
        }
        self.count(duration);
        self.log(duration);
        self.audit(duration);
        if std::thread::panicking() {
            warn!(request_id = %self.id(), "a defect ended this request");
        }
    }
}

/// Bytes of a text that a client chose.
const MOST: usize = 120;
