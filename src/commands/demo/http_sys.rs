//! Simulates the limits of HTTP.sys and of IIS request filtering, and their error responses.
//!
//! Called by `ndes` before it reads the path. hyper's own limits are higher: it answers 414 to a
//! target over 65534 bytes and 431 to a request head over 1 MiB, both without a body.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use http_body_util::Full;

use super::iis::{self, FullResponse};
use super::query::percent_decode;

/// The limits in bytes. Each is the highest value that passes. The defaults are those of a server
/// that is set up for Intune, except for [`Self::max_request_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSysLimits {
    /// `MaxFieldLength`: one header field, name and value; also the request target.
    pub max_field_length: usize,
    /// `MaxRequestBytes`: request line and header fields together. With the 65534 of most guides
    /// a target of 65534 bytes cannot pass, so the default is 131072.
    pub max_request_bytes: usize,
    /// `UrlSegmentMaxLength`: one decoded segment of the path.
    pub url_segment_max_length: usize,
    /// `maxUrl` of request filtering: the path.
    pub max_url: usize,
    /// `maxQueryString` of request filtering: the query without its `?`.
    pub max_query_string: usize,
}

impl Default for HttpSysLimits {
    fn default() -> Self {
        Self {
            max_field_length: 65534,
            max_request_bytes: 131_072,
            url_segment_max_length: 260,
            max_url: 65534,
            max_query_string: 65534,
        }
    }
}

impl HttpSysLimits {
    /// Checks whether a request with this head reaches mscep.dll. HTTP.sys checks it first, then
    /// request filtering.
    ///
    /// # Errors
    /// The first rule that the head violates.
    pub fn check(&self, head: &request::Parts, target: &str) -> Result<(), Violation> {
        // HTTP.sys lowers MaxFieldLength to MaxRequestBytes if that is less.
        let longest_field = self.max_field_length.min(self.max_request_bytes);
        if field_lengths(head).any(|length| length > longest_field) {
            return Err(Violation::RequestTooLong);
        }
        if target.len() > longest_field {
            return Err(Violation::UriTooLong);
        }
        let request_line = head.method.as_str().len() + target.len() + "  HTTP/1.1\r\n".len();
        let fields: usize = field_lengths(head)
            .map(|length| length + "\r\n".len())
            .sum();
        if request_line + fields > self.max_request_bytes {
            return Err(Violation::RequestTooLong);
        }
        let path = percent_decode(head.uri.path());
        if path
            .split(|byte| *byte == b'/')
            .any(|segment| segment.len() > self.url_segment_max_length)
        {
            return Err(Violation::InvalidUrl);
        }
        if head.method == Method::POST && !head.headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Violation::LengthRequired);
        }
        if head.uri.path().len() > self.max_url {
            return Err(Violation::UrlTooLong);
        }
        if head
            .uri
            .query()
            .is_some_and(|query| query.len() > self.max_query_string)
        {
            return Err(Violation::QueryStringTooLong);
        }
        Ok(())
    }
}

/// The rule because of which a request does not reach mscep.dll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// HTTP.sys: `MaxFieldLength` or `MaxRequestBytes`.
    RequestTooLong,
    /// HTTP.sys: a target over `MaxFieldLength`.
    UriTooLong,
    /// HTTP.sys: `UrlSegmentMaxLength`.
    InvalidUrl,
    /// HTTP.sys: a POST without Content-Length; IIS hands no chunked body to mscep.dll.
    LengthRequired,
    /// IIS: 404.14.
    UrlTooLong,
    /// IIS: 404.15.
    QueryStringTooLong,
}

impl Violation {
    /// Returns the error response. HTTP.sys closes the connection after it, IIS does not.
    pub fn into_response(self) -> FullResponse {
        match self {
            Self::RequestTooLong => http_sys_page(
                StatusCode::BAD_REQUEST,
                "Bad Request - Request Too Long",
                "HTTP Error 400. The request line and its headers are too long.",
            ),
            Self::UriTooLong => http_sys_page(
                StatusCode::URI_TOO_LONG,
                "Request-URI Too Long",
                "HTTP Error 414. The URL is too long.",
            ),
            Self::InvalidUrl => http_sys_page(
                StatusCode::BAD_REQUEST,
                "Bad Request - Invalid URL",
                "HTTP Error 400. The URL is not valid.",
            ),
            Self::LengthRequired => http_sys_page(
                StatusCode::LENGTH_REQUIRED,
                "Length Required",
                "HTTP Error 411. The request has no Content-Length.",
            ),
            // Only the IIS log contains the substatus. The page is that of any missing file.
            Self::UrlTooLong | Self::QueryStringTooLong => not_found(),
        }
    }
}

