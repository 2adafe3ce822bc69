//! The condition of a simulated NDES: healthy, or one of the faults that real servers have.
//!
//! Called by `ndes`. Status and Server field of each response are those that an admin observes in
//! the field: the Server field distinguishes HTTP.sys from IIS.

use http::StatusCode;

use super::http_sys::{self, HttpSysLimits};
use super::iis::{self, FullResponse};

/// One fault, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Condition {
    /// With the Intune policy module: 403 to a request without operation
    #[default]
    Healthy,
    /// 200 and the page of NDES to a request without operation
    PolicyModuleMissing,
    /// 401 to everything: Windows authentication is still enabled
    Unauthorized,
    /// 404 to everything: the role is not installed
    NotInstalled,
    /// 500 to everything
    Failing,
    /// 503 by HTTP.sys to everything: the application pool is stopped
    PoolStopped,
    /// 503 by IIS to everything: appConcurrentRequestLimit
    PoolBusy,
    /// 403 to PKIOperation
    PkiOperationForbidden,
    /// 500 to PKIOperation
    PkiOperationFails,
    /// 200 and an HTML page to PKIOperation
    PkiOperationPage,
    /// 500 to GetCACaps
    CapabilitiesFail,
    /// GetCACaps names nothing
    CapabilitiesEmpty,
    /// GetCACaps without POSTPKIOperation: devices send every message by GET
    CapabilitiesWithoutPost,
    /// GetCACaps without AES, SHA-256 and SHA-512
    CapabilitiesOld,
    /// 500 to GetCACert
    CertificatesFail,
    /// GetCACert returns bytes that cannot be parsed
    CertificatesUnreadable,
    /// GetCACert returns only the CA certificate
    RaMissing,
    /// Both RA certificates expired yesterday
    RaExpired,
    /// Both RA certificates expire in ten days
    RaExpiring,
    /// The CA has a new key, the old key signed the RA certificates
    CaRenewed,
    /// The CA certificate is signed with SHA-1
    CaSha1,
    /// The CA certificate is signed with RSASSA-PSS
    CaPss,
    /// maxUrl and maxQueryString of IIS as installed: 404 to a query over 2048 bytes
    IisLimits,
    /// MaxFieldLength and MaxRequestBytes of HTTP.sys as installed: 400 and 414 beyond 16384 bytes
    HttpSysLimits,
    /// No response as long as this condition lasts
    Late,
    /// Closes the connection instead of responding
    HangsUp,
}

impl Condition {
    /// Returns the response of mscep.dll, IIS or HTTP.sys in this condition. Returns `None` if it
    /// is that of a healthy NDES. `operation` is the value in the query.
    pub(super) fn response(self, operation: Option<&[u8]>) -> Option<FullResponse> {
        Some(match (self, operation) {
            (Self::PolicyModuleMissing, None) => enrollment_page(),
            (Self::Unauthorized, _) => iis::windows_authentication(),
            (Self::NotInstalled, _) => http_sys::not_found(),
            (Self::PoolStopped, _) => http_sys::service_unavailable(),
            (Self::PoolBusy, _) => iis::page(
                StatusCode::SERVICE_UNAVAILABLE,
                "503 - Service Unavailable",
                "The application has reached its limit of concurrent requests.",
            ),
            (Self::PkiOperationForbidden, Some(PKI_OPERATION)) => iis::forbidden(),
            (Self::PkiOperationPage, Some(PKI_OPERATION)) => enrollment_page(),
            (Self::Failing, _)
            | (Self::PkiOperationFails, Some(PKI_OPERATION))
            | (Self::CapabilitiesFail, Some(GET_CA_CAPS))
            | (Self::CertificatesFail, Some(GET_CA_CERT)) => iis::internal_error(),
            (Self::CapabilitiesEmpty, Some(GET_CA_CAPS)) => capabilities(""),
            (Self::CapabilitiesWithoutPost, Some(GET_CA_CAPS)) => {
                capabilities("Renewal\r\nSHA-512\r\nSHA-256\r\nSHA-1\r\nDES3\r\n")
            }
            (Self::CapabilitiesOld, Some(GET_CA_CAPS)) => {
                capabilities("POSTPKIOperation\r\nRenewal\r\nSHA-1\r\nDES3\r\n")
            }
            (Self::CertificatesUnreadable, Some(GET_CA_CERT)) => iis::response(
                StatusCode::OK,
                "application/x-x509-ca-ra-cert",
                // A SEQUENCE whose length exceeds the body.
                &b"\x30\x82\x10\x00\x06\x09"[..],
            ),
            _ => return None,
        })
    }

    /// Whether GetCACert returns other certificates than those installed.
    pub(super) fn changes_certificates(self) -> bool {
        matches!(
            self,
            Self::RaMissing
                | Self::RaExpired
                | Self::RaExpiring
                | Self::CaRenewed
                | Self::CaSha1
                | Self::CaPss
        )
    }

    /// Returns `limits`, lowered by this condition.
    pub(super) fn limits(self, limits: &HttpSysLimits) -> HttpSysLimits {
        let mut limits = limits.clone();
        match self {
            Self::IisLimits => {
                limits.max_url = limits.max_url.min(4096);
                limits.max_query_string = limits.max_query_string.min(2048);
            }
            Self::HttpSysLimits => {
                limits.max_field_length = limits.max_field_length.min(16384);
                limits.max_request_bytes = limits.max_request_bytes.min(16384);
            }
            _ => {}
        }
        limits
    }
}

pub(super) fn capabilities(words: &'static str) -> FullResponse {
    iis::response(StatusCode::OK, "text/plain", words)
}

/// The page that mscep.dll sends to a browser.
fn enrollment_page() -> FullResponse {
    iis::page(
        StatusCode::OK,
        "Network Device Enrollment Service",
        "Routers and other devices without a Windows account get certificates here, by SCEP.",
    )
}

pub(super) const GET_CA_CAPS: &[u8] = b"GetCACaps";
pub(super) const GET_CA_CERT: &[u8] = b"GetCACert";
pub(super) const PKI_OPERATION: &[u8] = b"PKIOperation";
