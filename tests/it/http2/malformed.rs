//! Requests that are malformed by RFC 9113 §8 are reset or refused, counted, and never reach the
//! origin.

use super::offered;
use super::wire::*;
use crate::support::proxy::target_of;
use crate::support::{MSCEP, Origin, PUBLIC, Proxy};

type Fields<'f> = Vec<(&'f str, &'f str)>;

/// Returns the pseudo-header fields of a GET that is served, without one of them.
fn without(name: &str) -> Fields<'static> {
    let mut fields = of("GET", MSCEP);
    fields.retain(|(known, _)| *known != name);
    fields
}

/// Returns them with one more field.
fn with<'f>(name: &'f str, value: &'f str) -> Fields<'f> {
    [&of("GET", MSCEP)[..], &[(name, value)]].concat()
}

/// Returns them with another value for one field.
fn replaced<'f>(name: &'f str, value: &'f str) -> Fields<'f> {
    let mut fields = of("GET", MSCEP);
    for field in &mut fields {
        if field.0 == name {
            field.1 = value;
        }
    }
    fields
}

#[test]
fn malformed_requests_are_refused_counted_and_affect_no_other() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut swapped = of("GET", MSCEP);
    swapped.insert(0, ("accept", "*/*"));
    let cases = vec![
        ("connection", with("connection", "close")),
        ("connection: keep-alive", with("connection", "keep-alive")),
        ("keep-alive", with("keep-alive", "timeout=5")),
        ("proxy-connection", with("proxy-connection", "keep-alive")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("upgrade", with("upgrade", "h2c")),
        ("te", with("te", "gzip")),
        ("te: trailers and more", with("te", "trailers, deflate")),
        ("upper case", with("Accept", "*/*")),
        ("one letter in upper case", with("x-Custom", "1")),
        ("empty name", with("", "1")),
        ("space in a name", with("x y", "1")),
        ("colon in a name", with("x:y", "1")),
        ("line feed in a name", with("x\ny", "1")),
        ("CR in a value", with("accept", "a\rb")),
        ("LF in a value", with("accept", "a\nHost: evil")),
        ("CRLF in a value", with("accept", "a\r\nx-evil: 1")),
        ("NUL in a value", with("accept", "a\0b")),
        ("space before a value", with("accept", " */*")),
        ("tab after a value", with("accept", "*/*\t")),
        ("unknown pseudo-field", with(":test", "1")),
        (":status", with(":status", "200")),
        (":protocol", with(":protocol", "websocket")),
        ("pseudo-field after a field", swapped),
        ("no :method", without(":method")),
        ("no :scheme", without(":scheme")),
        ("no :path", without(":path")),
        ("two :method", with(":method", "POST")),
        ("two :path", with(":path", "/")),
        ("two :authority", with(":authority", "evil.example.test")),
        ("two :scheme", with(":scheme", "https")),
        ("empty :path", replaced(":path", "")),
        ("no path", replaced(":path", "certsrv/mscep/mscep.dll")),
        (
            ":path with a host",
            replaced(":path", "https://scep.example.test/certsrv/mscep/mscep.dll"),
        ),
        ("asterisk", replaced(":path", "*")),
        (
            "space in :path",
            replaced(":path", "/certsrv/mscep/mscep.dll /x"),
        ),
        (
            "CRLF in :path",
            replaced(":path", "/certsrv/mscep/mscep.dll HTTP/1.1\r\nx: y"),
        ),
        (
            "NUL in :path",
            replaced(":path", "/certsrv/mscep/mscep.dll\0"),
        ),
        ("scheme http", replaced(":scheme", "http")),
        ("scheme ftp", replaced(":scheme", "ftp")),
        ("scheme with a path", replaced(":scheme", "https://evil/")),
        ("empty :method", replaced(":method", "")),
        ("space in :method", replaced(":method", "GET /x")),
        (
            "CRLF in :method",
            replaced(":method", "GET / HTTP/1.1\r\nx: y\r\n\r\nGET"),
        ),
        ("userinfo", replaced(":authority", "user@scep.example.test")),
        (
            "space in :authority",
            replaced(":authority", "scep.example.test evil"),
        ),
        ("empty :authority", replaced(":authority", "")),
        (
            "a path in :authority",
            replaced(":authority", "scep.example.test/x"),
        ),
        ("Host differs", with("host", "evil.example.test")),
        (
            "Host twice",
            [&with("host", PUBLIC)[..], &[("host", PUBLIC)]].concat(),
        ),
        (
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", PUBLIC)],
        ),
        ("CONNECT with all", replaced(":method", "CONNECT")),
        (
            "extended CONNECT",
            [
                &replaced(":method", "CONNECT")[..],
                &[(":protocol", "websocket")],
            ]
            .concat(),
        ),
        ("lower-case method", replaced(":method", "get")),
        ("TRACE", replaced(":method", "TRACE")),
        ("Content-Length without DATA", with("content-length", "4")),
        ("Content-Length with a sign", with("content-length", "+0")),
        (
            "Content-Length that is not a number",
            with("content-length", "0x0"),
        ),
        ("Content-Length as a list", with("content-length", "0, 0")),
        (
            "two Content-Length",
            [&with("content-length", "0")[..], &[("content-length", "0")]].concat(),
        ),
        (
            "two that differ",
            [&with("content-length", "0")[..], &[("content-length", "4")]].concat(),
        ),
        (
            "Content-Length too large",
            with("content-length", "18446744073709551616"),
        ),
    ];
    let count = cases.len();
    for (name, fields) in cases {
        let mut raw = Raw::open(&proxy);
        // A valid request before and after: the state and the table of the connection must stay intact.
        raw.send(&[scan(1), request(3, &fields)]);
        let outcome = raw.outcome(3);
        assert!(
            matches!(
                outcome,
                Outcome::Answer(400..=499) | Outcome::Reset(_) | Outcome::GoAway(_)
            ),
            "{name}: {outcome:?}"
        );
        if !matches!(outcome, Outcome::GoAway(_)) {
            raw.send(&[scan(5)]);
            assert!(matches!(raw.outcome(5), Outcome::Answer(_)), "{name}");
        }
    }
    origin.assert_untouched();
    let labels = [("reason", "path_not_published")];
    let scans = proxy.metric("ndes_proxy_refusals_total", &labels);
    proxy.await_metric("ndes_proxy_refusals_total", &[], scans + count as f64);
}

