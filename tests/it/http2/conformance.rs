//! The requirements of RFC 9113 on frames and stream states, section by section. An invalid request
//! never reaches the origin, and whatever the RFC permits is served.

use super::offered;
use super::wire::*;
use crate::support::{Connect, Origin, Proxy};

/// The expected result of the frames of a case.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// GOAWAY with an error and then the close of the connection, or its close at once.
    ConnectionError,
    /// RST_STREAM for stream 1, or as above.
    StreamError,
    /// The connection responds to a PING and to another request.
    GoesOn,
}
use Expect::{ConnectionError, GoesOn, StreamError};

type Case = (&'static str, Vec<Vec<u8>>, Expect);

fn run_all(cases: Vec<Case>) {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    for (name, frames, expect) in cases {
        let mut raw = Raw::open(&proxy);
        raw.send(&frames);
        match expect {
            ConnectionError => {
                let outcome = ends(&mut raw);
                assert!(
                    matches!(outcome, Outcome::GoAway(_) | Outcome::Closed),
                    "{name}: {outcome:?}"
                );
            }
            StreamError => {
                let outcome = raw.outcome(1);
                assert!(
                    !matches!(outcome, Outcome::Answer(_)),
                    "{name}: {outcome:?}"
                );
            }
            GoesOn => {
                assert!(raw.pongs(), "{name}");
                raw.send(&[scan(101)]);
                assert_eq!(raw.outcome(101), Outcome::Answer(404), "{name}");
            }
        }
    }
    origin.assert_untouched();
}

/// Reads until the connection closes, and asserts that it does.
fn ends(raw: &mut Raw) -> Outcome {
    match raw.outcome(u32::MAX) {
        Outcome::GoAway(code) => {
            while raw.frame().is_some() {}
            Outcome::GoAway(code)
        }
        other => other,
    }
}

/// Returns the HEADERS of a POST whose body must follow. It is refused once the body has arrived.
fn open_stream(id: u32) -> Vec<u8> {
    headers(
        0,
        id,
        &of("POST", "/certsrv/mscep/mscep.dll?operation=PKIOperation"),
    )
}

/// Returns the header block of a GET for `target`.
fn block_of(target: &str) -> Vec<u8> {
    block(&of("GET", target))
}

#[test]
fn section_3_4_the_preface() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"[..],
        b"GET / HTTP/1.1\r\nHost: scep.example.test\r\n\r\n",
        &[0; 24],
    ] {
        let mut raw = Raw::silent(&Connect::to(proxy.https));
        raw.connection.send(bytes);
        while raw.frame().is_some() {}
    }
    proxy.await_refusals("malformed_head", 3);
    // The first frame of the proxy is SETTINGS, whatever the client sends.
    let mut raw = Raw::silent(&Connect::to(proxy.https));
    let first = raw.frame().unwrap();
    assert_eq!((first.kind, first.flags), (SETTINGS, 0));
    // The first frame of the client must be SETTINGS, and not an acknowledgement.
    for first in [
        get(1),
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, ACK, 0, &[]),
    ] {
        let mut raw = Raw::silent(&Connect::to(proxy.https));
        raw.send(&[PREFACE.to_vec(), first]);
        assert!(matches!(
            ends(&mut raw),
            Outcome::GoAway(_) | Outcome::Closed
        ));
    }
    origin.assert_untouched();
}

