//! Upstreams whose TLS is wrong: certificates that the proxy must reject, and servers that demand
//! what the proxy does not offer.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use ndes_proxy::commands::demo::pki::{Issued, Key, Leaf, Pki};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use time::{Duration, OffsetDateTime};

use super::pki::pki;
use super::{INTERNAL, tcp};

/// A certificate from the root that the proxy trusts.
pub fn issued(leaf: Leaf) -> Issued {
    pki().internal_root.issue(&leaf).unwrap()
}

/// The right name from a CA that the proxy does not trust.
pub fn of_unknown_ca() -> Issued {
    let unknown = Pki::new("stranger CA", Key::EcdsaP256).unwrap();
    unknown.issue(&Leaf::server(&[INTERNAL])).unwrap()
}

/// From a CA with the name of the trusted CA, and another key.
pub fn of_ca_with_the_same_name() -> Issued {
    let other = Pki::new("internal root", Key::EcdsaP256).unwrap();
    other.issue(&Leaf::server(&[INTERNAL])).unwrap()
}

/// From a CA below the trusted CA, whose certificate the server does not send.
pub fn without_intermediate() -> Issued {
    let hidden = pki()
        .internal_root
        .intermediate("issuing CA", Key::EcdsaP256);
    let mut issued = hidden.unwrap().issue(&Leaf::server(&[INTERNAL])).unwrap();
    issued.chain.truncate(1);
    issued
}

pub fn of_other_names() -> Issued {
    issued(Leaf::server(&["other.corp.test", "third.corp.test"]))
}

/// The right name, but only as CN and not as SAN.
pub fn common_name_only() -> Leaf {
    Leaf {
        common_name: INTERNAL.to_owned(),
        ..Leaf::server(&[])
    }
}

/// Expired two days ago.
pub fn expired() -> Issued {
    let now = OffsetDateTime::now_utc();
    issued(Leaf {
        not_before: now - Duration::DAY * 9,
        not_after: now - Duration::DAY * 2,
        ..Leaf::server(&[INTERNAL])
    })
}

pub fn not_yet_valid() -> Issued {
    issued(Leaf {
        not_before: OffsetDateTime::now_utc() + Duration::DAY * 2,
        ..Leaf::server(&[INTERNAL])
    })
}

/// Valid for TLS clients only.
pub fn for_clients() -> Issued {
    issued(Leaf {
        extended_key_usages: vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth],
        ..Leaf::server(&[INTERNAL])
    })
}

/// A healthy server that speaks only this version.
pub fn speaking(version: &'static SupportedProtocolVersion) -> ServerConfig {
    ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pki().internal.chain.clone(), key(&pki().internal))
        .unwrap()
}

/// Demands a client certificate in the handshake.
pub fn demanding(version: &'static SupportedProtocolVersion) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(pki().internal_root.certificate().clone())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(pki().internal.chain.clone(), key(&pki().internal))
        .unwrap()
}

/// Demands a client certificate after the request, as IIS does under TLS 1.2 if only a folder below
/// the site requires one: it knows the path only then, and begins a second handshake.
pub fn demanding_after_the_request() -> SocketAddr {
    let config = Arc::new(speaking(&version::TLS12));
    tcp::serve(move |mut socket| {
        let mut tls = ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        // A record of type handshake; its content is not read before the connection is closed.
        socket.write_all(b"\x16\x03\x03\x00\x04\0\0\0\0").unwrap();
    })
}

/// Has no cipher suite in common with the proxy, as Windows Server 2012 R2 with an RSA
/// certificate: the alert handshake_failure (RFC 8446 section 6.2).
pub fn without_common_cipher() -> SocketAddr {
    tcp::answering(b"\x15\x03\x03\x00\x02\x02\x28")
}

/// Speaks nothing newer than TLS 1.1: the alert protocol_version.
pub fn old() -> SocketAddr {
    tcp::answering(b"\x15\x03\x01\x00\x02\x02\x46")
}

/// Does not serve the name of SNI: the alert unrecognized_name.
pub fn without_the_name() -> SocketAddr {
    tcp::answering(b"\x15\x03\x03\x00\x02\x02\x70")
}

/// Speaks plain HTTP instead of TLS.
pub fn plain_http() -> SocketAddr {
    tcp::answering(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
}

pub fn key(issued: &Issued) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(issued.key.clone_key())
}
