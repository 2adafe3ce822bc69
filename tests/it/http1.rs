//! HTTP/1.0 and HTTP/1.1 requests, well-formed and malformed, and their responses.

use crate::support::origin::answer;
use crate::support::{End, Gate, MSCEP, Origin, PUBLIC, Proxy};

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n\
    4\r\nfrom\r\n7\r\n NDES..\r\n0\r\nX-Late: yes\r\n\r\n";

#[test]
fn http_1_0_responses_are_not_chunked_and_close_the_connection() {
    for bytes in [CHUNKED.to_vec(), answer(200, &[], b"from NDES..")] {
        let origin = Origin::answering(bytes);
        let proxy = Proxy::start(origin.address, |_| {});
        let mut connection = proxy.connect();
        connection.send(format!(
            "GET {MSCEP}?operation=GetCACert HTTP/1.0\r\nHost: {PUBLIC}\r\nConnection: keep-alive\r\n\r\n"
        ));
        let response = connection.response();
        assert_eq!(
            (response.status, &response.body[..]),
            (200, &b"from NDES.."[..])
        );
        // The version is that of the sender of the response (RFC 9110 §6.2).
        assert_eq!(response.version, "HTTP/1.1");
        assert_eq!(response.field("connection"), Some("close"));
        assert_eq!(response.field("transfer-encoding"), None);
        assert_eq!(connection.end(), End::CloseNotify);
        assert!(origin.only_request().line().ends_with(" HTTP/1.1"));
    }
}

#[test]
fn http_1_0_can_post() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let post = |framing: &str| {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.0\r\n{framing}\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ));
        connection.response()
    };
    // HTTP/1.0 supports neither 100 Continue nor chunks.
    assert_eq!(post("Content-Length: 8").status, 200);
    assert_eq!(origin.only_request().body, b"5\r\nhello");
    post("Transfer-Encoding: chunked").assert_refused(400, "malformed_framing");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_client_that_leaves_before_its_response_is_counted() {
    let origin = Origin::answering(answer(200, &[], &vec![b'x'; 16 << 20]));
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    connection.bytes(100_000);
    drop(connection);
    let labels = [("cause", "client")];
    proxy.await_metric("ndes_proxy_responses_incomplete_total", &labels, 1.0);
    proxy.await_metric("ndes_proxy_requests_in_flight", &[], 0.0);
}

#[test]
fn a_connection_carries_many_requests() {
    let origin = Origin::start(|request, wire| {
        wire.send(answer(200, &[], request.target().as_bytes()));
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    for number in 0..50 {
        let target = format!("{MSCEP}?operation=GetCACert&message={number}");
        let response = connection.get(&target);
        assert_eq!(response.body, target.as_bytes());
        assert_eq!(response.field("connection"), None);
    }
    // A refusal does not close the connection either if the start of the next request is certain.
    connection
        .get("/x")
        .assert_refused(404, "path_not_published");
    assert_eq!(connection.get(MSCEP).status, 200);
    let labels = [("result", "served")];
    assert_eq!(proxy.metric("ndes_proxy_connections_total", &labels), 1.0);
}

#[test]
fn connection_close_of_the_client_closes_the_connection() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!(
        "GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(connection.response().field("connection"), Some("close"));
    assert_eq!(connection.end(), End::CloseNotify);
}

#[test]
fn pipelined_requests_are_checked_counted_and_answered_in_order() {
    let origin = Origin::start(|request, wire| {
        wire.send(answer(200, &[], request.target().as_bytes()));
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n");
    connection.send([
        get("/certsrv/mscep?operation=GetCACaps"),
        get("/certsrv/mscep_admin/"),
        format!("POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 4\r\n\r\nGET "),
        get("/certsrv/mscep/?operation=GetCACert"),
    ].concat());
    assert_eq!(
        connection.response().body,
        b"/certsrv/mscep?operation=GetCACaps"
    );
    connection
        .response()
        .assert_refused(404, "path_not_published");
    assert_eq!(
        connection.response().body,
        b"/certsrv/mscep/mscep.dll?operation=PKIOperation"
    );
    assert_eq!(
        connection.response().body,
        b"/certsrv/mscep/?operation=GetCACert"
    );
    assert_eq!(origin.requests()[1].body, b"GET ");
    proxy.await_metric("ndes_proxy_requests_total", &[], 4.0);
    proxy.await_refusals("path_not_published", 1);
}

#[test]
fn a_client_that_has_closed_its_sending_side_still_gets_its_response() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"late"));
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    connection.finish();
    origin.await_requests(1);
    gate.open();
    assert_eq!(connection.response().body, b"late");
}

const EXPECTING: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n";

#[test]
fn a_100_continue_is_sent_once_the_request_is_admitted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    for expect in ["100-continue", "100-Continue"] {
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 5\r\nExpect: {expect}\r\n\r\n"
        ));
        assert_eq!(connection.response().head, "HTTP/1.1 100 Continue\r\n\r\n");
        connection.send("hello");
        assert_eq!(connection.response().status, 200);
    }
    let received = origin.requests().pop().unwrap();
    assert_eq!(received.body, b"hello");
    assert_eq!(received.field("expect"), None);
}

