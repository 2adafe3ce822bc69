//! The rows. To add a reason, add a row here; the enum, the list of all reasons and the documents
//! follow from it.

use super::{Fault, Response, Row, Severity};

/// Proxy error types of RFC 9209 §2.3 that several rows share.
const REQUEST_ERROR: &str = "http_request_error";
const DENIED: &str = "http_request_denied";
const LIMIT: &str = "connection_limit_reached";

impl Row {
    const fn new(
        word: &'static str,
        fault: Fault,
        severity: Severity,
        [what, cure, advice]: [&'static str; 3],
    ) -> Self {
        Self {
            word,
            fault,
            severity,
            response: None,
            kind: None,
            anomaly: false,
            what,
            cure,
            advice,
        }
    }

    /// The proxy answers with `status`, and the connection stays open.
    const fn answers(self, status: u16, error: &'static str, sentence: &'static str) -> Self {
        let closes = false;
        let response = Some(Response {
            status,
            error,
            sentence,
            closes,
        });
        Self { response, ..self }
    }

    /// The proxy answers with `status` and closes the connection: where the request ends or what it
    /// means is unknown, or the client must not go on.
    const fn closes(self, status: u16, error: &'static str, sentence: &'static str) -> Self {
        let closes = true;
        let response = Some(Response {
            status,
            error,
            sentence,
            closes,
        });
        Self { response, ..self }
    }

    const fn kind(self, kind: &'static str) -> Self {
        Self {
            kind: Some(kind),
            ..self
        }
    }

    const fn anomaly(self) -> Self {
        Self {
            anomaly: true,
            ..self
        }
    }
}

/// Makes the enum and the table out of one list, so that neither can miss a row.
macro_rules! reasons {
    ($($name:ident = $word:literal $fault:ident $severity:ident
       [$($use:ident $(($($argument:expr),*))?),*] $what:literal $cure:literal;)*) => {
        /// Why something is not as it should be. The documentation of each variant says what happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $what] $name,)*
        }

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the row of the reason.
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => const {
                        let texts = [$what, $cure, concat!($what, " ", $cure)];
                        &Row::new($word, Fault::$fault, Severity::$severity, texts)
                            $(.$use($($($argument),*)?))*
                    },)*
                }
            }
        }
    };
}

