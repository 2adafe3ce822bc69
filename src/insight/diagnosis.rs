//! The plain functions from an HTTP response, or its absence, to a reason: why devices get no
//! certificate, as far as the way to NDES shows it.
//!
//! The causes are those of Microsoft's troubleshooting pages for NDES with Intune. The words and
//! texts are in [`crate::base::reason`]. What the outer layer of a SCEP message says is judged in
//! [`super`].

mod certificates;

use http::StatusCode;
use http::header::{CONTENT_TYPE, SERVER};

use crate::base::reason::Reason;
use crate::config::PolicyModule;
use crate::scep::{FailInfo, Operation};
use crate::upstream::Failure;
pub use certificates::of_certificates;

/// Who sent a response, by its Server field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// The kernel: the request did not reach IIS, and the IIS log has nothing of it.
    HttpSys,
    /// IIS, mscep.dll, or something that hides its name.
    Other,
}

impl Answerer {
    /// `fields` are the header fields as the upstream sent them.
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

/// Returns whether the response is a web page.
pub fn is_page(fields: &http::HeaderMap) -> bool {
    let html = |value: &http::HeaderValue| {
        let kind = value.as_bytes().get(..9);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
    };
    fields.get(CONTENT_TYPE).is_some_and(html)
}

/// The facts about a request that a diagnosis needs.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts {
    pub operation: Option<Operation>,
    /// The length of the URI as it was sent to NDES.
    pub uri_bytes: usize,
    pub policy_module: PolicyModule,
}

/// The smallest default among the limits of HTTP.sys and IIS: `maxQueryString`.
/// <https://learn.microsoft.com/iis/configuration/system.webserver/security/requestfiltering/requestlimits/>
const SMALLEST_DEFAULT_LIMIT: usize = 2_048;

/// Returns what the head of a response means. Returns `None` if it is healthy, or if only the body
/// can tell.
pub fn of_answer(request: RequestFacts, status: StatusCode, answerer: Answerer) -> Option<Reason> {
    use Reason as R;
    let long = request.uri_bytes > SMALLEST_DEFAULT_LIMIT;
    let http_sys = answerer == Answerer::HttpSys;
    Some(match (status.as_u16(), request.operation) {
        (200, None) if request.policy_module == PolicyModule::Intune => R::PolicyModuleMissing,
        (200..=299, _) => return None,
        (300..=399, _) => R::Redirected,
        (400 | 414, _) if long => R::HttpSysLimit,
        (400, _) if http_sys => R::HttpSysInvalid,
        (401, _) => R::WindowsAuthentication,
        (403, Some(Operation::PKIOperation)) => R::PkiOperationForbidden,
        (403, Some(_)) => R::Forbidden,
        // The policy module answers 403, and other modules may.
        (403, None) => return None,
        (404, _) if long => R::RequestFiltering,
        (404, _) => R::MscepNotFound,
        (413, _) => R::ContentTooLarge,
        (500, Some(Operation::GetCACert)) => R::GetCaCertFailed,
        (500, Some(Operation::PKIOperation)) => R::PkiOperationFailed,
        (500, _) => R::MscepFailed,
        (503, _) if http_sys => R::PoolStopped,
        (503, _) => R::IisBusy,
        _ => R::UnexpectedStatus,
    })
}

/// Returns what it means that NDES gave no response.
pub fn of_failure(failure: &Failure) -> Reason {
    match failure.reason() {
        // The connection closed either way; only the metrics tell the two apart.
        Reason::UpstreamUnsent => Reason::UpstreamClosed,
        Reason::UpstreamUpgrade => Reason::UpstreamInvalid,
        reason => reason,
    }
}

/// Returns the reason for a CertRep with pkiStatus FAILURE (RFC 8894 §3.2.1.4).
pub fn of_fail_info(info: FailInfo) -> Reason {
    match info {
        FailInfo::BadAlg => Reason::RefusedBadAlg,
        FailInfo::BadMessageCheck => Reason::RefusedBadMessageCheck,
        FailInfo::BadRequest => Reason::RefusedBadRequest,
        FailInfo::BadTime => Reason::RefusedBadTime,
        FailInfo::BadCertId => Reason::RefusedBadCertId,
        FailInfo::Other(_) => Reason::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_on_both_sides_of_the_length_limit() {
        let seen = |uri_bytes, status, answerer| {
            let request = RequestFacts {
                operation: Some(Operation::GetCACaps),
                uri_bytes,
                policy_module: PolicyModule::Intune,
            };
            of_answer(request, StatusCode::from_u16(status).unwrap(), answerer)
        };
        use Answerer::{HttpSys, Other};
        for (uri_bytes, status, answerer, expected) in [
            (2_048, 404, Other, Some(Reason::MscepNotFound)),
            (2_049, 404, Other, Some(Reason::RequestFiltering)),
            (2_048, 400, HttpSys, Some(Reason::HttpSysInvalid)),
            (2_049, 400, HttpSys, Some(Reason::HttpSysLimit)),
            (2_049, 414, Other, Some(Reason::HttpSysLimit)),
            (100, 400, Other, Some(Reason::UnexpectedStatus)),
            (100, 200, Other, None),
            (100, 204, Other, None),
            (100, 503, HttpSys, Some(Reason::PoolStopped)),
            (100, 503, Other, Some(Reason::IisBusy)),
        ] {
            let found = seen(uri_bytes, status, answerer);
            assert_eq!(found, expected, "{uri_bytes} {status} {answerer:?}");
        }
    }

    #[test]
    fn http_sys_is_recognised_by_its_server_field() {
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
