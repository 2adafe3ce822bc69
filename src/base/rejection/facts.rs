//! What is told of each rejection.

use http::StatusCode;

use super::Rejection;

impl Rejection {
    /// Status, reason word (metric label, log field, `details` of Proxy-Status), the proxy error
    /// type of RFC 9209 §2.3, and one sentence for whoever reads the answer.
    pub(super) fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        use StatusCode as S;
        const ERROR: &str = "http_request_error";
        const DENIED: &str = "http_request_denied";
        match self {
            Self::MalformedHead => (
                S::BAD_REQUEST,
                "malformed_head",
                ERROR,
                "The request is malformed.",
            ),
            Self::MalformedFraming => (
                S::BAD_REQUEST,
                "malformed_framing",
                ERROR,
                "The length of the request body is ambiguous.",
            ),
            Self::HostMissing => (
                S::BAD_REQUEST,
                "host_missing",
                ERROR,
                "The request has no Host field.",
            ),
            Self::HostInvalid => (
                S::BAD_REQUEST,
                "host_invalid",
                ERROR,
                "The request does not name one host.",
            ),
            Self::HostNotPublished => (
                S::MISDIRECTED_REQUEST,
                "host_not_published",
                DENIED,
                "This host is not published here.",
            ),
            Self::UriTooLong => (
                S::URI_TOO_LONG,
                "uri_too_long",
                ERROR,
                "The request URI is too long.",
            ),
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                "body_too_large",
                ERROR,
                "The request body is too large.",
            ),
            Self::FieldTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "field_too_large",
                ERROR,
                "A request field is too large.",
            ),
            Self::TooManyFields => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too_many_fields",
                ERROR,
                "The request has too many fields.",
            ),
            Self::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                ERROR,
                "The request head is too large.",
            ),
            Self::PathNotPublished => (
                S::NOT_FOUND,
                "path_not_published",
                DENIED,
                "This path is not published.",
            ),
            Self::MethodNotAllowed { .. } => (
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                DENIED,
                "This method is not published.",
            ),
            Self::OperationMissing => (
                S::BAD_REQUEST,
                "operation_missing",
                DENIED,
                "A POST must name its SCEP operation.",
            ),
            Self::OperationNotPublished => (
                S::BAD_REQUEST,
                "operation_not_published",
                DENIED,
                "This SCEP operation is not published.",
            ),
            Self::OperationAmbiguous => (
                S::BAD_REQUEST,
                "operation_ambiguous",
                DENIED,
                "The request does not name one SCEP operation.",
            ),
            Self::HeadTimeout => (
                S::REQUEST_TIMEOUT,
                "head_timeout",
                ERROR,
                "The request head took too long.",
            ),
            Self::BodyTimeout => (
                S::REQUEST_TIMEOUT,
                "body_timeout",
                ERROR,
                "The request body took too long.",
            ),
            Self::BodyAborted => (
                S::BAD_REQUEST,
                "body_aborted",
                ERROR,
                "The request body is incomplete.",
            ),
            Self::RateClient { .. } => (
                S::TOO_MANY_REQUESTS,
                "rate_client",
                DENIED,
                "Too many requests from this address.",
            ),
            Self::RateRefused { .. } => (
                S::TOO_MANY_REQUESTS,
                "rate_refused",
                DENIED,
                "Too many refused requests from this address.",
            ),
            Self::RateGlobal { .. } => (
                S::TOO_MANY_REQUESTS,
                "rate_global",
                DENIED,
                "Too many requests.",
            ),
            Self::Http2Limit => (
                S::TOO_MANY_REQUESTS,
                "http2_limit",
                "connection_limit_reached",
                "The connection is used beyond its limits.",
            ),
            Self::BuffersFull => (
                S::SERVICE_UNAVAILABLE,
                "buffers_full",
                "connection_limit_reached",
                "The proxy is busy.",
            ),
            Self::ScepUnreadable => (
                S::BAD_REQUEST,
                "scep_unreadable",
                DENIED,
                "The SCEP message cannot be read.",
            ),
            Self::ScepMessageType => (
                S::BAD_REQUEST,
                "scep_message_type",
                DENIED,
                "This type of SCEP message is not accepted.",
            ),
            Self::ScepDigest => (
                S::BAD_REQUEST,
                "scep_digest",
                DENIED,
                "The digest of the SCEP message is too weak.",
            ),
            Self::ScepCipher => (
                S::BAD_REQUEST,
                "scep_cipher",
                DENIED,
                "The encryption of the SCEP message is too weak.",
            ),
            Self::UpstreamBusy => (
                S::SERVICE_UNAVAILABLE,
                "upstream_busy",
                "connection_limit_reached",
                "The server is busy.",
            ),
            Self::ClientLeft => (
                S::SERVICE_UNAVAILABLE,
                "client_left",
                "connection_terminated",
                "The connection was closed before the request had its turn.",
            ),
            Self::UpstreamRequestBytes => (
                S::URI_TOO_LONG,
                "upstream_max_request_bytes",
                ERROR,
                "The request exceeds MaxRequestBytes of the server.",
            ),
            Self::UpstreamName => (
                S::BAD_GATEWAY,
                "upstream_name",
                "dns_error",
                "The name of the server was not resolved.",
            ),
            Self::UpstreamConnect => (
                S::BAD_GATEWAY,
                "upstream_connect",
                "destination_unavailable",
                "The server cannot be reached.",
            ),
            Self::UpstreamConnectTimeout => (
                S::GATEWAY_TIMEOUT,
                "upstream_connect_timeout",
                "connection_timeout",
                "The server did not accept the connection in time.",
            ),
            Self::UpstreamTls => (
                S::BAD_GATEWAY,
                "upstream_tls",
                "tls_certificate_error",
                "The server could not be verified.",
            ),
            Self::UpstreamClosed => (
                S::BAD_GATEWAY,
                "upstream_closed",
                "connection_terminated",
                "The server closed the connection before it answered.",
            ),
            Self::UpstreamInvalid => (
                S::BAD_GATEWAY,
                "upstream_invalid",
                "http_protocol_error",
                "The answer of the server is not valid.",
            ),
            Self::UpstreamTimeout => (
                S::GATEWAY_TIMEOUT,
                "upstream_timeout",
                "http_response_timeout",
                "The server did not answer in time.",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "proxy_internal_error",
                "The proxy failed.",
            ),
        }
    }
}
