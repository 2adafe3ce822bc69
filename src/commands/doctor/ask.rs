//! One question over HTTP/1.1, and its whole answer.

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

/// In the IIS log this is how the doctor's questions are known.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("ndes-proxy doctor");

/// GetCACert of a long chain is below 32 KB.
pub(super) const MOST_BODY: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("{0}")]
    Connection(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer breaks off, or is over 1 MB")]
    Body,
    #[error("no answer in {0} seconds")]
    Late(u64),
}

impl Answered {
    pub(super) fn answerer(&self) -> Answerer {
        Answerer::of(&self.fields)
    }

    /// As `403 by Microsoft-IIS/10.0`.
    pub(super) fn told(&self) -> String {
        let status = self.status.as_u16();
        let server = self.fields.get(SERVER).map(HeaderValue::as_bytes);
        match (self.answerer(), server) {
            (Answerer::HttpSys, _) => format!("{status} by HTTP.sys"),
            (_, Some(name)) => format!("{status} by {}", escaped(name, 60)),
            (_, None) => format!("{status} by a server that does not say its name"),
        }
    }

    /// Why the proxy itself answered; none where somebody else did.
    pub(super) fn reason_of_proxy(&self) -> Option<&str> {
        let status = self.fields.get(PROXY_STATUS)?.to_str().ok()?;
        let rest = status.strip_prefix("ndes-proxy;")?;
        let (_, reason) = rest.split_once("details=\"")?;
        let reason = reason.split('"').next()?;
        // Whatever else stands there is not from the proxy, and does not go to a terminal.
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (reason.len() <= 64 && reason.bytes().all(is_word)).then_some(reason)
    }
}

/// A GET of `target` on a connection of its own.
pub(super) async fn get<W>(
    wire: W,
    host: &str,
    target: PathAndQuery,
) -> Result<Answered, Unanswered>
where
    W: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await?;
    // Its errors reach whoever waits for the answer.
    let driver = tokio::spawn(async { _ = connection.await });
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from(target);
    let fields = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(host) {
        fields.insert(HOST, host);
    }
    fields.insert(USER_AGENT, AGENT);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MOST_BODY).collect().await;
    let body = body.map_err(|_| Unanswered::Body)?.to_bytes();
    drop(sender);
    driver.abort();
    Ok(Answered {
        status: head.status,
        fields: head.headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rejection::Rejection;

    fn answered(name: http::HeaderName, value: &'static str) -> Answered {
        let mut fields = HeaderMap::new();
        fields.insert(name, HeaderValue::from_static(value));
        Answered {
            status: StatusCode::NOT_FOUND,
            fields,
            body: Bytes::new(),
        }
    }

    #[test]
    fn answers_of_the_proxy_are_known_by_their_reason() {
        for rejection in Rejection::ALL {
            let (head, body) = rejection.into_response().into_parts();
            let answer = Answered {
                status: head.status,
                fields: head.headers,
                body,
            };
            assert_eq!(answer.reason_of_proxy(), Some(rejection.reason().word()));
        }
        for other in [
            "another; error=x; details=\"path_not_published\"",
            "ndes-proxy; error=x",
            "ndes-proxy; details=\"<b>\"",
            "ndes-proxy; details=\"a b\"",
        ] {
            assert_eq!(answered(PROXY_STATUS, other).reason_of_proxy(), None);
        }
    }

    #[test]
    fn who_answered_is_told_without_what_a_terminal_would_obey() {
        let told = |value| answered(SERVER, value).told();
        assert_eq!(told("Microsoft-HTTPAPI/2.0"), "404 by HTTP.sys");
        assert_eq!(told("Microsoft-IIS/10.0"), "404 by Microsoft-IIS/10.0");
        assert_eq!(told("a\tb"), "404 by a\\tb");
    }
}
