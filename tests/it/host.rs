//! How SNI and Host select the application of a connection and a request.

use std::io;

use rustls::{AlertDescription, Error};

use crate::support::pki::pki;
use crate::support::proxy::target_of;
use crate::support::{Connect, End, MSCEP, OTHER, Origin, PUBLIC, Proxy, Response};

/// Returns the response to a GET with these Host lines, on a connection with SNI `PUBLIC`.
fn with_hosts(proxy: &Proxy, lines: &str) -> Response {
    let mut connection = proxy.connect();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\n{lines}\r\n"));
    connection.response()
}

#[test]
fn a_request_without_host_is_400() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    with_hosts(&proxy, "").assert_refused(400, "host_missing");
    with_hosts(&proxy, "X-Forwarded-Host: scep.example.test\r\n")
        .assert_refused(400, "host_missing");
    proxy.await_refusals("host_missing", 2);
    origin.assert_untouched();
}

#[test]
fn several_hosts_are_400_even_if_they_are_the_same() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for lines in [
        "Host: scep.example.test\r\nHost: scep.example.test\r\n",
        "Host: scep.example.test\r\nhOsT: evil.example.test\r\n",
        "Host: evil.example.test\r\nHost: scep.example.test\r\n",
    ] {
        with_hosts(&proxy, lines).assert_refused(400, "host_invalid");
    }
    origin.assert_untouched();
}

#[test]
fn a_malformed_host_is_400() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for host in [
        "",
        ":443",
        "scep.example.test:",
        "scep.example.test:x",
        "scep.example.test:99999",
        "scep.example.test:+443",
        "user@scep.example.test",
        "scep.example.test/",
        "scep.example.test, scep.example.test",
        "scep.example.test evil",
        "https://scep.example.test",
        "scep.example.test\\x",
        "scep.example.test%2f",
        "scep.example.test?x",
        "scep.example.test#x",
        ".",
    ] {
        let response = with_hosts(&proxy, &format!("Host: {host}\r\n"));
        assert_eq!(
            (response.status, response.reason()),
            (400, Some("host_invalid")),
            "{host:?}"
        );
    }
    origin.assert_untouched();
}

#[test]
fn a_host_that_is_not_published_is_421() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for host in [
        "evil.example.test",
        "ndes.corp.test",
        "127.0.0.1",
        "[::1]",
        "[::1]:443",
        "localhost",
        "xscep.example.test",
        "scep.example.test.evil",
        "scep.example.test..",
        "example.test",
    ] {
        let response = with_hosts(&proxy, &format!("Host: {host}\r\n"));
        assert_eq!(
            (response.status, response.reason()),
            (421, Some("host_not_published")),
            "{host:?}"
        );
    }
    origin.assert_untouched();
}

#[test]
fn case_port_and_final_dot_of_a_host_do_not_matter() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for host in [
        "scep.example.test",
        "SCEP.Example.TEST",
        "scep.example.test:443",
        "scep.example.test:8443",
        "scep.example.test.",
        "scep.example.test.:443",
        "  scep.example.test\t",
    ] {
        assert_eq!(
            with_hosts(&proxy, &format!("Host: {host}\r\n")).status,
            200,
            "{host:?}"
        );
        // The upstream receives its own name.
        let last = origin.requests().pop().unwrap();
        assert_eq!(last.field("host").as_deref(), Some("ndes.corp.test"));
    }
}

#[test]
fn an_absolute_form_must_name_the_same_host() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let get = |target: &str| proxy.get(target);
    for authority in [
        "scep.example.test",
        "SCEP.example.test:443",
        "scep.example.test.",
    ] {
        let target = format!("https://{authority}{MSCEP}?operation=GetCACert");
        assert_eq!(get(&target).status, 200, "{target}");
        let last = origin.requests().pop().unwrap();
        assert_eq!(last.target(), format!("{MSCEP}?operation=GetCACert"));
    }
    let served = origin.requests().len();
    for authority in [
        "evil.example.test",
        "user@scep.example.test",
        "scep.example.test@evil.example.test",
        "scep.example.test:8443",
        "scep.example.test:x",
        "",
    ] {
        let response = get(&format!("https://{authority}{MSCEP}"));
        assert_eq!(response.status, 400, "{authority}");
    }
    for target in [
        "http://scep.example.test/certsrv/mscep/mscep.dll",
        "https:/certsrv/mscep",
    ] {
        assert_eq!(get(target).status, 400, "{target}");
    }
    assert_eq!(origin.requests().len(), served);
}

