//! Which upstreams the proxy trusts: no other server receives a byte of a request, the client
//! learns nothing about the internal network, and the log contains all that an admin needs.

use std::net::SocketAddr;

use ndes_proxy::commands::demo::pki::{Issued, Key, Leaf, Pki};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::{ServerConfig, version};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::binary::Binary;
use crate::support::pki::pki;
use crate::support::proxy::{ask, metric};
use crate::support::upstream_tls::{
    common_name_only, demanding, demanding_after_the_request, expired, for_clients, issued, key,
    not_yet_valid, of_ca_with_the_same_name, of_other_names, of_unknown_ca, old, plain_http,
    speaking, without_common_cipher, without_intermediate, without_the_name,
};
use crate::support::{Connect, INTERNAL, MSCEP, Origin, PUBLIC, Proxy, Response, eventually, tcp};

/// The target of the request that the tests send to NDES.
fn get_ca_caps() -> String {
    format!("{MSCEP}?operation=GetCACaps")
}

fn origin(certificate: &Issued) -> Origin {
    Origin::with_certificate(certificate, |_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    })
}

/// Asserts that the response reveals nothing internal if NDES cannot be verified.
#[track_caller]
fn assert_says_nothing(answer: &Response) {
    answer.assert_refused(502, "upstream_tls");
    assert_eq!(answer.body, b"The server could not be verified.\n");
    let head = answer.head.to_ascii_lowercase();
    for inside in ["corp", "127.0.0.1", "root", "rustls", "expired", "issuer"] {
        assert!(!head.contains(inside), "{inside} is in {head}");
    }
}

#[test]
fn an_unverified_upstream_receives_no_byte_and_the_log_gives_the_reason() {
    for (certificate, kind, words) in [
        (
            of_unknown_ca(),
            "unknown_issuer",
            &["CN=stranger CA", "into ca_roots"][..],
        ),
        (
            of_ca_with_the_same_name(),
            "unknown_issuer",
            &[
                "was not signed by the CN=internal root of ca_roots",
                "renewed",
            ],
        ),
        (
            without_intermediate(),
            "unknown_issuer",
            &["CN=issuing CA", "sent no intermediate"],
        ),
        (
            of_other_names(),
            "wrong_name",
            &[
                "not for ndes.corp.test",
                "set server_name to one of its names: other.corp.test, third.corp.test",
            ],
        ),
        (
            issued(common_name_only()),
            "name_only_in_common_name",
            &["ndes.corp.test is only in the CN", "pin_sha256 = \""],
        ),
        (
            expired(),
            "expired",
            &["CN=ndes.corp.test expired on 20", "renew it"],
        ),
        (
            not_yet_valid(),
            "not_yet_valid",
            &["is valid only from 20", "set the clocks"],
        ),
        (
            for_clients(),
            "wrong_purpose",
            &["serverAuth", "1.3.6.1.5.5.7.3.1"],
        ),
    ] {
        let origin = origin(&certificate);
        let metrics = assert_untrusted(origin.address, kind, words);
        let opened = [("source", "opened")];
        let connections = metric(&metrics, "ndes_proxy_upstream_connections_total", &opened);
        assert_eq!(connections, 0.0);
        // The origin may record the failed handshake a little later.
        eventually("a refused handshake", || origin.failed_handshakes() == 1);
        origin.assert_untouched();
    }
}

/// Starts the real program in front of `upstream` and checks one request, its response, its log
/// line and its count. Returns all metrics.
#[track_caller]
fn assert_untrusted(upstream: SocketAddr, kind: &str, words: &[&str]) -> String {
    let proxy = Binary::run(upstream, "");
    let answer = Connect::to(proxy.https).open().get(&get_ca_caps());
    assert_says_nothing(&answer);
    let logged = || {
        let lines = proxy.lines();
        lines.into_iter().find(|line| line["target"] == "upstream")
    };
    eventually("a line about the upstream", || logged().is_some());
    let line = logged().unwrap();
    assert_eq!(line["level"], "WARN", "{line}");
    assert_eq!(line["kind"], kind, "{line}");
    assert_eq!(line["upstream"], INTERNAL, "{line}");
    assert_eq!(line["operation"], "GetCACaps", "{line}");
    let message = line["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
    let metrics = String::from_utf8(ask(proxy.admin, "/metrics").body).unwrap();
    let labels = [("application", "public"), ("kind", kind)];
    for labels in [&labels[..], &[]] {
        let errors = metric(&metrics, "ndes_proxy_upstream_errors_total", labels);
        assert_eq!(errors, 1.0, "{labels:?}");
    }
    metrics
}

#[test]
fn each_other_handshake_failure_has_its_own_kind() {
    let closing = Origin::closing();
    for (upstream, kind, words) in [
        (
            old(),
            "old_tls",
            &["neither TLS 1.2 nor TLS 1.3", "SCHANNEL"][..],
        ),
        (
            without_common_cipher(),
            "no_common_cipher",
            &["no cipher suite in common", "Windows Server 2016"],
        ),
        (
            without_the_name(),
            "name_not_served",
            &["does not serve this name", "server_name"],
        ),
        (plain_http(), "not_tls", &["not TLS", "port"]),
        (
            closing.address,
            "tls_closed",
            &["closed the connection in the TLS handshake"],
        ),
        (
            tcp::answering(b""),
            "tls_closed",
            &[
                "closed the connection in the TLS handshake",
                "https binding",
            ],
        ),
    ] {
        assert_untrusted(upstream, kind, words);
    }
}

#[test]
fn a_missing_common_key_exchange_is_reported() {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pki().internal.chain.clone(), key(&pki().internal))
        .unwrap();
    let origin = Origin::with_config(config, |_, _| {});
    assert_untrusted(origin.address, "no_common_cipher", &["no cipher suite"]);
    origin.assert_untouched();
}

