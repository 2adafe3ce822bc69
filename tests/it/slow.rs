//! Slow clients, a thousand of each kind at a time: each is closed at its timeout, and normal clients
//! are not delayed.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::origin::answer;
use crate::support::{Connect, Connection, MAX_WAIT, MSCEP, Origin, PUBLIC, Proxy, eventually};

const EACH: usize = 1_000;
/// The length of every timeout in these tests.
const TIME: Duration = Duration::from_secs(6);
const OPEN: &str = "ndes_proxy_connections_open";

/// A connection below or above TLS, and the bytes that are sent on it from time to time.
struct Slow {
    line: Line,
    more: &'static [u8],
    began: Instant,
}

enum Line {
    Raw(TcpStream),
    Tls(Box<Connection>),
}

impl Slow {
    fn tcp(&self) -> &TcpStream {
        match &self.line {
            Line::Raw(tcp) => tcp,
            Line::Tls(connection) => connection.tcp(),
        }
    }

    /// Sends a little more. Errors are ignored, because the connection may have been closed.
    fn send_more(&mut self) {
        match &mut self.line {
            Line::Raw(tcp) => _ = tcp.write_all(self.more),
            Line::Tls(connection) if !self.more.is_empty() => _ = connection.try_send(self.more),
            Line::Tls(_) => {}
        }
    }

    /// Returns whether the proxy has closed the connection, without waiting.
    fn is_closed(&self) -> bool {
        let mut scrap = [0; 1_024];
        loop {
            match self.tcp().read(&mut scrap) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }
}

/// Half of a record of application data. Its content does not matter.
const HALF_RECORD: &[u8] = &[23, 3, 3, 0x10, 0, 1, 2, 3];
/// The start of a ClientHello that is never completed.
const HALF_HELLO: &[u8] = &[22, 3, 1, 0x10, 0, 1, 0, 0x0f, 0xf0, 3, 3];

/// The kinds of slow clients: a name, whether TLS comes first, the bytes that are sent at once, and
/// those that are sent from time to time.
fn kinds() -> Vec<(&'static str, bool, Vec<u8>, &'static [u8])> {
    let post = format!("POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\n");
    vec![
        ("silence instead of a handshake", false, vec![], b""),
        ("a slow ClientHello", false, HALF_HELLO.to_vec(), b"x"),
        ("silence after the handshake", true, vec![], b""),
        (
            "a slow head",
            true,
            format!("GET {MSCEP} HTTP/1.1\r\nX: ").into(),
            b"x",
        ),
        (
            "a slow body",
            true,
            format!("{post}Content-Length: 200000\r\n\r\n").into(),
            b"x",
        ),
        (
            "slow chunks",
            true,
            format!("{post}Transfer-Encoding: chunked\r\n\r\n").into(),
            b"1\r\nx\r\n",
        ),
        (
            "idle after a request",
            true,
            format!("GET /scan HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n").into(),
            b"",
        ),
    ]
}

#[test]
fn a_thousand_slow_clients_of_each_kind_do_not_delay_others() {
    // Both ends of each connection are in this process.
    ndes_proxy::commands::check::raise_open_file_limit();
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.connections = 20_000;
        config.limits.connections_per_client = 20_000;
        let timeouts = &mut config.timeouts;
        (timeouts.tls_handshake, timeouts.request_head) = (TIME, TIME);
        (timeouts.request_body, timeouts.keep_alive) = (TIME, TIME);
    });
    let config = Arc::new(Connect::to(proxy.https).config());
    let connect = || {
        Connect::to(proxy.https)
            .open_with(config.clone())
            .expect("a slow client")
    };
    let mut normal = NormalClient {
        proxy: &proxy,
        kept: proxy.connect(),
        served: 0,
        slowest: Duration::ZERO,
    };
    let mut slow = Vec::new();
    for (name, tls, start, more) in kinds() {
        for number in 0..EACH {
            let began = Instant::now();
            let line = if tls {
                let mut connection = connect();
                connection.send(&start);
                Line::Tls(Box::new(connection))
            } else {
                let mut tcp = Connect::to(proxy.https).tcp().unwrap();
                tcp.write_all(&start).unwrap();
                Line::Raw(tcp)
            };
            let client = Slow { line, more, began };
            client.tcp().set_nonblocking(true).unwrap();
            slow.push((name, client));
            if number % 50 == 0 {
                normal.ask();
            }
        }
    }
    // Until the last one is closed: a little more from each, and normal requests in between.
    while !slow.is_empty() {
        let mut number = 0;
        slow.retain_mut(|(name, client)| {
            client.send_more();
            number += 1;
            if number % 500 == 0 {
                normal.ask();
            }
            let ended = client.is_closed();
            let took = client.began.elapsed();
            // The first request of a connection begins when its handshake is complete.
            assert!(ended || took < TIME * 2 + MAX_WAIT / 2, "{name}: {took:?}");
            !ended
        });
        normal.ask();
    }
    assert!(normal.served >= 7 * EACH / 50);
    assert!(normal.slowest < TIME, "{:?}", normal.slowest);
    let served = normal.served;
    drop(normal);
    proxy.await_metric(OPEN, &[], 0.0);
    assert_eq!(origin.requests().len(), served);
    for (reason, count) in [("head_timeout", 1), ("body_timeout", 2)] {
        proxy.await_refusals(reason, count * EACH as u32);
    }
    let labels = [("result", "timeout")];
    proxy.await_metric(
        "ndes_proxy_tls_handshakes_total",
        &labels,
        2.0 * EACH as f64,
    );
    assert_eq!(proxy.metric("ndes_proxy_buffered_bytes", &[]), 0.0);
}

