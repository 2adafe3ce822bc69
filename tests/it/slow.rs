//! Slow clients, a thousand of each kind at a time: each is ended when its time is over, and
//! honest ones do not notice them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::origin::answer;
use crate::support::{Connect, Connection, MSCEP, Origin, PATIENCE, PUBLIC, Proxy, eventually};

const EACH: usize = 1_000;
/// What every wait may take here.
const TIME: Duration = Duration::from_secs(6);
const OPEN: &str = "ndes_proxy_connections_open";

/// A connection below or above TLS, and what is sent on it now and then.
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

    /// Sends a little more. Whoever is cut off need not notice here.
    fn go_on(&mut self) {
        match &mut self.line {
            Line::Raw(tcp) => _ = tcp.write_all(self.more),
            Line::Tls(connection) if !self.more.is_empty() => _ = connection.try_send(self.more),
            Line::Tls(_) => {}
        }
    }

    /// Whether the proxy has ended it, told without waiting.
    fn has_ended(&self) -> bool {
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

/// Half of a record of application data, whatever it may hold.
const HALF_RECORD: &[u8] = &[23, 3, 3, 0x10, 0, 1, 2, 3];
/// The start of a ClientHello that is never whole.
const HALF_HELLO: &[u8] = &[22, 3, 1, 0x10, 0, 1, 0, 0x0f, 0xf0, 3, 3];

/// The kinds: a name, whether TLS comes first, what is sent at once and what now and then.
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
fn a_thousand_slow_clients_of_each_kind_harm_nobody() {
    // Both ends of each connection are here.
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
    let mut honest = Honest {
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
                honest.ask();
            }
        }
    }
    // Until the last one is gone: a little more from each, and honest ones in between.
    while !slow.is_empty() {
        let mut number = 0;
        slow.retain_mut(|(name, client)| {
            client.go_on();
            number += 1;
            if number % 500 == 0 {
                honest.ask();
            }
            let ended = client.has_ended();
            let took = client.began.elapsed();
            // The first request of a connection begins when its handshake has ended.
            assert!(ended || took < TIME * 2 + PATIENCE / 2, "{name}: {took:?}");
            !ended
        });
        honest.ask();
    }
    assert!(honest.served >= 7 * EACH / 50);
    assert!(honest.slowest < TIME, "{:?}", honest.slowest);
    let served = honest.served;
    drop(honest);
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

/// A client as it should be: one request on a connection of its own, one on a kept one.
struct Honest<'p> {
    proxy: &'p Proxy,
    kept: Connection,
    served: usize,
    slowest: Duration,
}

impl Honest<'_> {
    fn ask(&mut self) {
        let began = Instant::now();
        assert_eq!(self.proxy.get(MSCEP).status, 200);
        assert_eq!(self.kept.get(MSCEP).status, 200);
        self.served += 2;
        self.slowest = self.slowest.max(began.elapsed());
    }
}

#[test]
fn a_record_that_never_ends_has_an_end() {
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
            !client.has_ended()
        });
        slow.is_empty()
    });
    proxy.await_metric(OPEN, &[], 0.0);
}

/// Each holds a place at NDES and an answer in the buffers on the way, for as long as it may.
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
    // What they got by then does not look whole.
    for connection in &mut greedy {
        assert!(connection.try_response().is_none());
    }
}

/// A length that is announced takes no memory, bytes that have come do, and there is an end of it.
#[test]
fn bodies_in_memory_never_exceed_their_bound() {
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
    // 8 MB are announced, and none of it is taken.
    assert_eq!(buffered(), 0.0);
    proxy.post(&format!("{MSCEP}?operation=PKIOperation"), &[b'x'; 250_000]);
    let (mut refused, mut waiting) = (0, Vec::new());
    for mut connection in all.drain(..) {
        let held = (waiting.len() * (LENGTH - 1)) as f64;
        connection.send(vec![b'x'; LENGTH - 1]);
        // Either all of it is held in time, or it is told that there is no room.
        let mut answered = false;
        eventually("taken or refused", || {
            answered = answered || connection.comes_within(Duration::from_millis(1));
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
    // A request without body needs none of it.
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

/// Connections beyond the limit are refused at once, and the admin listener has its own.
#[test]
fn a_flood_of_connections_starves_neither_the_admin_nor_those_inside() {
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
    // The idle one had to make room; those that are busy with their handshake did not.
    assert!(inside.until_end().0.is_empty());
    drop(silent);
    proxy.await_metric(OPEN, &[], 0.0);
    assert_eq!(proxy.get(MSCEP).status, 200);
}
