//! How the proxy ends: readiness off, no new connections, what is in flight ends whole.

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

fn held_back() -> (Origin, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], &[b'x'; 100_000]));
    });
    (origin, gate)
}

#[test]
fn requests_in_flight_end_whole_and_new_connections_are_refused() {
    let (origin, gate) = held_back();
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
    eventually("nobody listens", || {
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
fn a_body_that_is_being_sent_is_still_taken() {
    let origin = Origin::ok();
    let mut proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(connection.response().status, 100);
    let stopping = proxy.begin_stop();
    eventually("nobody listens", || {
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
fn connections_without_a_request_hold_nothing_up() {
    let origin = Origin::ok();
    let mut proxy = Proxy::start(origin.address, |config| {
        config.listen.protocols = vec![Protocol::Http1, Protocol::H2];
    });
    // No handshake, no request, no HTTP/2 preface, no end after the last answer.
    let silent = Connect::to(proxy.https).tcp().unwrap();
    let fresh = proxy.connect();
    let h2 = Connect::to(proxy.https).alpn(&["h2"]).open();
    let mut idle = proxy.connect();
    assert_eq!(idle.get(MSCEP).status, 200);
    proxy.await_metric("ndes_proxy_connections_open", &[], 4.0);
    let began = Instant::now();
    proxy.begin_stop().wait();
    // Far below the 30 s that requests may take.
    assert!(began.elapsed() < Duration::from_secs(10));
    drop((silent, fresh, h2, idle));
}

#[test]
fn what_is_in_flight_at_the_end_is_cut() {
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
    // The client must not take it for a whole answer.
    assert_ne!(connection.end(), End::CloseNotify);
}

#[test]
fn sigterm_under_load_ends_the_program_with_0_and_every_answer_whole() {
    let origin = Origin::answering(answer(200, &[], &[b'x'; 20_000]));
    let binary = Binary::run(origin.address, "");
    let https = binary.https;
    let (answers, stopping) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (answers, stopping) = (answers.clone(), stopping.clone());
            std::thread::spawn(move || client(number, https, &answers, &stopping))
        })
        .collect();
    eventually("load", || answers.load(Ordering::SeqCst) > 200);
    stopping.store(true, Ordering::SeqCst);
    binary.signal(Signal::TERM);
    for client in clients {
        client.join().expect("no answer broke off");
    }
    let (status, lines) = binary.wait();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().any(|line| line["message"] == "stopped"));
    let served = lines
        .iter()
        .filter(|line| line["target"] == "access" && line["status"] == 200)
        .count();
    assert_eq!(served, answers.load(Ordering::SeqCst));
    assert!(lines.iter().all(|line| line["incomplete"].is_null()));
}

/// Asks again and again, some of them on new connections, until nobody listens.
fn client(
    number: usize,
    https: std::net::SocketAddr,
    answers: &AtomicUsize,
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
                // Closed before this request was begun to be read: not a byte of an answer.
                assert!(stopping.load(Ordering::SeqCst), "closed while it runs");
                assert!(!connection.has_bytes(), "an answer broke off");
                break;
            };
            assert_eq!((response.status, response.body.len()), (200, 20_000));
            answers.fetch_add(1, Ordering::SeqCst);
            if response.field("connection") == Some("close") {
                break;
            }
        }
    }
}

#[test]
fn sigint_ends_the_program_too() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    binary.signal(Signal::INT);
    let (status, lines) = binary.wait();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().any(|line| line["message"] == "stopped"));
}

#[test]
fn what_the_program_cuts_is_logged_and_its_exit_is_still_0() {
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
