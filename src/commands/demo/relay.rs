//! A real SCEP server behind the simulated NDES, asked over plain HTTP.
//!
//! Called by `ndes` for GetCACaps, GetCACert and PKIOperation. All three have to come from the
//! same server: a device encrypts its request for the certificates that GetCACert gave it.

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

use super::iis::{self, Answer};

/// Where the SCEP server is: `http://host:port/path`, port 80 if none is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScepServer {
    authority: Authority,
    path: String,
}

impl FromStr for ScepServer {
    type Err = NotAScepServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || NotAScepServer(text.to_owned());
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

/// The text is no URL of a SCEP server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form http://host:port/path (no https, no query)")]
pub struct NotAScepServer(String);

impl ScepServer {
    /// GetCACaps and GetCACert: the query goes on as it came.
    ///
    /// # Errors
    /// When the server cannot be reached or gives no whole HTTP answer within a minute.
    pub async fn get(&self, query: &str) -> Result<Answer, RelayError> {
        self.ask(Method::GET, query, Bytes::new()).await
    }

    /// A PKIOperation with the message in bytes, always by POST: a GET would have to be escaped in
    /// the one form that this server reads, and real NDES takes both.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn pki_operation(&self, message: Bytes) -> Result<Answer, RelayError> {
        self.ask(Method::POST, "operation=PKIOperation", message)
            .await
    }

    async fn ask(&self, method: Method, query: &str, body: Bytes) -> Result<Answer, RelayError> {
        let mut request = Request::builder()
            .uri(format!("{}?{query}", self.path))
            .header(HOST, self.authority.as_str());
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-pki-message");
        }
        let request = request.method(method).body(Full::new(body))?;
        tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .unwrap_or(Err(RelayError::Late))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, RelayError> {
        let address = match self.authority.port() {
            Some(_) => self.authority.to_string(),
            None => format!("{}:80", self.authority),
        };
        let stream = TcpStream::connect(address)
            .await
            .map_err(RelayError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(RelayError::Body)?.to_bytes();
            let content_type = head.headers.get(CONTENT_TYPE).cloned();
            Ok(iis::with_server_fields(head.status, content_type, body))
        };
        // hyper wants the connection polled beside the request; its errors come through the answer.
        tokio::pin!(connection, answer);
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.as_mut().await,
        }
    }
}

/// Why the SCEP server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("the SCEP server cannot be reached")]
    Connect(#[source] io::Error),
    #[error("no HTTP request can be made of this query")]
    Request(#[from] http::Error),
    #[error("the SCEP server gave no HTTP answer")]
    Http(#[from] hyper::Error),
    #[error("the SCEP server's answer broke off or is over 16 MiB")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the SCEP server did not answer within a minute")]
    Late,
}

const PATIENCE: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 16 << 20;

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