/// Returns the page of IIS for a missing file.
pub fn not_found() -> FullResponse {
    iis::page(
        StatusCode::NOT_FOUND,
        "404 - File or directory not found.",
        "There is nothing at this address.",
    )
}

/// Returns the page of HTTP.sys if an application pool is stopped, or too many requests wait for
/// it.
pub fn service_unavailable() -> FullResponse {
    http_sys_page(
        StatusCode::SERVICE_UNAVAILABLE,
        "Service Unavailable",
        "HTTP Error 503. The service is unavailable.",
    )
}

fn field_lengths(head: &request::Parts) -> impl Iterator<Item = usize> {
    let fields = head.headers.iter();
    fields.map(|(name, value)| name.as_str().len() + ": ".len() + value.len())
}

fn http_sys_page(status: StatusCode, heading: &str, text: &str) -> FullResponse {
    let mut response = Response::new(Full::new(Bytes::from(iis::html(heading, text))));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=us-ascii"),
        (header::SERVER, "Microsoft-HTTPAPI/2.0"),
        (header::CONNECTION, "close"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(limits: &HttpSysLimits, request: request::Builder) -> Result<(), Violation> {
        let head = request.body(()).unwrap().into_parts().0;
        let target = head.uri.to_string();
        limits.check(&head, &target)
    }

    #[test]
    fn one_header_field_may_be_as_long_as_max_field_length() {
        let limits = HttpSysLimits {
            max_field_length: 10,
            ..HttpSysLimits::default()
        };
        let with = |value: &str| Request::get("/").header("accept", value);
        assert_eq!(check(&limits, with("aa")), Ok(()));
        assert_eq!(check(&limits, with("aaa")), Err(Violation::RequestTooLong));
        assert_eq!(check(&limits, Request::get("/123456789")), Ok(()));
        assert_eq!(
            check(&limits, Request::get("/1234567890")),
            Err(Violation::UriTooLong)
        );
    }

    #[test]
    fn request_line_and_header_fields_may_be_as_long_as_max_request_bytes() {
        // "GET /12345 HTTP/1.1\r\n" is 21 bytes, "host: a\r\n" is 9.
        let limits = HttpSysLimits {
            max_request_bytes: 30,
            ..HttpSysLimits::default()
        };
        let to = |path: &str| Request::get(path).header("host", "a");
        assert_eq!(check(&limits, to("/12345")), Ok(()));
        assert_eq!(
            check(&limits, to("/123456")),
            Err(Violation::RequestTooLong)
        );
    }

    #[test]
    fn a_path_segment_is_decoded_before_it_is_measured() {
        let limits = HttpSysLimits {
            url_segment_max_length: 4,
            ..HttpSysLimits::default()
        };
        assert_eq!(check(&limits, Request::get("/abcd/%61bcd")), Ok(()));
        assert_eq!(
            check(&limits, Request::get("/abcde")),
            Err(Violation::InvalidUrl)
        );
        assert_eq!(check(&limits, Request::get("/a?abcdefgh")), Ok(()));
    }

    #[test]
    fn path_and_query_have_separate_limits() {
        let limits = HttpSysLimits {
            max_url: 4,
            max_query_string: 2,
            ..HttpSysLimits::default()
        };
        assert_eq!(check(&limits, Request::get("/abc?xy")), Ok(()));
        assert_eq!(
            check(&limits, Request::get("/abcd?xy")),
            Err(Violation::UrlTooLong)
        );
        assert_eq!(
            check(&limits, Request::get("/abc?xyz")),
            Err(Violation::QueryStringTooLong)
        );
    }

    #[test]
    fn a_post_requires_content_length() {
        let limits = HttpSysLimits::default();
        assert_eq!(
            check(&limits, Request::post("/")),
            Err(Violation::LengthRequired)
        );
        assert_eq!(
            check(&limits, Request::post("/").header("content-length", "0")),
            Ok(())
        );
    }
}
