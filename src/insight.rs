//! What SCEP says on its way through, and what that means: read beside the exchange, which it
//! neither delays nor changes. What cannot be read passes, and is counted.

mod application;
mod audit;
pub mod diagnosis;
mod health;
mod hour;
mod recent;
mod tap;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use application::Device;
pub use application::{Application, Applications};
pub use audit::Audit;
pub use health::{Condition, Health, Illness, Probe, Thresholds};
use tap::Tap;

use crate::base::client::ClientKey;
use crate::base::hash::sha256;
use crate::base::head::{Method, Target};
use crate::config::PolicyModule;
use crate::scep::{
    self, CertRep, FailInfo, Message, MessageType, Operation, PkiStatus, Unreadable,
};
use crate::upstream::Failure;
use diagnosis::{Anomaly, Answerer};

/// A request that the gate has admitted.
pub struct Asked<'a> {
    pub method: Method,
    pub operation: Option<Operation>,
    pub target: &'a Target,
    pub body: &'a Bytes,
    pub client: ClientKey,
    pub user_agent: Option<&'a HeaderValue>,
    pub policy_module: PolicyModule,
    /// The end of its head.
    pub started: Instant,
}

/// What is known of one exchange, from its admission to the end of its answer.
pub struct Insight {
    application: Arc<Application>,
    asked: diagnosis::Asked,
    head_only: bool,
    /// Of a GetCACert.
    device: Option<Device>,
    started: Instant,
    /// Of a PKIOperation.
    sent: Option<Box<Sent>>,
    /// Status of NDES's answer.
    status: Option<StatusCode>,
    /// All that the proxy refuses is behind it.
    waited: bool,
    /// NDES was asked, whatever came of it.
    forwarded: bool,
    tap: Tap,
    /// Of a PKIOperation that was answered 200.
    answer: Option<Result<CertRep, Unreadable>>,
    anomalies: Vec<Anomaly>,
}

/// The message of a PKIOperation.
struct Sent {
    message: Result<Message, Unreadable>,
    bytes: usize,
    /// The first bytes of the SHA-256, enough to find it again.
    sha256: [u8; 8],
}

impl Insight {
    pub fn begin(application: &Arc<Application>, asked: &Asked<'_>) -> Self {
        let is_enrolment = asked.operation == Some(Operation::PKIOperation);
        let mut insight = Self {
            application: application.clone(),
            asked: diagnosis::Asked {
                operation: asked.operation,
                uri_bytes: asked.target.path_and_query.len(),
                policy_module: asked.policy_module,
            },
            head_only: asked.method == Method::Head,
            device: (asked.operation == Some(Operation::GetCACert))
                .then(|| application.device(asked.client, asked.user_agent)),
            started: asked.started,
            sent: is_enrolment.then(|| Box::new(Sent::read(asked))),
            status: None,
            waited: false,
            forwarded: false,
            tap: Tap::Closed,
            answer: None,
            anomalies: Vec::new(),
        };
        if let Some(sent) = &insight.sent {
            sent.count(application);
            if let Ok(message) = &sent.message
                && application.is_stale(&message.recipients)
            {
                insight.anomalies.push(Anomaly::StaleRaCertificate);
            }
        }
        insight
    }

    /// What the message of a PKIOperation says; none of other operations.
    pub fn message(&self) -> Option<&Result<Message, Unreadable>> {
        self.sent.as_ref().map(|sent| &sent.message)
    }

    /// The first of what was not as it should be.
    pub fn anomaly(&self) -> Option<Anomaly> {
        self.anomalies.first().copied()
    }

    /// The head of NDES's answer, before anything is taken out of it.
    pub fn answered<B>(&mut self, response: &Response<B>) {
        let (status, fields) = (response.status(), response.headers());
        self.forwarded = true;
        self.status = Some(status);
        // Of a success it says nothing.
        let answerer = match status.is_success() {
            true => Answerer::Other,
            false => Answerer::of(fields),
        };
        self.anomalies
            .extend(diagnosis::of_answer(self.asked, status, answerer));
        if status != StatusCode::OK || self.head_only {
            return;
        }
        match self.asked.operation {
            Some(Operation::PKIOperation) if diagnosis::is_page(fields) => {
                self.anomalies.push(Anomaly::PkiOperationPage);
            }
            Some(Operation::PKIOperation | Operation::GetCACert | Operation::GetCACaps) => {
                self.tap = Tap::open();
            }
            Some(Operation::GetCACertChain | Operation::GetNextCACert) | None => {}
        }
    }

    /// NDES gave no answer.
    pub fn failed(&mut self, failure: &Failure) {
        self.forwarded = true;
        self.anomalies.push(diagnosis::of_failure(failure));
    }

    /// Waits for its turn at NDES.
    pub fn waits(&mut self) {
        self.waited = true;
    }

    /// There was no turn at NDES.
    pub fn found_no_turn(&mut self) {
        self.anomalies.push(Anomaly::TooBusy);
    }

    /// A piece of the answer's body.
    pub fn passed(&mut self, data: &Bytes) {
        self.tap.add(data);
    }

