//! Every way in which the proxy itself answers a request: one closed list, one place where it
//! becomes a status, a reason word and an answer.

mod advice;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Why a request is not answered by NDES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Not one unambiguous HTTP message: syntax of the head.
    MalformedHead,
    /// Not one unambiguous length of the body, or a body that breaks its own framing.
    MalformedFraming,
    HostMissing,
    /// Several Host fields, a malformed one, or an absolute-form target that differs from it.
    HostInvalid,
    /// A name that is not published, or not under the certificate of this connection.
    HostNotPublished,
    UriTooLong,
    BodyTooLarge,
    FieldTooLarge,
    TooManyFields,
    HeadTooLarge,
    PathNotPublished,
    /// The published methods are listed in the answer.
    MethodNotAllowed {
        allow: Allow,
    },
    OperationMissing,
    OperationNotPublished,
    OperationAmbiguous,
    HeadTimeout,
    BodyTimeout,
    /// The client left before its body had ended.
    BodyAborted,
    RateClient {
        retry_after: u64,
    },
    RateRefused {
        retry_after: u64,
    },
    RateGlobal {
        retry_after: u64,
    },
    /// More HTTP/2 streams, resets or frames without work than a connection may have.
    Http2Limit,
    /// Bodies of all connections together exceed `buffered_bytes`.
    BuffersFull,
    /// A PKIOperation without a message that can be read, where the application wants one.
    ScepUnreadable,
    /// A messageType that the application refuses.
    ScepMessageType,
    /// A digest below the weakest that the application takes.
    ScepDigest,
    /// A content encryption below the weakest that the application takes.
    ScepCipher,
    /// No turn at the upstream within `queue`.
    UpstreamBusy,
    /// The client closed the connection while it waited for its turn.
    ClientLeft,
    /// Larger than the upstream's `max_request_head_bytes`.
    UpstreamRequestBytes,
    UpstreamName,
    UpstreamConnect,
    UpstreamConnectTimeout,
    UpstreamTls,
    UpstreamClosed,
    UpstreamInvalid,
    UpstreamTimeout,
    /// A defect of the proxy.
    Internal,
}

/// Which of GET, HEAD and POST are published, for the Allow field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow {
    pub get: bool,
    pub head: bool,
    pub post: bool,
}

/// Names this proxy in Proxy-Status (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

impl Rejection {
    /// One of each, for the metrics and the tables of the README.
    pub const ALL: [Self; 38] = [
        Self::MalformedHead,
        Self::MalformedFraming,
        Self::HostMissing,
        Self::HostInvalid,
        Self::HostNotPublished,
        Self::UriTooLong,
        Self::BodyTooLarge,
        Self::FieldTooLarge,
        Self::TooManyFields,
        Self::HeadTooLarge,
        Self::PathNotPublished,
        Self::MethodNotAllowed {
            allow: Allow {
                get: true,
                head: true,
                post: true,
            },
        },
        Self::OperationMissing,
        Self::OperationNotPublished,
        Self::OperationAmbiguous,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::BodyAborted,
        Self::RateClient { retry_after: 1 },
        Self::RateRefused { retry_after: 1 },
        Self::RateGlobal { retry_after: 1 },
        Self::Http2Limit,
        Self::BuffersFull,
        Self::ScepUnreadable,
        Self::ScepMessageType,
        Self::ScepDigest,
        Self::ScepCipher,
        Self::UpstreamBusy,
        Self::ClientLeft,
        Self::UpstreamRequestBytes,
        Self::UpstreamName,
        Self::UpstreamConnect,
        Self::UpstreamConnectTimeout,
        Self::UpstreamTls,
        Self::UpstreamClosed,
        Self::UpstreamInvalid,
        Self::UpstreamTimeout,
        Self::Internal,
    ];

    /// Status, reason word (metric label, log field, `details` of Proxy-Status), the proxy error
    /// type of RFC 9209 §2.3, and one sentence for whoever reads the answer.
    fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
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

    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    pub fn reason(self) -> &'static str {
        self.facts().1
    }

    /// What the client is told.
    pub fn sentence(self) -> &'static str {
        self.facts().3
    }

    /// Whether a client has caused it: such requests are paid from `refused_per_client`.
    pub fn is_refusal(self) -> bool {
        self.status().is_client_error()
            && !matches!(self, Self::RateClient { .. } | Self::RateGlobal { .. })
    }

    /// Whether the connection cannot carry another request: where it ends, or what it means, is
    /// unknown, or the client shall not go on.
    pub fn closes(self) -> bool {
        match self {
            Self::MalformedHead
            | Self::MalformedFraming
            | Self::HostMissing
            | Self::HostInvalid
            | Self::UriTooLong
            | Self::BodyTooLarge
            | Self::FieldTooLarge
            | Self::TooManyFields
            | Self::HeadTooLarge
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::BodyAborted
            | Self::ClientLeft
            | Self::RateRefused { .. }
            | Self::Http2Limit
            | Self::Internal => true,
            Self::HostNotPublished
            | Self::PathNotPublished
            | Self::MethodNotAllowed { .. }
            | Self::OperationMissing
            | Self::OperationNotPublished
            | Self::OperationAmbiguous
            | Self::RateClient { .. }
            | Self::RateGlobal { .. }
            | Self::BuffersFull
            | Self::ScepUnreadable
            | Self::ScepMessageType
            | Self::ScepDigest
            | Self::ScepCipher
            | Self::UpstreamBusy
            | Self::UpstreamRequestBytes
            | Self::UpstreamName
            | Self::UpstreamConnect
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamClosed
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout => false,
        }
    }

    /// The answer: a constant text, and Proxy-Status so that an admin can tell it from NDES's.
    pub fn into_response(self) -> Response<Bytes> {
        let (status, reason, error, sentence) = self.facts();
        let proxy_status = format!("ndes-proxy; error={error}; details=\"{reason}\"");
        let text = format!("{sentence}\n");
        let length = HeaderValue::from(text.len());
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        fields.insert(CONTENT_LENGTH, length);
        if let Ok(value) = HeaderValue::try_from(proxy_status) {
            fields.insert(PROXY_STATUS, value);
        }
        match self {
            Self::MethodNotAllowed { allow } => {
                fields.insert(ALLOW, allow.to_value());
            }
            Self::RateClient { retry_after }
            | Self::RateRefused { retry_after }
            | Self::RateGlobal { retry_after } => {
                fields.insert(RETRY_AFTER, HeaderValue::from(retry_after));
            }
            Self::BuffersFull | Self::UpstreamBusy => {
                fields.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        if self.closes() {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Allow {
    fn to_value(self) -> HeaderValue {
        HeaderValue::from_static(match (self.get, self.head, self.post) {
            (true, true, true) => "GET, HEAD, POST",
            (true, true, false) => "GET, HEAD",
            (true, false, true) => "GET, POST",
            (false, true, true) => "HEAD, POST",
            (true, false, false) => "GET",
            (false, true, false) => "HEAD",
            (false, false, true) => "POST",
            (false, false, false) => "",
        })
    }
}
