//! The limits on the number of connections, and which connections make room for new ones.

use std::time::{Duration, Instant};

use crate::support::origin::answer;
use crate::support::{Connect, Connection, End, Gate, MSCEP, Origin, PUBLIC, Proxy, eventually};

/// Returns an origin that responds once the gate is open.
fn held_origin() -> (Origin, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"late"));
    });
    (origin, gate)
}

fn ask(connection: &mut Connection) {
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
}

/// Waits, because idle times are compared in milliseconds.
fn a_moment() {
    let began = Instant::now();
    eventually("a later millisecond", || {
        began.elapsed() > Duration::from_millis(2)
    });
}

const COUNT: &str = "ndes_proxy_connections_total";

#[test]
fn at_the_limit_a_further_connection_is_closed_at_once_and_counted() {
    let (origin, gate) = held_origin();
    let proxy = Proxy::start(origin.address, |config| config.limits.connections = 10);
    let mut busy = Vec::new();
    for number in 1..=10 {
        let mut connection = proxy.connect();
        ask(&mut connection);
        // From here on the connection is not idle.
        origin.await_requests(number);
        busy.push(connection);
    }
    for _ in 0..3 {
        assert!(Connect::to(proxy.https).try_open().is_err());
    }
    let labels = [("result", "limit_reached")];
    proxy.await_metric(COUNT, &labels, 3.0);
    // The admin listener has a limit of its own, and busy connections are not affected.
    assert_eq!(proxy.ask_admin("/readyz").status, 200);
    gate.open();
    for connection in &mut busy {
        assert_eq!(connection.response().body, b"late");
    }
    drop(busy);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    assert_eq!(proxy.get(MSCEP).status, 200);
}

#[test]
fn near_the_limit_the_oldest_idle_connection_makes_room() {
    let origin = Origin::ok();
    // One worker: a connection is idle before the next one is accepted.
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.connections = 10;
        config.listen.workers = 1;
    });
    let mut idle: Vec<Connection> = (0..9)
        .map(|_| {
            let mut connection = proxy.connect();
            assert_eq!(connection.get(MSCEP).status, 200);
            a_moment();
            connection
        })
        .collect();
    // The first was busy for a moment, so the second has been idle for longest.
    assert_eq!(idle[0].get(MSCEP).status, 200);
    let mut new = proxy.connect();
    assert_eq!(idle[1].end(), End::CloseNotify);
    proxy.await_metric(COUNT, &[("result", "idle_closed")], 1.0);
    assert_eq!(new.get(MSCEP).status, 200);
    for (number, connection) in idle.iter_mut().enumerate() {
        if number != 1 {
            assert_eq!(connection.get(MSCEP).status, 200, "{number}");
        }
    }
    assert_eq!(proxy.metric(COUNT, &[("result", "limit_reached")]), 0.0);
}

#[test]
fn more_connections_than_the_limit_are_served_if_the_others_are_idle() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.connections = 10;
        config.listen.workers = 1;
    });
    let mut connections = Vec::new();
    for number in 0..50 {
        let mut connection = proxy.connect();
        assert_eq!(connection.get(MSCEP).status, 200, "{number}");
        connections.push(connection);
        a_moment();
        // The evicted connection is closed once its client has read to its end.
        if connections.len() > 9 {
            assert_eq!(connections.remove(0).end(), End::CloseNotify);
            proxy.await_metric("ndes_proxy_connections_open", &[], 9.0);
        }
    }
    let labels = [("result", "idle_closed")];
    assert_eq!(proxy.metric(COUNT, &labels), 41.0);
}

#[test]
fn each_client_has_its_own_connection_limit() {
    let (origin, gate) = held_origin();
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.connections_per_client = 3;
    });
    let from = |last| Connect::to(proxy.https).from([127, 0, 0, last]);
    let mut busy: Vec<Connection> = (0..3).map(|_| from(7).open()).collect();
    busy.iter_mut().for_each(ask);
    origin.await_requests(3);
    assert!(from(7).try_open().is_err());
    let labels = [("result", "client_limit_reached")];
    proxy.await_metric(COUNT, &labels, 1.0);
    let mut other = from(8).open();
    ask(&mut other);
    gate.open();
    assert_eq!(other.response().status, 200);
    // A connection that closes makes room for the next one of the same client.
    assert_eq!(busy[0].response().status, 200);
    drop(busy);
    proxy.await_metric("ndes_proxy_connections_open", &[], 1.0);
    assert_eq!(from(7).open().get(MSCEP).status, 200);
}
