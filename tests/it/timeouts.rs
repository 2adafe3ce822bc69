//! Every wait for a client has a timeout.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::support::origin::answer;
use crate::support::{Connect, Connection, End, Gate, MSCEP, Origin, PUBLIC, Proxy, eventually};

const SHORT: Duration = Duration::from_millis(300);

/// Sends `start`, then `more` every few milliseconds until a response arrives.
fn trickle(connection: &mut Connection, start: &str, more: &str) {
    let began = Instant::now();
    connection.send(start);
    while !connection.receives_within(Duration::from_millis(20)) {
        connection.send(more);
        assert!(began.elapsed() < Duration::from_secs(10), "no end");
    }
}

#[test]
fn a_slow_head_is_408() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.request_head = SHORT
    });
    let start = format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nX: ");
    // Neither silence nor a byte from time to time extends the timeout, which is that of the whole
    // head.
    for more in ["", "x"] {
        // The first head of a connection must be complete within one head timeout from its start.
        let began = Instant::now();
        let mut connection = proxy.connect();
        trickle(&mut connection, &start, more);
        assert!(began.elapsed() >= SHORT);
        connection.response().assert_refused(408, "head_timeout");
        assert_eq!(connection.end(), End::CloseNotify);
    }
    proxy.await_refusals("head_timeout", 2);
    origin.assert_untouched();
}

#[test]
fn a_slow_head_of_a_later_request_is_also_408() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.request_head = SHORT
    });
    let mut connection = proxy.connect();
    assert_eq!(connection.get(MSCEP).status, 200);
    trickle(&mut connection, "GET ", "/");
    connection.response().assert_refused(408, "head_timeout");
    assert_eq!(connection.end(), End::CloseNotify);
}

#[test]
fn a_slow_body_is_408() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.request_body = SHORT
    });
    let line = format!("POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\n");
    for (framing, more) in [
        ("Content-Length: 10000\r\n\r\nhello", ""),
        ("Content-Length: 10000\r\n\r\nhello", "x"),
        ("Content-Length: 10000\r\nExpect: 100-continue\r\n\r\n", ""),
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n5;", "x"),
    ] {
        let mut connection = proxy.connect();
        trickle(&mut connection, &format!("{line}{framing}"), more);
        let mut response = connection.response();
        if response.status == 100 {
            response = connection.response();
        }
        response.assert_refused(408, "body_timeout");
        assert_eq!(connection.end(), End::CloseNotify);
    }
    proxy.await_refusals("body_timeout", 5);
    origin.assert_untouched();
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| config.timeouts.keep_alive = SHORT);
    let mut connection = proxy.connect();
    assert_eq!(connection.get(MSCEP).status, 200);
    let began = Instant::now();
    assert_eq!(connection.end(), End::CloseNotify);
    assert!(began.elapsed() < Duration::from_secs(10));
    // There was no request, so nothing is counted.
    assert_eq!(proxy.metric("ndes_proxy_refusals_total", &[]), 0.0);
}

#[test]
fn silence_after_the_handshake_closes_the_connection() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.request_head = SHORT
    });
    let began = Instant::now();
    assert_eq!(proxy.connect().end(), End::CloseNotify);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn silence_instead_of_a_handshake_closes_the_connection() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.tls_handshake = SHORT
    });
    // Nothing, half a record header, and a ClientHello that never ends.
    for start in [
        &b""[..],
        b"\x16\x03",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut tcp = Connect::to(proxy.https).tcp().unwrap();
        tcp.write_all(start).unwrap();
        match tcp.read(&mut [0; 100]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("neither closed nor reset: {other:?}"),
        }
    }
    let labels = [("result", "timeout")];
    proxy.await_metric("ndes_proxy_tls_handshakes_total", &labels, 3.0);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
}

#[test]
fn a_connection_without_tls_is_closed_at_once_and_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for start in [
        "GET / HTTP/1.1\r\nHost: scep.example.test\r\n\r\n",
        "SSH-2.0-x\r\n",
    ] {
        let mut tcp = Connect::to(proxy.https).tcp().unwrap();
        tcp.write_all(start.as_bytes()).unwrap();
        // An alert may arrive first.
        while matches!(tcp.read(&mut [0; 100]), Ok(1..)) {}
    }
    let labels = [("result", "failed")];
    proxy.await_metric("ndes_proxy_tls_handshakes_total", &labels, 2.0);
    origin.assert_untouched();
}

#[test]
fn a_client_that_does_not_read_its_response_is_cut() {
    let origin = Origin::answering(answer(200, &[], &vec![b'x'; 64 << 20]));
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.response_write = SHORT
    });
    let mut connection = proxy.connect();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    let labels = [("cause", "client")];
    proxy.await_metric("ndes_proxy_responses_incomplete_total", &labels, 1.0);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    // The response that it has received by then is recognizably incomplete.
    assert!(connection.try_response().is_none());
    assert_ne!(connection.end(), End::CloseNotify);
}

#[test]
fn slow_clients_do_not_delay_others() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let head = format!("POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\n");
    let slow: Vec<Connection> = (0..60)
        .map(|number| {
            let mut connection = proxy.connect();
            connection.send(match number % 3 {
                0 => "GET /certsrv".to_owned(),
                1 => format!("{head}Content-Length: 1000\r\n\r\nhello"),
                _ => format!("{head}Transfer-Encoding: chunked\r\n\r\nff\r\nhello"),
            });
            connection
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(proxy.get(MSCEP).status, 200);
    }
    assert_eq!(origin.requests().len(), 20);
    drop(slow);
}

#[test]
fn a_slow_upstream_does_not_delay_refusals() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"late"));
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut waiting: Vec<Connection> = (0..20).map(|_| proxy.connect()).collect();
    for connection in &mut waiting {
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    }
    origin.await_requests(20);
    assert_eq!(proxy.metric("ndes_proxy_requests_in_flight", &[]), 20.0);
    proxy.get("/scan").assert_refused(404, "path_not_published");
    gate.open();
    for connection in &mut waiting {
        assert_eq!(connection.response().body, b"late");
    }
    eventually("none in flight", || {
        proxy.metric("ndes_proxy_requests_in_flight", &[]) == 0.0
    });
}
