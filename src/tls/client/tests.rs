use std::io;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::base::problem::Severity;
use crate::base::reason::Reason;
use crate::tls::refusal::{UpstreamTlsError, classify};
use crate::tls::server;
use crate::tls::testpki::{Ca, Pair, ecdsa, handshake, rsa, server_name, server_params};

/// The name inside, as in `server_name`.
const NAME: &str = "ndes.corp.local";
const PUBLIC: &str = "scep.example.com";

fn trust(roots: &[&Ca], pin: Option<[u8; 32]>) -> Arc<ClientConfig> {
    let roots = roots.iter().map(|ca| ca.der.clone()).collect();
    let trust = config(roots, pin, SystemTime::now()).unwrap();
    assert_eq!(trust.warnings, []);
    trust.config
}

fn ndes(pair: &Pair, intermediates: &[&CertificateDer<'static>]) -> Arc<ServerConfig> {
    let identities = vec![pair.certified(intermediates)];
    server::config(identities, Vec::new(), server::ticketer().unwrap()).unwrap()
}

/// What a handshake under `name` comes to.
async fn outcome(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(), UpstreamTlsError> {
    let (client, server) = handshake(server, client, name).await;
    match client {
        Ok(_) => Ok(()),
        Err(error) => {
            assert!(server.is_err(), "the server noticed");
            Err(classify(&error, &server_name(name)))
        }
    }
}

/// A root, and NDES with a certificate from it.
async fn refusal_of(params: &CertificateParams, pin: Option<[u8; 32]>) -> UpstreamTlsError {
    let root = Ca::root("Corp Root");
    let pair = root.issue(params, ecdsa());
    outcome(&ndes(&pair, &[]), &trust(&[&root], pin), NAME)
        .await
        .unwrap_err()
}

/// The first certificate of a file that openssl made.
fn test_data(name: &str) -> CertificateDer<'static> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata");
    crate::tls::files::certificates(&path.join(name))
        .unwrap()
        .remove(0)
}

fn pin_of(pair: &Pair) -> [u8; 32] {
    Certificate::read(&pair.der).unwrap().spki_sha256
}

#[track_caller]
fn assert_says(refusal: &UpstreamTlsError, reason: Reason, words: &[&str]) {
    let text = refusal.to_string();
    assert_eq!(refusal.reason, reason, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[tokio::test]
async fn known_root_and_name_in_the_san_is_trusted() {
    let root = Ca::root("Corp Root");
    assert_eq!(
        outcome(&ndes(&root.server(NAME), &[]), &trust(&[&root], None), NAME).await,
        Ok(())
    );
}

#[tokio::test]
async fn intermediate_that_is_sent_leads_to_the_root() {
    let root = Ca::root("Corp Root");
    let issuing = root.intermediate("Corp Issuing");
    let server = ndes(&issuing.server(NAME), &[&issuing.der]);
    assert_eq!(outcome(&server, &trust(&[&root], None), NAME).await, Ok(()));
}

#[tokio::test]
async fn intermediate_among_the_roots_is_enough() {
    let issuing = Ca::root("Corp Root").intermediate("Corp Issuing");
    let server = ndes(&issuing.server(NAME), &[]);
    assert_eq!(
        outcome(&server, &trust(&[&issuing], None), NAME).await,
        Ok(())
    );
}

#[tokio::test]
async fn certificate_with_the_public_name_as_cn_is_verified_by_the_internal_name_of_its_san() {
    let root = Ca::root("Corp Root");
    let pair = root.issue(&server_params(PUBLIC, &[NAME]), ecdsa());
    let (server, client) = (ndes(&pair, &[]), trust(&[&root], None));
    assert_eq!(outcome(&server, &client, NAME).await, Ok(()));

    let refusal = outcome(&server, &client, PUBLIC).await.unwrap_err();
    assert_says(
        &refusal,
        Reason::WrongName,
        &[
            "not for scep.example.com",
            "set server_name to one of its names: ndes.corp.local",
        ],
    );
}

#[tokio::test]
async fn unknown_ca_is_refused_with_the_issuer_to_add() {
    let pair = Ca::root("Other Root").server(NAME);
    let client = trust(&[&Ca::root("Corp Root")], None);
    let refusal = outcome(&ndes(&pair, &[]), &client, NAME).await.unwrap_err();
    assert_says(
        &refusal,
        Reason::UnknownIssuer,
        &[
            "subject CN=ndes.corp.local, issuer CN=Other Root, SAN ndes.corp.local",
            "valid from 1975-01-01 00:00:00 UTC to 4096-01-01 00:00:00 UTC",
            "put the certificate of CN=Other Root into ca_roots",
        ],
    );
    assert_eq!(refusal.reason.word(), "unknown_issuer");
}

#[tokio::test]
async fn missing_intermediate_is_refused_with_its_name() {
    let root = Ca::root("Corp Root");
    let pair = root.intermediate("Corp Issuing").server(NAME);
    let refusal = outcome(&ndes(&pair, &[]), &trust(&[&root], None), NAME)
        .await
        .unwrap_err();
    assert_says(
        &refusal,
        Reason::UnknownIssuer,
        &[
            "sent no intermediate",
            "install CN=Corp Issuing on the server",
        ],
    );
}

#[tokio::test]
async fn chain_to_an_unknown_root_is_refused_with_that_root() {
    let issuing = Ca::root("Other Root").intermediate("Other Issuing");
    let server = ndes(&issuing.server(NAME), &[&issuing.der]);
    let refusal = outcome(&server, &trust(&[&Ca::root("Corp Root")], None), NAME)
        .await
        .unwrap_err();
    assert_says(
        &refusal,
        Reason::UnknownIssuer,
        &[
            "put the certificate of CN=Other Root into ca_roots",
            "and 1 more certificates",
        ],
    );
}

#[tokio::test]
async fn ca_renewed_with_a_new_key_is_told_from_an_unknown_one() {
    let (old, new) = (Ca::root("Corp Root"), Ca::root_with("Corp Root", rsa()));
    for (signer, known) in [(&new, &old), (&old, &new), (&Ca::root("Corp Root"), &old)] {
        // IIS may send the root too
        for sent in [&[][..], &[&signer.der]] {
            let server = ndes(&signer.server(NAME), sent);
            let refusal = outcome(&server, &trust(&[known], None), NAME)
                .await
                .unwrap_err();
            let words = ["renewed with a new key", "CN=Corp Root"];
            assert_says(&refusal, Reason::UnknownIssuer, &words);
        }
    }
}

#[tokio::test]
async fn self_signed_is_refused_unless_it_is_a_root_itself() {
    let key = ecdsa();
    let made = server_params(NAME, &[NAME]).self_signed(&key).unwrap();
    let pair = Pair {
        der: made.der().clone(),
        pem: made.pem(),
        key,
    };
    let client = trust(&[&Ca::root("Corp Root")], None);
    let refusal = outcome(&ndes(&pair, &[]), &client, NAME).await.unwrap_err();
    assert_says(
        &refusal,
        Reason::UnknownIssuer,
        &["self-signed", "put this one into ca_roots"],
    );

    let itself = config(vec![pair.der.clone()], None, SystemTime::now()).unwrap();
    assert_eq!(
        outcome(&ndes(&pair, &[]), &itself.config, NAME).await,
        Ok(())
    );
}

#[tokio::test]
async fn wrong_name_is_refused_with_the_names_found() {
    let params = server_params("x", &["other.corp.local", "10.0.0.5"]);
    let refusal = refusal_of(&params, None).await;
    assert_says(
        &refusal,
        Reason::WrongName,
        &[
            "expected ndes.corp.local",
            "one of its names: other.corp.local, 10.0.0.5",
        ],
    );
}

#[tokio::test]
async fn expired_is_refused_with_the_date() {
    let mut params = server_params(NAME, &[NAME]);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let refusal = refusal_of(&params, None).await;
    assert_says(
        &refusal,
        Reason::Expired,
        &["CN=ndes.corp.local expired on 2020-01-01 00:00:00 UTC"],
    );
}

#[tokio::test]
async fn not_yet_valid_is_refused_with_the_date() {
    let mut params = server_params(NAME, &[NAME]);
    params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    let refusal = refusal_of(&params, None).await;
    assert_says(
        &refusal,
        Reason::NotYetValid,
        &["valid only from 4000-01-01 00:00:00 UTC", "clock"],
    );
}

#[tokio::test]
async fn name_only_in_the_cn_is_refused_with_the_pin_to_set() {
    let root = Ca::root("Corp Root");
    let pair = root.issue(&server_params(NAME, &[]), ecdsa());
    let refusal = outcome(&ndes(&pair, &[]), &trust(&[&root], None), NAME)
        .await
        .unwrap_err();
    let pin = crate::tls::certificate::hex(&pin_of(&pair));
    let cure = format!("pin_sha256 = \"{pin}\"");
    assert_says(
        &refusal,
        Reason::NameOnlyInCommonName,
        &["only in the CN", "SAN none", &cure],
    );
}

#[tokio::test]
async fn right_pin_stands_for_the_name() {
    let root = Ca::root("Corp Root");
    let pair = root.issue(&server_params(NAME, &[]), ecdsa());
    let client = trust(&[&root], Some(pin_of(&pair)));
    assert_eq!(outcome(&ndes(&pair, &[]), &client, NAME).await, Ok(()));
}

#[tokio::test]
async fn wrong_pin_is_refused_even_where_the_name_fits() {
    for san in [&[][..], &[NAME]] {
        let refusal = refusal_of(&server_params(NAME, san), Some([0xab; 32])).await;
        assert_says(
            &refusal,
            Reason::PinMismatch,
            &[&"ab".repeat(32), "set pin_sha256 = "],
        );
    }
}

#[tokio::test]
async fn right_pin_does_not_stand_for_the_dates() {
    let root = Ca::root("Corp Root");
    let mut params = server_params(NAME, &[]);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let pair = root.issue(&params, ecdsa());
    let client = trust(&[&root], Some(pin_of(&pair)));
    let refusal = outcome(&ndes(&pair, &[]), &client, NAME).await.unwrap_err();
    assert_says(&refusal, Reason::Expired, &[]);
}

#[tokio::test]
async fn right_pin_does_not_stand_for_the_chain() {
    let pair = Ca::root("Other Root").server(NAME);
    let client = trust(&[&Ca::root("Corp Root")], Some(pin_of(&pair)));
    let refusal = outcome(&ndes(&pair, &[]), &client, NAME).await.unwrap_err();
    assert_says(&refusal, Reason::UnknownIssuer, &[]);
}

#[tokio::test]
async fn certificate_for_clients_only_is_refused() {
    let mut params = server_params(NAME, &[NAME]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_says(
        &refusal_of(&params, None).await,
        Reason::WrongPurpose,
        &["serverAuth"],
    );
}

#[tokio::test]
async fn certificate_of_a_ca_is_no_server() {
    let mut params = server_params(NAME, &[NAME]);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let refusal = refusal_of(&params, None).await;
    assert_says(
        &refusal,
        Reason::InvalidCertificate,
        &["the certificate is one of a CA"],
    );
}

#[test]
fn signature_by_a_short_key_is_refused_by_its_size() {
    let short = test_data("short.pem");
    let bad = || Error::InvalidCertificate(rustls::CertificateError::BadSignature);
    let classified = |error| {
        classify(
            &io::Error::other(key_of_handshake(&short, error)),
            &server_name(NAME),
        )
    };
    assert_says(
        &classified(bad()),
        Reason::WeakSignature,
        &["too short: RSA 1024"],
    );
    let long = io::Error::other(key_of_handshake(&test_data("plain.pem"), bad()));
    assert_says(
        &classify(&long, &server_name(NAME)),
        Reason::InvalidCertificate,
        &[],
    );
}

#[test]
fn sha1_in_the_chain_is_refused_by_that_name() {
    let mut roots = RootCertStore::empty();
    roots.add(test_data("old-ca.pem")).unwrap();
    let algorithms = provider(Vec::new()).signature_verification_algorithms;
    let verifier = Verifier {
        roots,
        algorithms,
        pin_sha256: None,
    };
    // At a given time: openssl dates a file from the day it was made.
    let in_2030 = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_893_456_000));
    let error = verifier
        .verify_server_cert(
            &test_data("sha1-leaf.pem"),
            &[],
            &server_name(NAME),
            &[],
            in_2030,
        )
        .unwrap_err();
    let refusal = classify(&io::Error::other(error), &server_name(NAME));
    assert_says(
        &refusal,
        Reason::WeakSignature,
        &["CN=ndes.corp.local is signed with SHA-1"],
    );
}

#[tokio::test]
async fn certificate_text_cannot_write_lines_or_run_long() {
    let mut params = server_params("x", &["other.corp.local"]);
    let evil = format!("x\nERROR \u{1b}[31m\u{202e}{}", "A".repeat(5000));
    params.distinguished_name.push(DnType::CommonName, evil);
    params
        .subject_alt_names
        .extend(server_params("x", &["a.corp.local"; 200]).subject_alt_names);
    let text = refusal_of(&params, None).await.to_string();
    assert!(
        text.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{text:?}"
    );
    assert!(text.contains("and 181 more"), "{text}");
    assert!(text.len() < 2500, "{} bytes", text.len());
}

#[tokio::test]
async fn second_connection_resumes() {
    let root = Ca::root("Corp Root");
    let (server, client) = (ndes(&root.server(NAME), &[]), trust(&[&root], None));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (client, server) = handshake(&server, &client, NAME).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        server.write_all(b"x").await.unwrap();
        server.flush().await.unwrap();
        client.read_u8().await.unwrap();
        kinds.push(client.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
}

/// What the client makes of a server that sends these bytes and closes.
async fn answered_with(bytes: &[u8]) -> UpstreamTlsError {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    let client = TlsConnector::from(trust(&[&Ca::root("Corp Root")], None));
    let error = client.connect(server_name(NAME), near).await.unwrap_err();
    classify(&error, &server_name(NAME))
}

fn alert(description: u8) -> [u8; 7] {
    [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, description]
}

#[tokio::test]
async fn handshake_failure_names_windows_server_2012_r2() {
    let refusal = answered_with(&alert(40)).await;
    assert_says(
        &refusal,
        Reason::NoCommonCipher,
        &["2012 R2", "ECDSA certificate", "2016 or later"],
    );
}

#[tokio::test]
async fn protocol_version_alert_is_old_tls() {
    assert_says(
        &answered_with(&alert(70)).await,
        Reason::OldTls,
        &["enable TLS 1.2"],
    );
}

#[tokio::test]
async fn unrecognized_name_alert_is_a_name_that_is_not_served() {
    assert_says(
        &answered_with(&alert(112)).await,
        Reason::NameNotServed,
        &["set server_name"],
    );
}

#[tokio::test]
async fn plain_http_is_not_tls() {
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    assert_says(
        &answered_with(answer).await,
        Reason::NotTls,
        &["check the port"],
    );
}

#[tokio::test]
async fn silent_close_is_told_with_what_windows_means_by_it() {
    assert_says(
        &answered_with(b"").await,
        Reason::TlsClosed,
        &["https binding"],
    );
}

#[test]
fn reset_is_a_close() {
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    assert_says(
        &classify(&reset, &server_name(NAME)),
        Reason::TlsClosed,
        &["https binding"],
    );
}

#[tokio::test]
async fn demanded_client_certificate_is_told() {
    let root = Ca::root("Corp Root");
    let mut roots = RootCertStore::empty();
    roots.add(root.der.clone()).unwrap();
    let provider = provider(vec![kx_group::X25519]);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let pair = root.server(NAME);
    let key = pair.certified(&[]);
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    let refusal = outcome(&Arc::new(server), &trust(&[&root], None), NAME)
        .await
        .unwrap_err();
    assert_says(
        &refusal,
        Reason::ClientCertificateDemanded,
        &["Client certificates to Ignore"],
    );
}

#[test]
fn no_usable_root_is_an_error() {
    let diagnostic = config(Vec::new(), None, SystemTime::now()).unwrap_err();
    assert_eq!(diagnostic.severity, Severity::Error);
    let nonsense = vec![CertificateDer::from(b"nonsense".to_vec())];
    assert!(config(nonsense, None, SystemTime::now()).is_err());
}

#[test]
fn expired_root_and_server_certificate_among_the_roots_are_warned_of() {
    let root = Ca::root("Corp Root");
    let leaf = root.server(NAME);
    let mut old = CertificateParams::new(Vec::new()).unwrap();
    old.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    old.distinguished_name.push(DnType::CommonName, "Old Root");
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let old = old.self_signed(&ecdsa()).unwrap();
    let roots = vec![root.der, leaf.der, old.der().clone()];
    let warnings = config(roots, None, SystemTime::now()).unwrap().warnings;
    let told: Vec<&str> = warnings
        .iter()
        .map(|diagnostic| diagnostic.what.as_str())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        told[0],
        "CN=ndes.corp.local is not of a CA: it makes nothing trusted"
    );
    assert!(
        told[1].starts_with("CN=Old Root expired on 2020-01-01 00:00:00 UTC"),
        "{}",
        told[1]
    );
    assert!(warnings[0].cure.ends_with("CN=Corp Root"));
}

#[test]
fn root_with_a_short_key_is_warned_of() {
    let in_2030 = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_893_456_000);
    let warnings = config(vec![test_data("short.pem")], None, in_2030)
        .unwrap()
        .warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].what.contains("too short a key, RSA 1024"),
        "{}",
        warnings[0].what
    );
}
