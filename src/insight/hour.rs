//! What of an exchange the picture of the last hour shows.

use std::time::Instant;

use http::StatusCode;

use super::Insight;
use crate::insight::diagnosis::Anomaly;
use crate::observe::history::Outcome;
use crate::scep::{MessageType, Operation, PkiStatus};

impl Insight {
    /// Counts it where it ends.
    pub(super) fn remember(&self, now: Instant) {
        self.application.hour.count(now, |minute| {
            let was_answered = self.status == Some(StatusCode::OK);
            let count = match self.asked.operation {
                Some(Operation::GetCACaps) if was_answered => &mut minute.get_ca_caps,
                Some(Operation::GetCACert) if was_answered => &mut minute.get_ca_cert,
                Some(Operation::PKIOperation) => &mut minute.pki_operation,
                _ => return,
            };
            *count = count.saturating_add(1);
            if self.asked.operation == Some(Operation::PKIOperation) && self.forwarded {
                let took = now.saturating_duration_since(self.started);
                minute.latency.note(took);
            }
            if let Some(outcome) = self.outcome() {
                minute.ended(outcome);
            }
        });
    }

    /// None where no certificate was asked for, or the proxy refused the message.
    fn outcome(&self) -> Option<Outcome> {
        let sent = self.sent.as_ref()?;
        let asked_for = sent.message.as_ref().ok().and_then(|one| one.message_type);
        if let Some(MessageType::GetCert | MessageType::GetCRL) = asked_for {
            return None;
        }
        let status = match &self.answer {
            Some(Ok(answer)) => Some(answer.pki_status),
            _ => None,
        };
        match status {
            Some(PkiStatus::Success) => Some(Outcome::Issued),
            Some(PkiStatus::Pending) => Some(Outcome::Pending),
            Some(PkiStatus::Failure) => Some(Outcome::Refused),
            Some(PkiStatus::Other(_)) => Some(Outcome::Failed),
            None => {
                let had_no_turn = self.anomalies.contains(&Anomaly::TooBusy);
                (self.forwarded || had_no_turn).then_some(Outcome::Failed)
            }
        }
    }
}
