//! The limits on URI, body and head, whose refusals a client can read while it still sends.

use crate::support::proxy::target_of;
use crate::support::{End, MSCEP, Ndes, Origin, PUBLIC, Proxy, Response};

#[test]
fn a_target_of_65534_bytes_is_forwarded_unchanged() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let target = target_of(65_534);
    let response = proxy.get(&target);
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"from the origin");
    assert_eq!(origin.only_request().target(), target);
}

#[test]
fn the_simulated_ndes_gets_65534_bytes_too() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let target = target_of(65_534);
    // It refuses the enrolment in its response.
    assert_eq!(proxy.get(&target).status, 500);
    assert_eq!(ndes.requests()[0].target, target);
}

#[test]
fn a_target_of_65535_bytes_is_414_and_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    let response = connection.get(&target_of(65_535));
    response.assert_refused(414, "uri_too_long");
    assert_eq!(
        response.field("proxy-status"),
        Some("ndes-proxy; error=http_request_error; details=\"uri_too_long\"")
    );
    assert_eq!(connection.end(), End::CloseNotify);
    proxy.await_refusals("uri_too_long", 1);
    origin.assert_untouched();
}

#[test]
fn a_414_can_be_read_by_a_client_that_still_sends() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let lengths = [70_000, 131_050, 131_072, 131_073, 200_000, 1 << 20, 8 << 20];
    for length in lengths {
        let mut connection = proxy.connect();
        connection.send(format!(
            "GET {} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n",
            target_of(length)
        ));
        connection.response().assert_refused(414, "uri_too_long");
        assert_eq!(connection.end(), End::CloseNotify, "{length}");
    }
    proxy.await_refusals("uri_too_long", lengths.len() as u32);
    origin.assert_untouched();
}

#[test]
fn the_scheme_and_host_of_the_absolute_form_count() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let start = format!("https://{PUBLIC}");
    let longest = target_of(65_534 - start.len());
    assert_eq!(proxy.get(&format!("{start}{longest}")).status, 200);
    assert_eq!(origin.only_request().target(), longest);
    let longer = target_of(65_535 - start.len());
    proxy
        .get(&format!("{start}{longer}"))
        .assert_refused(414, "uri_too_long");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_smaller_limit_can_be_configured() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| config.limits.uri_bytes = 300);
    assert_eq!(proxy.get(&target_of(300)).status, 200);
    proxy
        .get(&target_of(301))
        .assert_refused(414, "uri_too_long");
    assert_eq!(origin.requests().len(), 1);
}

const PKI_OPERATION: &str = "/certsrv/mscep/mscep.dll?operation=PKIOperation";

#[test]
fn a_body_of_262144_bytes_is_forwarded_and_one_more_is_413() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let body: Vec<u8> = (0..262_144_u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(proxy.post(PKI_OPERATION, &body).status, 200);
    assert_eq!(origin.only_request().body, body);
    proxy
        .post(PKI_OPERATION, &[0; 262_145])
        .assert_refused(413, "body_too_large");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_413_can_be_read_by_a_client_that_still_sends_10_mb() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    let length = 10 << 20;
    connection.send(format!(
        "POST {PKI_OPERATION} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: {length}\r\n\r\n"
    ));
    connection.send(vec![b'x'; length]);
    connection.response().assert_refused(413, "body_too_large");
    assert_eq!(connection.end(), End::CloseNotify);
    proxy.await_refusals("body_too_large", 1);
    origin.assert_untouched();
}

#[test]
fn a_chunked_body_has_the_same_limit() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let post = |bytes: usize| {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {PKI_OPERATION} HTTP/1.1\r\nHost: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for piece in vec![b'x'; bytes].chunks(10_000) {
            connection.send(format!("{:x}\r\n", piece.len()));
            connection.send(piece);
            connection.send("\r\n");
        }
        connection.send("0\r\n\r\n");
        connection.response()
    };
    assert_eq!(post(262_144).status, 200);
    assert_eq!(origin.only_request().body.len(), 262_144);
    post(262_145).assert_refused(413, "body_too_large");
    post(3 << 20).assert_refused(413, "body_too_large");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn bodies_that_do_not_fit_into_buffered_bytes_get_503() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.limits.buffered_bytes = 1_000
    });
    assert_eq!(proxy.post(PKI_OPERATION, &[0; 1_000]).status, 200);
    let response = proxy.post(PKI_OPERATION, &[0; 1_001]);
    response.assert_refused(503, "buffers_full");
    assert!(response.field("retry-after").is_some());
    assert_eq!(origin.requests().len(), 1);
    // The memory of the first one was released.
    assert_eq!(proxy.post(PKI_OPERATION, &[0; 1_000]).status, 200);
}

/// Sends a GET with these field lines after Host.
fn with_fields(proxy: &Proxy, fields: &str) -> Response {
    let mut connection = proxy.connect();
    connection.send(head(fields));
    connection.response()
}

fn head(fields: &str) -> String {
    format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{fields}\r\n")
}

#[test]
fn a_field_line_of_65534_bytes_passes_and_one_more_is_431() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let agent = |line: usize| format!("User-Agent: {}\r\n", "a".repeat(line - 12));
    assert_eq!(with_fields(&proxy, &agent(65_534)).status, 200);
    let received = origin.only_request().field("user-agent").unwrap();
    assert_eq!(received.len(), 65_534 - 12);
    with_fields(&proxy, &agent(65_535)).assert_refused(431, "field_too_large");
    assert_eq!(origin.requests().len(), 1);
    proxy.await_refusals("field_too_large", 1);
}

#[test]
fn a_hundred_header_fields_pass_and_one_more_is_431() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    // Host is one of them.
    assert_eq!(with_fields(&proxy, &"A: b\r\n".repeat(99)).status, 200);
    with_fields(&proxy, &"A: b\r\n".repeat(100)).assert_refused(431, "too_many_fields");
    assert_eq!(origin.requests().len(), 1);
    proxy.await_refusals("too_many_fields", 1);
}

#[test]
fn a_head_of_131072_bytes_passes_and_one_more_is_431() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let fields = |bytes: usize| {
        let first = format!("A: {}\r\n", "a".repeat(65_500));
        let rest = bytes - head(&first).len() - "B: \r\n".len();
        format!("{first}B: {}\r\n", "b".repeat(rest))
    };
    assert_eq!(head(&fields(131_072)).len(), 131_072);
    assert_eq!(with_fields(&proxy, &fields(131_072)).status, 200);
    with_fields(&proxy, &fields(131_073)).assert_refused(431, "head_too_large");
    assert_eq!(origin.requests().len(), 1);
    proxy.await_refusals("head_too_large", 1);
}

#[test]
fn a_431_can_be_read_by_a_client_that_still_sends() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(head(&format!("A: {}\r\n", "a".repeat(4 << 20))));
    connection.response().assert_refused(431, "head_too_large");
    assert_eq!(connection.end(), End::CloseNotify);
    origin.assert_untouched();
}
