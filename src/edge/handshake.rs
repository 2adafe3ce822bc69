//! The TLS handshake: which application the client asks for, under its certificate.

use std::sync::Arc;

use rustls::ProtocolVersion;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::generation::Generation;
use crate::metrics::Handshake;
use crate::tls::server::UNRECOGNIZED_NAME_ALERT;

/// A connection whose handshake is done.
pub(super) struct Shaken {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) result: Handshake,
    pub(super) version: &'static str,
    pub(super) sni: Option<Arc<str>>,
    pub(super) application: Option<usize>,
    /// ALPN agreed on HTTP/2.
    pub(super) h2: bool,
}

/// Certificate by SNI; without SNI that of the first application (old printers, load balancers).
pub(super) async fn accept(generation: &Generation, tcp: TcpStream) -> Result<Shaken, Handshake> {
    let mut acceptor = std::pin::pin!(LazyConfigAcceptor::new(
        rustls::server::Acceptor::default(),
        tcp
    ));
    let start = acceptor.as_mut().await.map_err(|_| Handshake::Failed)?;
    let sni: Option<Arc<str>> = start
        .client_hello()
        .server_name()
        .map(|name| name.to_ascii_lowercase().into());
    let application = match &sni {
        None => None,
        Some(name) => match generation.site.find(name) {
            Some(index) => Some(index),
            None => {
                let mut tcp = start.io;
                // rustls would say access_denied; this says what is wrong (RFC 6066 §3).
                _ = tcp.write_all(&UNRECOGNIZED_NAME_ALERT).await;
                _ = tcp.shutdown().await;
                return Err(Handshake::UnknownName);
            }
        },
    };
    let published = generation
        .applications
        .get(application.unwrap_or(0))
        .ok_or(Handshake::Failed)?;
    let stream = start
        .into_stream(published.tls.clone())
        .await
        .map_err(|_| Handshake::Failed)?;

    let (_, tls) = stream.get_ref();
    let (result, version) = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => (Handshake::Tls13, "1.3"),
        _ => (Handshake::Tls12, "1.2"),
    };
    let h2 = tls.alpn_protocol() == Some(b"h2");
    Ok(Shaken {
        stream,
        result,
        version,
        sni,
        application,
        h2,
    })
}
