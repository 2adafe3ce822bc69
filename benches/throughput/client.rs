//! An HTTPS client with as little HTTP/1.1 as the bench needs. It sends prepared bytes, so that it
//! costs less CPU time than any proxy. `load` and `preflight` use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Result;
use crate::pki::{PUBLIC_NAME, Pki};
use crate::scenarios::{Handshake, Key, Tls, Version};

/// Maximum time for a handshake or an exchange; only a hang takes this long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens connections to one proxy. A TLS session is resumed only by the client that established it.
pub(crate) struct Client {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
}

pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Client {
    /// Creates a client that offers `protocol` by ALPN.
    pub(crate) fn new(address: SocketAddr, tls: Tls, protocol: &str, pki: &Pki) -> Result<Self> {
        let mut provider = aws_lc_rs::default_provider();
        // The key share is X25519 for all servers: the same work, and no second round trip. P-256
        // is in the list because TLS 1.2 allows ECDSA certificates only on the curves that the
        // client names (RFC 8422 section 5.1).
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version(tls.version)])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedCertificate::new(tls.key, pki)))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        config.resumption = match tls.handshake {
            Handshake::ResumedEach => Resumption::in_memory_sessions(8),
            Handshake::Once | Handshake::FullEach => Resumption::disabled(),
        };
        Ok(Self {
            address,
            name: ServerName::try_from(PUBLIC_NAME)?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Returns this client with `name` in SNI instead of [`PUBLIC_NAME`].
    pub(crate) fn named(mut self, name: &str) -> Result<Self> {
        self.name = ServerName::try_from(name.to_owned())?;
        Ok(self)
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        Ok(Connection {
            stream: self.open().await?,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Opens a TCP connection and completes the TLS handshake.
    pub(crate) async fn open(&self) -> Result<TlsStream<TcpStream>> {
        tokio::time::timeout(TIMEOUT, async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            Ok(self.connector.connect(self.name.clone(), stream).await?)
        })
        .await
        .map_err(|_| "no TLS connection within 10 s")?
    }
}

impl Connection {
    pub(crate) fn handshake(&self) -> Option<HandshakeKind> {
        self.stream.get_ref().1.handshake_kind()
    }

    /// Sends `request` and reads the complete response, which must have a Content-Length.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Response<'_>> {
        tokio::time::timeout(TIMEOUT, self.exchange_unbounded(request))
            .await
            .map_err(|_| "no complete response within 10 s")?
    }

    async fn exchange_unbounded(&mut self, request: &[u8]) -> Result<Response<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let head = loop {
            self.read_more().await?;
            if let Some(at) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
        };
        let (status, length) = parse(&self.buffer[..head])?;
        self.buffer
            .reserve((head + length).saturating_sub(self.buffer.len()));
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        if self.buffer.len() > head + length {
            return Err("bytes after the response".into());
        }
        let body = &self.buffer[head..];
        Ok(Response { status, body })
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the proxy closed the connection before the response was complete".into()),
            _ => Ok(()),
        }
    }

    /// Sends close_notify and does not wait for the one of the proxy.
    pub(crate) async fn close(mut self) {
        self.stream.get_mut().1.send_close_notify();
        // The proxy may have closed first. The response was complete, so this is no error.
        let _ = self.stream.flush().await;
    }
}

fn version(version: Version) -> &'static SupportedProtocolVersion {
    match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    }
}

/// Returns the status code and the Content-Length.
fn parse(head: &[u8]) -> Result<(u16, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head)?;
    let status = response.code.ok_or("a response without a status code")?;
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .ok_or("a response without Content-Length")?;
    Ok((status, std::str::from_utf8(length.value)?.trim().parse()?))
}

/// Accepts exactly one certificate and does not verify signatures. The bench measures the cost of
/// the proxies; it only has to be sure which key they signed with.
#[derive(Debug)]
struct PinnedCertificate {
    certificate: CertificateDer<'static>,
    schemes: Vec<SignatureScheme>,
}

impl PinnedCertificate {
    fn new(key: Key, pki: &Pki) -> Self {
        match key {
            Key::Ecdsa => Self {
                certificate: pki.ecdsa.clone(),
                schemes: vec![SignatureScheme::ECDSA_NISTP256_SHA256],
            },
            Key::Rsa => Self {
                certificate: pki.rsa.clone(),
                schemes: vec![
                    SignatureScheme::RSA_PSS_SHA256,
                    SignatureScheme::RSA_PKCS1_SHA256,
                ],
            },
        }
    }
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
