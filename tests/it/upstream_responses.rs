//! Tests of the responses of NDES: which parts are forwarded, which are removed, and how the proxy
//! handles an invalid response.

use std::time::{Duration, Instant};

use crate::support::client::End;
use crate::support::origin::answer;
use crate::support::{Gate, MAX_WAIT, MSCEP, Origin, PUBLIC, Proxy, Wire, eventually, tcp};

const CAPS: &str = "/certsrv/mscep/mscep.dll?operation=GetCACaps";
const INCOMPLETE: &str = "ndes_proxy_responses_incomplete_total";

/// A timeout that is long enough to be measured and short enough for a test.
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn status_content_type_and_body_are_forwarded_unchanged() {
    let megabyte: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let every_byte: Vec<u8> = (0..=255).collect();
    let der = "application/x-x509-ca-ra-cert";
    for (status, content_type, body) in [
        (200, "text/plain", &b"POSTPKIOperation\r\nSHA-256\r\n"[..]),
        (200, der, &every_byte),
        (200, "application/x-pki-message", &megabyte),
        (200, "text/html", b""),
        (
            403,
            "text/html",
            b"<h2>403 - Forbidden: Access is denied.</h2>",
        ),
        (404, "text/html; charset=us-ascii", b"<h2>Not Found</h2>"),
        (500, "text/html", b"<h2>500 - Internal server error.</h2>"),
        (503, "text/html", b"<h2>Service Unavailable</h2>"),
    ] {
        let origin = Origin::answering(answer(
            status,
            &[&format!("Content-Type: {content_type}"), "Date: then"],
            body,
        ));
        let proxy = Proxy::start(origin.address, |_| {});
        let found = proxy.get(CAPS);
        assert_eq!(found.status, status);
        assert_eq!(found.field("content-type"), Some(content_type));
        assert_eq!(found.field("date"), Some("then"));
        assert_eq!(
            found.field("content-length").unwrap(),
            body.len().to_string()
        );
        assert!(found.body == body, "another body of {}", found.body.len());
        assert_eq!(found.field("proxy-status"), None);
    }
}

#[test]
fn every_framing_gives_the_same_body_and_no_trailers() {
    for (raw, ends) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
            false,
        ),
        (
            "HTTP/1.1 200\r\nContent-Length: 11\r\n\r\nhello world",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Late\r\n\r\nb\r\nhello world\r\n0\r\nX-Late: 1\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello world", true),
        ("HTTP/1.0 200 OK\r\n\r\nhello world", true),
    ] {
        let origin = Origin::start(move |_, wire| {
            wire.send(raw);
            if ends {
                wire.close();
            }
        });
        let proxy = Proxy::start(origin.address, |_| {});
        let found = proxy.get(CAPS);
        assert_eq!(
            (found.status, &found.body[..]),
            (200, &b"hello world"[..]),
            "{raw}"
        );
        assert!(!found.text().to_ascii_lowercase().contains("late"), "{raw}");
    }
}

#[test]
fn responses_without_a_body_are_forwarded_without_a_body() {
    for (method, raw, status, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n",
            200,
            Some("17"),
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, None),
    ] {
        let origin = Origin::answering(raw);
        let proxy = Proxy::start(origin.address, |config| config.listen.workers = 1);
        let mut client = proxy.connect();
        // Twice: the response is complete for both sides, and the connections stay open.
        for _ in 0..2 {
            client.send(format!(
                "{method} {CAPS} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"
            ));
            let found = client.response_to_head();
            assert_eq!(found.status, status);
            assert_eq!(found.field("content-length"), length);
        }
        assert_eq!(origin.requests()[0].method(), method);
        assert_eq!(origin.connections(), 1, "{raw}");
    }
}

