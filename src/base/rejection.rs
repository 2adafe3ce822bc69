//! The requests that the proxy answers itself, and the one place where they become responses.
//!
//! A [`Rejection`] is a [`Reason`] together with what only this request knows, such as when to come
//! back. Status, texts and whether the connection closes are in the table of reasons.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::reason::{self, Reason};

/// Makes the enum and its reasons out of one list. Each variant has the name of its reason; a field
/// comes with a sample for tests.
macro_rules! rejections {
    ($($name:ident $({ $(#[$doc:meta])* $field:ident: $type:ty = $sample:expr })?,)*) => {
        /// Why the proxy answers a request itself. The reason of the same name says what happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rejection {
            $($name $({ $(#[$doc])* $field: $type })?,)*
        }

        impl Rejection {
            /// Returns the row of the table of reasons.
            pub fn reason(self) -> Reason {
                match self {
                    $(Self::$name { .. } => Reason::$name,)*
                }
            }

            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name $({ $field: $sample })?,)*];
        }
    };
}

rejections! {
    MalformedHead,
    MalformedFraming,
    HostMissing,
    HostInvalid,
    HostNotPublished,
    UriTooLong,
    BodyTooLarge,
    FieldTooLarge,
    TooManyFields,
    HeadTooLarge,
    PathNotPublished,
    MethodNotAllowed { allow: Allow = Allow { get: true, head: true, post: true } },
    OperationMissing,
    OperationNotPublished,
    OperationAmbiguous,
    HeadTimeout,
    BodyTimeout,
    BodyAborted,
    RateClient { /** In seconds. */ retry_after: u64 = 1 },
    RateRefused { /** In seconds. */ retry_after: u64 = 1 },
    RateGlobal { /** In seconds. */ retry_after: u64 = 1 },
    Http2Limit,
    BuffersFull,
    ScepUnreadable,
    ScepMessageType,
    ScepDigest,
    ScepCipher,
    UpstreamBusy,
    ClientLeft,
    UpstreamRequestBytes,
    UpstreamName,
    UpstreamConnect,
    UpstreamConnectTimeout,
    UpstreamTls,
    UpstreamClosed,
    UpstreamInvalid,
    UpstreamTimeout,
    Internal,
}

/// Which of GET, HEAD and POST are published, for the Allow field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow {
    pub get: bool,
    pub head: bool,
    pub post: bool,
}

/// Names this proxy in responses of its own (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// When a client may come back if memory or permits have run out, in seconds. An estimate: neither
/// is known beforehand.
const RETRY_AFTER_BUSY: HeaderValue = HeaderValue::from_static("5");

impl Rejection {
    /// Returns what the client receives. Every reason of a rejection has a response; a test goes
    /// through all of them.
    fn row(self) -> reason::Response {
        const INTERNAL: reason::Response = Reason::Internal.row().response.expect("it has one");
        self.reason().row().response.unwrap_or(INTERNAL)
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Returns whether the client caused the rejection, so that it is charged to
    /// `rate_limit.refused_per_client`. A request over a rate is not charged a second time.
    pub fn is_charged(self) -> bool {
        self.status().is_client_error()
            && !matches!(self, Self::RateClient { .. } | Self::RateGlobal { .. })
    }

    /// Returns whether the connection closes after the response.
    pub fn closes(self) -> bool {
        self.row().closes
    }

    /// Returns the response: a constant text, and Proxy-Status so that an admin can tell it from a
    /// response of NDES.
    pub fn into_response(self) -> Response<Bytes> {
        let row = self.row();
        let (error, word) = (row.error, self.reason().word());
        let proxy_status = format!("ndes-proxy; error={error}; details=\"{word}\"");
        let text = format!("{}\n", row.sentence);
        let length = HeaderValue::from(text.len());
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = self.status();
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
                fields.insert(RETRY_AFTER, RETRY_AFTER_BUSY);
            }
            _ => {}
        }
        if row.closes {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rejection_has_a_response_and_every_response_a_rejection() {
        let rejections = Rejection::ALL.iter().map(|rejection| rejection.reason());
        let rejections: BTreeSet<_> = rejections.collect();
        assert_eq!(rejections, Reason::refusals().collect());
        for rejection in Rejection::ALL {
            assert!(!rejection.status().is_success(), "{rejection:?}");
        }
    }
}
