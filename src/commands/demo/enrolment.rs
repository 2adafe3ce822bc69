//! How a simulated NDES answers a PKIOperation itself.
//!
//! Called by `ndes`.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use super::cert_rep::CertRep;
use super::pki::Issued;
use crate::scep::{FailInfo, Message, PkiStatus};

/// How every enrolment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// SUCCESS at once, but without an issued certificate: see `cert_rep`.
    Success,
    Failure {
        info: FailInfo,
        /// failInfoText.
        text: Option<String>,
    },
    /// PENDING for the request and for all polls of the same transactionID before this one, which
    /// succeeds. 1 is the first poll; 0 means that none succeeds.
    Pending { until_poll: u32 },
    /// A pkiStatus that RFC 8894 does not define. Windows has an 11.
    Other(u32),
}

impl FromStr for Enrolment {
    type Err = NoEnrolment;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Some(poll) = word.strip_prefix("pending:") {
            let until_poll = poll.parse().ok().filter(|poll| *poll > 0);
            let until_poll = until_poll.ok_or(NoEnrolment)?;
            return Ok(Self::Pending { until_poll });
        }
        match word {
            "success" => Ok(Self::Success),
            "pending" => Ok(Self::Pending { until_poll: 0 }),
            _ => FailInfo::KNOWN
                .into_iter()
                .find(|info| info.as_str() == word)
                .map(|info| Self::Failure { info, text: None })
                .ok_or(NoEnrolment),
        }
    }
}

/// The text does not name an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write success, pending, pending:N (success at the Nth poll), or the failInfo of a failure: badAlg, badMessageCheck, badRequest, badTime, badCertId"
)]
pub struct NoEnrolment;

/// The transactions that are pending, and how often each was polled.
#[derive(Default)]
pub(super) struct Transactions(Mutex<HashMap<Box<[u8]>, u32>>);

impl Transactions {
    /// Returns the CertRep for this request. Returns `None` if the request has no SCEP message that
    /// can be read.
    pub(super) fn answer(
        &self,
        enrolment: &Enrolment,
        request: &[u8],
        signer: &Issued,
    ) -> Option<Vec<u8>> {
        let request = Message::read(request).ok()?;
        let transaction_id = request.transaction_id?;
        let status = match enrolment {
            Enrolment::Success => PkiStatus::Success,
            Enrolment::Failure { .. } => PkiStatus::Failure,
            Enrolment::Pending { until_poll } => self.poll(*until_poll, &transaction_id),
            Enrolment::Other(number) => PkiStatus::Other(*number),
        };
        let (fail_info, fail_info_text) = match enrolment {
            Enrolment::Failure { info, text } => (Some(*info), text.as_deref()),
            _ => (None, None),
        };
        let cert_rep = CertRep {
            status,
            fail_info,
            fail_info_text,
            transaction_id: &transaction_id,
            recipient_nonce: request.sender_nonce.as_deref().unwrap_or_default(),
        };
        cert_rep.signed_by(signer).ok()
    }

    fn poll(&self, until_poll: u32, transaction_id: &[u8]) -> PkiStatus {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == TRANSACTIONS && !all.contains_key(transaction_id) {
            all.clear();
        }
        let polls = all.entry(transaction_id.into()).or_default();
        if until_poll > 0 && *polls == until_poll {
            all.remove(transaction_id);
            return PkiStatus::Success;
        }
        *polls = polls.saturating_add(1);
        PkiStatus::Pending
    }
}

/// All transactions are forgotten beyond this number, because a demo may run for long.
const TRANSACTIONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poll_that_succeeds_ends_its_transaction_and_no_other() {
        let transactions = Transactions::default();
        let ask = |id: &str| transactions.poll(2, id.as_bytes()) == PkiStatus::Success;
        let answers = ["a", "b", "a", "a", "b", "b", "a"].map(ask);
        assert_eq!(answers, [false, false, false, true, false, true, false]);
    }

    #[test]
    fn poll_0_never_comes() {
        let transactions = Transactions::default();
        for _ in 0..5 {
            assert_eq!(transactions.poll(0, b"a"), PkiStatus::Pending);
        }
    }

    #[test]
    fn words_of_the_command_line() {
        assert_eq!("success".parse(), Ok(Enrolment::Success));
        let failure = Enrolment::Failure {
            info: FailInfo::BadMessageCheck,
            text: None,
        };
        assert_eq!("badMessageCheck".parse(), Ok(failure));
        let pending = Enrolment::Pending { until_poll: 2 };
        assert_eq!("pending:2".parse(), Ok(pending));
        for word in ["", "refused", "other", "pending:", "pending:0", "pending:x"] {
            assert_eq!(word.parse::<Enrolment>(), Err(NoEnrolment), "{word}");
        }
    }
}
