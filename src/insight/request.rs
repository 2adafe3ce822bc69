//! The request of an exchange, and the message of a PKIOperation.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::ScepState;
use crate::base::client::ClientKey;
use crate::base::hash::sha256;
use crate::base::head::Target;
use crate::config::PolicyModule;
use crate::scep::{self, Message, MessageType, Operation, Unreadable};

/// A request that the gate has admitted.
pub struct AdmittedRequest<'a> {
    pub method: &'a Method,
    pub operation: Option<Operation>,
    pub target: &'a Target,
    pub body: &'a Bytes,
    pub client: ClientKey,
    pub user_agent: Option<&'a HeaderValue>,
    pub policy_module: PolicyModule,
    /// When the head of the request was complete.
    pub started: Instant,
}

/// The message of a PKIOperation.
pub(super) struct RequestMessage {
    pub(super) message: Result<Message, Unreadable>,
    /// The length of the message, decoded. 0 if it could not be decoded.
    pub(super) bytes: usize,
    /// The first bytes of the SHA-256 of the message, enough to find it again.
    pub(super) sha256: [u8; 8],
}

impl RequestMessage {
    pub(super) fn read(request: &AdmittedRequest<'_>) -> Self {
        if request.method == Method::POST {
            return Self::of(request.body);
        }
        let query = request.target.query().unwrap_or_default();
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

    /// Counts the message, its type and its algorithms.
    pub(super) fn count(&self, scep: &ScepState) {
        let metrics = &scep.metrics;
        let message = match &self.message {
            Ok(message) => message,
            Err(error) => {
                metrics.unreadable("request", error.reason());
                return metrics.message("unreadable", "unknown");
            }
        };
        let message_type = message.message_type.map_or("none", MessageType::as_str);
        metrics.message(message_type, enrolment(message));
        metrics.algorithm("digest", message.digest.as_str());
        metrics.algorithm("signature", message.signature.as_str());
        if let Some(cipher) = message.content_encryption {
            metrics.algorithm("cipher", cipher.as_str());
        }
    }
}

/// Returns whether a device requests its first certificate (`initial`) or another one (`renewal`).
/// Many devices renew with PKCSReq, signed with the certificate that they have; a first message is
/// signed with a certificate that the device issued itself.
pub(super) fn enrolment(message: &Message) -> &'static str {
    match (message.message_type, &message.signer) {
        // These request an existing certificate or a CRL.
        (Some(MessageType::GetCert | MessageType::GetCRL), _) => "unknown",
        (Some(MessageType::RenewalReq | MessageType::UpdateReq), _) => "renewal",
        (_, Some(signer)) if signer.is_self_issued() => "initial",
        (_, Some(_)) => "renewal",
        (_, None) => "unknown",
    }
}