#[test]
fn section_4_frames() {
    let too_long = vec![b'x'; (16 << 10) + 1];
    run_all(vec![
        ("unknown type", vec![frame(0x16, 0, 0, b"?")], GoesOn),
        (
            "unknown type on a stream",
            vec![frame(0xFF, 0xFF, 7, b"?")],
            GoesOn,
        ),
        (
            "undefined flags",
            vec![frame(PING, 0x16, 0, &[0; 8])],
            GoesOn,
        ),
        (
            "reserved bit",
            vec![frame(PING, 0, 1 << 31, &[0; 8])],
            GoesOn,
        ),
        (
            "DATA above the maximum",
            vec![open_stream(1), frame(DATA, 0, 1, &too_long)],
            StreamError,
        ),
        (
            "HEADERS above the maximum",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &too_long)],
            ConnectionError,
        ),
        (
            "unknown type above the maximum",
            vec![frame(0x16, 0, 0, &too_long)],
            ConnectionError,
        ),
        // §4.3: an index that does not exist, a table beyond its size, an incomplete string.
        (
            "index beyond the table",
            vec![frame(HEADERS, 5, 1, &[0xFF, 0xFF, 0x00])],
            ConnectionError,
        ),
        (
            "table size beyond SETTINGS",
            vec![frame(
                HEADERS,
                5,
                1,
                &[&[0x3F, 0xFF, 0xFF, 0x7F], &block_of("/")[..]].concat(),
            )],
            ConnectionError,
        ),
        (
            "index 0",
            vec![frame(HEADERS, 5, 1, &[0x80])],
            ConnectionError,
        ),
        (
            "broken string",
            vec![frame(HEADERS, 5, 1, &[0, 5, b'a'])],
            ConnectionError,
        ),
        (
            "Huffman code with a wrong end",
            vec![frame(HEADERS, 5, 1, &[0x44, 0x82, 0xFF, 0xFF])],
            ConnectionError,
        ),
        (
            "PRIORITY within a header block",
            vec![
                frame(HEADERS, 1, 1, &block_of("/")),
                frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 9]),
            ],
            ConnectionError,
        ),
        (
            "HEADERS of another stream within a header block",
            vec![frame(HEADERS, 1, 1, &block_of("/")), scan(3)],
            ConnectionError,
        ),
        (
            "unknown type within a header block",
            vec![frame(HEADERS, 1, 1, &block_of("/")), frame(0x16, 0, 1, &[])],
            ConnectionError,
        ),
        (
            "PING within a header block",
            vec![
                frame(HEADERS, 1, 1, &block_of("/")),
                frame(PING, 0, 0, &[0; 8]),
            ],
            ConnectionError,
        ),
    ]);
}

#[test]
fn section_5_1_states_and_identifiers_of_streams() {
    let reset = |id| frame(RST_STREAM, 0, id, &8u32.to_be_bytes());
    let data = |id| frame(DATA, END_STREAM, id, b"body");
    let more = |id| frame(CONTINUATION, END_HEADERS, id, &block_of("/"));
    let window = |id, by: u32| frame(WINDOW_UPDATE, 0, id, &by.to_be_bytes());
    run_all(vec![
        ("idle: DATA", vec![data(1)], ConnectionError),
        ("idle: RST_STREAM", vec![reset(1)], ConnectionError),
        ("idle: WINDOW_UPDATE", vec![window(1, 100)], ConnectionError),
        ("idle: CONTINUATION", vec![more(1)], ConnectionError),
        (
            "idle: PRIORITY",
            vec![frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])],
            GoesOn,
        ),
        ("half-closed: DATA", vec![scan(1), data(1)], StreamError),
        ("half-closed: HEADERS", vec![scan(1), scan(1)], StreamError),
        (
            "half-closed: CONTINUATION",
            vec![scan(1), more(1)],
            ConnectionError,
        ),
        (
            "half-closed: WINDOW_UPDATE",
            vec![scan(1), window(1, 100)],
            GoesOn,
        ),
        ("half-closed: RST_STREAM", vec![scan(1), reset(1)], GoesOn),
        (
            "closed by reset: HEADERS",
            vec![open_stream(1), reset(1), scan(1)],
            StreamError,
        ),
        (
            "closed by reset: CONTINUATION",
            vec![open_stream(1), reset(1), more(1)],
            ConnectionError,
        ),
        (
            "closed: PRIORITY",
            vec![scan(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])],
            GoesOn,
        ),
        ("even identifier", vec![scan(2)], ConnectionError),
        ("identifier 0", vec![scan(0)], ConnectionError),
        (
            "identifier that goes back",
            vec![scan(5), scan(3)],
            ConnectionError,
        ),
    ]);
}

