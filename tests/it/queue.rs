//! Tests of the queue to NDES: the number of concurrent requests, the order, and timeouts.

use std::time::{Duration, Instant};

use crate::support::origin::answer;
use crate::support::{Connect, Connection, End, Gate, MSCEP, Origin, PUBLIC, Proxy, eventually};

/// Starts an origin that responds once the gate is open, and a proxy that sends it `permits`
/// requests at a time and lets others wait for `max_wait`.
fn limited(permits: usize, max_wait: Duration) -> (Origin, Gate, Proxy) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request, wire| {
        held.pass();
        wire.send(answer(200, &[], request.target().as_bytes()));
    });
    let proxy = Proxy::start(origin.address, |config| {
        config.applications[0].upstreams[0].max_in_flight = permits;
        config.applications[0].upstreams[0].queue = max_wait;
    });
    (origin, gate, proxy)
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const WAITING: &str = "ndes_proxy_upstream_waiting";
const IN_FLIGHT: &str = "ndes_proxy_upstream_in_flight";

fn from(proxy: &Proxy, client: u8) -> Connection {
    Connect::to(proxy.https).from([127, 0, 8, client]).open()
}

fn send(connection: &mut Connection, name: &str) {
    connection.send(format!(
        "GET {MSCEP}?{name} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"
    ));
}

/// Sends a request of `client` and waits until `waiting` requests are in the queue.
fn queue_up(proxy: &Proxy, client: u8, name: &str, waiting: u32) -> Connection {
    let mut connection = from(proxy, client);
    send(&mut connection, name);
    proxy.await_metric(WAITING, &[], f64::from(waiting));
    connection
}

#[test]
fn ndes_gets_at_most_max_in_flight_requests_at_a_time_and_all_are_served() {
    let (origin, gate, proxy) = limited(4, LONG);
    let mut all: Vec<Connection> = (0..20).map(|client| from(&proxy, client)).collect();
    for connection in &mut all {
        send(connection, "x");
    }
    origin.await_requests(4);
    proxy.await_metric(WAITING, &[], 16.0);
    assert_eq!(proxy.metric(IN_FLIGHT, &[]), 4.0);
    assert_eq!(origin.requests().len(), 4);
    gate.open();
    for connection in &mut all {
        assert_eq!(connection.response().status, 200);
    }
    proxy.await_metric(IN_FLIGHT, &[], 0.0);
    assert_eq!(proxy.metric(WAITING, &[]), 0.0);
    assert_eq!(origin.requests().len(), 20);
}

#[test]
fn waiting_clients_are_served_round_robin() {
    let (origin, gate, proxy) = limited(1, LONG);
    let mut first = from(&proxy, 1);
    send(&mut first, "first");
    origin.await_requests(1);
    // One client fills its half of the queue, then another client sends a request.
    let mut office = [queue_up(&proxy, 2, "a", 1), queue_up(&proxy, 2, "b", 2)];
    let mut phone = queue_up(&proxy, 3, "c", 3);
    gate.open();
    for connection in office.iter_mut().chain([&mut phone]) {
        assert_eq!(connection.response().status, 200);
    }
    let order: Vec<String> = origin
        .requests()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    let expected = ["first", "a", "c", "b"].map(|name| format!("{MSCEP}?{name}"));
    assert_eq!(order, expected);
}

#[test]
fn a_request_that_waits_too_long_is_refused_with_retry_after() {
    let (origin, gate, proxy) = limited(1, SHORT);
    let mut first = from(&proxy, 1);
    send(&mut first, "first");
    origin.await_requests(1);
    let began = Instant::now();
    let mut late = from(&proxy, 2);
    send(&mut late, "late");
    let response = late.response();
    response.assert_refused(503, "upstream_busy");
    assert!(began.elapsed() >= SHORT);
    assert!(response.field("retry-after").is_some());
    assert_eq!(response.field("connection"), None);
    proxy.await_refusals("upstream_busy", 1);
    // The request is no longer in the queue, and the connection is still usable.
    assert_eq!(proxy.metric(WAITING, &[]), 0.0);
    assert_eq!(late.get("/scan").status, 404);
    gate.open();
    assert_eq!(late.get(MSCEP).status, 200);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_full_queue_refuses_at_once_and_keeps_half_for_other_clients() {
    let (origin, gate, proxy) = limited(1, LONG);
    let mut first = from(&proxy, 1);
    send(&mut first, "first");
    origin.await_requests(1);
    let mut waiting = vec![queue_up(&proxy, 2, "a", 1), queue_up(&proxy, 2, "b", 2)];
    from(&proxy, 2)
        .get(MSCEP)
        .assert_refused(503, "upstream_busy");
    waiting.push(queue_up(&proxy, 3, "c", 3));
    waiting.push(queue_up(&proxy, 4, "d", 4));
    from(&proxy, 5)
        .get(MSCEP)
        .assert_refused(503, "upstream_busy");
    gate.open();
    for connection in &mut waiting {
        assert_eq!(connection.response().status, 200);
    }
}

#[test]
fn one_client_never_holds_all_permits() {
    let (origin, gate, proxy) = limited(8, LONG);
    let mut greedy: Vec<Connection> = (0..12).map(|_| from(&proxy, 1)).collect();
    for connection in &mut greedy {
        send(connection, "greedy");
    }
    origin.await_requests(7);
    proxy.await_metric(WAITING, &[], 5.0);
    let mut phone = from(&proxy, 2);
    send(&mut phone, "phone");
    origin.await_requests(8);
    assert_eq!(
        origin.last_requests(1)[0].target(),
        format!("{MSCEP}?phone")
    );
    gate.open();
    for connection in greedy.iter_mut().chain([&mut phone]) {
        assert_eq!(connection.response().status, 200);
    }
}

#[test]
fn a_permit_is_held_until_the_response_is_complete() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request, wire| {
        if request.target().ends_with("half") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            held.pass();
            wire.send("world");
        } else {
            wire.send(answer(200, &[], b"ok"));
        }
    });
    let proxy = Proxy::start(origin.address, |config| {
        config.applications[0].upstreams[0].max_in_flight = 1;
        config.applications[0].upstreams[0].queue = SHORT;
    });
    let mut half = proxy.connect();
    send(&mut half, "half");
    // The first bytes of the response have arrived, but the request still holds its permit.
    let mut head = Vec::new();
    while !head.ends_with(b"hello") {
        head = half.bytes(head.len() + 1).to_vec();
    }
    proxy.get(MSCEP).assert_refused(503, "upstream_busy");
    assert_eq!(proxy.metric(IN_FLIGHT, &[]), 1.0);
    // A request that the proxy refuses needs no permit.
    proxy.get("/scan").assert_refused(404, "path_not_published");
    gate.open();
    assert_eq!(half.response().body, b"helloworld");
    assert_eq!(proxy.get(MSCEP).status, 200);
}

