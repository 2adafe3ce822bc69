//! Every way in which the proxy itself answers a request: one closed list, one place where it
//! becomes a status, a reason word and an answer.

mod advice;
mod facts;

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