#[test]
fn a_refused_request_gets_no_100_continue() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for (line, status) in [
        (
            format!("POST /certsrv/mscep_admin HTTP/1.1\r\nHost: {PUBLIC}\r\n{EXPECTING}"),
            404,
        ),
        (
            format!("POST {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{EXPECTING}"),
            400,
        ),
        (
            format!("PUT {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{EXPECTING}"),
            405,
        ),
        (
            format!("POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: x.test\r\n{EXPECTING}"),
            421,
        ),
        (
            format!(
                "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 262145\r\nExpect: 100-continue\r\n"
            ),
            413,
        ),
    ] {
        let mut connection = proxy.connect();
        connection.send(line + "\r\n");
        let response = connection.response();
        assert_eq!(response.status, status, "{}", response.text());
        // The bytes that follow could be the body or a request.
        assert_eq!(
            response.field("connection"),
            Some("close"),
            "{}",
            response.text()
        );
        assert_eq!(connection.end(), End::CloseNotify);
    }
    origin.assert_untouched();
}

#[test]
fn a_response_to_head_has_no_body() {
    let origin = Origin::start(|_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n");
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    for (target, status) in [(MSCEP, 200), ("/x", 404), ("/certsrv/mscep/", 200)] {
        connection.send(format!("HEAD {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
        let response = connection.response_to_head();
        assert_eq!(response.status, status);
        if status == 200 {
            assert_eq!(response.field("content-length"), Some("5000"));
        }
    }
    let labels = [("method", "HEAD"), ("status", "200")];
    proxy.await_metric("ndes_proxy_requests_total", &labels, 2.0);
    assert_eq!(
        proxy.metric("ndes_proxy_responses_incomplete_total", &[]),
        0.0
    );
}

#[test]
fn a_chunked_post_is_forwarded_with_its_length_and_without_trailers() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Evil\r\n\r\n\
        5;name=\"value\"\r\nhello\r\n00006\r\n world\r\n0\r\nHost: evil.test\r\nX-Evil: yes\r\nContent-Length: 3\r\n\r\n"
    ));
    assert_eq!(connection.response().status, 200);
    let received = origin.only_request();
    assert_eq!(received.body, b"hello world");
    assert_eq!(received.field("content-length").as_deref(), Some("11"));
    for gone in ["transfer-encoding", "trailer", "x-evil"] {
        assert_eq!(received.field(gone), None);
    }
    assert!(!String::from_utf8_lossy(&origin.raw().concat()).contains("evil"));
    // The next request starts where the body ended.
    assert_eq!(connection.get(MSCEP).status, 200);
}