    /// The answer has ended, or broken off, at `now`.
    pub fn ended(&mut self, end: End, now: Instant) {
        if end == End::BrokenByUpstream {
            self.anomalies.push(Anomaly::AnswerBroken);
        }
        let body = self.tap.take().filter(|_| end == End::Whole);
        match self.asked.operation {
            Some(Operation::PKIOperation) => self.read_cert_rep(body),
            Some(Operation::GetCACert) => self.read_certificates(body),
            Some(Operation::GetCACaps) => self.read_capabilities(body),
            Some(Operation::GetCACertChain | Operation::GetNextCACert) | None => {}
        }
        self.remember(now);
        if self.forwarded && end != End::Other {
            let operation = self.asked.operation;
            self.application
                .health
                .served(operation, self.illness(), now);
        }
        for anomaly in &self.anomalies {
            self.application.tell(*anomaly, 1, now);
        }
    }

    /// What makes NDES ill, where it is NDES's own.
    fn illness(&self) -> Option<Illness> {
        let mut anomalies = self.anomalies.iter().copied();
        let anomaly = anomalies.find(|anomaly| anomaly.is_of_server())?;
        let operation = self.asked.operation?.as_str();
        let status = self.status.map(|status| format!(" ({})", status.as_u16()));
        Some(Illness {
            anomaly,
            detail: format!(
                "devices get this for {operation}{}",
                status.unwrap_or_default()
            ),
        })
    }

    fn read_cert_rep(&mut self, body: Option<Bytes>) {
        let enrolment = match self.message() {
            Some(Ok(message)) => enrolment(message),
            Some(Err(_)) | None => "unknown",
        };
        let metrics = &self.application.metrics;
        if let Some(body) = body {
            let read = CertRep::read(&body);
            self.anomalies.extend(match &read {
                Ok(cert_rep) => self.judge(cert_rep),
                Err(error) => {
                    metrics.unreadable("answer", error.reason());
                    Some(Anomaly::CertRepUnreadable)
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
            None if self.waited => metrics.answer(enrolment, "none", "none"),
            None => {}
        }
    }

    /// What a CertRep means beside its request.
    fn judge(&self, answer: &CertRep) -> Option<Anomaly> {
        let status = answer.pki_status;
        if let Some(transaction) = &answer.transaction_id {
            self.application.answered(transaction, status, self.started);
        }
        if let Some(Ok(asked)) = self.message() {
            let same_nonce = match (&asked.sender_nonce, &answer.recipient_nonce) {
                (Some(sent), Some(returned)) => sent == returned,
                _ => true,
            };
            if !same_nonce || asked.transaction_id != answer.transaction_id {
                return Some(Anomaly::CertRepMismatch);
            }
        }
        let info = answer.fail_info.unwrap_or(FailInfo::Other(0));
        (status == PkiStatus::Failure).then_some(Anomaly::Refused(info))
    }

    fn read_certificates(&mut self, body: Option<Bytes>) {
        let Some(body) = body else { return };
        match self.application.learn(&body) {
            Ok(anomalies) => {
                self.anomalies.extend(anomalies);
                if let Some(device) = self.device {
                    self.application.fetched(device, self.started);
                }
            }
            Err(error) => {
                self.application
                    .metrics
                    .unreadable("answer", error.reason());
                self.anomalies.push(Anomaly::GetCaCertUnreadable);
            }
        }
    }

    fn read_capabilities(&mut self, body: Option<Bytes>) {
        let Some(body) = body else { return };
        if !self.application.capabilities(&body).takes_post() {
            self.anomalies.push(Anomaly::PostNotOffered);
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    BrokenByUpstream,
    /// The client left, or there was none from NDES.
    Other,
}

impl Sent {
    fn read(asked: &Asked<'_>) -> Self {
        if asked.method == Method::Post {
            return Self::of(asked.body);
        }
        let query = asked.target.query().unwrap_or_default();
        match scep::message_of_query(query) {
            Ok(cms) => Self::of(&cms),
            Err(error) => Self {
                message: Err(error),
                ..Self::of(&[])
            },
        }
    }

    fn of(cms: &[u8]) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&sha256(cms)[..8]);
        Self {
            message: Message::read(cms),
            bytes: cms.len(),
            sha256: first,
        }
    }

    fn count(&self, application: &Application) {
        let metrics = &application.metrics;
        let message = match &self.message {
            Ok(message) => message,
            Err(error) => {
                metrics.unreadable("request", error.reason());
                return metrics.message("unreadable", "unknown");
            }
        };
        let kind = message.message_type.map_or("none", MessageType::as_str);
        metrics.message(kind, enrolment(message));
        metrics.algorithm("digest", message.digest.as_str());
        metrics.algorithm("signature", message.signature.as_str());
        if let Some(cipher) = message.content_encryption {
            metrics.algorithm("cipher", cipher.as_str());
        }
    }
}

/// Whether a device asks for its first certificate or for another one. Many renew with PKCSReq,
/// signed with the certificate that they have; a first message is signed with one of their own.
fn enrolment(message: &Message) -> &'static str {
    match (message.message_type, &message.signer) {
        // They ask for what there is already.
        (Some(MessageType::GetCert | MessageType::GetCRL), _) => "unknown",
        (Some(MessageType::RenewalReq | MessageType::UpdateReq), _) => "renewal",
        (_, Some(signer)) if signer.is_self_issued() => "initial",
        (_, Some(_)) => "renewal",
        (_, None) => "unknown",
    }
}
