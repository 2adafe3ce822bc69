//! What SCEP messages say on their way through the proxy, and what that means.
//!
//! Messages are read beside the exchange, which is neither delayed nor changed. A message that
//! cannot be read is forwarded and counted.

mod audit;
mod body_copy;
pub mod diagnosis;
mod health;
mod history;
mod recent;
mod request;
mod state;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

pub use audit::Audit;
use body_copy::BodyCopy;
use diagnosis::{Answerer, RequestFacts};
pub use health::{Health, HealthStatus, ProbeResult, Thresholds, Unhealthy, is_of_server};
pub use request::AdmittedRequest;
use request::RequestMessage;
use state::Device;
pub use state::{ScepState, ScepStates};

use crate::base::reason::Reason;
use crate::scep::{CertRep, FailInfo, Message, Operation, PkiStatus, Unreadable};
use crate::upstream::Failure;

/// What is known of one exchange, from its admission to the end of its response.
pub struct Insight {
    scep: Arc<ScepState>,
    request: RequestFacts,
    is_head: bool,
    /// Set for a GetCACert.
    device: Option<Device>,
    started: Instant,
    /// Set for a PKIOperation.
    message: Option<Box<RequestMessage>>,
    /// The status of the response of NDES.
    status: Option<StatusCode>,
    /// Whether the request passed all checks, so that only NDES can refuse it.
    is_meant_for_ndes: bool,
    /// The health of the server that the request was sent to.
    forwarded_to: Option<Arc<Health>>,
    body: BodyCopy,
    /// Set for a PKIOperation that was answered 200.
    answer: Option<Result<CertRep, Unreadable>>,
    anomalies: Vec<Reason>,
}

/// How the response of NDES ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseEnd {
    Complete,
    BrokenByUpstream,
    /// The client left before the end, or there was no response of NDES.
    Other,
}

impl Insight {
    /// Reads the message of an admitted request.
    pub fn begin(scep: &Arc<ScepState>, request: &AdmittedRequest<'_>) -> Self {
        let is_enrolment = request.operation == Some(Operation::PKIOperation);
        let mut insight = Self {
            scep: scep.clone(),
            request: RequestFacts {
                operation: request.operation,
                uri_bytes: request.target.path_and_query.len(),
                policy_module: request.policy_module,
            },
            is_head: request.method == Method::HEAD,
            device: (request.operation == Some(Operation::GetCACert))
                .then(|| scep.device(request.client, request.user_agent)),
            started: request.started,
            message: is_enrolment.then(|| Box::new(RequestMessage::read(request))),
            status: None,
            is_meant_for_ndes: false,
            forwarded_to: None,
            body: BodyCopy::Closed,
            answer: None,
            anomalies: Vec::new(),
        };
        if let Some(message) = &insight.message {
            message.count(scep);
            if let Ok(message) = &message.message
                && scep.is_stale(&message.recipients)
            {
                insight.anomalies.push(Reason::StaleRaCertificate);
            }
        }
        insight
    }

    /// Returns what the message of a PKIOperation says. Returns `None` for other operations.
    pub fn message(&self) -> Option<&Result<Message, Unreadable>> {
        self.message.as_ref().map(|message| &message.message)
    }

    /// Returns the first anomaly.
    pub fn anomaly(&self) -> Option<Reason> {
        self.anomalies.first().copied()
    }

    /// Records that the request passed all checks of the proxy and may be forwarded.
    pub fn passed_checks(&mut self) {
        self.is_meant_for_ndes = true;
    }

    /// Records that there was no permit for NDES.
    pub fn got_no_permit(&mut self) {
        self.anomalies.push(Reason::UpstreamBusy);
    }

    /// Records the head of the response, before any header field is removed. `health` belongs to
    /// the server that sent it.
    pub fn answered<B>(&mut self, response: &Response<B>, health: &Arc<Health>) {
        let (status, fields) = (response.status(), response.headers());
        self.forwarded_to = Some(health.clone());
        self.status = Some(status);
        // It does not matter who sent a success.
        let answerer = match status.is_success() {
            true => Answerer::Other,
            false => Answerer::of(fields),
        };
        self.anomalies
            .extend(diagnosis::of_answer(self.request, status, answerer));
        if status != StatusCode::OK || self.is_head {
            return;
        }
        match self.request.operation {
            Some(Operation::PKIOperation) if diagnosis::is_page(fields) => {
                self.anomalies.push(Reason::PkiOperationPage);
            }
            Some(Operation::PKIOperation | Operation::GetCACert | Operation::GetCACaps) => {
                self.body = BodyCopy::open();
            }
            Some(Operation::GetCACertChain | Operation::GetNextCACert) | None => {}
        }
    }

