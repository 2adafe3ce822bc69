//! The limits on what a client may use: time, streams, frames, memory, refusals.

use std::time::{Duration, Instant};

use ndes_proxy::config::types::Quota;

use super::offered;
use super::wire::*;
use crate::support::origin::answer;
use crate::support::proxy::{metric, target_of};
use crate::support::{Connect, Gate, MAX_WAIT, MSCEP, Origin, Proxy, eventually};

const SHORT: Duration = Duration::from_millis(200);
const ENHANCE_YOUR_CALM: u32 = 11;

fn held_origin() -> (Origin, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"late"));
    });
    (origin, gate)
}

fn quota(burst: u32) -> Quota {
    Quota {
        per_second: 1.try_into().unwrap(),
        burst: burst.try_into().unwrap(),
    }
}

/// Sends `more` every 20 ms until the connection closes.
fn closes_in_spite_of(raw: &mut Raw, more: &[u8]) {
    let began = Instant::now();
    while began.elapsed() < MAX_WAIT {
        if raw.try_send(&[more.to_vec()]).is_err() {
            return;
        }
        let next = Instant::now() + Duration::from_millis(20);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() || !raw.connection.receives_within(left) {
                break;
            }
            if raw.frame().is_none() {
                return;
            }
        }
    }
    panic!("the connection is still open");
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.timeouts.request_head = SHORT;
        config.timeouts.keep_alive = SHORT;
    });
    // A client that does not even send the preface.
    let mut raw = Raw::silent(&Connect::to(proxy.https));
    while raw.frame().is_some() {}
    // No request, and then none after the first. A PING does not keep the connection open.
    let ping = frame(PING, 0, 0, &[0; 8]);
    let mut raw = Raw::open(&proxy);
    closes_in_spite_of(&mut raw, &ping);
    let mut raw = Raw::open(&proxy);
    raw.send(&[get(1)]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
    closes_in_spite_of(&mut raw, &ping);
    // A client that follows GOAWAY does not have to wait.
    let mut raw = Raw::open(&proxy);
    let goaway = raw.await_frame(GOAWAY).unwrap();
    assert_eq!(goaway.code(), 0);
    let asked = raw.await_frame(PING).unwrap();
    raw.send(&[frame(PING, ACK, 0, &asked.payload)]);
    assert_eq!(raw.last_goaway(), Some(0));
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    let metrics = proxy.metrics();
    assert_eq!(
        metric(&metrics, "ndes_proxy_refusals_total", &[]),
        0.0,
        "{metrics}"
    );
}

#[test]
fn a_header_block_that_does_not_end_is_a_head_timeout() {
    let (origin, gate) = held_origin();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.timeouts.request_head = SHORT;
    });
    let block = block(&of("GET", MSCEP));
    let begun = || frame(HEADERS, END_STREAM, 3, &block[..10]);
    // A request in flight must not extend the timeout of the other one, although the connection is
    // not idle.
    let open = |stalled: Vec<u8>| {
        let mut raw = Raw::open(&proxy);
        raw.send(&[get(1), stalled]);
        raw
    };
    let in_the_middle = begun()[..15].to_vec();
    for (count, stalled) in [(1, begun()), (2, in_the_middle)] {
        let mut raw = open(stalled);
        assert_eq!(raw.outcome(3), Outcome::GoAway(ENHANCE_YOUR_CALM));
        proxy.await_refusals("head_timeout", count);
    }
    let mut raw = open(begun());
    closes_in_spite_of(&mut raw, &frame(CONTINUATION, 0, 3, &block[10..11]));
    proxy.await_refusals("head_timeout", 3);
    gate.open();
    let mut raw = open(frame(PING, 0, 0, &[0; 8]));
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
}

#[test]
fn a_client_that_opens_no_window_is_cut() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.timeouts.response_write = SHORT;
    });
    let cut = |request: fn(u32) -> Vec<u8>, status: u16| {
        let mut raw = Raw::open(&proxy);
        raw.send(&[settings(&[(4, 0)]), request(1)]);
        assert_eq!(raw.outcome(1), Outcome::Answer(status));
        assert!(matches!(raw.outcome(1), Outcome::Reset(_)));
        while raw.frame().is_some() {}
    };
    cut(get, 200);
    cut(scan, 404);
    let labels = [("cause", "client")];
    proxy.await_metric("ndes_proxy_responses_incomplete_total", &labels, 2.0);
    proxy.await_metric("ndes_proxy_upstream_in_flight", &[], 0.0);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
}

#[test]
fn a_client_that_opens_windows_but_reads_nothing_is_cut() {
    let origin = Origin::answering(answer(200, &[], &vec![b'x'; 1 << 20]));
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.timeouts.response_write = SHORT;
        config.timeouts.keep_alive = SHORT;
    });
    let mut raw = Raw::open(&proxy);
    let most: u32 = (1 << 31) - 1;
    let wide = frame(WINDOW_UPDATE, 0, 0, &(most - 65_535).to_be_bytes());
    raw.send(&[settings(&[(4, most)]), wide]);
    raw.send(&(0..40).map(|n| get(1 + 2 * n)).collect::<Vec<_>>());
    origin.await_requests(40);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    proxy.await_metric("ndes_proxy_requests_in_flight", &[], 0.0);
    drop(raw);
}