/// A normal client: one request on a connection of its own, one on a kept connection.
struct NormalClient<'p> {
    proxy: &'p Proxy,
    kept: Connection,
    served: usize,
    slowest: Duration,
}

impl NormalClient<'_> {
    fn ask(&mut self) {
        let began = Instant::now();
        assert_eq!(self.proxy.get(MSCEP).status, 200);
        assert_eq!(self.kept.get(MSCEP).status, 200);
        self.served += 2;
        self.slowest = self.slowest.max(began.elapsed());
    }
}

#[test]
fn a_record_that_never_ends_is_cut() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.request_head = TIME / 10;
        config.timeouts.keep_alive = TIME / 10;
    });
    let mut slow: Vec<Slow> = (0..100)
        .map(|number| {
            let mut connection = proxy.connect();
            if number % 2 == 0 {
                assert_eq!(connection.get(MSCEP).status, 200);
            }
            let mut tcp = connection.tcp();
            tcp.write_all(HALF_RECORD).unwrap();
            tcp.set_nonblocking(true).unwrap();
            Slow {
                line: Line::Tls(Box::new(connection)),
                more: b"",
                began: Instant::now(),
            }
        })
        .collect();
    eventually("all ended", || {
        slow.retain(|client| {
            _ = client.tcp().write(b"x");
            !client.is_closed()
        });
        slow.is_empty()
    });
    proxy.await_metric(OPEN, &[], 0.0);
}

/// Each holds a permit and a response in the buffers on the way, until its timeout.
#[test]
fn clients_that_do_not_read_are_cut_and_others_are_served() {
    const COUNT: usize = 150;
    let large = answer(200, &[], &vec![b'x'; 16 << 20]);
    let small = answer(200, &[], b"ok");
    let origin = Origin::start(move |request, wire| {
        wire.send(if request.target().ends_with("large") {
            &large
        } else {
            &small
        });
    });
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.response_write = TIME / 3
    });
    let mut greedy: Vec<Connection> = (0..COUNT)
        .map(|_| {
            let mut connection = proxy.connect();
            connection.send(format!(
                "GET {MSCEP}?large HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"
            ));
            connection
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(proxy.get(MSCEP).status, 200);
    }
    let labels = [("cause", "client")];
    proxy.await_metric(
        "ndes_proxy_responses_incomplete_total",
        &labels,
        COUNT as f64,
    );
    proxy.await_metric("ndes_proxy_upstream_in_flight", &[], 0.0);
    proxy.await_metric(OPEN, &[], 0.0);
    // The response that they have received by then is recognizably incomplete.
    for connection in &mut greedy {
        assert!(connection.try_response().is_none());
    }
}

