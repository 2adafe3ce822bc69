//! Why devices get no certificate, as far as the way to NDES shows it: one closed list of
//! anomalies, each with a stable word and a line of advice.
//!
//! The causes are those of Microsoft's troubleshooting pages for NDES with Intune. What the outer
//! layer of a SCEP message says is judged in `insight`; here are the words, and the plain
//! functions from an HTTP answer, or its absence, to one of them.

mod certificates;
mod words;

use http::StatusCode;
use http::header::{CONTENT_TYPE, SERVER};

use crate::config::PolicyModule;
use crate::scep::{FailInfo, Operation};
use crate::tls::refusal::Kind;
use crate::upstream::Failure;
pub use certificates::of_certificates;

/// Something between a device and NDES that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// 200 to a request without operation, where the Intune policy module answers 403.
    PolicyModuleMissing,
    /// 403 to a PKIOperation.
    PkiOperationForbidden,
    /// 403 to GetCACaps or GetCACert.
    Forbidden,
    /// 401: Windows authentication.
    WindowsAuthentication,
    /// 500 to GetCACert.
    GetCaCertFailed,
    /// 500 to a PKIOperation: no CertRep at all.
    PkiOperationFailed,
    /// 500 to anything else.
    MscepFailed,
    /// 503 by HTTP.sys: no worker process takes requests.
    PoolStopped,
    /// 503 by IIS.
    IisBusy,
    /// 404 to a long query, as request filtering answers it (404.14, 404.15).
    RequestFiltering,
    /// 400 or 414 by HTTP.sys to a long request.
    HttpSysLimit,
    /// 400 by HTTP.sys to a short request.
    HttpSysInvalid,
    /// 404 to a short request.
    MscepNotFound,
    /// 413.
    ContentTooLarge,
    /// 3xx.
    Redirected,
    /// Another 4xx or 5xx.
    UnexpectedStatus,
    /// 200 to a PKIOperation, with a page instead of a CertRep.
    PkiOperationPage,
    /// 200 to a PKIOperation, with a CertRep that cannot be read.
    CertRepUnreadable,
    /// A CertRep whose transactionID or recipientNonce is not that of the request.
    CertRepMismatch,
    /// A CertRep with pkiStatus FAILURE.
    Refused(FailInfo),
    /// The message is encrypted for a certificate that GetCACert does not give (any more).
    StaleRaCertificate,
    GetCaCertUnreadable,
    CaCertificateExpired,
    RaCertificateExpired,
    /// An RA certificate that the CA in the same answer did not issue.
    RaNotIssuedByCa,
    /// RSASSA-PSS in the answer to GetCACert.
    CaSignaturePss,
    /// SHA-1 in the answer to GetCACert.
    CaSignatureSha1,
    /// GetCACaps without POSTPKIOperation.
    PostNotOffered,
    /// GetCACert was answered, and no PKIOperation followed.
    NoPkiOperation,
    /// TLS with NDES failed.
    Tls(Kind),
    NameNotResolved,
    NotConnected,
    ConnectTimeout,
    ConnectionClosed,
    AnswerInvalid,
    AnswerLate,
    /// The answer began and did not end.
    AnswerBroken,
    /// No turn at NDES within `queue`.
    TooBusy,
}

impl Anomaly {
    /// Whether NDES itself is ill by it: no device gets further, whatever it sends.
    pub fn is_of_server(self) -> bool {
        matches!(
            self,
            Self::PolicyModuleMissing
                | Self::PkiOperationForbidden
                | Self::Forbidden
                | Self::WindowsAuthentication
                | Self::GetCaCertFailed
                | Self::MscepFailed
                | Self::PoolStopped
                | Self::IisBusy
                | Self::MscepNotFound
                | Self::Redirected
                | Self::UnexpectedStatus
                | Self::PkiOperationPage
                | Self::Tls(_)
                | Self::NameNotResolved
                | Self::NotConnected
                | Self::ConnectTimeout
                | Self::ConnectionClosed
                | Self::AnswerInvalid
                | Self::AnswerLate
                | Self::AnswerBroken
        )
    }
}

/// Who made an answer, by its Server field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// The kernel: no request reached IIS, and its log has nothing of it.
    HttpSys,
    /// IIS, mscep.dll, or whatever hides its name.
    Other,
}

impl Answerer {
    /// `fields` as they came from the upstream.
    pub fn of(fields: &http::HeaderMap) -> Self {
        let is_http_sys = |server: &http::HeaderValue| {
            let name = server.as_bytes().get(..17);
            name.is_some_and(|name| name.eq_ignore_ascii_case(b"Microsoft-HTTPAPI"))
        };
        match fields.get(SERVER).is_some_and(is_http_sys) {
            true => Self::HttpSys,
            false => Self::Other,
        }
    }
}

/// Whether the answer is a page for people.
pub fn is_page(fields: &http::HeaderMap) -> bool {
    let html = |value: &http::HeaderValue| {
        let kind = value.as_bytes().get(..9);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
    };
    fields.get(CONTENT_TYPE).is_some_and(html)
}