#[test]
fn bodies_that_differ_from_their_framing_are_refused() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let data = |flags, text: &str| frame(DATA, flags, 1, text.as_bytes());
    let trailers = |flags, fields: &[(&str, &str)]| headers(flags, 1, fields);
    let length = [("content-length", "4")];
    let cases = [
        ("shorter", vec![post(1, &length), data(END_STREAM, "123")]),
        ("longer", vec![post(1, &length), data(END_STREAM, "12345")]),
        (
            "shorter in pieces",
            vec![post(1, &length), data(0, "1"), data(END_STREAM, "2")],
        ),
        (
            "longer in pieces",
            vec![post(1, &length), data(0, "1234"), data(END_STREAM, "5")],
        ),
        (
            "trailers too early",
            vec![
                post(1, &length),
                data(0, "1"),
                trailers(END_STREAM, &[("a", "b")]),
            ],
        ),
        (
            "trailers that do not end the stream",
            vec![post(1, &[]), data(0, "1"), trailers(0, &[("a", "b")])],
        ),
        (
            "GET with DATA",
            vec![headers(0, 1, &of("GET", MSCEP)), data(END_STREAM, "1")],
        ),
    ];
    let count = cases.len();
    for (name, frames) in cases {
        let mut raw = Raw::open(&proxy);
        raw.send(&frames);
        let outcome = raw.outcome(1);
        assert!(
            matches!(outcome, Outcome::Answer(400) | Outcome::Reset(_)),
            "{name}: {outcome:?}"
        );
        assert!(raw.pongs(), "{name}");
    }
    origin.assert_untouched();
    proxy.await_metric("ndes_proxy_refusals_total", &[], count as f64);
}