/// An announced length takes no memory, but bytes that have arrived do, up to the limit.
#[test]
fn bodies_in_memory_never_exceed_their_limit() {
    const BOUND: usize = 1 << 20;
    const LENGTH: usize = 200_000;
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.buffered_bytes = BOUND
    });
    let buffered = || proxy.metric("ndes_proxy_buffered_bytes", &[]);
    let head = format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: {LENGTH}\r\n\r\n"
    );
    let mut all: Vec<Connection> = (0..40)
        .map(|_| {
            let mut connection = proxy.connect();
            connection.send(&head);
            connection
        })
        .collect();
    // 8 MB are announced, but no memory is taken for them.
    assert_eq!(buffered(), 0.0);
    proxy.post(&format!("{MSCEP}?operation=PKIOperation"), &[b'x'; 250_000]);
    let (mut refused, mut waiting) = (0, Vec::new());
    for mut connection in all.drain(..) {
        let held = (waiting.len() * (LENGTH - 1)) as f64;
        connection.send(vec![b'x'; LENGTH - 1]);
        // Either the whole body is buffered, or the client is told that there is no memory.
        let mut answered = false;
        eventually("taken or refused", || {
            answered = answered || connection.receives_within(Duration::from_millis(1));
            answered || buffered() >= held + LENGTH as f64 - 1.0
        });
        assert!(buffered() <= BOUND as f64);
        if answered {
            let response = connection.response();
            response.assert_refused(503, "buffers_full");
            assert_eq!(response.field("retry-after"), Some("5"));
            refused += 1;
        } else {
            waiting.push(connection);
        }
    }
    assert_eq!(
        (waiting.len(), refused),
        (BOUND / LENGTH, 40 - BOUND / LENGTH)
    );
    // A request without body needs no memory.
    assert_eq!(proxy.get(MSCEP).status, 200);
    for connection in &mut waiting {
        connection.send("x");
        assert_eq!(connection.response().status, 200);
    }
    proxy.await_metric("ndes_proxy_buffered_bytes", &[], 0.0);
    drop(waiting);
    assert_eq!(
        proxy
            .post(&format!("{MSCEP}?operation=PKIOperation"), &[b'x'; LENGTH])
            .status,
        200
    );
}

/// Connections beyond the limit are refused at once, and the admin listener has a limit of its own.
#[test]
fn a_flood_of_connections_affects_neither_admin_nor_open_connections() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| config.limits.connections = 50);
    let mut inside = proxy.connect();
    let silent: Vec<TcpStream> = (0..49)
        .map(|_| Connect::to(proxy.https).tcp().unwrap())
        .collect();
    proxy.await_metric(OPEN, &[], 50.0);
    let began = Instant::now();
    for number in 0..500 {
        let mut tcp = Connect::to(proxy.https).tcp().unwrap();
        assert!(matches!(tcp.read(&mut [0; 10]), Ok(0) | Err(_)));
        if number % 50 == 0 {
            assert_eq!(proxy.ask_admin("/readyz").status, 200);
        }
    }
    assert!(began.elapsed() < TIME, "refused at once");
    let labels = [("result", "limit_reached")];
    proxy.await_metric("ndes_proxy_connections_total", &labels, 500.0);
    // The idle connection had to make room; those that are busy with their handshake did not.
    assert!(inside.until_end().0.is_empty());
    drop(silent);
    proxy.await_metric(OPEN, &[], 0.0);
    assert_eq!(proxy.get(MSCEP).status, 200);
}
