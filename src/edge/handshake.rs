//! The TLS handshake: which application the client requests, with its certificate. A refused client
//! is logged, so that an admin can find the device.

use std::io;
use std::net::SocketAddr;

use rustls::server::{Accepted, Acceptor};
use rustls::{AlertDescription, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;
use tracing::info;

use crate::base::client::escaped;
use crate::observe::metrics::Handshake;
use crate::proxy::generation::Generation;
use crate::proxy::process::Process;
use crate::proxy::site::Sni;
use crate::tls::hello::{self, Hello};
use crate::tls::server::UNRECOGNIZED_NAME_ALERT;

/// A public connection. Boxed because it is large: each future that holds it in turn would reserve
/// memory for it, in every idle connection.
pub(super) type Stream = Box<TlsStream<TcpStream>>;

/// A connection whose handshake is complete.
pub(super) struct Established {
    pub(super) stream: Stream,
    result: Handshake,
    pub(super) version: &'static str,
    pub(super) sni: Option<Sni>,
    /// Whether ALPN selected HTTP/2.
    pub(super) h2: bool,
}

/// A handshake that failed.
pub(super) struct FailedHandshake {
    result: Handshake,
    /// `None` if the client sent nothing, as a TCP health check does.
    hello: Option<Hello>,
    error: Option<io::Error>,
}

/// The most bytes of a ClientHello that are kept. With post-quantum keys it is longer, but old
/// clients send short ones.
const FIRST_BYTES: usize = 2_048;
/// As much as rustls takes in one call, so that no bytes behind the ClientHello are left over.
const PIECE: usize = 4_096;

/// Performs the handshake. The certificate is selected by SNI; without SNI it is that of the first
/// application (old printers, load balancers).
pub(super) async fn accept(
    generation: &Generation,
    tcp: TcpStream,
    deadline: Instant,
) -> Result<Established, FailedHandshake> {
    // Kept for a failed handshake, because rustls consumes what it reads.
    let mut first = Vec::new();
    match timeout_at(deadline, perform(generation, tcp, &mut first)).await {
        Ok(Ok(established)) => Ok(established),
        Ok(Err(failure)) => Err(FailedHandshake::new(failure, &first)),
        Err(_elapsed) => Err(FailedHandshake::new(
            Failure::Known(Handshake::TimedOut),
            &first,
        )),
    }
}

/// Counts a handshake. A failed one is logged with what the client offered.
pub(super) fn count(
    process: &Process,
    established: &Result<Established, FailedHandshake>,
    client: SocketAddr,
) {
    let failed = match established {
        Ok(established) => return process.metrics.handshake(established.result),
        Err(failed) => failed,
    };
    process.metrics.handshake(failed.result);
    let Some(hello) = &failed.hello else { return };
    if !process.may_log_refusal() {
        return process.metrics.log_lines_suppressed.inc();
    }
    let server_name = hello.server_name.as_deref();
    let sni = server_name.map(|name| escaped(name, 120));
    info!(
        target: "tls",
        client = %client.ip().to_canonical(),
        port = client.port(),
        result = failed.result.as_str(),
        offered = hello.version_text(),
        sni,
        error = failed.error.as_ref().map(tracing::field::display),
        "handshake refused"
    );
}

enum Failure {
    Known(Handshake),
    Tls(io::Error),
}

async fn perform(
    generation: &Generation,
    mut tcp: TcpStream,
    first: &mut Vec<u8>,
) -> Result<Established, Failure> {
    let accepted = client_hello(&mut tcp, first).await.map_err(Failure::Tls)?;
    let name = accepted
        .client_hello()
        .server_name()
        .map(str::to_ascii_lowercase);
    let sni = name.map(|name| generation.site.sni(name.into()));
    let application = match &sni {
        None => generation.site.default_application(),
        Some(Sni {
            application: Some(application),
            ..
        }) => application,
        Some(Sni {
            application: None, ..
        }) => {
            // rustls would send access_denied; this alert says what is wrong (RFC 6066 §3).
            _ = tcp.write_all(&UNRECOGNIZED_NAME_ALERT).await;
            _ = tcp.shutdown().await;
            return Err(Failure::Known(Handshake::UnknownName));
        }
    };
    let start = StartHandshake::from_parts(accepted, tcp);
    let stream = start.into_stream(application.tls.clone());
    let stream = stream.await.map_err(Failure::Tls)?;

    let (_, tls) = stream.get_ref();
    let (result, version) = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => (Handshake::Tls13, "1.3"),
        _ => (Handshake::Tls12, "1.2"),
    };
    let h2 = tls.alpn_protocol() == Some(b"h2");
    Ok(Established {
        stream: Box::new(stream),
        result,
        version,
        sni,
        h2,
    })
}

/// Reads until the ClientHello is complete and keeps its beginning in `first`, in however many
/// pieces it arrives. rustls limits it to 64 KB. Anything else receives the alert that says why.
async fn client_hello(tcp: &mut TcpStream, first: &mut Vec<u8>) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    let mut piece = vec![0; PIECE];
    loop {
        let read = tcp.read(&mut piece).await?;
        let mut arrived = &piece[..read];
        first.extend(arrived.iter().take(FIRST_BYTES.saturating_sub(first.len())));
        if arrived.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !arrived.is_empty() {
            acceptor.read_tls(&mut arrived)?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(accepted),
                Err((error, mut alert)) => {
                    let mut record = Vec::new();
                    alert.write_all(&mut record)?;
                    tcp.write_all(&record).await?;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }
}

impl FailedHandshake {
    fn new(failure: Failure, first: &[u8]) -> Self {
        let hello = (!first.is_empty()).then(|| hello::read(first));
        let (result, error) = match failure {
            Failure::Known(result) => (result, None),
            Failure::Tls(error) => {
                let old = hello.as_ref().is_some_and(Hello::is_old);
                (
                    if old {
                        Handshake::OldTls
                    } else {
                        result_of(&error)
                    },
                    Some(error),
                )
            }
        };
        Self {
            result,
            hello,
            error,
        }
    }
}

fn result_of(error: &io::Error) -> Handshake {
    use AlertDescription as Alert;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => {
            Handshake::NothingInCommon
        }
        Some(rustls::Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnsupportedCertificate,
        )) => Handshake::CertificateRefused,
        _ => Handshake::Failed,
    }
}
