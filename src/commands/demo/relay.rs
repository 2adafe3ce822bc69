//! Forwards requests of the simulated NDES to a real SCEP server over plain HTTP.
//!
//! Called by `ndes` for GetCACaps, GetCACert and PKIOperation. The same server must respond to all
//! three, because a device encrypts its request with the certificates from GetCACert.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::iis::{self, FullResponse};

/// The URL of the SCEP server: `http://host:port/path`. The default port is 80.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScepServer {
    authority: Authority,
    path: String,
}

impl FromStr for ScepServer {
    type Err = InvalidScepServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || InvalidScepServer(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let plain = uri.scheme() == Some(&Scheme::HTTP) && uri.query().is_none();
        match uri.authority() {
            Some(authority) if plain && !authority.as_str().contains('@') => Ok(Self {
                authority: authority.clone(),
                path: uri.path().to_owned(),
            }),
            _ => Err(refuse()),
        }
    }
}

/// The text is not the URL of a SCEP server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form http://host:port/path (no https, no query)")]
pub struct InvalidScepServer(String);

impl ScepServer {
    /// Forwards GetCACaps or GetCACert with an unchanged query.
    ///
    /// # Errors
    /// The server cannot be reached, or does not send a complete HTTP response within a minute.
    pub async fn get(&self, query: &str) -> Result<FullResponse, RelayError> {
        self.request(Method::GET, query, Bytes::new()).await
    }

    /// Forwards a PKIOperation with the decoded message, always by POST. A GET would need the
    /// escaping that this particular server reads, and a real NDES accepts both methods.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn pki_operation(&self, message: Bytes) -> Result<FullResponse, RelayError> {
        self.request(Method::POST, "operation=PKIOperation", message)
            .await
    }

    async fn request(
        &self,
        method: Method,
        query: &str,
        body: Bytes,
    ) -> Result<FullResponse, RelayError> {
        let mut request = Request::builder()
            .uri(format!("{}?{query}", self.path))
            .header(HOST, self.authority.as_str());
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-pki-message");
        }
        let request = request.method(method).body(Full::new(body))?;
        tokio::time::timeout(TIMEOUT, self.exchange(request))
            .await
            .unwrap_or(Err(RelayError::Timeout))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<FullResponse, RelayError> {
        let address = match self.authority.port() {
            Some(_) => self.authority.to_string(),
            None => format!("{}:80", self.authority),
        };
        let stream = TcpStream::connect(address)
            .await
            .map_err(RelayError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let response = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
            let body = body.map_err(RelayError::Body)?.to_bytes();
            let content_type = head.headers.get(CONTENT_TYPE).cloned();
            Ok(iis::with_server_fields(head.status, content_type, body))
        };
        // hyper requires that the connection is polled together with the request. The response
        // future returns the errors of both.
        tokio::pin!(connection, response);
        tokio::select! {
            response = &mut response => response,
            _ = &mut connection => response.as_mut().await,
        }
    }
}

/// The reason why there is no response of the SCEP server.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("the SCEP server cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the query cannot be used in an HTTP request")]
    Request(#[from] http::Error),
    #[error("the SCEP server did not send an HTTP response")]
    Http(#[from] hyper::Error),
    #[error("the SCEP server's response is incomplete or larger than 16 MiB")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the SCEP server did not respond within a minute")]
    Timeout,
}

const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_RESPONSE_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scep_server_is_a_plain_http_url() {
        let server: ScepServer = "http://127.0.0.1:8080/scep".parse().unwrap();
        assert_eq!(server.authority.as_str(), "127.0.0.1:8080");
        assert_eq!(server.path, "/scep");
        for text in [
            "https://127.0.0.1/scep",
            "127.0.0.1:8080/scep",
            "/scep",
            "http://u@h/scep",
            "http://h/scep?a=b",
            "",
        ] {
            assert!(text.parse::<ScepServer>().is_err(), "{text}");
        }
    }
}