    /// Records that the server that `health` belongs to gave no response.
    pub fn failed(&mut self, failure: &Failure, health: &Arc<Health>) {
        self.forwarded_to = Some(health.clone());
        self.anomalies.push(diagnosis::of_failure(failure));
    }

    /// Records a piece of the response body.
    pub fn received(&mut self, data: &Bytes) {
        self.body.add(data);
    }

    /// Records the end of the response at `now`, and reports everything that was found.
    pub fn ended(&mut self, end: ResponseEnd, now: Instant) {
        if end == ResponseEnd::BrokenByUpstream {
            self.anomalies.push(Reason::UpstreamBroken);
        }
        let body = self.body.take().filter(|_| end == ResponseEnd::Complete);
        match self.request.operation {
            Some(Operation::PKIOperation) => self.read_cert_rep(body),
            Some(Operation::GetCACert) => self.read_certificates(body),
            Some(Operation::GetCACaps) => self.read_capabilities(body),
            Some(Operation::GetCACertChain | Operation::GetNextCACert) | None => {}
        }
        self.count_in_history(now);
        if let (Some(health), false) = (&self.forwarded_to, end == ResponseEnd::Other) {
            health.observe_traffic(self.request.operation, self.fault_of_server(), now);
        }
        for reason in &self.anomalies {
            self.scep.report(*reason, 1, now);
        }
    }

    /// Returns the first anomaly that NDES itself caused.
    fn fault_of_server(&self) -> Option<Unhealthy> {
        let mut anomalies = self.anomalies.iter().copied();
        let reason = anomalies.find(|reason| is_of_server(*reason))?;
        let operation = self.request.operation?.as_str();
        let status = self.status.map(|status| format!(" ({})", status.as_u16()));
        Some(Unhealthy {
            reason,
            detail: format!(
                "devices receive this for {operation}{}",
                status.unwrap_or_default()
            ),
        })
    }

    fn read_cert_rep(&mut self, body: Option<Bytes>) {
        let enrolment = match self.message() {
            Some(Ok(message)) => request::enrolment(message),
            Some(Err(_)) | None => "unknown",
        };
        let metrics = &self.scep.metrics;
        if let Some(body) = body {
            let read = CertRep::read(&body);
            self.anomalies.extend(match &read {
                Ok(cert_rep) => self.judge(cert_rep),
                Err(error) => {
                    metrics.unreadable("answer", error.reason());
                    Some(Reason::CertRepUnreadable)
                }
            });
            self.answer = Some(read);
        }
        match &self.answer {
            Some(Ok(cert_rep)) => {
                let fail_info = cert_rep.fail_info.map_or("none", FailInfo::as_str);
                metrics.answer(enrolment, cert_rep.pki_status.as_str(), fail_info);
            }
            Some(Err(_)) => metrics.answer(enrolment, "unreadable", "none"),
            None if self.is_meant_for_ndes => metrics.answer(enrolment, "none", "none"),
            None => {}
        }
    }

    /// Compares a CertRep with its request.
    fn judge(&self, answer: &CertRep) -> Option<Reason> {
        let status = answer.pki_status;
        if let Some(transaction) = &answer.transaction_id {
            self.scep.answered(transaction, status, self.started);
        }
        if let Some(Ok(message)) = self.message() {
            let same_nonce = match (&message.sender_nonce, &answer.recipient_nonce) {
                (Some(sent), Some(returned)) => sent == returned,
                _ => true,
            };
            if !same_nonce || message.transaction_id != answer.transaction_id {
                return Some(Reason::CertRepMismatch);
            }
        }
        let info = answer.fail_info.unwrap_or(FailInfo::Other(0));
        (status == PkiStatus::Failure).then(|| diagnosis::of_fail_info(info))
    }

    fn read_certificates(&mut self, body: Option<Bytes>) {
        let Some(body) = body else { return };
        match self.scep.learn(&body) {
            Ok(anomalies) => {
                self.anomalies.extend(anomalies);
                if let Some(device) = self.device {
                    self.scep.fetched(device, self.started);
                }
            }
            Err(error) => {
                self.scep.metrics.unreadable("answer", error.reason());
                self.anomalies.push(Reason::GetCaCertUnreadable);
            }
        }
    }

    fn read_capabilities(&mut self, body: Option<Bytes>) {
        let Some(body) = body else { return };
        if !self.scep.capabilities(&body).takes_post() {
            self.anomalies.push(Reason::PostNotOffered);
        }
    }
}
