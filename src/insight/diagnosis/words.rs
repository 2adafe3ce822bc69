//! The words of each anomaly: for the metric label, the log and the table of the README.

use super::Anomaly;
use crate::scep::FailInfo;
use crate::tls::refusal::Kind;

/// All that have no parameter.
const PLAIN: [Anomaly; 36] = [
    Anomaly::PolicyModuleMissing,
    Anomaly::PkiOperationForbidden,
    Anomaly::Forbidden,
    Anomaly::WindowsAuthentication,
    Anomaly::GetCaCertFailed,
    Anomaly::PkiOperationFailed,
    Anomaly::MscepFailed,
    Anomaly::PoolStopped,
    Anomaly::IisBusy,
    Anomaly::RequestFiltering,
    Anomaly::HttpSysLimit,
    Anomaly::HttpSysInvalid,
    Anomaly::MscepNotFound,
    Anomaly::ContentTooLarge,
    Anomaly::Redirected,
    Anomaly::UnexpectedStatus,
    Anomaly::PkiOperationPage,
    Anomaly::CertRepUnreadable,
    Anomaly::CertRepMismatch,
    Anomaly::StaleRaCertificate,
    Anomaly::GetCaCertUnreadable,
    Anomaly::CaCertificateExpired,
    Anomaly::RaCertificateExpired,
    Anomaly::RaNotIssuedByCa,
    Anomaly::CaSignaturePss,
    Anomaly::CaSignatureSha1,
    Anomaly::PostNotOffered,
    Anomaly::NoPkiOperation,
    Anomaly::NameNotResolved,
    Anomaly::NotConnected,
    Anomaly::ConnectTimeout,
    Anomaly::ConnectionClosed,
    Anomaly::AnswerInvalid,
    Anomaly::AnswerLate,
    Anomaly::AnswerBroken,
    Anomaly::TooBusy,
];

