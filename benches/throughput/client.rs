//! One HTTPS client: as little HTTP/1.1 as the bench needs, over bytes made beforehand, so that it costs less than any
//! proxy. Used by `load` and `preflight`.

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

/// Nothing here takes as long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections to one proxy. Sessions are resumed within one client only.
pub(crate) struct Client {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
}

pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Client {
    /// `protocol` is what it offers by ALPN.
    pub(crate) fn new(address: SocketAddr, tls: Tls, protocol: &str, pki: &Pki) -> Result<Self> {
        let mut provider = aws_lc_rs::default_provider();
        // The key share is X25519 for all servers: the same work, no second round trip. P-256 is named as TLS 1.2
        // allows ECDSA certificates of named curves only (RFC 8422 section 5.1).
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version(tls.version)])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned::new(tls.key, pki)))
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

    /// The same with another name in SNI.
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

    /// TCP and TLS.
    pub(crate) async fn open(&self) -> Result<TlsStream<TcpStream>> {
        tokio::time::timeout(PATIENCE, async {
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

    /// Sends `request` and reads the whole answer, whose length the head must tell.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        tokio::time::timeout(PATIENCE, self.exchange_unbounded(request))
            .await
            .map_err(|_| "no whole answer within 10 s")?
    }

    async fn exchange_unbounded(&mut self, request: &[u8]) -> Result<Answer<'_>> {
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
            return Err("bytes after the answer".into());
        }
        let body = &self.buffer[head..];
        Ok(Answer { status, body })
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the proxy closed before the end of the answer".into()),
            _ => Ok(()),
        }
    }

    /// Says good-bye as TLS wants it, and does not wait for an answer.
    pub(crate) async fn close(mut self) {
        self.stream.get_mut().1.send_close_notify();
        // The proxy may have closed first: the answer was whole, so this is no error.
        let _ = self.stream.flush().await;
    }
}

fn version(version: Version) -> &'static SupportedProtocolVersion {
    match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    }
}

/// Status and Content-Length.
fn parse(head: &[u8]) -> Result<(u16, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head)?;
    let status = response.code.ok_or("an answer without a status")?;
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without Content-Length")?;
    Ok((status, std::str::from_utf8(length.value)?.trim().parse()?))
}

/// Accepts one certificate, byte by byte, and believes its signature: it is the proxies' cost that is measured, and
/// which key they signed with is all that has to be sure.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    schemes: Vec<SignatureScheme>,
}

impl Pinned {
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

impl ServerCertVerifier for Pinned {
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