#[test]
fn ambiguous_framing_is_400_and_closes_the_connection() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let smuggled = format!("GET /certsrv/mscep/ HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n");
    let fields = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: five\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        " Content-Length: 5\r\n",
        "Content-Length: 5\r\n X: folded\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked;x=y\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chun\0ked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked\x0c\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\x01b\r\n",
        "X: a\x7fb\r\n",
        "X\0Y: a\r\n",
        "X Y: a\r\n",
        "X(Y): a\r\n",
        ": a\r\n",
        "no colon\r\n",
        "X: y\nContent-Length: 5\r\n",
        "X: y\n",
        "\rX: y\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    ];
    for field in fields {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\n{field}\r\n0\r\n\r\n{smuggled}"
        ));
        let response = connection.response();
        let name = field.escape_debug();
        assert_eq!(response.status, 400, "{name}: {}", response.text());
        let reason = response.reason();
        assert!(
            matches!(reason, Some("malformed_head" | "malformed_framing")),
            "{name}: {reason:?}"
        );
        assert_eq!(connection.end(), End::CloseNotify, "{name}");
    }
    let labels = [("status", "400")];
    proxy.await_metric("ndes_proxy_requests_total", &labels, fields.len() as f64);
    origin.assert_untouched();
}

#[test]
fn malformed_request_lines_are_400() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let lines = [
        format!("GET {MSCEP}\r\n"),
        format!("GET {MSCEP} HTTP/0.9\r\n"),
        format!("GET {MSCEP} HTTP/1.2\r\n"),
        format!("GET {MSCEP} HTTP/2.0\r\n"),
        format!("GET {MSCEP} HTTP/1.1 \r\n"),
        format!("GET {MSCEP} http/1.1\r\n"),
        format!("GET {MSCEP} HTTP/1.1x\r\n"),
        format!("GET {MSCEP} HTTP/01.1\r\n"),
        format!("GET  {MSCEP} HTTP/1.1\r\n"),
        format!("GET {MSCEP}  HTTP/1.1\r\n"),
        format!("GET\t{MSCEP} HTTP/1.1\r\n"),
        format!("GET {MSCEP}\tHTTP/1.1\r\n"),
        format!(" GET {MSCEP} HTTP/1.1\r\n"),
        format!("G@T {MSCEP} HTTP/1.1\r\n"),
        format!("GET {MSCEP} HTTP/1.1\n"),
        format!("GET {MSCEP}\rX HTTP/1.1\r\n"),
        format!("{MSCEP}\r\n"),
        "GET\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\r\n\r\n\r\n".to_owned(),
        "EHLO mail.example.test\r\n".to_owned(),
    ];
    for line in &lines {
        let mut connection = proxy.connect();
        connection.send(format!("{line}Host: {PUBLIC}\r\n\r\n"));
        let response = connection.response();
        let name = line.escape_debug();
        assert_eq!(
            (response.status, response.reason()),
            (400, Some("malformed_head")),
            "{name}"
        );
        assert_eq!(connection.end(), End::CloseNotify, "{name}");
    }
    proxy.await_refusals("malformed_head", lines.len() as u32);
    origin.assert_untouched();
}

#[test]
fn one_empty_line_before_a_request_is_ignored() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    for _ in 0..2 {
        connection.send(format!(
            "\r\nGET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"
        ));
        assert_eq!(connection.response().status, 200);
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_body_of_get_or_head_is_400() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for method in ["GET", "HEAD"] {
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let mut connection = proxy.connect();
            connection.send(format!(
                "{method} {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{framing}\r\n\r\nhello"
            ));
            connection
                .response()
                .assert_refused(400, "malformed_framing");
        }
    }
    origin.assert_untouched();
}

#[test]
fn malformed_chunks_are_400_and_nothing_is_forwarded() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let bodies = [
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 x\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        "000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n",
    ];
    for body in bodies {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let response = connection.response();
        let name = body.escape_debug();
        assert_eq!(
            (response.status, response.reason()),
            (400, Some("malformed_framing")),
            "{name}"
        );
        assert_eq!(connection.end(), End::CloseNotify, "{name}");
    }
    proxy.await_refusals("malformed_framing", bodies.len() as u32);
    origin.assert_untouched();
}

