//! Tests of the steps on the public side.

use std::net::SocketAddr;
use std::sync::Arc;

use ndes_proxy::commands::demo::pki::{Issued, Leaf};
use ndes_proxy::commands::doctor::{Level, Section};
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use time::{Duration, OffsetDateTime};

use super::{Fixture, NAME, issuing_ca, not_ok, not_ok_in, public, text, texts, without_reason};
use crate::support::pki::pki;
use crate::support::proxy::application as second_application;
use crate::support::upstream_tls::{key, plain_http, without_the_name};
use crate::support::{Ndes, OTHER, Origin, tcp};

const P: Level = Level::Problem;
const W: Level = Level::Warning;

/// Returns the findings on the public side for a server that sends `certificate`.
fn examine_server(certificate: &Issued) -> (Vec<super::Summary>, String) {
    let server = Origin::with_certificate(certificate, |_, wire| {
        wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    let report = Fixture::new().examine(server.address, tcp::nobody());
    (not_ok_in(Section::Public, &report), texts(&report))
}

/// Issues a certificate that is valid between these days from now.
fn valid_between(not_before: i64, not_after: i64) -> Issued {
    let now = OffsetDateTime::now_utc();
    let leaf = Leaf {
        not_before: now + Duration::days(not_before),
        not_after: now + Duration::days(not_after),
        ..Leaf::server(&[NAME])
    };
    issuing_ca().issue(&leaf).unwrap()
}

#[test]
fn every_certificate_that_a_device_may_refuse_is_reported() {
    let healthy = || issuing_ca().issue(&Leaf::server(&[NAME])).unwrap();
    let mut alone = healthy();
    alone.chain.truncate(1);
    let mut with_hole = healthy();
    with_hole.chain[1] = pki().internal_root.certificate().clone();
    let mut with_root = healthy();
    with_root
        .chain
        .push(pki().public_root.certificate().clone());
    let mut self_signed = pki().public_root.issue(&Leaf::server(&[NAME])).unwrap();
    self_signed.chain.truncate(1);
    let common_name_only = Leaf {
        common_name: NAME.to_owned(),
        ..Leaf::server(&[])
    };
    let cases = [
        (healthy(), None, "another certificate than the files hold"),
        (with_root, None, ""),
        (
            alone,
            Some((W, "public_chain")),
            "append that issuer's certificate",
        ),
        (
            with_hole,
            Some((P, "public_chain")),
            "out of order or incomplete",
        ),
        (
            valid_between(-9, -2),
            Some((P, "public_expiry")),
            "expired on 20",
        ),
        (
            valid_between(2, 9),
            Some((P, "public_expiry")),
            "valid only from 20",
        ),
        (
            valid_between(-9, 29),
            Some((W, "public_expiry")),
            "expires soon",
        ),
        (valid_between(-9, 31), None, ""),
        (
            issuing_ca().issue(&Leaf::server(&["else.test"])).unwrap(),
            Some((P, "public_name")),
            "whose SAN names are: else.test",
        ),
        (
            issuing_ca().issue(&common_name_only).unwrap(),
            Some((P, "public_name")),
            "only in its CN",
        ),
    ];
    for (certificate, found, words) in cases {
        let (not_ok, texts) = examine_server(&certificate);
        // None of them is the certificate in the file.
        let mut expected = vec![without_reason(W, "public_certificate")];
        expected.extend(found.map(|(level, step)| without_reason(level, step)));
        if found.is_some_and(|(_, step)| step == "public_name") {
            // The server sends the same certificate without SNI.
            expected.rotate_left(1);
            expected.push(without_reason(W, "public_no_sni"));
        }
        assert_eq!(not_ok, expected, "{texts}");
        assert!(texts.contains(words), "{words:?} is not in {texts}");
    }
}

#[test]
fn a_server_without_tls_for_the_name_is_reported() {
    let closing = Origin::closing();
    let cases: [(SocketAddr, _); 3] = [
        (without_the_name(), "does not publish localhost"),
        (plain_http(), "no TLS with localhost"),
        (closing.address, "no TLS with localhost"),
    ];
    for (server, words) in cases {
        let report = Fixture::new().examine(server, tcp::nobody());
        let expected = [without_reason(P, "public_tls")];
        assert_eq!(not_ok_in(Section::Public, &report), expected);
        let texts = texts(&report);
        assert!(texts.contains(words), "{words:?} is not in {texts}");
    }
}

#[test]
fn a_proxy_that_does_not_run_is_reported_once() {
    let report = Fixture::new().examine(tcp::nobody(), tcp::nobody());
    assert_eq!(
        not_ok_in(Section::Public, &report),
        [without_reason(P, "public_tcp")],
        "{}",
        texts(&report)
    );
    assert_eq!(not_ok_in(Section::Through, &report), []);
    assert!(texts(&report).contains("start the proxy"));
}

#[test]
fn an_unresolved_name_is_a_warning_and_the_proxy_on_this_machine_is_examined() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let both = Leaf::server(&[NAME, "scep.invalid"]);
    let issued = issuing_ca().issue(&both).unwrap();
    issued.write_to(fixture.path(), "both").unwrap();
    let proxy = fixture.proxy(ndes.address, |config| {
        let application = &mut config.applications[0];
        let certificate = &mut application.certificates[0];
        certificate.chain.value = fixture.path().join("both.pem");
        certificate.key.value = fixture.path().join("both.key");
        application.public_names = vec!["scep.invalid".to_owned().try_into().unwrap()];
    });
    let text = text(proxy.https, ndes.address)
        .replace(NAME, "scep.invalid")
        .replace("public.", "both.");
    let report = fixture.examine_text(&text);
    assert_eq!(not_ok(&report), [without_reason(W, "public_dns")]);
}

#[test]
fn each_of_two_names_is_examined() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(ndes.address, |_| {});
    let names = format!("\"{NAME}\", \"second.localhost.invalid\"");
    let text = text(proxy.https, ndes.address).replace(&format!("\"{NAME}\""), &names);
    let report = fixture.examine_text(&text);
    // The running proxy neither publishes the second name nor has it in its certificate.
    let expected = [
        without_reason(P, "configuration"),
        without_reason(W, "public_dns"),
        without_reason(P, "public_tls"),
    ];
    assert_eq!(not_ok(&report), expected, "{}", texts(&report));
    assert!(texts(&report).contains("does not publish second.localhost.invalid"));
    assert_eq!(report.applications[0].left_out, []);
}

