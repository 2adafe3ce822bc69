//! The public side, as it is on the wire.

use std::net::SocketAddr;
use std::sync::Arc;

use ndes_proxy::commands::demo::pki::{Issued, Leaf};
use ndes_proxy::commands::doctor::{Level, Side};
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use time::{Duration, OffsetDateTime};

use super::{NAME, Patient, ill, ill_on, issuing_ca, other, public, text, told};
use crate::support::pki::pki;
use crate::support::proxy::application as second_application;
use crate::support::upstream_tls::{key, plain_http, without_the_name};
use crate::support::{Ndes, OTHER, Origin, tcp};

const P: Level = Level::Problem;
const W: Level = Level::Warning;

/// What is found on the public side where a server shows `certificate`.
fn shown(certificate: &Issued) -> (Vec<super::Seen>, String) {
    let server = Origin::with_certificate(certificate, |_, wire| {
        wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    let report = Patient::new().examine(server.address, tcp::nobody());
    (ill_on(Side::Public, &report), told(&report))
}

fn lasting(not_before: i64, not_after: i64) -> Issued {
    let now = OffsetDateTime::now_utc();
    let leaf = Leaf {
        not_before: now + Duration::days(not_before),
        not_after: now + Duration::days(not_after),
        ..Leaf::server(&[NAME])
    };
    issuing_ca().issue(&leaf).unwrap()
}

#[test]
fn every_certificate_that_a_device_may_refuse_is_told() {
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
            "out of order or has a hole",
        ),
        (lasting(-9, -2), Some((P, "public_expiry")), "expired on 20"),
        (
            lasting(2, 9),
            Some((P, "public_expiry")),
            "valid only from 20",
        ),
        (lasting(-9, 29), Some((W, "public_expiry")), "expires soon"),
        (lasting(-9, 31), None, ""),
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
        let (ill, told) = shown(&certificate);
        // None of them is that of the file.
        let mut expected = vec![other(W, "public_certificate")];
        expected.extend(found.map(|(level, step)| other(level, step)));
        if found.is_some_and(|(_, step)| step == "public_name") {
            // Without SNI the same is shown.
            expected.rotate_left(1);
            expected.push(other(W, "public_no_sni"));
        }
        assert_eq!(ill, expected, "{told}");
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
}

#[test]
fn who_does_not_speak_tls_for_the_name_is_told() {
    let closing = Origin::closing();
    let cases: [(SocketAddr, _); 3] = [
        (without_the_name(), "does not publish localhost"),
        (plain_http(), "no TLS with localhost"),
        (closing.address, "no TLS with localhost"),
    ];
    for (server, words) in cases {
        let report = Patient::new().examine(server, tcp::nobody());
        let expected = [other(P, "public_tls")];
        assert_eq!(ill_on(Side::Public, &report), expected);
        let told = told(&report);
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
}

#[test]
fn a_proxy_that_does_not_run_is_told_once() {
    let report = Patient::new().examine(tcp::nobody(), tcp::nobody());
    assert_eq!(
        ill_on(Side::Public, &report),
        [other(P, "public_tcp")],
        "{}",
        told(&report)
    );
    assert_eq!(ill_on(Side::Through, &report), []);
    assert!(told(&report).contains("start the proxy"));
}

#[test]
fn a_name_that_is_not_published_yet_is_a_warning_and_the_proxy_here_is_examined() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let both = Leaf::server(&[NAME, "scep.invalid"]);
    let issued = issuing_ca().issue(&both).unwrap();
    issued.write_to(patient.path(), "both").unwrap();
    let proxy = patient.proxy(ndes.address, |config| {
        let application = &mut config.applications[0];
        let certificate = &mut application.certificates[0];
        certificate.chain.value = patient.path().join("both.pem");
        certificate.key.value = patient.path().join("both.key");
        application.public_names = vec!["scep.invalid".to_owned().try_into().unwrap()];
    });
    let text = text(proxy.https, ndes.address)
        .replace(NAME, "scep.invalid")
        .replace("public.", "both.");
    let report = patient.examine_text(&text);
    assert_eq!(ill(&report), [other(W, "public_dns")]);
}

#[test]
fn of_two_names_each_is_examined() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let proxy = patient.proxy(ndes.address, |_| {});
    let names = format!("\"{NAME}\", \"second.localhost.invalid\"");
    let text = text(proxy.https, ndes.address).replace(&format!("\"{NAME}\""), &names);
    let report = patient.examine_text(&text);
    // The proxy that runs neither publishes the second name nor has it in its certificate.
    let expected = [
        other(P, "configuration"),
        other(W, "public_dns"),
        other(P, "public_tls"),
    ];
    assert_eq!(ill(&report), expected, "{}", told(&report));
    assert!(told(&report).contains("does not publish second.localhost.invalid"));
    assert_eq!(report.applications[0].left_out, []);
}

#[test]
fn devices_without_sni_are_thought_of() {
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
    let report = Patient::new().examine(server.address, tcp::nobody());
    assert_eq!(ill_on(Side::Public, &report), [other(W, "public_no_sni")]);
    assert!(told(&report).contains("fallback binding"));
}

#[test]
fn the_first_application_answers_without_sni_for_all() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    pki().other.write_to(patient.path(), "other").unwrap();
    let first = second_application(OTHER, "other", ndes.address);
    let proxy = {
        let text = first.clone() + &super::application(ndes.address);
        crate::support::Proxy::start_text(&text, |config| {
            let certificate = &mut config.applications[1].certificates[0];
            certificate.chain.value = patient.path().join("public.pem");
            certificate.key.value = patient.path().join("public.key");
        })
    };
    let text = super::listen(proxy.https) + &first + &super::application(ndes.address);
    let report = patient.examine_text(&text);
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
fn what_check_says_of_the_files_comes_first_and_the_rest_is_examined_all_the_same() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let proxy = patient.proxy(ndes.address, |_| {});
    std::fs::remove_file(patient.path().join("public.key")).unwrap();
    let report = patient.examine(proxy.https, ndes.address);
    assert_eq!(ill(&report), [other(P, "configuration")]);
    assert!(told(&report).contains("public.key"));

    let roots = patient.path().join("internal-root.pem");
    std::fs::write(roots, "no certificate").unwrap();
    let report = patient.examine(proxy.https, ndes.address);
    assert_eq!(ill(&report), [other(P, "configuration"); 2]);
    let left_out = &report.applications[0].left_out;
    assert_eq!(left_out.first().unwrap().word(), "upstream_dns");
}
