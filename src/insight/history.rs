//! Counts an exchange in the history that the status page draws.

use std::time::Instant;

use http::StatusCode;

use super::Insight;
use crate::base::reason::Reason;
use crate::observe::history::Outcome;
use crate::scep::{MessageType, Operation, PkiStatus};

impl Insight {
    /// Counts the exchange in the minute in which it ends.
    pub(super) fn count_in_history(&self, now: Instant) {
        self.scep.hour.count(now, |minute| {
            let was_answered = self.status == Some(StatusCode::OK);
            let count = match self.request.operation {
                Some(Operation::GetCACaps) if was_answered => &mut minute.get_ca_caps,
                Some(Operation::GetCACert) if was_answered => &mut minute.get_ca_cert,
                Some(Operation::PKIOperation) => &mut minute.pki_operation,
                _ => return,
            };
            *count = count.saturating_add(1);
            if self.request.operation == Some(Operation::PKIOperation)
                && self.forwarded_to.is_some()
            {
                let took = now.saturating_duration_since(self.started);
                minute.latency.note(took);
            }
            if let Some(outcome) = self.outcome() {
                minute.ended(outcome);
            }
        });
    }

    /// Returns `None` if the message requested no certificate, or the proxy refused it.
    fn outcome(&self) -> Option<Outcome> {
        let message = self.message()?;
        let asked_for = message.as_ref().ok().and_then(|one| one.message_type);
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
                let had_no_permit = self.anomalies.contains(&Reason::UpstreamBusy);
                (self.forwarded_to.is_some() || had_no_permit).then_some(Outcome::Failed)
            }
        }
    }
}