#[test]
fn fields_that_reveal_internals_are_removed_and_all_others_forwarded() {
    let origin = Origin::answering(answer(
        200,
        &[
            "Server: Microsoft-IIS/10.0",
            "X-Powered-By: ASP.NET",
            "X-AspNet-Version: 4.0.30319",
            "X-AspNetMvc-Version: 5.2",
            "WWW-Authenticate: Negotiate",
            "WWW-Authenticate: NTLM",
            "WWW-Authenticate: Basic realm=corp, NTLM",
            "WWW-Authenticate: Negotiate oYG2MIGz",
            "Connection: X-Hop, keep-alive",
            "Connection: X-Other-Hop",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authenticate: Basic",
            "Upgrade: h2c",
            "Trailer: X-Late",
            "Alt-Svc: h2=\":443\"",
            "X-Hop: 1",
            "X-Other-Hop: 1",
            "Content-Type: text/plain",
            "Cache-Control: no-cache",
            "Set-Cookie: a=b; path=/",
            "Set-Cookie: c=d",
            "Date: then",
            "X-Unknown: stays",
        ],
        b"ok",
    ));
    let proxy = Proxy::start(origin.address, |_| {});
    let found = proxy.get(CAPS);
    let mut fields = found.fields.clone();
    fields.sort();
    let fields: Vec<_> = fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    assert_eq!(
        fields,
        [
            ("cache-control", "no-cache"),
            ("content-length", "2"),
            ("content-type", "text/plain"),
            ("date", "then"),
            ("set-cookie", "a=b; path=/"),
            ("set-cookie", "c=d"),
            ("x-unknown", "stays"),
        ]
    );
    assert_eq!(found.body, b"ok");
}

#[test]
fn the_internal_name_in_location_is_replaced_by_the_public_name() {
    for (location, expected) in [
        (
            "https://ndes.corp.test/certsrv/mscep/",
            "https://scep.example.test/certsrv/mscep/",
        ),
        (
            "http://NDES.corp.test:80/x?y#z",
            "https://scep.example.test/x?y#z",
        ),
        ("https://ndes.corp.test", "https://scep.example.test"),
        ("/certsrv/mscep/", "/certsrv/mscep/"),
        ("https://elsewhere.test/x", "https://elsewhere.test/x"),
        (
            "https://ndes.corp.test.evil.test/",
            "https://ndes.corp.test.evil.test/",
        ),
    ] {
        let field = format!("Location: {location}");
        let origin = Origin::answering(answer(302, &[&field], b"moved"));
        let proxy = Proxy::start(origin.address, |_| {});
        let found = proxy.get(CAPS);
        assert_eq!(
            (found.status, found.field("location")),
            (302, Some(expected))
        );
    }
    // The port that the client used is kept with the name.
    let origin = Origin::answering(answer(302, &["Location: https://ndes.corp.test/x"], b""));
    let proxy = Proxy::start(origin.address, |_| {});
    let mut client = proxy.connect();
    client.send(format!(
        "GET {CAPS} HTTP/1.1\r\nHost: {PUBLIC}:8443\r\n\r\n"
    ));
    assert_eq!(
        client.response().field("location"),
        Some("https://scep.example.test:8443/x")
    );
}

#[test]
fn interim_responses_are_skipped() {
    let origin = Origin::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::start(origin.address, |_| {});
    let found = proxy.get(CAPS);
    assert_eq!((found.status, &found.body[..]), (200, &b"ok"[..]));
    assert_eq!(found.field("link"), None);
}

/// Sends each of these instead of a valid response, on a new connection. The client gets 502, the
/// request reaches NDES once, and the connection is not reused.
#[test]
fn an_invalid_response_head_is_502() {
    let long_field = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(100_000));
    let (invalid, closed) = ("upstream_invalid", "upstream_closed");
    for (raw, reason, kind) in [
        ("\x00\x01garbage\r\n\r\n", invalid, "invalid"),
        ("no status line at all\r\n\r\n", invalid, "invalid"),
        ("<html>HTTP/0.9</html>", invalid, "invalid"),
        (
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (&long_field, invalid, "invalid"),
        (&many_fields, invalid, "invalid"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            invalid,
            "upgrade",
        ),
        // Header fields
        (
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 0\r\n\r\n",
            invalid,
            "invalid",
        ),
        // Content-Length
        (
            "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            invalid,
            "invalid",
        ),
        // Transfer codings
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            invalid,
            "invalid",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            invalid,
            "invalid",
        ),
        // The connection closes before the response is complete.
        ("", closed, "closed"),
        ("HTTP/1.1 200 OK\r\nContent-Le", closed, "closed"),
        ("HTTP/1.1 100 Continue\r\n\r\n", closed, "closed"),
    ] {
        let bytes = raw.to_owned();
        let origin = Origin::start(move |_, wire| {
            wire.send(&bytes);
            wire.close();
        });
        let proxy = Proxy::start(origin.address, |_| {});
        let shown = &raw[..raw.len().min(120)];
        let found = proxy.get(CAPS);
        println!("{shown:?}: {}", found.head);
        found.assert_refused(502, reason);
        let text = found.text();
        for inside in ["corp", "127.0.0.1", "hyper", "parse", "Switching"] {
            assert!(!text.contains(inside), "{inside} is in {text}");
        }
        assert_eq!(origin.requests().len(), 1, "{shown:?}");
        let labels = [("application", "public"), ("kind", kind)];
        proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
    }
}

