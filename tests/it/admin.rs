//! The responses of the admin listener.

use crate::support::pki::pki;
use crate::support::{MSCEP, Origin, Proxy};

#[test]
fn the_admin_listener_serves_health_and_metrics_and_nothing_else() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for (path, status, text) in [
        ("/livez", 200, "alive"),
        ("/readyz", 200, "ready"),
        ("/", 200, "<!doctype html>"),
        ("/index.html", 404, "/metrics"),
        ("/metrics/", 404, "/metrics"),
        ("/certsrv/mscep/mscep.dll", 404, "/metrics"),
    ] {
        let response = proxy.ask_admin(path);
        assert_eq!(response.status, status, "{path}");
        assert!(
            String::from_utf8_lossy(&response.body).contains(text),
            "{path}"
        );
    }
    let metrics = proxy.ask_admin("/metrics");
    let content_type = metrics.field("content-type").unwrap();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    origin.assert_untouched();
}

#[test]
fn the_admin_paths_are_not_published() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for path in ["/metrics", "/livez", "/readyz"] {
        proxy.get(path).assert_refused(404, "path_not_published");
    }
}

#[test]
fn requests_are_counted_by_application_operation_method_and_status() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let with = |operation: &str| format!("{MSCEP}?operation={operation}");
    proxy.get(&with("GetCACert"));
    proxy.get(&with("GetCACert"));
    proxy.get(&with("PKIOperation"));
    proxy.post(&with("PKIOperation"), b"x");
    proxy.get(MSCEP);
    proxy.get("/scan");
    let mut connection = proxy.connect();
    connection.send("nonsense\r\n\r\n");
    connection.response();
    for (operation, method, status, application, count) in [
        ("GetCACert", "GET", "200", "public", 2.0),
        ("PKIOperation", "GET", "200", "public", 1.0),
        ("PKIOperation", "POST", "200", "public", 1.0),
        ("none", "GET", "200", "public", 1.0),
        ("none", "GET", "404", "public", 1.0),
        ("none", "other", "400", "none", 1.0),
    ] {
        let labels = [
            ("application", application),
            ("operation", operation),
            ("method", method),
            ("status", status),
        ];
        proxy.await_metric("ndes_proxy_requests_total", &labels, count);
    }
    let labels = [("application", "public"), ("operation", "GetCACert")];
    for histogram in ["request_duration_seconds", "upstream_response_seconds"] {
        let count = proxy.metric(&format!("ndes_proxy_{histogram}_count"), &labels);
        assert_eq!(count, 2.0, "{histogram}");
    }
    // The head that could not be parsed has no URI to measure.
    assert_eq!(proxy.metric("ndes_proxy_request_uri_bytes_count", &[]), 6.0);
    assert_eq!(proxy.metric("ndes_proxy_requests_in_flight", &[]), 0.0);
    let opened = [("application", "public"), ("source", "opened")];
    assert!(proxy.metric("ndes_proxy_upstream_connections_total", &opened) >= 1.0);
}

#[test]
fn open_connections_are_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let connections: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
    proxy.await_metric("ndes_proxy_connections_open", &[], 5.0);
    drop(connections);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    assert_eq!(
        proxy.metric("ndes_proxy_connections_total", &[("result", "served")]),
        5.0
    );
    let handshakes = [("result", "tls13")];
    assert_eq!(
        proxy.metric("ndes_proxy_tls_handshakes_total", &handshakes),
        5.0
    );
}

#[test]
fn the_expiry_metric_is_that_of_the_certificate_file() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let der = pki().public.certificate();
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let expiry = certificate.validity().not_after.timestamp();
    let labels = [("application", "public")];
    let reported = proxy.metric("ndes_proxy_certificate_not_after_seconds", &labels);
    assert_eq!(reported, expiry as f64);
}

#[test]
fn build_and_process_metrics_are_reported() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(proxy.metric("ndes_proxy_build_info", &labels), 1.0);
    assert!(proxy.metric("process_open_fds", &[]) > 0.0);
}