#[test]
fn section_6_1_to_6_4_data_headers_priority_rst_stream() {
    let block = block_of("/");
    let padded = |pad: u8| [&[pad], &block[..]].concat();
    run_all(vec![
        (
            "DATA on stream 0",
            vec![frame(DATA, 0, 0, b"body")],
            ConnectionError,
        ),
        (
            "DATA with more padding than payload",
            vec![
                open_stream(1),
                frame(DATA, END_STREAM | PADDED, 1, &[9, 1, 2]),
            ],
            ConnectionError,
        ),
        (
            "DATA with a length of padding and no payload",
            vec![open_stream(1), frame(DATA, END_STREAM | PADDED, 1, &[])],
            ConnectionError,
        ),
        (
            "HEADERS with padding",
            vec![frame(
                HEADERS,
                END_STREAM | END_HEADERS | PADDED,
                1,
                &[&[2], &block[..], &[0, 0]].concat(),
            )],
            GoesOn,
        ),
        (
            "HEADERS with more padding than payload",
            vec![frame(
                HEADERS,
                END_STREAM | END_HEADERS | PADDED,
                1,
                &padded(255),
            )],
            ConnectionError,
        ),
        (
            "HEADERS with priority",
            vec![frame(
                HEADERS,
                END_STREAM | END_HEADERS | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 0, 9], &block[..]].concat(),
            )],
            GoesOn,
        ),
        (
            "HEADERS that depend on themselves",
            vec![frame(
                HEADERS,
                END_STREAM | END_HEADERS | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 9], &block[..]].concat(),
            )],
            StreamError,
        ),
        (
            "PRIORITY on stream 0",
            vec![frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 9])],
            ConnectionError,
        ),
        (
            "PRIORITY too short",
            vec![open_stream(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 9])],
            StreamError,
        ),
        (
            "RST_STREAM on stream 0",
            vec![frame(RST_STREAM, 0, 0, &[0; 4])],
            ConnectionError,
        ),
        (
            "RST_STREAM too short",
            vec![open_stream(1), frame(RST_STREAM, 0, 1, &[0; 3])],
            ConnectionError,
        ),
    ]);
}

#[test]
fn section_6_5_settings() {
    run_all(vec![
        (
            "ACK with payload",
            vec![frame(SETTINGS, ACK, 0, &[0; 6])],
            ConnectionError,
        ),
        (
            "on a stream",
            vec![frame(SETTINGS, 0, 1, &[])],
            ConnectionError,
        ),
        (
            "broken length",
            vec![frame(SETTINGS, 0, 0, &[0; 5])],
            ConnectionError,
        ),
        ("ENABLE_PUSH 2", vec![settings(&[(2, 2)])], ConnectionError),
        (
            "INITIAL_WINDOW_SIZE 2^31",
            vec![settings(&[(4, 1 << 31)])],
            ConnectionError,
        ),
        (
            "MAX_FRAME_SIZE 2^14 - 1",
            vec![settings(&[(5, (1 << 14) - 1)])],
            ConnectionError,
        ),
        (
            "MAX_FRAME_SIZE 2^24",
            vec![settings(&[(5, 1 << 24)])],
            ConnectionError,
        ),
        ("unknown", vec![settings(&[(0xFF, 1)])], GoesOn),
        (
            "the same setting twice",
            vec![settings(&[(4, 100), (4, 65_535)])],
            GoesOn,
        ),
        ("HEADER_TABLE_SIZE 0", vec![settings(&[(1, 0)])], GoesOn),
        (
            "HEADER_TABLE_SIZE 2^32 - 1",
            vec![settings(&[(1, u32::MAX)])],
            GoesOn,
        ),
    ]);
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    let acknowledged = |raw: &mut Raw| loop {
        if raw.await_frame(SETTINGS).expect("an acknowledgement").flags == ACK {
            break;
        }
    };
    acknowledged(&mut raw);
    raw.send(&[settings(&[(3, 100)])]);
    acknowledged(&mut raw);
}