#[test]
fn an_ambiguous_response_closes_its_connection_too() {
    // The origin itself would keep the connection open.
    let origin = Origin::start(|request, wire| match request.connection {
        0 => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        _ => wire.send(answer(200, &[], b"sound")),
    });
    let proxy = Proxy::start(origin.address, |config| config.listen.workers = 1);
    let mut client = proxy.connect();
    client.get(CAPS).assert_refused(502, "upstream_invalid");
    assert_eq!(client.get(CAPS).body, b"sound");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn surplus_bytes_after_a_response_are_not_the_next_response() {
    let surplus = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for first in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood{surplus}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n{surplus}"
        ),
        format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n{surplus}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{surplus}"),
    ] {
        let with_surplus = first.clone();
        let origin = Origin::start(move |request, wire| match request.connection {
            0 => wire.send(&with_surplus),
            _ => wire.send(answer(200, &[], b"right")),
        });
        let proxy = Proxy::start(origin.address, |config| config.listen.workers = 1);
        let mut client = proxy.connect();
        assert_ne!(client.get(CAPS).body, b"evil");
        let second = client.get(CAPS);
        assert_eq!(
            (second.status, &second.body[..]),
            (200, &b"right"[..]),
            "{first}"
        );
        assert_eq!(origin.connections(), 2, "{first}");
    }
}

/// How an origin closes the connection in the middle of a body.
type Leave = fn(&mut Wire);

#[test]
fn an_incomplete_body_never_appears_complete() {
    let close: Leave = Wire::close;
    let cut: Leave = Wire::cut;
    let reset: Leave = Wire::reset;
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf of it";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n";
    let until_end = "HTTP/1.1 200 OK\r\n\r\nhalf of it";
    let bad_size =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\nxyz\r\n";
    let overflow = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhalf";
    for (name, raw, leave) in [
        ("length, close", length, close),
        ("length, cut", length, cut),
        ("length, reset", length, reset),
        ("chunks, close", chunks, close),
        ("chunks, cut", chunks, cut),
        ("chunks, reset", chunks, reset),
        // With close_notify this body would be complete.
        ("until the end, cut", until_end, cut),
        ("until the end, reset", until_end, reset),
        ("no chunk size", bad_size, close),
        ("too large a chunk size", overflow, close),
    ] {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let origin = Origin::start(move |_, wire| {
                wire.send(raw);
                leave(wire);
            });
            let proxy = Proxy::start(origin.address, |_| {});
            let mut client = proxy.connect();
            client.send(format!(
                "GET {CAPS} {version}\r\nHost: {PUBLIC}\r\nConnection: close\r\n\r\n"
            ));
            let (bytes, end) = client.until_end();
            let text = String::from_utf8_lossy(&bytes);
            // The error may be detected before the first byte of the body is forwarded. A reset can
            // overtake all bytes before it.
            let at_once = name.ends_with("reset") || name.contains("chunk size");
            if text.starts_with("HTTP/1.1 502") && at_once {
                continue;
            }
            // No bytes at all are not a complete response either.
            let is_expected = text.starts_with("HTTP/1.1 200") || text.is_empty();
            assert!(is_expected, "{name}: {text}");
            assert!(!text.contains("\r\n0\r\n"), "{name}, {version}: {text}");
            assert_ne!(end, End::CloseNotify, "{name}, {version}: {text}");
            proxy.await_metric(INCOMPLETE, &[("cause", "upstream")], 1.0);
        }
    }
}

#[test]
fn an_upstream_that_does_not_respond_is_504_after_the_timeout() {
    for (operation, least) in [("GetCACaps", SHORT), ("PKIOperation", 2 * SHORT)] {
        let origin = Origin::start(|_, wire| wire.until_closed());
        let proxy = Proxy::start(origin.address, |config| {
            config.timeouts.upstream_response = SHORT;
            config.timeouts.upstream_pki_operation = 2 * SHORT;
        });
        let started = Instant::now();
        let found = proxy.get(&format!("{MSCEP}?operation={operation}"));
        found.assert_refused(504, "upstream_timeout");
        assert!(started.elapsed() >= least, "{operation}");
        assert_eq!(origin.requests().len(), 1);
        let labels = [("kind", "timeout")];
        proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
    }
}

