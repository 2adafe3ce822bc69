//! Tests of the steps through the proxy, which are compared with direct requests.

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::http_sys::HttpSysLimits;
use ndes_proxy::commands::demo::ndes::Options;
use ndes_proxy::commands::doctor::{Level, Section};
use ndes_proxy::config::{ClientAddress, Protocol};

use super::{Fixture, listen, not_ok, not_ok_in, public, text, texts, warning, without_reason};
use crate::support::{Ndes, Origin, tcp};

const P: Level = Level::Problem;
const W: Level = Level::Warning;

#[test]
fn a_proxy_that_uses_another_upstream_is_reported() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(tcp::nobody(), |_| {});
    let report = fixture.examine(proxy.https, ndes.address);
    assert_eq!(not_ok(&report), [without_reason(P, "through_bare_get")]);
    let texts = texts(&report);
    assert!(
        texts.contains("502 by the proxy itself: upstream_connect"),
        "{texts}"
    );
    assert!(texts.contains("the same request works directly"), "{texts}");

    let another = Ndes::start();
    another.set(Condition::PolicyModuleMissing);
    let proxy = fixture.proxy(another.address, |_| {});
    let report = fixture.examine(proxy.https, ndes.address);
    assert_eq!(not_ok(&report), [without_reason(P, "through_bare_get")]);
}

#[test]
fn the_proxy_is_examined_even_if_ndes_cannot_be_reached_directly() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(ndes.address, |_| {});
    let report = fixture.examine(proxy.https, tcp::nobody());
    assert_eq!(not_ok_in(Section::Through, &report), []);
    let through = report
        .all()
        .filter(|one| one.step.section() == Section::Through);
    assert_eq!(through.count(), 4);
    assert_eq!(not_ok(&report).len(), 1);

    ndes.set(Condition::PoolStopped);
    let report = fixture.examine(proxy.https, tcp::nobody());
    let expected = [super::problem("through_bare_get", "pool_stopped")];
    assert_eq!(not_ok_in(Section::Through, &report), expected);
}

#[test]
fn a_proxy_that_runs_with_lower_limits_is_reported() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(ndes.address, |config| config.limits.uri_bytes = 8_192);
    let report = fixture.examine(proxy.https, ndes.address);
    assert_eq!(not_ok(&report), [without_reason(P, "through_url_length")]);
    assert!(texts(&report).contains("uri_too_long"));

    // With the same limit in the file it is intended, but still too low.
    let text =
        text(proxy.https, ndes.address).replace("[limits]\n", "[limits]\nuri_bytes = 8192\n");
    let report = fixture.examine_text(&text);
    assert_eq!(not_ok(&report), [without_reason(W, "through_url_length")]);
}

#[test]
fn a_limit_of_ndes_is_not_reported_again_for_the_proxy() {
    let fixture = Fixture::new();
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
        let proxy = fixture.proxy(ndes.address, |config| {
            config.applications[0].client_address = client_address;
        });
        let mut text = text(proxy.https, ndes.address);
        if client_address == ClientAddress::Forwarded {
            text = text.replace(
                "public_names",
                "client_address = \"forwarded\"\npublic_names",
            );
        }
        let report = fixture.examine_text(&text);
        assert_eq!(not_ok(&report), [warning("url_length", "http_sys_limit")]);
    }
}

#[test]
fn another_server_under_the_name_is_reported() {
    let ndes = Ndes::start();
    let origin = Origin::with_certificate(public(), |_, wire| {
        wire.send(
            "HTTP/1.1 404 Not Found\r\nServer: Microsoft-HTTPAPI/2.0\r\nContent-Length: 0\r\n\r\n",
        )
    });
    let report = Fixture::new().examine(origin.address, ndes.address);
    assert_eq!(not_ok(&report), [without_reason(P, "through_forbidden")]);
    assert!(texts(&report).contains("not by ndes-proxy"));
}

#[test]
fn a_published_dangerous_path_is_a_warning() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let published = "paths = [\"/certsrv/mscep/mscep.dll\", \"/certsrv/\"]\n\
                     allow_dangerous_paths = true\npublic_names";
    let path = |text: &str| text.to_owned().try_into().unwrap();
    let proxy = fixture.proxy(ndes.address, |config| {
        config.applications[0].paths = vec![path("/certsrv/mscep/mscep.dll"), path("/certsrv/")];
    });
    let text = text(proxy.https, ndes.address).replace("public_names", published);
    let report = fixture.examine_text(&text);
    assert_eq!(not_ok(&report), [without_reason(W, "through_forbidden")]);
}

#[test]
fn a_proxy_behind_a_load_balancer_or_with_http2_is_examined() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(ndes.address, |config| {
        config.listen.proxies = Some(vec!["127.0.0.0/8".parse().unwrap()]);
        config.listen.protocols = vec![Protocol::H2, Protocol::Http1];
    });
    let behind = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits]";
    let text = text(proxy.https, ndes.address).replace("[limits]", behind);
    assert_eq!(not_ok(&fixture.examine_text(&text)), []);

    let proxy = fixture.proxy(ndes.address, |config| {
        config.listen.proxies = Some(vec!["10.0.0.0/8".parse().unwrap()]);
    });
    let behind = "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]\n[limits]";
    let text = listen(proxy.https).replace("[limits]", behind) + &super::application(ndes.address);
    let report = fixture.examine_text(&text);
    assert_eq!(not_ok(&report), [without_reason(P, "public_tls")]);
    assert!(texts(&report).contains("trusted_proxies"));
}