/// What was asked, as far as a diagnosis needs it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub operation: Option<Operation>,
    /// Of the URI as it went to NDES.
    pub uri_bytes: usize,
    pub policy_module: PolicyModule,
}

/// The smallest default among the limits of HTTP.sys and IIS: `maxQueryString`.
/// <https://learn.microsoft.com/iis/configuration/system.webserver/security/requestfiltering/requestlimits/>
const SMALLEST_DEFAULT_LIMIT: usize = 2_048;

/// What the head of an answer says. None where it is healthy, or its body has to tell.
pub fn of_answer(asked: Asked, status: StatusCode, answerer: Answerer) -> Option<Anomaly> {
    use Anomaly as A;
    let long = asked.uri_bytes > SMALLEST_DEFAULT_LIMIT;
    let http_sys = answerer == Answerer::HttpSys;
    Some(match (status.as_u16(), asked.operation) {
        (200, None) if asked.policy_module == PolicyModule::Intune => A::PolicyModuleMissing,
        (200..=299, _) => return None,
        (300..=399, _) => A::Redirected,
        (400 | 414, _) if long => A::HttpSysLimit,
        (400, _) if http_sys => A::HttpSysInvalid,
        (401, _) => A::WindowsAuthentication,
        (403, Some(Operation::PKIOperation)) => A::PkiOperationForbidden,
        (403, Some(_)) => A::Forbidden,
        // What the policy module answers, and other modules may.
        (403, None) => return None,
        (404, _) if long => A::RequestFiltering,
        (404, _) => A::MscepNotFound,
        (413, _) => A::ContentTooLarge,
        (500, Some(Operation::GetCACert)) => A::GetCaCertFailed,
        (500, Some(Operation::PKIOperation)) => A::PkiOperationFailed,
        (500, _) => A::MscepFailed,
        (503, _) if http_sys => A::PoolStopped,
        (503, _) => A::IisBusy,
        _ => A::UnexpectedStatus,
    })
}

/// What it means that there is no answer.
pub fn of_failure(failure: &Failure) -> Anomaly {
    match failure {
        Failure::Name(_) => Anomaly::NameNotResolved,
        Failure::Connect(_) => Anomaly::NotConnected,
        Failure::ConnectTimeout => Anomaly::ConnectTimeout,
        Failure::Tls(error) => Anomaly::Tls(error.kind),
        Failure::Unsent(_) | Failure::Closed { .. } => Anomaly::ConnectionClosed,
        Failure::Invalid(_) | Failure::HeadTooLarge | Failure::Framing(_) | Failure::Upgrade => {
            Anomaly::AnswerInvalid
        }
        Failure::ResponseTimeout => Anomaly::AnswerLate,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_means_one_thing_and_comes_with_advice() {
        let mut reasons = HashSet::new();
        for anomaly in Anomaly::all() {
            assert!(reasons.insert(anomaly.reason()), "{anomaly:?}");
            let advice = anomaly.advice();
            assert!(advice.len() > 30 && !advice.contains('\n') && !advice.ends_with('.'));
        }
    }

    #[test]
    fn statuses_around_the_limits() {
        let seen = |uri_bytes, status, answerer| {
            let asked = Asked {
                operation: Some(Operation::GetCACaps),
                uri_bytes,
                policy_module: PolicyModule::Intune,
            };
            of_answer(asked, StatusCode::from_u16(status).unwrap(), answerer)
        };
        use Answerer::{HttpSys, Other};
        for (uri_bytes, status, answerer, expected) in [
            (2_048, 404, Other, Some(Anomaly::MscepNotFound)),
            (2_049, 404, Other, Some(Anomaly::RequestFiltering)),
            (2_048, 400, HttpSys, Some(Anomaly::HttpSysInvalid)),
            (2_049, 400, HttpSys, Some(Anomaly::HttpSysLimit)),
            (2_049, 414, Other, Some(Anomaly::HttpSysLimit)),
            (100, 400, Other, Some(Anomaly::UnexpectedStatus)),
            (100, 200, Other, None),
            (100, 204, Other, None),
            (100, 503, HttpSys, Some(Anomaly::PoolStopped)),
            (100, 503, Other, Some(Anomaly::IisBusy)),
        ] {
            let found = seen(uri_bytes, status, answerer);
            assert_eq!(found, expected, "{uri_bytes} {status} {answerer:?}");
        }
    }

    #[test]
    fn http_sys_is_known_by_its_server_field() {
        for (server, expected) in [
            ("Microsoft-HTTPAPI/2.0", Answerer::HttpSys),
            ("microsoft-httpapi/9", Answerer::HttpSys),
            ("Microsoft-IIS/10.0", Answerer::Other),
            ("Microsoft", Answerer::Other),
        ] {
            let mut fields = http::HeaderMap::new();
            fields.insert(SERVER, http::HeaderValue::from_static(server));
            assert_eq!(Answerer::of(&fields), expected, "{server}");
        }
        assert_eq!(Answerer::of(&http::HeaderMap::new()), Answerer::Other);
    }
}