#[test]
fn unusual_but_permitted_requests_are_served() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut reversed = of("GET", MSCEP);
    reversed.reverse();
    let host = [&without(":authority")[..], &[("host", PUBLIC)]].concat();
    for (name, fields) in [
        ("te: trailers", with("te", "trailers")),
        ("pseudo-fields in another order", reversed),
        ("Host alone", host),
        ("both", with("host", PUBLIC)),
        ("a port", replaced(":authority", "scep.example.test:443")),
        ("Content-Length 0", with("content-length", "0")),
        (
            "two cookies",
            [&with("cookie", "a=b")[..], &[("cookie", "c=d")]].concat(),
        ),
        ("obs-text", with("x-text", "\u{e4}")),
    ] {
        let mut raw = Raw::open(&proxy);
        raw.send(&[request(1, &fields)]);
        assert_eq!(raw.outcome(1), Outcome::Answer(200), "{name}");
    }
    // Padding, trailers and an empty last DATA frame are not forwarded.
    let mut raw = Raw::open(&proxy);
    raw.send(&[
        post(1, &[("content-length", "4")]),
        frame(DATA, PADDED, 1, &[2, b'b', b'o', 0, 0]),
        frame(DATA, 0, 1, b"dy"),
        // The library accepts a pseudo-header field here, which is malformed; it is not forwarded.
        headers(
            END_STREAM,
            1,
            &[(":method", "PUT"), ("x-forwarded-for", "10.0.0.1")],
        ),
    ]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
    raw.send(&[
        post(3, &[]),
        frame(DATA, 0, 3, b"body"),
        frame(DATA, END_STREAM, 3, &[]),
    ]);
    assert_eq!(raw.outcome(3), Outcome::Answer(200));
    let requests = origin.requests();
    assert_eq!(requests.len(), 10);
    for request in &requests[8..] {
        assert_eq!(request.body, b"body");
        assert_eq!(request.field("content-length").as_deref(), Some("4"));
        assert_eq!(request.field("x-forwarded-for"), None);
    }
}

#[test]
fn a_100_continue_is_sent_after_the_gate() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let expect = ("expect", "100-continue");
    let mut raw = Raw::open(&proxy);
    raw.send(&[post(1, &[expect])]);
    assert_eq!(raw.outcome(1), Outcome::Answer(100));
    origin.assert_untouched();
    raw.send(&[frame(DATA, END_STREAM, 1, b"body")]);
    assert_eq!(raw.outcome(1), Outcome::Answer(200));
    assert_eq!(origin.only_request().body, b"body");
    // If the request is refused, the body is never requested.
    let mut raw = Raw::open(&proxy);
    raw.send(&[post(1, &[expect, ("content-length", "262145")])]);
    assert_eq!(raw.outcome(1), Outcome::Answer(413));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn responses_to_head_have_no_data() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut raw = Raw::open(&proxy);
    raw.send(&[request(1, &of("HEAD", "/"))]);
    let answer = raw.await_frame(HEADERS).unwrap();
    assert_eq!(answer.flags & END_STREAM, END_STREAM);
    assert!(raw.pongs());
    proxy.await_refusals("path_not_published", 1);
    assert_eq!(
        proxy.metric("ndes_proxy_responses_incomplete_total", &[]),
        0.0
    );
}

#[test]
fn paths_are_served_up_to_65534_and_counted_above() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let mut served = 0;
    for length in [100, 16_383, 30_000, 65_533, 65_534] {
        let target = target_of(length);
        let mut raw = Raw::open(&proxy);
        raw.send(&[long_request(1, &of("GET", &target))]);
        assert_eq!(raw.outcome(1), Outcome::Answer(200), "{length}");
        served += 1;
        assert_eq!(origin.requests().pop().unwrap().target(), target);
    }
    for (length, reason, count) in [
        (65_535, "uri_too_long", 1),
        (70_000, "uri_too_long", 2),
        (131_072, "uri_too_long", 3),
        (200_000, "head_too_large", 1),
        (1 << 20, "head_too_large", 2),
    ] {
        let target = target_of(length);
        let mut raw = Raw::open(&proxy);
        _ = raw.try_send(&[long_request(1, &of("GET", &target))]);
        let outcome = raw.outcome(1);
        let expected = match length {
            200_000 => outcome == Outcome::Answer(431),
            1_048_576 => matches!(outcome, Outcome::GoAway(_)),
            _ => matches!(outcome, Outcome::Reset(_)),
        };
        assert!(expected, "{length}: {outcome:?}");
        proxy.await_refusals(reason, count);
    }
    assert_eq!(origin.requests().len(), served);
    proxy.await_metric("ndes_proxy_refusals_total", &[], 5.0);
}