#[test]
fn a_server_that_requires_sni_is_a_warning() {
    let signer = aws_lc_rs::sign::any_supported_type(&key(public())).unwrap();
    let mut by_name = ResolvesServerCertUsingSni::new();
    by_name
        .add(NAME, CertifiedKey::new(public().chain.clone(), signer))
        .unwrap();
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    let server = Origin::with_config(config, |_, wire| wire.close());
    let report = Fixture::new().examine(server.address, tcp::nobody());
    assert_eq!(
        not_ok_in(Section::Public, &report),
        [without_reason(W, "public_no_sni")]
    );
    assert!(texts(&report).contains("fallback binding"));
}

#[test]
fn without_sni_the_first_application_is_expected() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    pki().other.write_to(fixture.path(), "other").unwrap();
    let first = second_application(OTHER, "other", ndes.address);
    let proxy = {
        let text = first.clone() + &super::application(ndes.address);
        crate::support::Proxy::start_text(&text, |config| {
            let certificate = &mut config.applications[1].certificates[0];
            certificate.chain.value = fixture.path().join("public.pem");
            certificate.key.value = fixture.path().join("public.key");
        })
    };
    let text = super::listen(proxy.https) + &first + &super::application(ndes.address);
    let report = fixture.examine_text(&text);
    let second = &report.applications[1];
    assert!(
        second.findings.iter().all(|one| one.level == Level::Ok),
        "{second:?}"
    );
    let without_sni = second
        .findings
        .iter()
        .find(|one| one.step.word() == "public_no_sni")
        .unwrap();
    assert!(without_sni.what.contains("the first application"));
}

#[test]
fn problems_with_files_are_reported_first_and_the_other_steps_still_run() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(ndes.address, |_| {});
    std::fs::remove_file(fixture.path().join("public.key")).unwrap();
    let report = fixture.examine(proxy.https, ndes.address);
    assert_eq!(not_ok(&report), [without_reason(P, "configuration")]);
    assert!(texts(&report).contains("public.key"));

    let roots = fixture.path().join("internal-root.pem");
    std::fs::write(roots, "no certificate").unwrap();
    let report = fixture.examine(proxy.https, ndes.address);
    assert_eq!(not_ok(&report), [without_reason(P, "configuration"); 2]);
    let left_out = &report.applications[0].left_out;
    assert_eq!(left_out.first().unwrap().word(), "upstream_dns");
}
