//! How the proxy shuts down: it reports not ready, accepts no new connections, and completes the
//! requests in flight.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ndes_proxy::config::Protocol;
use rustix::process::Signal;

use crate::support::binary::Binary;
use crate::support::origin::answer;
use crate::support::proxy::target_of;
use crate::support::{Connect, Connection, End, Gate, MSCEP, Origin, PUBLIC, Proxy, eventually};

fn held_origin() -> (Origin, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], &[b'x'; 100_000]));
    });
    (origin, gate)
}

#[test]
fn requests_in_flight_complete_and_new_connections_are_refused() {
    let (origin, gate) = held_origin();
    let mut proxy = Proxy::start(origin.address, |_| {});
    let mut waiting: Vec<Connection> = (0..8).map(|_| proxy.connect()).collect();
    for connection in &mut waiting {
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    }
    let mut idle = proxy.connect();
    idle.get("/scan").assert_refused(404, "path_not_published");
    origin.await_requests(8);

    let stopping = proxy.begin_stop();
    eventually("not ready", || {
        let ready = proxy.ask_admin("/readyz");
        ready.status == 503 && ready.body.starts_with(b"stopping")
    });
    assert_eq!(proxy.ask_admin("/livez").status, 200);
    eventually("the port is closed", || {
        TcpStream::connect(proxy.https).is_err()
    });
    assert_eq!(idle.end(), End::CloseNotify);
    assert!(!stopping.has_ended());

    gate.open();
    for connection in &mut waiting {
        let response = connection.response();
        assert_eq!((response.status, response.body.len()), (200, 100_000));
        assert_eq!(response.field("connection"), Some("close"));
        assert_eq!(connection.end(), End::CloseNotify);
    }
    drop(idle);
    drop(waiting);
    stopping.wait();
}

#[test]
fn a_body_that_is_being_sent_is_still_received() {
    let origin = Origin::ok();
    let mut proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(connection.response().status, 100);
    let stopping = proxy.begin_stop();
    eventually("the port is closed", || {
        TcpStream::connect(proxy.https).is_err()
    });
    connection.send("0123456789");
    assert_eq!(connection.response().status, 200);
    assert_eq!(connection.end(), End::CloseNotify);
    assert_eq!(origin.only_request().body, b"0123456789");
    drop(connection);
    stopping.wait();
}

#[test]
fn connections_without_a_request_do_not_delay_the_shutdown() {
    let origin = Origin::ok();
    let mut proxy = Proxy::start(origin.address, |config| {
        config.listen.protocols = vec![Protocol::Http1, Protocol::H2];
    });
    // One without a handshake, without a request, without the HTTP/2 preface, and one idle after
    // its last response.
    let silent = Connect::to(proxy.https).tcp().unwrap();
    let fresh = proxy.connect();
    let h2 = Connect::to(proxy.https).alpn(&["h2"]).open();
    let mut idle = proxy.connect();
    assert_eq!(idle.get(MSCEP).status, 200);
    proxy.await_metric("ndes_proxy_connections_open", &[], 4.0);
    let began = Instant::now();
    proxy.begin_stop().wait();
    // Far less than the 30 s that requests may take.
    assert!(began.elapsed() < Duration::from_secs(10));
    drop((silent, fresh, h2, idle));
}

#[test]
fn requests_in_flight_at_the_deadline_are_aborted() {
    let origin = Origin::start(|_, wire| wire.until_closed());
    let time = Duration::from_millis(300);
    let mut proxy = Proxy::start(origin.address, |config| config.timeouts.shutdown = time);
    let mut connection = proxy.connect();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    origin.await_requests(1);
    let began = Instant::now();
    let stopping = proxy.begin_stop();
    stopping.wait();
    assert!(began.elapsed() >= time);
    assert!(began.elapsed() < Duration::from_secs(10));
    // The client must not mistake it for a complete response.
    assert_ne!(connection.end(), End::CloseNotify);
}

#[test]
fn sigterm_under_load_exits_with_0_and_every_response_is_complete() {
    let origin = Origin::answering(answer(200, &[], &[b'x'; 20_000]));
    let binary = Binary::run(origin.address, "");
    let https = binary.https;
    let (responses, stopping) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (responses, stopping) = (responses.clone(), stopping.clone());
            std::thread::spawn(move || client(number, https, &responses, &stopping))
        })
        .collect();
    eventually("load", || responses.load(Ordering::SeqCst) > 200);
    stopping.store(true, Ordering::SeqCst);
    binary.signal(Signal::TERM);
    for client in clients {
        client.join().expect("no response was incomplete");
    }
    let (status, lines) = binary.wait();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().any(|line| line["message"] == "stopped"));
    let served = lines
        .iter()
        .filter(|line| line["target"] == "access" && line["status"] == 200)
        .count();
    assert_eq!(served, responses.load(Ordering::SeqCst));
    assert!(lines.iter().all(|line| line["incomplete"].is_null()));
}

/// Sends requests, some of them on new connections, until the port is closed.
fn client(
    number: usize,
    https: std::net::SocketAddr,
    responses: &AtomicUsize,
    stopping: &AtomicBool,
) {
    let target = target_of(200 + 5_000 * number);
    loop {
        let Ok(mut connection) = Connect::to(https).try_open() else {
            assert!(stopping.load(Ordering::SeqCst), "refused while it runs");
            return;
        };
        for _ in 0..10 {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n");
            if connection.try_send(request).is_err() {
                assert!(stopping.load(Ordering::SeqCst), "broken while it runs");
                break;
            }
            let Some(response) = connection.try_response() else {
                // Closed before the proxy began to read this request, so there is not a byte of a
                // response.
                assert!(stopping.load(Ordering::SeqCst), "closed while it runs");
                assert!(!connection.has_bytes(), "a response was incomplete");
                break;
            };
            assert_eq!((response.status, response.body.len()), (200, 20_000));
            responses.fetch_add(1, Ordering::SeqCst);
            if response.field("connection") == Some("close") {
                break;
            }
        }
    }
}

#[test]
fn sigint_stops_the_program_too() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    binary.signal(Signal::INT);
    let (status, lines) = binary.wait();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().any(|line| line["message"] == "stopped"));
}

#[test]
fn aborted_requests_are_logged_and_the_exit_code_is_still_0() {
    let origin = Origin::start(|_, wire| wire.until_closed());
    let binary = Binary::run(origin.address, "[timeouts]\nshutdown = \"300ms\"");
    let mut connection = Connect::to(binary.https).open();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    origin.await_requests(1);
    binary.signal(Signal::TERM);
    let (status, lines) = binary.wait();
    assert_eq!(status.code(), Some(0));
    assert_ne!(connection.end(), End::CloseNotify);
    let cut: Vec<_> = lines
        .iter()
        .filter(|line| line["incomplete"] == "shutdown")
        .collect();
    assert_eq!(cut.len(), 1, "{lines:?}");
    let warning = lines.iter().find(|line| line["cut"] == 1);
    assert!(
        warning.is_some_and(|line| line["level"] == "WARN"),
        "{lines:?}"
    );
}