#[test]
fn a_body_that_trickles_is_a_body_timeout() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.timeouts.request_body = SHORT;
    });
    let mut raw = Raw::open(&proxy);
    raw.send(&[post(1, &[])]);
    let began = Instant::now();
    while !raw.connection.receives_within(Duration::from_millis(20))
        || raw.is_quiet(Duration::from_millis(1))
    {
        assert!(began.elapsed() < MAX_WAIT, "the connection is still open");
        raw.send(&[frame(DATA, 0, 1, b"x")]);
    }
    proxy.await_refusals("body_timeout", 1);
    origin.assert_untouched();
}

#[test]
fn floods_close_the_connection_and_are_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let open = || post(1, &[]);
    let resets = |made: fn(u32) -> Vec<u8>| {
        let streams = (0..2_000).map(|n| 1 + 2 * n);
        streams
            .flat_map(|id| [post(id, &[]), made(id)])
            .collect::<Vec<_>>()
    };
    let many = |frame: Vec<u8>| vec![frame; 3_000];
    let floods: [(&str, Vec<Vec<u8>>); 13] = [
        ("SETTINGS", many(settings(&[]))),
        (
            "SETTINGS with values",
            many(settings(&[(4, 1 << 20), (1, 0)])),
        ),
        ("PING", many(frame(PING, 0, 0, &[0; 8]))),
        ("PING ACK", many(frame(PING, ACK, 0, &[0; 8]))),
        ("PRIORITY", many(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]))),
        ("unknown", many(frame(0x16, 0, 0, &[]))),
        (
            "WINDOW_UPDATE",
            many(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ),
        (
            "WINDOW_UPDATE of a stream",
            [
                vec![open()],
                many(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
            ]
            .concat(),
        ),
        (
            "empty DATA",
            [vec![open()], many(frame(DATA, 0, 1, &[]))].concat(),
        ),
        (
            "DATA of padding",
            [vec![open()], many(frame(DATA, PADDED, 1, &[1, 0]))].concat(),
        ),
        (
            "rapid reset",
            resets(|id| frame(RST_STREAM, 0, id, &[0, 0, 0, 8])),
        ),
        (
            "made to reset by a window that overflows",
            resets(|id| frame(WINDOW_UPDATE, 0, id, &[0x7F, 0xFF, 0xFF, 0xFF])),
        ),
        (
            "made to reset by more DATA than Content-Length",
            (0..2_000)
                .map(|n| 1 + 2 * n)
                .flat_map(|id| {
                    [
                        post(id, &[("content-length", "1")]),
                        frame(DATA, 0, id, b"xx"),
                    ]
                })
                .collect(),
        ),
    ];
    for (name, frames) in floods {
        let labels = [("reason", "http2_limit")];
        let counted = || proxy.metric("ndes_proxy_refusals_total", &labels);
        let before = counted();
        let mut raw = Raw::open(&proxy);
        // The proxy need not read all of it.
        _ = raw.try_send(&frames);
        let outcome = raw.outcome(u32::MAX);
        assert_eq!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM), "{name}");
        eventually(name, || counted() > before);
    }
    origin.assert_untouched();
    let mut raw = Raw::open(&proxy);
    raw.send(&[get(1)]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
}

#[test]
fn requests_and_data_allow_more_frames_without_work() {
    let origin = Origin::answering(answer(200, &[], &vec![b'x'; 60_000]));
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    let update = |id, by: usize| frame(WINDOW_UPDATE, 0, id, &(by as u32).to_be_bytes());
    let mut updates = 0;
    for id in (0..300).map(|n| 1 + 2 * n) {
        raw.send(&[get(id)]);
        loop {
            let data = raw.await_frame(DATA).expect("data");
            if data.flags & END_STREAM != 0 {
                raw.send(&[update(0, 60_000)]);
                break;
            }
            let by = data.payload.len();
            raw.send(&[update(id, by)]);
            updates += 1;
        }
    }
    assert!(updates > 900, "{updates}: too few to show anything");
    assert!(raw.pongs());
}

