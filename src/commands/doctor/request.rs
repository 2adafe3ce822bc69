//! Sends one request over HTTP/1.1 and reads the complete response.

use bytes::Bytes;
use http::header::{HOST, SERVER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::base::client::escaped;
use crate::base::rejection::PROXY_STATUS;
use crate::insight::diagnosis::Answerer;

/// The User-Agent of all requests of the doctor, which identifies them in the IIS log.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("ndes-proxy doctor");

/// The maximum size of a response body. A response to GetCACert with a long chain is below 32 KB.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// A complete response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

/// The reason why there is no complete response.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("{0}")]
    Connection(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the response is incomplete, or larger than 1 MB")]
    Body,
    /// The limit in seconds.
    #[error("no response within {0} seconds")]
    Timeout(u64),
}

impl Response {
    pub(super) fn answerer(&self) -> Answerer {
        Answerer::of(&self.fields)
    }

    /// Returns status and server, for instance `403 by Microsoft-IIS/10.0`.
    pub(super) fn summary(&self) -> String {
        let status = self.status.as_u16();
        let server = self.fields.get(SERVER).map(HeaderValue::as_bytes);
        match (self.answerer(), server) {
            (Answerer::HttpSys, _) => format!("{status} by HTTP.sys"),
            (_, Some(name)) => format!("{status} by {}", escaped(name, 60)),
            (_, None) => format!("{status} by a server that does not name itself"),
        }
    }

    /// Returns the reason word if the proxy itself generated the response. Returns `None` if
    /// another server did.
    pub(super) fn proxy_reason(&self) -> Option<&str> {
        let status = self.fields.get(PROXY_STATUS)?.to_str().ok()?;
        let rest = status.strip_prefix("ndes-proxy;")?;
        let (_, reason) = rest.split_once("details=\"")?;
        let reason = reason.split('"').next()?;
        // Any other text is not from the proxy and must not reach a terminal.
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (reason.len() <= 64 && reason.bytes().all(is_word)).then_some(reason)
    }
}

/// Sends a GET of `target` on `wire`, a connection for this request only.
pub(super) async fn get<W>(
    wire: W,
    host: &str,
    target: PathAndQuery,
) -> Result<Response, RequestError>
where
    W: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await?;
    // The errors of the connection are also returned by `send_request`.
    let driver = tokio::spawn(async { _ = connection.await });
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from(target);
    let fields = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(host) {
        fields.insert(HOST, host);
    }
    fields.insert(USER_AGENT, AGENT);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|_| RequestError::Body)?.to_bytes();
    drop(sender);
    driver.abort();
    Ok(Response {
        status: head.status,
        fields: head.headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rejection::Rejection;

    fn response(name: http::HeaderName, value: &'static str) -> Response {
        let mut fields = HeaderMap::new();
        fields.insert(name, HeaderValue::from_static(value));
        Response {
            status: StatusCode::NOT_FOUND,
            fields,
            body: Bytes::new(),
        }
    }

    #[test]
    fn responses_of_the_proxy_are_recognised_by_their_reason() {
        for rejection in Rejection::ALL {
            let (head, body) = rejection.into_response().into_parts();
            let response = Response {
                status: head.status,
                fields: head.headers,
                body,
            };
            assert_eq!(response.proxy_reason(), Some(rejection.reason().word()));
        }
        for other in [
            "another; error=x; details=\"path_not_published\"",
            "ndes-proxy; error=x",
            "ndes-proxy; details=\"<b>\"",
            "ndes-proxy; details=\"a b\"",
        ] {
            assert_eq!(response(PROXY_STATUS, other).proxy_reason(), None);
        }
    }

    #[test]
    fn a_summary_names_the_server_without_control_characters() {
        let summary = |value| response(SERVER, value).summary();
        assert_eq!(summary("Microsoft-HTTPAPI/2.0"), "404 by HTTP.sys");
        assert_eq!(summary("Microsoft-IIS/10.0"), "404 by Microsoft-IIS/10.0");
        assert_eq!(summary("a\tb"), "404 by a\\tb");
    }
}