reasons! {
    // Requests that the gate refuses, in the order of its checks.

    MalformedHead = "malformed_head" Client Info
        [closes(400, REQUEST_ERROR, "The request is malformed.")]
        "The request head is not valid HTTP, or it is ambiguous, such as a bare line feed, a space in the URI, an absolute URI that is not https, or Upgrade."
        "Nothing needs to be done about a scanner. For a device, see path and user_agent in the access log.";
    MalformedFraming = "malformed_framing" Client Info
        [closes(400, REQUEST_ERROR, "The length of the request body is ambiguous.")]
        "The request states two lengths of its body, its chunks are malformed, or it is a GET with a body."
        "Nothing needs to be done about a scanner. For a device, see path and user_agent in the access log.";
    HostMissing = "host_missing" Client Info
        [closes(400, REQUEST_ERROR, "The request has no Host field.")]
        "The request is HTTP/1.1 and has no Host field."
        "Nothing needs to be done about a scanner. For a device, see path and user_agent in the access log.";
    HostInvalid = "host_invalid" Client Info
        [closes(400, REQUEST_ERROR, "The request does not name one host.")]
        "The request has several Host fields, or a malformed one, or its Host differs from its absolute URI."
        "Nothing needs to be done about a scanner. For a device, see path and user_agent in the access log.";
    HostNotPublished = "host_not_published" Client Info
        [answers(421, DENIED, "This host is not published here.")]
        "The Host is not in public_names, or it belongs to another application than the server name of the TLS connection."
        "If devices use this name, add it to public_names and to the certificate.";
    UriTooLong = "uri_too_long" Client Info
        [closes(414, REQUEST_ERROR, "The request URI is too long.")]
        "The URI is longer than limits.uri_bytes."
        "No SCEP client needs a URI that long. Let clients with large messages use POST.";
    BodyTooLarge = "body_too_large" Client Info
        [closes(413, REQUEST_ERROR, "The request body is too large.")]
        "The request body is longer than limits.body_bytes."
        "If a device needs more, raise limits.body_bytes.";
    FieldTooLarge = "field_too_large" Client Info
        [closes(431, REQUEST_ERROR, "A request field is too large.")]
        "A header field is longer than limits.header_field_bytes."
        "If a device needs more, raise limits.header_field_bytes.";
    TooManyFields = "too_many_fields" Client Info
        [closes(431, REQUEST_ERROR, "The request has too many fields.")]
        "The request has more header fields than limits.header_fields."
        "If a device needs more, raise limits.header_fields.";
    HeadTooLarge = "head_too_large" Client Info
        [closes(431, REQUEST_ERROR, "The request head is too large.")]
        "The request line and the header fields together are longer than limits.head_bytes."
        "If a device needs more, raise limits.head_bytes.";
    PathNotPublished = "path_not_published" Client Info
        [answers(404, DENIED, "This path is not published.")]
        "The path is not one of paths."
        "Compare the SCEP URL in the profile of the device with the published paths. Otherwise it is a scanner.";
    MethodNotAllowed = "method_not_allowed" Client Info
        [answers(405, DENIED, "This method is not published.")]
        "The method is not one of methods. The Allow field of the response lists them."
        "Nothing needs to be done about a scanner.";
    OperationMissing = "operation_missing" Client Info
        [answers(400, DENIED, "A POST must name its SCEP operation.")]
        "The request is a POST without operation in the query."
        "Correct the client. SCEP clients name the operation.";
    OperationNotPublished = "operation_not_published" Client Info
        [answers(400, DENIED, "This SCEP operation is not published.")]
        "The operation is not one of operations, or it is spelt differently."
        "Correct the client, or add the operation to operations.";
    OperationAmbiguous = "operation_ambiguous" Client Info
        [answers(400, DENIED, "The request does not name one SCEP operation.")]
        "The query names operation twice, percent-encoded, or in another case."
        "Nothing needs to be done. Only attacks send such requests as a rule.";
    HeadTimeout = "head_timeout" Client Info
        [closes(408, REQUEST_ERROR, "The request head took too long.")]
        "The request head took longer than timeouts.request_head."
        "Nothing needs to be done. The network of the client is slow, or somebody holds connections open.";
    BodyTimeout = "body_timeout" Client Info
        [closes(408, REQUEST_ERROR, "The request body took too long.")]
        "The request body took longer than timeouts.request_body."
        "Nothing needs to be done. The network of the client is slow, or somebody holds connections open.";
    BodyAborted = "body_aborted" Client Info
        [closes(400, REQUEST_ERROR, "The request body is incomplete.")]
        "The client closed the connection before the end of its request body."
        "Nothing needs to be done. The network of the client is slow.";
    RateClient = "rate_client" Client Warning
        [answers(429, DENIED, "Too many requests from this address.")]
        "The client sent more requests than rate_limit.per_client allows."
        "If many devices share this address, give their network rates of its own with [[rate_limit.network]].";
    RateRefused = "rate_refused" Client Info
        [closes(429, DENIED, "Too many refused requests from this address.")]
        "More requests of the client were refused than rate_limit.refused_per_client allows. The connection is closed."
        "It is a scanner, or a device that is set up wrongly. See for which reasons its requests were refused before.";
    Http2Limit = "http2_limit" Client Info
        [closes(429, LIMIT, "The connection is used beyond its limits.")]
        "An HTTP/2 client sent more than 100 requests at a time, which are reset, or too many resets or frames without a request, which closes the connection."
        "Nothing needs to be done. It is an attack or a broken client.";
    RateGlobal = "rate_global" Proxy Critical
        [answers(429, DENIED, "Too many requests.")]
        "All clients together sent more requests than rate_limit.global allows."
        "If NDES can process more, raise rate_limit.global.";
    ScepUnreadable = "scep_unreadable" Client Info
        [answers(400, DENIED, "The SCEP message cannot be read.")]
        "A PKIOperation has no SCEP message that can be read, and scep.unreadable is \"refuse\"."
        "The field unreadable of the audit log says why it cannot be read. If the device is right, set scep.unreadable to \"forward\".";
    ScepMessageType = "scep_message_type" Client Info
        [answers(400, DENIED, "This type of SCEP message is not accepted.")]
        "The messageType is one of scep.refuse_messages."
        "Correct the client, or remove the type from scep.refuse_messages.";
    ScepDigest = "scep_digest" Client Info
        [answers(400, DENIED, "The digest of the SCEP message is too weak.")]
        "The digest of the SCEP message is weaker than scep.weakest_digest."
        "Update the device, or set its SCEP profile to SHA-256.";
    ScepCipher = "scep_cipher" Client Info
        [answers(400, DENIED, "The encryption of the SCEP message is too weak.")]
        "The encryption of the SCEP message is weaker than scep.weakest_cipher."
        "Update the device, or set its SCEP profile to AES.";
    UpstreamBusy = "upstream_busy" Ndes Critical
        [answers(503, LIMIT, "The server is busy."), anomaly]
        "The request got no permit for NDES within queue, or too many requests wait already. NDES is slow, or a wave of renewals is longer than queue allows."
        "Compare ndes_proxy_upstream_response_seconds with the usual values. If NDES can process more at a time, raise max_in_flight.";
    ClientLeft = "client_left" Client Info
        [closes(503, "connection_terminated", "The connection was closed before the request was forwarded.")]
        "The client closed its connection while its request waited in the queue. Nothing was forwarded to NDES."
        "Devices that wait for a shorter time than queue cause this, and so does somebody who only opens requests.";
    UpstreamRequestBytes = "upstream_max_request_bytes" Proxy Warning
        [answers(414, REQUEST_ERROR, "The request exceeds MaxRequestBytes of the server.")]
        "The request line and the header fields together are longer than max_request_head_bytes."
        "Raise the registry value MaxRequestBytes on the NDES server, restart the server, then raise max_request_head_bytes.";
    BuffersFull = "buffers_full" Proxy Critical
        [answers(503, LIMIT, "The proxy is busy.")]
        "The request bodies of all connections together exceed limits.buffered_bytes."
        "See in the access log which clients send so much. If they are right, raise limits.buffered_bytes.";

    // Attempts to reach NDES that failed.

    UpstreamName = "upstream_name" Ndes Critical
        [answers(502, "dns_error", "The name of the server was not resolved."), anomaly, kind("name")]
        "The name of NDES cannot be resolved."
        "Correct the name in url or the name server, or set address.";
    UpstreamConnect = "upstream_connect" Ndes Critical
        [answers(502, "destination_unavailable", "The server cannot be reached."), anomaly, kind("connect")]
        "No address of NDES accepts a TCP connection."
        "Check that NDES runs and that the firewall lets TCP 443 through.";
    UpstreamConnectTimeout = "upstream_connect_timeout" Ndes Critical
        [answers(504, "connection_timeout", "The server did not accept the connection in time."), anomaly, kind("connect_timeout")]
        "TCP and TLS with NDES took longer than timeouts.upstream_connect. A firewall drops packets, or the server is overloaded."
        "Check that the firewall lets TCP 443 through and that NDES is not overloaded.";
    UpstreamTls = "upstream_tls" Ndes Critical
        [answers(502, "tls_certificate_error", "The server could not be verified.")]
        "The TLS handshake with NDES failed, or its certificate could not be verified."
        "See the log lines of target upstream. Their field kind names the cause.";
    UpstreamUnsent = "unsent" Ndes Critical
        [kind("unsent")]
        "NDES closed the connection before the request was sent, also when the request was repeated."
        "Check whether the server restarts, or a device between proxy and NDES closes connections.";
    UpstreamClosed = "upstream_closed" Ndes Critical
        [answers(502, "connection_terminated", "The server closed the connection before it answered."), anomaly, kind("closed")]
        "NDES closed the connection before it answered."
        "See httperr.log, the IIS log and the System log of NDES at this time. In IIS, set SSL Settings, Client certificates to Ignore.";
    UpstreamInvalid = "upstream_invalid" Ndes Critical
        [answers(502, "http_protocol_error", "The answer of the server is not valid."), anomaly, kind("invalid")]
        "The response is not valid HTTP/1.1."
        "Check what stands between proxy and IIS.";
    UpstreamUpgrade = "upgrade" Ndes Critical
        [kind("upgrade")]
        "The response switches to another protocol, which no request asked for."
        "Check what stands between proxy and IIS.";
    UpstreamTimeout = "upstream_timeout" Ndes Critical
        [answers(504, "http_response_timeout", "The server did not answer in time."), anomaly, kind("timeout")]
        "NDES did not answer within timeouts.upstream_response, or within timeouts.upstream_pki_operation for a PKIOperation, for which it waits for the CA and for Intune."
        "See the event logs of NDES and of the connector. If the CA needs longer, raise timeouts.upstream_pki_operation.";
    UpstreamBroken = "upstream_broken" Ndes Critical
        [anomaly]
        "NDES began a response and did not complete it. The application pool restarted, or a device between proxy and NDES closed the connection."
        "See the System log of NDES at this time.";
    Internal = "internal" Proxy Warning
        [closes(500, "proxy_internal_error", "The proxy failed.")]
        "A defect of the proxy ended the request."
        "Report it together with the log.";

    // TLS with NDES.

    UnknownIssuer = "unknown_issuer" Ndes Critical
        [anomaly, kind("unknown_issuer")]
        "The certificate of NDES does not lead to a certificate of ca_roots."
        "Add the certificate of the root CA to ca_roots, or that of the issuing CA if IIS sends no intermediate certificate.";
    WrongName = "wrong_name" Ndes Critical
        [anomaly, kind("wrong_name")]
        "The subject alternative name of the certificate of NDES has other names."
        "Set server_name to one of the names that the log shows.";
    NameOnlyInCommonName = "name_only_in_common_name" Ndes Critical
        [anomaly, kind("name_only_in_common_name")]
        "The certificate of NDES has a name only in its CN and has no subject alternative name."
        "Issue a certificate with a subject alternative name, or set pin_sha256.";
    Expired = "expired" Ndes Critical
        [anomaly, kind("expired")]
        "The certificate of NDES or of one of its issuers has expired."
        "Renew it and bind it to the site in IIS.";
    NotYetValid = "not_yet_valid" Ndes Critical
        [anomaly, kind("not_yet_valid")]
        "The certificate of NDES is not valid yet."
        "Check the clocks of both machines.";
    PinMismatch = "pin_mismatch" Ndes Critical
        [anomaly, kind("pin_mismatch")]
        "The key of NDES is not the one that pin_sha256 names."
        "If the certificate was renewed with a new key, set pin_sha256 to its pin.";
    WeakSignature = "weak_signature" Ndes Critical
        [anomaly, kind("weak_signature")]
        "The certificate of NDES is signed with SHA-1 or an unknown algorithm, or it has an RSA key of less than 2048 bits."
        "Issue another certificate.";
    WrongPurpose = "wrong_purpose" Ndes Critical
        [anomaly, kind("wrong_purpose")]
        "The extended key usage of the certificate of NDES lacks server authentication."
        "Issue a certificate from a web server template.";
    InvalidCertificate = "invalid_certificate" Ndes Critical
        [anomaly, kind("invalid_certificate")]
        "The certificate of NDES is invalid in another way, which the log describes."
        "Issue another certificate.";
    NoCommonCipher = "no_common_cipher" Ndes Critical
        [anomaly, kind("no_common_cipher")]
        "NDES offers only cipher suites with CBC or DHE."
        "Run NDES on Windows Server 2016 or later, or bind an ECDSA certificate on 2012 R2.";
    OldTls = "old_tls" Ndes Critical
        [anomaly, kind("old_tls")]
        "NDES speaks only TLS 1.1 or older."
        "Enable TLS 1.2 in SCHANNEL and restart the server.";
    ClientCertificateDemanded = "client_certificate_demanded" Ndes Critical
        [anomaly, kind("client_certificate_demanded")]
        "IIS asks for a client certificate."
        "In IIS, set SSL Settings, Client certificates to Ignore for the site and for certsrv/mscep.";
    NameNotServed = "name_not_served" Ndes Critical
        [anomaly, kind("name_not_served")]
        "NDES does not serve the name that server_name sends."
        "Set server_name to the host name of the https binding.";
    NotTls = "not_tls" Ndes Critical
        [anomaly, kind("not_tls")]
        "The port of NDES does not speak TLS."
        "Check the port in url and address.";
    TlsClosed = "tls_closed" Ndes Critical
        [anomaly, kind("tls_closed")]
        "NDES closes the connection in the TLS handshake. The https binding has no certificate or is for another name, or no cipher suite fits."
        "Check the https binding, its certificate and its host name.";
    TlsOther = "tls_other" Ndes Critical
        [anomaly, kind("tls_other")]
        "The TLS handshake with NDES fails for another reason."
        "See the System log of NDES, source Schannel.";

    // What NDES answers.

    PolicyModuleMissing = "policy_module_missing" Ndes Critical
        [anomaly]
        "NDES answers 200 to a request without operation, so it runs without the policy module of Intune. The connector is not installed, is not set up for SCEP, or its module is not loaded."
        "Install or repair the certificate connector and restart IIS. For another MDM this is healthy, so set policy_module = \"none\".";
    PkiOperationForbidden = "pki_operation_forbidden" Ndes Critical
        [anomaly]
        "NDES answers 403 to a PKIOperation. The client certificate of the connector is untrusted, expired or for another purpose (403.16, 403.7), an intermediate CA is in the root store, or IP restrictions apply."
        "Check the event log of the connector, the certificate stores of the NDES server, and SSL Settings and IP restrictions of the site.";
    Forbidden = "forbidden" Ndes Critical
        [anomaly]
        "NDES answers 403 to GetCACaps or GetCACert, which every device may ask. IIS asks for a client certificate, or IP restrictions apply."
        "In IIS, set SSL Settings, Client certificates to Ignore, and check the IP restrictions and request filtering of the site.";
    WindowsAuthentication = "windows_authentication" Ndes Critical
        [anomaly]
        "NDES answers 401, because IIS asks devices for a Windows account."
        "Enable anonymous authentication on certsrv/mscep and disable Windows authentication.";
    GetCaCertFailed = "get_ca_cert_failed" Ndes Critical
        [anomaly]
        "NDES answers 500 to GetCACert. Its RA certificates have expired, its service account is locked or has a new password, or IIS_IUSRS lacks \"Impersonate a client after authentication\"."
        "Renew the RA certificates, unlock the account or grant the right, then restart IIS.";
    PkiOperationFailed = "pki_operation_failed" Ndes Critical
        [anomaly]
        "NDES answers 500 to a PKIOperation. It cannot decrypt the message because the device has an old RA certificate, it cannot parse the message, the policy module fails, or the template or the CA is gone."
        "See the application log of NDES, source NetworkDeviceEnrollmentService.";
    MscepFailed = "mscep_failed" Ndes Critical
        [anomaly]
        "NDES answers 500, because mscep.dll does not start. Its service account, its RA certificates or its registry values are wrong."
        "See the application log of NDES, source NetworkDeviceEnrollmentService.";
    PoolStopped = "pool_stopped" Ndes Critical
        [anomaly]
        "HTTP.sys answers 503, because the application pool SCEP is stopped or its queue is full. Its account lacks \"Log on as a batch job\" or \"Log on as a service\", its password has changed, an intermediate CA is in the root store, or a CRL cannot be reached."
        "Start the pool and see why it stops in the System log (source WAS). The requests are in httperr.log.";
    IisBusy = "iis_busy" Ndes Critical
        [anomaly]
        "IIS answers 503. Too many requests are processed at a time (503.2, appConcurrentRequestLimit), or the application restarts."
        "Lower max_in_flight, and see the application log of NDES.";
    RequestFiltering = "request_filtering" Ndes Critical
        [anomaly]
        "NDES answers 404 to a URI of more than 2048 bytes. Request filtering limits maxQueryString or maxUrl (404.15 and 404.14 in the IIS log)."
        "Set maxQueryString and maxUrl to 65534.";
    HttpSysLimit = "http_sys_limit" Ndes Critical
        [anomaly]
        "NDES answers 400 or 414 to a URI of more than 2048 bytes. MaxFieldLength or MaxRequestBytes of HTTP.sys is too small, or the machine was not restarted since they were changed. The IIS log has nothing, httperr.log has the request."
        "Set MaxFieldLength to 65534 and MaxRequestBytes to 131072 and restart the machine. iisreset does not reload them.";
    HttpSysInvalid = "http_sys_invalid" Ndes Critical
        [anomaly]
        "HTTP.sys answers 400 to a short URI. A path segment is longer than UrlSegmentMaxLength, or no binding has the host name that server_name sends."
        "See httperr.log and compare server_name with the bindings of the site.";
    MscepNotFound = "mscep_not_found" Ndes Critical
        [anomaly]
        "NDES answers 404 to a short URI. The role service is not configured or is on another site, or the binding is for another name."
        "Finish the configuration of the role service, and compare the bindings of the site with server_name.";
    ContentTooLarge = "content_too_large" Ndes Critical
        [anomaly]
        "NDES answers 413, because the request body is longer than maxAllowedContentLength of request filtering."
        "Raise maxAllowedContentLength.";
    Redirected = "redirected" Ndes Critical
        [anomaly]
        "NDES answers with a redirect, which devices do not follow. HTTP Redirect of IIS is on."
        "Remove HTTP Redirect from the site.";
    UnexpectedStatus = "unexpected_status" Ndes Critical
        [anomaly]
        "The response has a status that NDES does not send. Something between proxy and IIS may have answered."
        "See the IIS log at this time, and check what stands between proxy and IIS.";
    PkiOperationPage = "pki_operation_page" Ndes Critical
        [anomaly]
        "NDES answers a PKIOperation with a web page. mscep.dll did not recognise the PKIOperation, or something else answers."
        "See in the IIS log whether the query arrives.";
    CertRepUnreadable = "cert_rep_unreadable" Ndes Critical
        [anomaly]
        "NDES answers a PKIOperation with 200 and without a SCEP message that can be read. Devices cannot read it either."
        "See the application log of NDES, and check what stands between proxy and IIS.";
    CertRepMismatch = "cert_rep_mismatch" Ndes Warning
        [anomaly]
        "The response belongs to another request, because its transactionID or its nonce differs. The device refuses it. A cache between proxy and IIS causes this."
        "Remove what stands between proxy and IIS.";
    StaleRaCertificate = "stale_ra_certificate" Ndes Warning
        [anomaly]
        "The message is encrypted for a certificate that GetCACert does not return. The RA certificates were renewed, or the device got its RA certificate from another NDES server."
        "The device must ask GetCACert again, so send it the profile anew. Publish one NDES server under one public name.";
    GetCaCertUnreadable = "get_ca_cert_unreadable" Ndes Critical
        [anomaly]
        "The response to GetCACert contains no certificates that can be read."
        "See the IIS log, and check what stands between proxy and IIS.";
    CaCertificateExpired = "ca_certificate_expired" Ndes Critical
        [anomaly]
        "A CA certificate that GetCACert returns has expired."
        "Renew the CA certificate, then the RA certificates.";
    RaCertificateExpired = "ra_certificate_expired" Ndes Critical
        [anomaly]
        "An RA certificate of NDES has expired. RA certificates are valid for two years and renew themselves only if somebody has set that up."
        "Renew both RA certificates (CEP Encryption and Exchange Enrollment Agent, Offline request) in the machine store and restart IIS.";
    RaNotIssuedByCa = "ra_not_issued_by_ca" Ndes Critical
        [anomaly]
        "The CA certificate that GetCACert returns did not issue the RA certificates beside it, as after a renewal of the CA. Windows devices fail, others do not."
        "Renew the RA certificates.";
    CaSignaturePss = "ca_signature_pss" Ndes Warning
        [anomaly]
        "A certificate that GetCACert returns is signed with RSASSA-PSS. iOS stops after GetCACert."
        "Set AlternateSignatureAlgorithm to 0 on the CA, and renew the CA and RA certificates.";
    CaSignatureSha1 = "ca_signature_sha1" Ndes Warning
        [anomaly]
        "A certificate that GetCACert returns is signed with SHA-1. iOS stops after GetCACert."
        "Move the CA to SHA-256, and renew the CA and RA certificates.";
    PostNotOffered = "post_not_offered" Ndes Warning
        [anomaly]
        "The response to GetCACaps does not list POSTPKIOperation, so every device sends its whole message in a URI of 12 KB. NDES is old, or GetCACaps fails."
        "Install the updates of NDES.";
    NoPkiOperation = "no_pki_operation" Client Warning
        [anomaly]
        "A client asked GetCACert and sent no PKIOperation within ten minutes. Its profile has another root, it does not accept a signature of the CA, or it is a monitor that asks only GetCACert."
        "Compare the trusted root profile with the CA, and see whether ca_signature_pss or ca_signature_sha1 is reported.";

    // A CertRep with pkiStatus FAILURE, by its failInfo (RFC 8894 §3.2.1.4).

    RefusedBadAlg = "refused_bad_alg" Client Warning
        [anomaly]
        "NDES refuses the request with badAlg, because it does not support the digest or the cipher of the message."
        "Compare digest and cipher in the audit log with GetCACaps.";
    RefusedBadMessageCheck = "refused_bad_message_check" Client Warning
        [anomaly]
        "NDES refuses the request with badMessageCheck. The signature is wrong, or the signer is not trusted, as when a device renews after its certificate has expired or with a certificate of another CA."
        "Enrol the device anew, and check the CA certificates on the NDES server.";
    RefusedBadRequest = "refused_bad_request" Client Warning
        [anomaly]
        "NDES refuses the request with badRequest. The challenge has expired (after 60 minutes), is wrong or was used before, the request differs from its profile, or the account has no right on the template. The connector also says \"may have been used already\" if it does not reach Intune."
        "See the event log of the connector and its proxy settings, and send the profile anew.";
    RefusedBadTime = "refused_bad_time" Client Warning
        [anomaly]
        "NDES refuses the request with badTime, because the signingTime of the message is too far from its own time."
        "Set the clock of the device.";
    RefusedBadCertId = "refused_bad_cert_id" Client Info
        [anomaly]
        "NDES refuses the request with badCertId, because it does not know the certificate that GetCert or GetCRL asks for."
        "Nothing needs to be done as a rule.";
    Refused = "refused" Client Warning
        [anomaly]
        "NDES refuses the request without one of the reasons of RFC 8894. The CA denies the request."
        "See the application log of NDES, the events of the connector at this time, and the failed requests of the CA.";
}