#[test]
fn a_client_that_disconnects_leaves_the_queue_and_its_request_is_not_sent() {
    let (origin, gate, proxy) = limited(1, LONG);
    let mut first = from(&proxy, 1);
    send(&mut first, "first");
    origin.await_requests(1);
    let gone = queue_up(&proxy, 2, "closed", 1);
    let mut half = queue_up(&proxy, 2, "half", 2);
    // Its half of the queue is full.
    from(&proxy, 2)
        .get(MSCEP)
        .assert_refused(503, "upstream_busy");
    drop(gone);
    proxy.await_metric(WAITING, &[], 1.0);
    half.finish();
    half.response().assert_refused(503, "client_left");
    assert_eq!(half.end(), End::CloseNotify);
    proxy.await_refusals("client_left", 2);
    let mut patient = queue_up(&proxy, 2, "patient", 1);
    // Requests that it sends meanwhile are buffered and served later, up to a limit.
    send(&mut patient, "pipelined");
    patient.send(format!("GET /{} HTTP/1.1\r\n", "x".repeat(50_000)));
    patient.send(format!("Host: {PUBLIC}\r\n\r\n"));
    gate.open();
    for name in ["patient", "pipelined"] {
        assert_eq!(
            patient.response().body,
            format!("{MSCEP}?{name}").as_bytes()
        );
    }
    patient.response().assert_refused(404, "path_not_published");
    assert_eq!(first.response().status, 200);
    let order: Vec<String> = origin
        .requests()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    assert_eq!(
        order,
        ["first", "patient", "pipelined"].map(|name| format!("{MSCEP}?{name}"))
    );
}

/// NDES continues to process the request, so its permit is not free.
#[test]
fn the_permit_of_a_client_that_disconnects_is_free_once_ndes_responds() {
    let (origin, gate, proxy) = limited(1, LONG);
    let mut first = from(&proxy, 1);
    send(&mut first, "first");
    origin.await_requests(1);
    drop(first);
    let mut second = queue_up(&proxy, 2, "second", 1);
    assert_eq!(origin.requests().len(), 1);
    gate.open();
    assert_eq!(second.response().status, 200);
    proxy.await_metric(IN_FLIGHT, &[], 0.0);
}

#[test]
fn invalid_responses_free_their_permits() {
    let origin = Origin::start(|request, wire| match request.target().rsplit('?').next() {
        Some("close") => wire.close(),
        Some("cut") => {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            wire.close();
        }
        Some("garbage") => wire.send("garbage\r\n\r\n"),
        _ => wire.send(answer(200, &[], b"ok")),
    });
    let proxy = Proxy::start(origin.address, |config| {
        config.applications[0].upstreams[0].max_in_flight = 1;
        config.applications[0].upstreams[0].queue = LONG;
    });
    for name in ["close", "cut", "garbage", "close", "cut", "garbage"] {
        let mut connection = proxy.connect();
        send(&mut connection, name);
        _ = connection.try_response();
        proxy.await_metric(IN_FLIGHT, &[], 0.0);
    }
    let mut head = proxy.connect();
    head.send(format!("HEAD {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    assert_eq!(head.response_to_head().status, 200);
    eventually("free", || proxy.metric(IN_FLIGHT, &[]) == 0.0);
    assert_eq!(proxy.get(MSCEP).status, 200);
}
