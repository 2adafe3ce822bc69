//! A defect of the proxy closes only the connection that triggers it.

use std::time::Duration;

use crate::support::{Connection, End, MSCEP, Origin, PUBLIC, Proxy};

#[test]
fn a_panic_in_one_connection_is_counted_and_affects_no_other() {
    let origin = Origin::ok();
    let mut proxy = Proxy::start(origin.address, |config| {
        // One thread, so that all connections share the state that could break.
        config.listen.workers = 1;
        config.applications[0].upstreams[0].max_in_flight = 2;
        config.applications[0].upstreams[0].queue = Duration::from_secs(20);
        // No configuration file can contain this value: the deadline overflows, and the clock panics.
        config.timeouts.upstream_body = Duration::MAX;
    });
    let mut idle = proxy.connect();
    idle.get("/scan").assert_refused(404, "path_not_published");
    let mut half = proxy.connect();
    half.send(format!("GET /scan HTTP/1.1\r\nHost: {PUBLIC}\r\n"));
    const DEFECTS: usize = 20;
    for number in 1..=DEFECTS {
        let mut connection: Connection = proxy.connect();
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
        assert!(
            connection.try_response().is_none(),
            "no incomplete response"
        );
        assert_ne!(connection.end(), End::CloseNotify);
        proxy.await_metric("ndes_proxy_panics_total", &[], number as f64);
    }
    proxy.panics = DEFECTS as f64;
    // Open connections and new ones are still served, and no resource is leaked.
    half.send("\r\n");
    half.response().assert_refused(404, "path_not_published");
    idle.get("/scan").assert_refused(404, "path_not_published");
    proxy.get("/scan").assert_refused(404, "path_not_published");
    proxy.await_metric("ndes_proxy_upstream_in_flight", &[], 0.0);
    drop((half, idle));
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    for gauge in ["ndes_proxy_requests_in_flight", "ndes_proxy_buffered_bytes"] {
        assert_eq!(proxy.metric(gauge, &[]), 0.0, "{gauge}");
    }
    let labels = [("status", "none")];
    assert_eq!(
        proxy.metric("ndes_proxy_requests_total", &labels),
        DEFECTS as f64
    );
}