impl Anomaly {
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = FailInfo::KNOWN.into_iter().chain([FailInfo::Other(0)]);
        let tls = Kind::ALL.map(Self::Tls);
        PLAIN
            .into_iter()
            .chain(refused.map(Self::Refused))
            .chain(tls)
    }

    /// Stable word: metric label, log field, first column of the README's table.
    pub fn reason(self) -> &'static str {
        self.words().0
    }

    /// One line for an admin: the likely cause and what to do.
    pub fn advice(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::PolicyModuleMissing => (
                "policy_module_missing",
                "NDES runs without the Intune policy module: install or repair the certificate connector, then restart IIS; for another MDM set policy_module = \"none\"",
            ),
            Self::PkiOperationForbidden => (
                "pki_operation_forbidden",
                "IIS or the policy module refuses the message itself: check the client certificate of the connector, SSL Settings and IP restrictions of the site, and the connector's event log",
            ),
            Self::Forbidden => (
                "forbidden",
                "IIS refuses what every device may ask: check SSL Settings (client certificates: Ignore), IP restrictions and request filtering of the site",
            ),
            Self::WindowsAuthentication => (
                "windows_authentication",
                "IIS asks devices for a Windows account: enable Anonymous and disable Windows authentication on certsrv/mscep",
            ),
            Self::GetCaCertFailed => (
                "get_ca_cert_failed",
                "Most often the RA certificates of NDES have expired, or its service account is locked, has a new password, or IIS_IUSRS lacks \"Impersonate a client after authentication\"",
            ),
            Self::PkiOperationFailed => (
                "pki_operation_failed",
                "NDES could not read or decrypt the message: a device with an old RA certificate, a policy module that fails, or a template or CA that is gone; see the application log of NDES",
            ),
            Self::MscepFailed => (
                "mscep_failed",
                "mscep.dll fails on every request: see the application log of NDES, its service account and its RA certificates",
            ),
            Self::PoolStopped => (
                "pool_stopped",
                "The SCEP application pool is stopped, or takes no more (QueueFull in httperr.log): its account lacks \"Log on as a batch job\" or \"Log on as a service\", its password changed, or an intermediate CA certificate lies in the root store; see the System log",
            ),
            Self::IisBusy => (
                "iis_busy",
                "IIS is up but takes no more (503.2: appConcurrentRequestLimit) or its application fails: lower max_in_flight, see the application log",
            ),
            Self::RequestFiltering => (
                "request_filtering",
                "Request filtering cuts long queries: set maxQueryString and maxUrl to 65534",
            ),
            Self::HttpSysLimit => (
                "http_sys_limit",
                "HTTP.sys refuses long requests: set MaxFieldLength to 65534 and MaxRequestBytes to 131072 and restart the machine; iisreset does not reload them",
            ),
            Self::HttpSysInvalid => (
                "http_sys_invalid",
                "HTTP.sys finds a short request invalid: UrlSegmentMaxLength, or no binding for the host name that server_name sends; see httperr.log",
            ),
            Self::MscepNotFound => (
                "mscep_not_found",
                "There is no NDES at this path or for this host name: is the role service configured, and does the binding of the site fit server_name?",
            ),
            Self::ContentTooLarge => (
                "content_too_large",
                "Request filtering refuses the body: raise maxAllowedContentLength",
            ),
            Self::Redirected => (
                "redirected",
                "IIS redirects SCEP, which devices do not follow: remove HTTP Redirect from the site",
            ),
            Self::UnexpectedStatus => (
                "unexpected_status",
                "The status is none that NDES gives: see the IIS log, and what stands between proxy and IIS",
            ),
            Self::PkiOperationPage => (
                "pki_operation_page",
                "A page came where a SCEP answer belongs: mscep.dll did not see the message as PKIOperation, or something between proxy and IIS answers",
            ),
            Self::CertRepUnreadable => (
                "cert_rep_unreadable",
                "The answer to a PKIOperation is no SCEP message that can be read; devices will not read it either",
            ),
            Self::CertRepMismatch => (
                "cert_rep_mismatch",
                "The answer belongs to another request (transactionID or nonce differ): devices refuse it; is there a cache between proxy and IIS?",
            ),
            Self::Refused(info) => of_fail_info(info),
            Self::StaleRaCertificate => (
                "stale_ra_certificate",
                "The device encrypts for a certificate that this NDES does not hand out: its RA certificates were renewed, or the device talks to one of several NDES; the device must ask GetCACert again",
            ),
            Self::GetCaCertUnreadable => (
                "get_ca_cert_unreadable",
                "The answer to GetCACert holds no certificates that can be read",
            ),
            Self::CaCertificateExpired => (
                "ca_certificate_expired",
                "A CA certificate that NDES hands out has expired: renew the CA certificate, then the RA certificates",
            ),
            Self::RaCertificateExpired => (
                "ra_certificate_expired",
                "An RA certificate of NDES has expired: renew both (CEP Encryption, Exchange Enrollment Agent) in the machine's store and restart IIS",
            ),
            Self::RaNotIssuedByCa => (
                "ra_not_issued_by_ca",
                "The RA certificates are not from the CA certificate beside them, as after a renewal of the CA: Windows devices fail; renew the RA certificates",
            ),
            Self::CaSignaturePss => (
                "ca_signature_pss",
                "A CA or RA certificate is signed with RSASSA-PSS: iOS stops after GetCACert; set AlternateSignatureAlgorithm to 0 on the CA and renew",
            ),
            Self::CaSignatureSha1 => (
                "ca_signature_sha1",
                "A CA or RA certificate is signed with SHA-1: iOS stops after GetCACert; move the CA to SHA-256 and renew",
            ),
            Self::PostNotOffered => (
                "post_not_offered",
                "GetCACaps does not list POSTPKIOperation: devices put the whole message into the URI; install the updates of NDES",
            ),
            Self::NoPkiOperation => (
                "no_pki_operation",
                "A device took the CA certificates and never enrolled: wrong root in its profile, or a CA signature that it does not take",
            ),
            Self::NameNotResolved => (
                "upstream_name",
                "The name of NDES is not resolved: correct url or the name server, or set address",
            ),
            Self::NotConnected => (
                "upstream_connect",
                "NDES cannot be reached: does it run, and does the firewall let TCP 443 through?",
            ),
            Self::ConnectTimeout => (
                "upstream_connect_timeout",
                "TCP and TLS with NDES took longer than upstream_connect: a firewall that drops, or an overloaded server",
            ),
            Self::ConnectionClosed => (
                "upstream_closed",
                "NDES closed the connection before it answered: see httperr.log and the System log; client certificates must be on Ignore",
            ),
            Self::AnswerInvalid => (
                "upstream_invalid",
                "The answer is not HTTP/1.1: what stands between proxy and IIS?",
            ),
            Self::AnswerLate => (
                "upstream_timeout",
                "NDES did not answer in time: for PKIOperation it waits for the CA and for Intune; see the connector's event log and upstream_pki_operation",
            ),
            Self::AnswerBroken => (
                "upstream_broken",
                "NDES began an answer and did not end it: a restart of the pool, or a device between",
            ),
            Self::TooBusy => (
                "upstream_busy",
                "More requests wait for NDES than it takes in time: it is slow, or a wave of renewals is longer than queue allows; see max_in_flight and queue",
            ),
            Self::Tls(kind) => (kind.reason(), of_tls(kind)),
        }
    }
}