/// Repeats `step` until `done` is open.
fn until(done: &Gate, mut step: impl FnMut()) {
    while !done.is_open_after(Duration::from_millis(10)) {
        step();
    }
}

#[test]
fn a_response_head_that_trickles_times_out() {
    // Bytes arrive all the time, so only a limit on the total time detects it.
    for piece in ["a", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let done = Gate::default();
        let seen = done.clone();
        let origin = Origin::start(move |_, wire| {
            if piece == "a" {
                wire.send("HTTP/1.1 200 OK\r\nX-Long: ");
            }
            until(&seen, || wire.send(piece));
            wire.close();
        });
        let proxy = Proxy::start(origin.address, |c| c.timeouts.upstream_response = SHORT);
        let started = Instant::now();
        proxy.get(CAPS).assert_refused(504, "upstream_timeout");
        assert!(started.elapsed() >= SHORT);
        done.open();
    }
}

#[test]
fn a_flood_of_interim_responses_times_out_and_does_not_block_other_requests() {
    let done = Gate::default();
    let seen = done.clone();
    let origin = Origin::start(move |request, wire| {
        if request.target().ends_with("GetCACert") {
            return wire.send(answer(200, &[], b"other"));
        }
        let flood = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(1_000);
        while !seen.is_open_after(Duration::ZERO) {
            wire.send(&flood);
        }
        wire.close();
    });
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.upstream_response = Duration::from_secs(2);
        // Both requests run on the same thread.
        config.listen.workers = 1;
    });
    let (mut flooded, mut other) = (proxy.connect(), proxy.connect());
    flooded.send(format!("GET {CAPS} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    origin.await_requests(1);
    let target = format!("{MSCEP}?operation=GetCACert");
    assert_eq!(other.get(&target).body, b"other");
    flooded.response().assert_refused(504, "upstream_timeout");
    done.open();
}

#[test]
fn a_response_body_that_trickles_times_out() {
    let done = Gate::default();
    let seen = done.clone();
    let origin = Origin::start(move |_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        until(&seen, || wire.send("x"));
        wire.close();
    });
    let proxy = Proxy::start(origin.address, |c| c.timeouts.upstream_body = SHORT);
    let started = Instant::now();
    let mut client = proxy.connect();
    client.send(format!("GET {CAPS} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    let (bytes, end) = client.until_end();
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_ne!(end, End::CloseNotify);
    assert!(started.elapsed() >= SHORT && started.elapsed() < MAX_WAIT);
    proxy.await_metric(INCOMPLETE, &[("cause", "upstream_late")], 1.0);
    done.open();
}

#[test]
fn memory_for_request_bodies_is_limited_and_released() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"ok"));
    });
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.buffered_bytes = 100_000
    });
    let target = format!("{MSCEP}?operation=PKIOperation");
    let head = format!("POST {target} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 60000\r\n\r\n");
    let mut first = proxy.connect();
    first.send(&head);
    first.send([b'a'; 60_000]);
    origin.await_requests(1);
    assert!(proxy.metric("ndes_proxy_buffered_bytes", &[]) >= 60_000.0);

    let refused = proxy.post(&target, &[b'b'; 60_000]);
    refused.assert_refused(503, "buffers_full");
    assert_eq!(refused.field("retry-after"), Some("5"));
    // Requests that fit in the remaining memory are served, as are all without a body.
    gate.open();
    assert_eq!(proxy.post(&target, &[b'c'; 30_000]).status, 200);
    assert_eq!(first.response().status, 200);
    proxy.await_metric("ndes_proxy_buffered_bytes", &[], 0.0);
    assert_eq!(proxy.post(&target, &[b'd'; 60_000]).status, 200);
    let bodies = origin.requests().into_iter().map(|request| request.body[0]);
    assert_eq!(bodies.collect::<Vec<_>>(), b"acd");
}

#[test]
fn an_unreachable_upstream_is_502_and_a_silent_one_504() {
    let proxy = Proxy::start(tcp::nobody(), |_| {});
    proxy.get(CAPS).assert_refused(502, "upstream_connect");
    let labels = [("kind", "connect")];
    proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);

    let silent = Origin::silent();
    let proxy = Proxy::start(silent.address, |c| c.timeouts.upstream_connect = SHORT);
    let found = proxy.get(CAPS);
    found.assert_refused(504, "upstream_connect_timeout");
    eventually("closed again", || silent.connections() == 1);
    let labels = [("kind", "connect_timeout")];
    proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
}