#[test]
fn excessive_header_blocks_close_the_connection() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let begun = frame(HEADERS, END_STREAM, 1, &block(&of("GET", MSCEP)));
    let flood = |payload: &[u8]| {
        let more = vec![frame(CONTINUATION, 0, 1, payload); 3_000];
        [vec![begun.clone()], more].concat()
    };
    // A name of 1 byte and a value of 4000 bytes enter the dynamic table, and then that entry is
    // used thousands of times, one byte each.
    let entry = [&[0x40, 1, b'x', 127, 0xA1, 0x1E], &[b'y'; 4_000][..]].concat();
    let bomb = [block(&of("GET", MSCEP)), entry, vec![0xBE; 8_000]].concat();
    for (count, (name, frames)) in (1..).zip([
        ("empty CONTINUATION", flood(&[])),
        ("CONTINUATION with fields", flood(&block(&[("a", "b")]))),
        ("CONTINUATION of one string", flood(&vec![b'x'; 1_000])),
        (
            "bomb",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb)],
        ),
    ]) {
        let mut raw = Raw::open(&proxy);
        _ = raw.try_send(&frames);
        let outcome = raw.outcome(1);
        let ended = matches!(outcome, Outcome::GoAway(_) | Outcome::Answer(431));
        assert!(ended, "{name}: {outcome:?}");
        proxy.await_metric("ndes_proxy_refusals_total", &[], f64::from(count));
    }
    origin.assert_untouched();
}

#[test]
fn concurrent_streams_are_limited() {
    let (origin, gate) = held_origin();
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    let ids = |from: u32, count| (0..count).map(move |n| from + 2 * n);
    raw.send(&ids(1, 100).map(get).collect::<Vec<_>>());
    origin.await_requests(100);
    raw.send(&[get(201)]);
    // After REFUSED_STREAM the client may retry the request.
    assert_eq!(raw.outcome(201), Outcome::Reset(7));
    proxy.await_refusals("http2_limit", 1);
    gate.open();
    for _ in 0..100 {
        while raw.await_frame(DATA).unwrap().flags & END_STREAM == 0 {}
    }
    raw.send(&[get(203)]);
    origin.await_requests(101);
    assert!(raw.pongs());
    assert_eq!(origin.requests().len(), 101);
}

#[test]
fn long_uris_of_many_streams_count_as_buffered_bytes() {
    let (origin, gate) = held_origin();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.limits.buffered_bytes = 1 << 20;
    });
    let target = target_of(60_000);
    let mut raw = Raw::open(&proxy);
    for id in (0..30).map(|n| 1 + 2 * n) {
        raw.send(&[long_request(id, &of("GET", &target))]);
    }
    let fit = (1 << 20) / 60_200;
    proxy.await_refusals("buffers_full", 30 - fit);
    gate.open();
    origin.await_requests(fit as usize);
    proxy.await_metric("ndes_proxy_requests_in_flight", &[], 0.0);
    assert_eq!(origin.requests().len(), fit as usize);
    proxy.await_metric("ndes_proxy_buffered_bytes", &[], 0.0);
}

#[test]
fn a_scanner_gets_429_and_goaway() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.rate_limit.refused_per_client = quota(10);
    });
    let malformed = |id| request(id, &[&of("GET", MSCEP)[..], &[("upgrade", "h2c")]].concat());
    let made: [&dyn Fn(u32) -> Vec<u8>; 2] = [&scan, &malformed];
    for (client, made) in (2..).zip(made) {
        let mut raw = Raw::silent(&Connect::to(proxy.https).from([127, 0, 0, client]));
        raw.send(&[PREFACE.to_vec(), settings(&[])]);
        let mut streams = 0;
        // It ignores GOAWAY and continues as long as it can.
        let ended = loop {
            let id = 1 + 2 * streams;
            streams += 1;
            if raw.try_send(&[made(id)]).is_err() {
                break true;
            }
            loop {
                match raw.frame() {
                    None => break,
                    Some(frame) if frame.stream == id => break,
                    Some(_) => {}
                }
            }
            if raw.connection.receives_within(Duration::from_millis(1)) && raw.frame().is_none() {
                break true;
            }
            if streams > 100_000 {
                break false;
            }
        };
        assert!(ended, "{streams} streams, and the connection is still open");
    }
    origin.assert_untouched();
    let rate = proxy.metric("ndes_proxy_refusals_total", &[("reason", "rate_refused")]);
    assert!(rate >= 1.0, "{rate}");
    // Another client behind the same address that sends published requests is served.
    let mut raw = Raw::silent(&Connect::to(proxy.https).from([127, 0, 0, 2]));
    raw.send(&[PREFACE.to_vec(), settings(&[]), get(1)]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
}

#[test]
fn resets_are_charged_like_refused_requests() {
    let origin = Origin::start(|_, wire| wire.until_closed());
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.rate_limit.refused_per_client = quota(10);
    });
    let mut raw = Raw::open(&proxy);
    // Each has reached the upstream before it is reset, so the library does not count it.
    for number in 0..11 {
        raw.send(&[get(1 + 2 * number)]);
        origin.await_requests(1 + number as usize);
        raw.send(&[frame(RST_STREAM, 0, 1 + 2 * number, &[0, 0, 0, 8])]);
    }
    assert_eq!(raw.last_goaway(), Some(ENHANCE_YOUR_CALM));
    proxy.await_refusals("http2_limit", 1);
    let labels = [("cause", "client")];
    proxy.await_metric("ndes_proxy_responses_incomplete_total", &labels, 11.0);
    proxy.await_metric("ndes_proxy_upstream_in_flight", &[], 0.0);
}