#[test]
fn http_1_0_without_host_uses_the_application_of_the_handshake() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let proxy = Proxy::start_two(first.address, second.address);
    let get = |connect: Connect| {
        let mut connection = connect.open();
        connection.send(format!("GET {MSCEP} HTTP/1.0\r\n\r\n"));
        let response = connection.response();
        assert_eq!(connection.end(), End::CloseNotify);
        response.status
    };
    assert_eq!(get(Connect::to(proxy.https).sni(OTHER)), 200);
    assert_eq!((first.requests().len(), second.requests().len()), (0, 1));
    assert_eq!(get(Connect::to(proxy.https).without_sni()), 200);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[test]
fn http_1_0_with_a_host_is_checked_against_it() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for (host, status) in [(PUBLIC, 200), ("evil.example.test", 421), ("a b", 400)] {
        let mut connection = proxy.connect();
        connection.send(format!("GET {MSCEP} HTTP/1.0\r\nHost: {host}\r\n\r\n"));
        assert_eq!(connection.response().status, status, "{host}");
    }
    let mut connection = proxy.connect();
    connection.send(format!(
        "GET https://evil.example.test{MSCEP} HTTP/1.0\r\n\r\n"
    ));
    connection
        .response()
        .assert_refused(421, "host_not_published");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn two_applications_have_their_own_certificate_and_upstream() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let proxy = Proxy::start_two(first.address, second.address);
    for (name, certificate, origin) in [
        (PUBLIC, pki().public.certificate(), &first),
        (OTHER, pki().other.certificate(), &second),
    ] {
        let mut connection = Connect::to(proxy.https).sni(name).open();
        assert_eq!(connection.certificate(), *certificate);
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(connection.response().status, 200);
        assert_eq!(origin.requests().len(), 1, "{name}");
    }
    for application in ["public", "other"] {
        let labels = [("application", application), ("status", "200")];
        proxy.await_metric("ndes_proxy_requests_total", &labels, 1.0);
    }
}

#[test]
fn another_application_than_that_of_the_sni_is_421() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let proxy = Proxy::start_two(first.address, second.address);
    with_hosts(&proxy, &format!("Host: {OTHER}\r\n")).assert_refused(421, "host_not_published");
    let mut connection = Connect::to(proxy.https).sni(OTHER).open();
    connection
        .get(MSCEP)
        .assert_refused(421, "host_not_published");
    // The client may request the right application on the same connection.
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"));
    assert_eq!(connection.response().status, 200);
    first.assert_untouched();
    assert_eq!(second.requests().len(), 1);
}

#[test]
fn without_sni_the_first_certificate_is_presented_and_host_decides() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let proxy = Proxy::start_two(first.address, second.address);
    for (host, origin) in [(PUBLIC, &first), (OTHER, &second)] {
        let mut connection = Connect::to(proxy.https).without_sni().open();
        assert_eq!(connection.certificate(), *pki().public.certificate());
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(connection.response().status, 200);
        assert_eq!(origin.requests().len(), 1);
    }
}

#[test]
fn an_unknown_sni_is_refused_with_unrecognized_name() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for version in rustls::ALL_VERSIONS {
        let connect = Connect::to(proxy.https)
            .sni("evil.example.test")
            .version(version);
        let error = connect.try_open().err().expect("no connection");
        assert_eq!(
            tls_error(&error),
            Some(&Error::AlertReceived(AlertDescription::UnrecognisedName))
        );
    }
    let labels = [("result", "unknown_name")];
    proxy.await_metric("ndes_proxy_tls_handshakes_total", &labels, 2.0);
    origin.assert_untouched();
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[test]
fn sni_is_compared_without_case_and_both_tls_versions_are_served() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for (version, label) in [
        (&rustls::version::TLS12, "tls12"),
        (&rustls::version::TLS13, "tls13"),
    ] {
        let connect = Connect::to(proxy.https)
            .sni("SCEP.Example.Test")
            .version(version);
        let mut connection = connect.open();
        assert_eq!(connection.get(&target_of(65_534)).status, 200);
        proxy.await_metric("ndes_proxy_tls_handshakes_total", &[("result", label)], 1.0);
    }
    assert_eq!(origin.requests().len(), 2);
}