fn of_fail_info(info: FailInfo) -> (&'static str, &'static str) {
    match info {
        FailInfo::BadAlg => (
            "refused_bad_alg",
            "NDES does not take the algorithms of the message: compare its digest and cipher in the log with GetCACaps",
        ),
        FailInfo::BadMessageCheck => (
            "refused_bad_message_check",
            "The signature of the message did not verify, or its signer is not trusted: a renewal with a foreign or expired certificate, or a message changed on its way",
        ),
        FailInfo::BadRequest => (
            "refused_bad_request",
            "NDES or the policy module refuses the request: challenge expired (60 minutes), wrong or used before, a subject or an extension that the profile does not allow, or no right on the template",
        ),
        FailInfo::BadTime => (
            "refused_bad_time",
            "The signingTime of the message is too far off: set the clock of the device",
        ),
        FailInfo::BadCertId => (
            "refused_bad_cert_id",
            "No certificate matches what the device asked for",
        ),
        FailInfo::Other(_) => (
            "refused",
            "NDES refuses the request without one of the reasons of RFC 8894: see its application log and the connector's events at this time",
        ),
    }
}

fn of_tls(kind: Kind) -> &'static str {
    match kind {
        Kind::UnknownIssuer => {
            "The certificate of NDES is not from ca_roots: add the root, or the issuing CA where IIS sends no intermediate"
        }
        Kind::WrongName => {
            "The certificate of NDES has other names: set server_name to one of its subject alternative names"
        }
        Kind::NameOnlyInCommonName => {
            "The certificate of NDES has a name only in its CN: issue one with a subject alternative name, or set pin_sha256"
        }
        Kind::Expired => "The certificate of NDES has expired: renew it and bind it in IIS",
        Kind::NotYetValid => "The certificate of NDES is not valid yet: check both clocks",
        Kind::PinMismatch => {
            "The key of NDES is not that of pin_sha256: if it was renewed, write the new pin"
        }
        Kind::WeakSignature => {
            "The certificate of NDES is signed with SHA-1 or has a short key: issue another"
        }
        Kind::WrongPurpose => {
            "The certificate of NDES is not for server authentication: use a web server template"
        }
        Kind::InvalidCertificate => "The certificate of NDES is broken: issue another",
        Kind::NoCommonCipher => {
            "NDES has only CBC or DHE cipher suites: Windows Server 2016 or later, or an ECDSA certificate on 2012 R2"
        }
        Kind::OldTls => "NDES speaks only TLS 1.1 or older: enable TLS 1.2 in SCHANNEL and restart",
        Kind::ClientCertificateDemanded => {
            "IIS asks for a client certificate: set SSL Settings, Client certificates to Ignore for the site and certsrv/mscep"
        }
        Kind::NameNotServed => {
            "NDES does not serve this name: set server_name to the host name of the https binding"
        }
        Kind::NotTls => "The port of NDES does not speak TLS: check url and address",
        Kind::Closed => {
            "NDES closes in the handshake: the https binding has no certificate, or one for another name"
        }
        Kind::Other => "TLS with NDES fails: see the System log there, source Schannel",
    }
}