#[test]
fn a_demand_for_a_client_certificate_is_reported() {
    for version in [&version::TLS12, &version::TLS13] {
        let origin = Origin::with_config(demanding(version), |_, _| {});
        let words = &[
            "demands a client certificate",
            "Client certificates to Ignore",
        ];
        assert_untrusted(origin.address, "client_certificate_demanded", words);
        assert!(origin.requests().is_empty());
    }
}

#[test]
fn a_demand_for_a_client_certificate_after_the_request_is_reported() {
    let upstream = demanding_after_the_request();
    let words = &[
        "began another TLS handshake",
        "Client certificates to Ignore",
    ];
    assert_untrusted(upstream, "client_certificate_demanded", words);
}

/// Windows Server 2016 and 2019 speak TLS 1.2, Windows Server 2022 and later speak 1.3.
#[test]
fn both_tls_versions_are_supported_and_their_connections_reused() {
    for version in [&version::TLS12, &version::TLS13] {
        let origin = Origin::with_config(speaking(version), |_, wire| {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        });
        let proxy = Proxy::start(origin.address, |config| config.listen.workers = 1);
        for _ in 0..20 {
            assert_eq!(proxy.get(&get_ca_caps()).body, b"ok");
        }
        assert_eq!(origin.connections(), 1, "{version:?}");
    }
}

/// Returns an application whose upstream has these lines in addition to its roots.
fn application(upstream: &str) -> String {
    format!(
        r#"
[[application]]
name = "public"
public_names = ["{PUBLIC}"]
certificate = {{ chain = "public.pem", key = "public.key" }}
[[application.upstream]]
ca_roots = ["internal-root.pem"]
probe = {{ interval = "off" }}
{upstream}
"#
    )
}

#[test]
fn a_certificate_with_the_public_name_as_subject_is_verified_by_its_internal_name() {
    // As described in Microsoft's guide for NDES behind a proxy.
    let origin = origin(&issued(Leaf {
        common_name: PUBLIC.to_owned(),
        ..Leaf::server(&[INTERNAL])
    }));
    let proxy = Proxy::start(origin.address, |_| {});
    let answer = proxy.get(&get_ca_caps());
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
    assert_eq!(origin.only_request().field("host").unwrap(), INTERNAL);
}

#[test]
fn server_name_is_verified_and_sent_instead_of_the_host_of_the_url() {
    let origin = origin(&issued(Leaf::server(&["real.corp.test"])));
    let address = origin.address;
    let named = |name: &str| {
        application(&format!(
            "url = \"https://{INTERNAL}\"\naddress = \"{address}\"\nserver_name = \"{name}\""
        ))
    };
    let proxy = Proxy::start_text(&named("Real.Corp.Test"), |_| {});
    assert_eq!(proxy.get(&get_ca_caps()).status, 200);
    assert_eq!(
        origin.only_request().field("host").unwrap(),
        "real.corp.test"
    );

    let proxy = Proxy::start_text(&named(INTERNAL), |_| {});
    assert_says_nothing(&proxy.get(&get_ca_caps()));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_pin_replaces_only_the_check_of_the_name() {
    let now = OffsetDateTime::now_utc();
    let stranger = Pki::new("stranger CA", Key::EcdsaP256).unwrap();
    let expired = Leaf {
        not_before: now - Duration::DAY * 9,
        not_after: now - Duration::DAY,
        ..common_name_only()
    };
    let right = issued(common_name_only());
    let untrusted = stranger.issue(&common_name_only()).unwrap();
    let expired = issued(expired);
    for (certificate, pinned, kind) in [
        (&right, &right, None),
        (&right, &pki().internal, Some("pin_mismatch")),
        // Chain and dates are verified with a pin, too.
        (&untrusted, &untrusted, Some("unknown_issuer")),
        (&expired, &expired, Some("expired")),
    ] {
        let (origin, pin) = (origin(certificate), pin(pinned));
        let address = origin.address;
        let text = application(&format!(
            "url = \"https://{INTERNAL}\"\naddress = \"{address}\"\npin_sha256 = \"{pin}\""
        ));
        let proxy = Proxy::start_text(&text, |_| {});
        let answer = proxy.get(&get_ca_caps());
        match kind {
            None => assert_eq!(answer.body, b"ok", "{}", answer.text()),
            Some(kind) => {
                assert_says_nothing(&answer);
                let labels = [("application", "public"), ("kind", kind)];
                proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
                origin.assert_untouched();
            }
        }
    }
}

/// Returns the pin as `openssl dgst -sha256` prints it for the public key.
fn pin(issued: &Issued) -> String {
    let (_, certificate) = X509Certificate::from_der(issued.certificate()).unwrap();
    let digest =
        ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, certificate.public_key().raw);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

#[test]
fn only_the_roots_of_ca_roots_are_trusted() {
    // `public_root` is trusted by devices, but it is not in ca_roots.
    let origin = origin(&pki().public_root.issue(&Leaf::server(&[INTERNAL])).unwrap());
    let proxy = Proxy::start(origin.address, |_| {});
    assert_says_nothing(&proxy.get(&get_ca_caps()));
    origin.assert_untouched();
}

#[test]
fn a_message_is_not_sent_to_an_unverified_upstream() {
    let origin = origin(&issued(Leaf::server(&["other.corp.test"])));
    let proxy = Proxy::start(origin.address, |_| {});
    let operation = format!("{MSCEP}?operation=PKIOperation");
    assert_says_nothing(&proxy.post(&operation, b"secret"));
    assert_says_nothing(&proxy.get(&format!("{operation}&message=secret")));
    origin.assert_untouched();
}
