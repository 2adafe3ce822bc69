//! Through the proxy, compared with NDES itself.

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::http_sys::HttpSysLimits;
use ndes_proxy::commands::demo::ndes::Options;
use ndes_proxy::commands::doctor::{Level, Side};
use ndes_proxy::config::{ClientAddress, Protocol};

use super::{Patient, ill, ill_on, listen, other, public, text, told, warning};
use crate::support::{Ndes, Origin, tcp};

const P: Level = Level::Problem;
const W: Level = Level::Warning;

#[test]
fn a_proxy_that_asks_somebody_else_is_told() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let proxy = patient.proxy(tcp::nobody(), |_| {});
    let report = patient.examine(proxy.https, ndes.address);
    assert_eq!(ill(&report), [other(P, "through_bare_get")]);
    let told = told(&report);
    assert!(
        told.contains("502 by the proxy itself: upstream_connect"),
        "{told}"
    );
    assert!(told.contains("directly it works"), "{told}");

    let another = Ndes::start();
    another.set(Condition::PolicyModuleMissing);
    let proxy = patient.proxy(another.address, |_| {});
    let report = patient.examine(proxy.https, ndes.address);
    assert_eq!(ill(&report), [other(P, "through_bare_get")]);
}

#[test]
fn where_ndes_cannot_be_asked_directly_the_proxy_is_asked_all_the_same() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let proxy = patient.proxy(ndes.address, |_| {});
    let report = patient.examine(proxy.https, tcp::nobody());
    assert_eq!(ill_on(Side::Through, &report), []);
    let through = report.all().filter(|one| one.step.side() == Side::Through);
    assert_eq!(through.count(), 4);
    assert_eq!(ill(&report).len(), 1);

    ndes.set(Condition::PoolStopped);
    let report = patient.examine(proxy.https, tcp::nobody());
    let expected = [super::problem("through_bare_get", "pool_stopped")];
    assert_eq!(ill_on(Side::Through, &report), expected);
}

#[test]
fn a_proxy_that_runs_with_lower_limits_is_told() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let proxy = patient.proxy(ndes.address, |config| config.limits.uri_bytes = 8_192);
    let report = patient.examine(proxy.https, ndes.address);
    assert_eq!(ill(&report), [other(P, "through_url_length")]);
    assert!(told(&report).contains("uri_too_long"));

    // The same limit in the file: it was meant so, and is too low all the same.
    let text =
        text(proxy.https, ndes.address).replace("[limits]\n", "[limits]\nuri_bytes = 8192\n");
    let report = patient.examine_text(&text);
    assert_eq!(ill(&report), [other(W, "through_url_length")]);
}

#[test]
fn a_limit_of_ndes_is_not_told_again_for_the_proxy() {
    let patient = Patient::new();
    let limits = HttpSysLimits {
        max_request_bytes: 65_534,
        ..HttpSysLimits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let ndes = Ndes::with_options(options);
    for client_address in [ClientAddress::None, ClientAddress::Forwarded] {
        let proxy = patient.proxy(ndes.address, |config| {
            config.applications[0].client_address = client_address;
        });
        let mut text = text(proxy.https, ndes.address);
        if client_address == ClientAddress::Forwarded {
            text = text.replace(
                "public_names",
                "client_address = \"forwarded\"\npublic_names",
            );
        }
        let report = patient.examine_text(&text);
        assert_eq!(ill(&report), [warning("url_length", "http_sys_limit")]);
    }
}

#[test]
fn somebody_else_under_the_name_is_told() {
    let ndes = Ndes::start();
    let origin = Origin::with_certificate(public(), |_, wire| {
        wire.send(
            "HTTP/1.1 404 Not Found\r\nServer: Microsoft-HTTPAPI/2.0\r\nContent-Length: 0\r\n\r\n",
        )
    });
    let report = Patient::new().examine(origin.address, ndes.address);
    assert_eq!(ill(&report), [other(P, "through_forbidden")]);
    assert!(told(&report).contains("not by ndes-proxy"));
}

#[test]
fn a_dangerous_path_that_is_published_is_a_warning() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let published = "paths = [\"/certsrv/mscep/mscep.dll\", \"/certsrv/\"]\n\
                     allow_dangerous_paths = true\npublic_names";
    let path = |text: &str| text.to_owned().try_into().unwrap();
    let proxy = patient.proxy(ndes.address, |config| {
        config.applications[0].paths = vec![path("/certsrv/mscep/mscep.dll"), path("/certsrv/")];
    });
    let text = text(proxy.https, ndes.address).replace("public_names", published);
    let report = patient.examine_text(&text);
    assert_eq!(ill(&report), [other(W, "through_forbidden")]);
}

#[test]
fn a_proxy_behind_a_load_balancer_or_with_http2_is_examined() {
    let (patient, ndes) = (Patient::new(), Ndes::start());
    let proxy = patient.proxy(ndes.address, |config| {
        config.listen.proxies = Some(vec!["127.0.0.0/8".parse().unwrap()]);
        config.listen.protocols = vec![Protocol::H2, Protocol::Http1];
    });
    let behind = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits]";
    let text = text(proxy.https, ndes.address).replace("[limits]", behind);
    assert_eq!(ill(&patient.examine_text(&text)), []);

    let proxy = patient.proxy(ndes.address, |config| {
        config.listen.proxies = Some(vec!["10.0.0.0/8".parse().unwrap()]);
    });
    let behind = "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]\n[limits]";
    let text = listen(proxy.https).replace("[limits]", behind) + &super::application(ndes.address);
    let report = patient.examine_text(&text);
    assert_eq!(ill(&report), [other(P, "public_tls")]);
    assert!(told(&report).contains("trusted_proxies"));
}
