use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, HandshakeKind, NamedGroup, RootCertStore,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::certificate::{Certificate, Key};
use crate::tls::testpki::{Ca, handshake, rsa, server_name, server_params};

const NAME: &str = "scep.example.com";
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A client that trusts `ca` and is cut down by `change`.
fn client(
    ca: &Ca,
    versions: &[&'static SupportedProtocolVersion],
    change: impl FnOnce(&mut CryptoProvider),
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der.clone()).unwrap();
    let mut provider = aws_lc_rs::default_provider();
    change(&mut provider);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A server with an RSA and an ECDSA certificate, in that order.
fn server(ca: &Ca) -> Arc<ServerConfig> {
    let rsa = ca.issue(&server_params(NAME, &[NAME]), rsa());
    let ecdsa = ca.server(NAME);
    let identities = vec![rsa.certified(&[]), ecdsa.certified(&[])];
    config(identities, vec![b"http/1.1".to_vec()], ticketer().unwrap()).unwrap()
}

/// The key of the certificate that this client is shown.
async fn key_shown(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Key {
    let (client, server) = handshake(server, client, NAME).await;
    server.unwrap();
    let client = client.unwrap();
    Certificate::read(&client.get_ref().1.peer_certificates().unwrap()[0])
        .unwrap()
        .key
}

/// Algorithms of webpki without ECDSA.
fn without_ecdsa(provider: &mut CryptoProvider) {
    let all = provider.signature_verification_algorithms;
    let rsa = |scheme: &rustls::SignatureScheme| format!("{scheme:?}").starts_with("RSA");
    let mapping: Vec<_> = all
        .mapping
        .iter()
        .copied()
        .filter(|(scheme, _)| rsa(scheme))
        .collect();
    // The chain above the leaf is ECDSA in the tests: only the handshake is cut down.
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
        all: all.all,
        mapping: Vec::leak(mapping),
    };
}

#[tokio::test]
async fn client_that_knows_both_is_shown_ecdsa() {
    let ca = Ca::root("Test Root");
    let server = server(&ca);
    assert_eq!(
        key_shown(&server, &client(&ca, BOTH, |_| {})).await,
        Key::Ec(Some(256))
    );
    assert_eq!(
        key_shown(&server, &client(&ca, &[&version::TLS12], |_| {})).await,
        Key::Ec(Some(256))
    );
}

#[tokio::test]
async fn client_without_ecdsa_signatures_is_shown_rsa() {
    let ca = Ca::root("Test Root");
    let server = server(&ca);
    assert_eq!(
        key_shown(&server, &client(&ca, BOTH, without_ecdsa)).await,
        Key::Rsa(2048)
    );
    let old = client(&ca, &[&version::TLS12], without_ecdsa);
    assert_eq!(key_shown(&server, &old).await, Key::Rsa(2048));
}

#[tokio::test]
async fn tls12_client_with_rsa_suites_only_is_shown_rsa() {
    let ca = Ca::root("Test Root");
    let client = client(&ca, &[&version::TLS12], |provider| {
        provider
            .cipher_suites
            .retain(|suite| suite.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    });
    assert_eq!(key_shown(&server(&ca), &client).await, Key::Rsa(2048));
}

#[tokio::test]
async fn client_that_fits_no_certificate_gets_handshake_failure() {
    let ca = Ca::root("Test Root");
    let only_ecdsa = vec![ca.server(NAME).certified(&[])];
    let server = config(only_ecdsa, Vec::new(), ticketer().unwrap()).unwrap();
    let (client, _) = handshake(&server, &client(&ca, BOTH, without_ecdsa), NAME).await;
    let error = client.unwrap_err().downcast::<Error>().unwrap();
    assert_eq!(
        error,
        Error::AlertReceived(AlertDescription::HandshakeFailure)
    );
}

#[tokio::test]
async fn post_quantum_group_is_taken_where_the_client_has_it() {
    let ca = Ca::root("Test Root");
    let server = server(&ca);
    for (group, offered) in [
        (
            NamedGroup::X25519MLKEM768,
            vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ),
        (NamedGroup::X25519, vec![kx_group::X25519]),
        (NamedGroup::secp256r1, vec![kx_group::SECP256R1]),
        (NamedGroup::secp384r1, vec![kx_group::SECP384R1]),
    ] {
        let client = client(&ca, BOTH, |provider| provider.kx_groups = offered);
        let (client, _server) = handshake(&server, &client, NAME).await;
        let client = client.unwrap();
        let chosen = client
            .get_ref()
            .1
            .negotiated_key_exchange_group()
            .unwrap()
            .name();
        assert_eq!(chosen, group);
    }
}

#[tokio::test]
async fn alpn_is_agreed() {
    let ca = Ca::root("Test Root");
    let mut client = (*client(&ca, BOTH, |_| {})).clone();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (client, _server) = handshake(&server(&ca), &Arc::new(client), NAME).await;
    assert_eq!(
        client.unwrap().get_ref().1.alpn_protocol(),
        Some(b"http/1.1".as_slice())
    );
}

#[tokio::test]
async fn session_is_resumed_after_a_reload_with_the_same_ticketer() {
    for version in BOTH {
        let ca = Ca::root("Test Root");
        let client = client(&ca, &[version], |_| {});
        let identity = ca.server(NAME).certified(&[]);
        let ticketer = ticketer().unwrap();
        let mut kinds = Vec::new();
        for _ in 0..2 {
            // new each time, as after a reload
            let server = config(
                vec![Arc::clone(&identity)],
                Vec::new(),
                Arc::clone(&ticketer),
            )
            .unwrap();
            let (client, server) = handshake(&server, &client, NAME).await;
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            // The ticket of TLS 1.3 comes after the handshake, before the first byte.
            server.write_all(b"x").await.unwrap();
            server.flush().await.unwrap();
            client.read_u8().await.unwrap();
            kinds.push(client.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(
            kinds,
            [HandshakeKind::Full, HandshakeKind::Resumed],
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn client_understands_the_unrecognized_name_alert() {
    let ca = Ca::root("Test Root");
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(client(&ca, BOTH, |_| {}));
    far.write_all(&UNRECOGNIZED_NAME_ALERT).await.unwrap();
    let error = connector
        .connect(server_name(NAME), near)
        .await
        .unwrap_err();
    let error = error.downcast::<Error>().unwrap();
    assert_eq!(
        error,
        Error::AlertReceived(AlertDescription::UnrecognisedName)
    );
}

#[test]
fn no_identity_is_an_error() {
    let error = config(Vec::new(), Vec::new(), ticketer().unwrap()).unwrap_err();
    assert_eq!(error, Error::NoCertificatesPresented);
}
