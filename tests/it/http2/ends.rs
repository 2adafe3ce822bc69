//! How responses and connections end: upstreams that break off, unwanted bodies, shutdown.

use super::offered;
use super::wire::*;
use crate::support::binary::Binary;
use crate::support::origin::answer;
use crate::support::{Connect, End, Gate, Origin, Proxy};

#[test]
fn a_response_that_breaks_off_is_reset() {
    let origin = Origin::start(|_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        wire.cut();
    });
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    raw.send(&[get(1)]);
    let outcome = match raw.outcome(1) {
        Outcome::Answer(200) => raw.outcome(1),
        other => other,
    };
    // It may break off before its first byte was sent.
    let broken = matches!(outcome, Outcome::Answer(502) | Outcome::Reset(2));
    assert!(broken, "{outcome:?}");
    assert!(raw.pongs());
    if outcome == Outcome::Reset(2) {
        let labels = [("cause", "upstream")];
        proxy.await_metric("ndes_proxy_responses_incomplete_total", &labels, 1.0);
    }
}

#[test]
fn a_client_that_still_sends_can_read_the_response() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    let piece = vec![b'x'; 16 << 10];
    // Within the window of 65535 bytes, and four times the limit in total.
    raw.send(&[post(1, &[("content-length", "1024000")])]);
    raw.send(&vec![frame(DATA, 0, 1, &piece[..16_000]); 4]);
    // Nothing is reset: the rest is received as the window opens, and discarded.
    let (mut window, mut answered) = (65_535 - 64_000, false);
    for number in 4..64 {
        while window < 16_000 || !answered {
            let frame = raw.frame().expect("a larger window, and a response");
            assert_ne!(frame.kind, RST_STREAM);
            match (frame.stream, frame.kind) {
                (1, WINDOW_UPDATE) => window += frame.code(),
                (1, DATA) => answered = frame.flags & END_STREAM != 0,
                _ => {}
            }
        }
        window -= 16_000;
        let last = if number == 63 { END_STREAM } else { 0 };
        raw.send(&[frame(DATA, last, 1, &piece[..16_000])]);
    }
    assert!(raw.pongs());
    raw.send(&[scan(3)]);
    assert!(matches!(raw.outcome(3), Outcome::Answer(_)));
    proxy.await_refusals("body_too_large", 1);
    assert_eq!(proxy.metric("ndes_proxy_refusals_total", &[]), 2.0);
    // If the whole connection closes, GOAWAY arrives at a client that is sending.
    for _ in 0..10 {
        let mut raw = Raw::open(&proxy);
        let wrong = frame(DATA, 0, 0, b"x");
        raw.send(&[wrong]);
        let more = frame(DATA, 0, 1, &piece);
        _ = raw.try_send(&vec![more; 64]);
        assert!(matches!(raw.outcome(1), Outcome::GoAway(1)));
        assert_eq!(raw.connection.end(), End::CloseNotify);
    }
    origin.assert_untouched();
}

#[test]
fn idle_connections_receive_goaway_at_shutdown() {
    let origin = Origin::ok();
    let mut proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    raw.send(&[get(1)]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
    let stopping = proxy.begin_stop();
    assert_eq!(raw.await_frame(GOAWAY).unwrap().code(), 0);
    let asked = raw.await_frame(PING).unwrap();
    raw.send(&[frame(PING, ACK, 0, &asked.payload)]);
    assert_eq!(raw.last_goaway(), Some(0));
    assert_eq!(raw.connection.end(), End::CloseNotify);
    drop(raw);
    stopping.wait();
}

#[test]
fn after_a_reload_the_next_request_is_the_last_and_earlier_ones_complete() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request, wire| {
        if request.connection == 0 {
            held.pass();
        }
        wire.send(answer(200, &[], b"whole"));
    });
    let binary = Binary::listening(origin.address, "protocols = [\"h2\"]", "");
    let mut raw = Raw::silent(&Connect::to(binary.https));
    raw.send(&[PREFACE.to_vec(), settings(&[]), get(1)]);
    origin.await_requests(1);
    binary.reload();
    raw.send(&[get(3)]);
    let (mut goaway_received, mut answered) = (false, false);
    while !goaway_received || !answered {
        let frame = raw.frame().expect("the connection stays open");
        goaway_received |= frame.kind == GOAWAY && frame.code() == 0;
        answered |= frame.kind == HEADERS && frame.stream == 3;
        if frame.kind == PING && frame.flags == 0 {
            raw.send(&[super::wire::frame(PING, ACK, 0, &frame.payload)]);
        }
    }
    gate.open();
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
    assert!(raw.last_goaway().is_none_or(|code| code == 0));
    assert_eq!(raw.connection.end(), End::CloseNotify);
}

#[test]
fn requests_in_flight_at_the_deadline_are_cut_and_logged() {
    let gate = Gate::default();
    let held = gate.clone();
    // One waits for its response head, one for its window.
    let origin = Origin::start(move |request, wire| {
        if request.method() == "GET" {
            held.pass();
        }
        wire.send(answer(200, &[], b"never taken"));
    });
    let listen = "protocols = [\"http/1.1\", \"h2\"]";
    let binary = Binary::listening(origin.address, listen, "[timeouts]\nshutdown = \"300ms\"");
    let mut raw = Raw::silent(&Connect::to(binary.https));
    raw.send(&[
        PREFACE.to_vec(),
        settings(&[(4, 0)]),
        get(1),
        post(3, &[("content-length", "0")]),
        frame(DATA, END_STREAM, 3, &[]),
    ]);
    assert_eq!(raw.outcome(3), Outcome::Answer(200));
    origin.await_requests(2);
    binary.signal(rustix::process::Signal::TERM);
    let (status, lines) = binary.wait();
    gate.open();
    assert_eq!(status.code(), Some(0));
    let cut = |line: &&serde_json::Value| line["incomplete"] == "shutdown";
    assert_eq!(lines.iter().filter(cut).count(), 2, "{lines:?}");
    while raw.frame().is_some() {}
}

#[test]
fn requests_that_the_library_refuses_are_logged_once() {
    let origin = Origin::ok();
    let listen = "protocols = [\"http/1.1\", \"h2\"]";
    let binary = Binary::listening(origin.address, listen, "");
    let open = || {
        let mut raw = Raw::silent(&Connect::to(binary.https));
        raw.send(&[PREFACE.to_vec(), settings(&[])]);
        raw
    };
    let mut raw = open();
    raw.send(&[request(1, &[(":method", "GET")])]);
    assert!(matches!(raw.outcome(1), Outcome::Reset(1)));
    let mut second = open();
    second.send(&[frame(PING, 0, 1, &[0; 8])]);
    assert!(matches!(second.outcome(1), Outcome::GoAway(1)));
    raw.send(&[scan(3)]);
    assert_eq!(raw.outcome(3), Outcome::Answer(404));
    crate::support::eventually("three lines", || binary.access_lines().len() >= 3);
    let mut reasons: Vec<_> = binary
        .access_lines()
        .iter()
        .map(|line| {
            assert!(line["incomplete"].is_null());
            assert_eq!(line["client"], "127.0.0.1");
            (line["reason"].clone(), line["status"].clone())
        })
        .collect();
    reasons.sort_by_key(|(_, status)| status.as_u64());
    let expected = [
        ("malformed_head", 400),
        ("malformed_head", 400),
        ("path_not_published", 404),
    ];
    let expected = expected.map(|(reason, status)| (reason.into(), status.into()));
    assert_eq!(reasons, expected);
}