#[test]
fn section_6_6_to_6_8_push_promise_ping_goaway() {
    let promise = [&3u32.to_be_bytes()[..], &block_of("/")].concat();
    run_all(vec![
        (
            "PUSH_PROMISE from a client",
            vec![
                open_stream(1),
                frame(PUSH_PROMISE, END_HEADERS, 1, &promise),
            ],
            ConnectionError,
        ),
        (
            "PING on a stream",
            vec![frame(PING, 0, 1, &[0; 8])],
            ConnectionError,
        ),
        (
            "PING too short",
            vec![frame(PING, 0, 0, &[0; 7])],
            ConnectionError,
        ),
        (
            "PING too long",
            vec![frame(PING, 0, 0, &[0; 9])],
            ConnectionError,
        ),
        (
            "GOAWAY on a stream",
            vec![frame(GOAWAY, 0, 1, &[0; 8])],
            ConnectionError,
        ),
    ]);
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    // An unsolicited acknowledgement gets no response.
    raw.send(&[
        frame(PING, ACK, 0, b"unasked!"),
        frame(PING, 0, 0, b"asked..."),
    ]);
    let pong = raw.await_frame(PING).unwrap();
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"asked..."[..]));
}

#[test]
fn section_6_9_windows() {
    let update = |id, by: u32| frame(WINDOW_UPDATE, 0, id, &by.to_be_bytes());
    let most = (1 << 31) - 1;
    run_all(vec![
        ("connection: 0", vec![update(0, 0)], ConnectionError),
        ("stream: 0", vec![open_stream(1), update(1, 0)], StreamError),
        (
            "too short",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])],
            ConnectionError,
        ),
        (
            "connection: above 2^31 - 1",
            vec![update(0, most), update(0, most)],
            ConnectionError,
        ),
        (
            "stream: above 2^31 - 1",
            vec![open_stream(1), update(1, most), update(1, most)],
            StreamError,
        ),
        (
            "SETTINGS that lift a window above 2^31 - 1",
            vec![
                open_stream(1),
                update(1, most - 65_535),
                settings(&[(4, 65_536)]),
            ],
            StreamError,
        ),
    ]);
    // DATA respects the window to the byte, also after SETTINGS make it smaller.
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    raw.send(&[settings(&[(4, 1)]), get(1)]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
    let mut body = Vec::new();
    loop {
        let data = raw.await_frame(DATA).unwrap();
        assert!(data.payload.len() <= 1, "{data:?}");
        body.extend(data.payload);
        if data.flags & END_STREAM != 0 {
            break;
        }
        raw.send(&[update(1, 1)]);
    }
    assert_eq!(body, b"from the origin");
}

#[test]
fn section_6_10_continuation() {
    let block = block_of("/");
    let (first, rest) = block.split_at(10);
    let (second, third) = rest.split_at(10);
    let begin = || frame(HEADERS, END_STREAM, 1, first);
    run_all(vec![
        (
            "two of them",
            vec![
                begin(),
                frame(CONTINUATION, 0, 1, second),
                frame(CONTINUATION, END_HEADERS, 1, third),
            ],
            GoesOn,
        ),
        (
            "after the end of the block",
            vec![scan(1), frame(CONTINUATION, END_HEADERS, 1, second)],
            ConnectionError,
        ),
        (
            "of another stream",
            vec![begin(), frame(CONTINUATION, END_HEADERS, 3, rest)],
            ConnectionError,
        ),
        (
            "on stream 0",
            vec![begin(), frame(CONTINUATION, END_HEADERS, 0, rest)],
            ConnectionError,
        ),
        (
            "after DATA",
            vec![
                open_stream(1),
                frame(DATA, 0, 1, b"body"),
                frame(CONTINUATION, END_HEADERS, 1, rest),
            ],
            ConnectionError,
        ),
        (
            "without HEADERS",
            vec![frame(CONTINUATION, END_HEADERS, 1, &block)],
            ConnectionError,
        ),
    ]);
}