#[test]
fn endless_chunk_extensions_and_trailers_are_400() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for body in [
        format!("5;{}", "x".repeat(1 << 20)),
        format!("5\r\nhello\r\n0\r\n{}", "X: y\r\n".repeat(100_000)),
        "1;x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\na\r\n".repeat(100_000),
    ] {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        connection
            .response()
            .assert_refused(400, "malformed_framing");
    }
    origin.assert_untouched();
}

#[test]
fn an_incomplete_body_is_not_forwarded() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for (framing, body) in [
        ("Content-Length: 10", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhel"),
    ] {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\n{framing}\r\n\r\n{body}"
        ));
        connection.finish();
        connection.response().assert_refused(400, "body_aborted");
    }
    proxy.await_refusals("body_aborted", 2);
    origin.assert_untouched();
}

#[test]
fn only_three_header_fields_are_forwarded() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\n\
        Host: {PUBLIC}\r\n\
        Accept: */*\r\n\
        Content-Type: application/x-pki-message\r\n\
        User-Agent: profiled/1.0 CFNetwork\r\n\
        Content-Length: 2\r\n\
        Accept-Encoding: gzip\r\n\
        Accept-Language: de\r\n\
        Authorization: Basic eDp5\r\n\
        Cookie: a=b\r\n\
        Content_Length: 77\r\n\
        Transfer_Encoding: chunked\r\n\
        X_Forwarded_For: 10.0.0.1\r\n\
        X-Forwarded-For: 10.0.0.1\r\n\
        x-forwarded-for: 10.0.0.2\r\n\
        X-Forwarded-Host: evil.test\r\n\
        X-Forwarded-Proto: http\r\n\
        Forwarded: for=10.0.0.1\r\n\
        X-Real-IP: 10.0.0.1\r\n\
        X-Original-URL: /certsrv/mscep_admin\r\n\
        X-Rewrite-URL: /certsrv/mscep_admin\r\n\
        X-HTTP-Method-Override: PUT\r\n\
        Translate: f\r\n\
        X-ARR-ClientCert: MIIB\r\n\
        X-SSL-Client-Cert: MIIB\r\n\
        Via: 1.1 x\r\n\
        TE: trailers\r\n\
        Range: bytes=0-1\r\n\
        If-None-Match: x\r\n\
        Keep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\n\
        Connection: keep-alive\r\n\r\nhi"
    ));
    assert_eq!(connection.response().status, 200);
    let received = origin.only_request();
    let mut fields = received.fields();
    fields.sort();
    let expected = [
        ("accept", "*/*"),
        ("content-length", "2"),
        ("content-type", "application/x-pki-message"),
        ("host", "ndes.corp.test"),
        ("user-agent", "profiled/1.0 CFNetwork"),
    ];
    assert_eq!(fields, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn a_get_adds_nothing_but_host() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    proxy.get(MSCEP);
    let fields = origin.only_request().fields();
    assert_eq!(fields, [("host".to_owned(), "ndes.corp.test".to_owned())]);
}

#[test]
fn header_fields_named_in_connection_are_not_forwarded() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(format!(
        "GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nAccept: */*\r\nUser-Agent: x\r\n\
        Connection: user-agent , Host\r\nConnection: ACCEPT\r\n\r\n"
    ));
    assert_eq!(connection.response().status, 200);
    let fields = origin.only_request().fields();
    assert_eq!(fields, [("host".to_owned(), "ndes.corp.test".to_owned())]);
}

#[test]
fn the_client_address_is_forwarded_if_configured() {
    use ndes_proxy::config::ClientAddress;
    for (setting, name, value) in [
        (ClientAddress::XForwardedFor, "x-forwarded-for", "127.0.0.1"),
        (ClientAddress::Forwarded, "forwarded", "for=127.0.0.1"),
    ] {
        let origin = Origin::ok();
        let proxy = Proxy::start(origin.address, |config| {
            config.applications[0].client_address = setting;
        });
        let mut connection = proxy.connect();
        connection.send(format!(
            "GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nX-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n\r\n"
        ));
        assert_eq!(connection.response().status, 200);
        let received = origin.only_request();
        assert_eq!(received.field(name).as_deref(), Some(value));
        assert_eq!(received.fields().len(), 2);
    }
}
