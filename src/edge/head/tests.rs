use super::*;
use crate::config::Config;

fn limits() -> Limits {
    let minimal = include_str!("../../../config/minimal.toml");
    Config::parse("minimal.toml".as_ref(), minimal)
        .unwrap()
        .0
        .limits
}

/// Scans `bytes` in pieces of `step`, then parses.
fn read(bytes: &[u8], step: usize) -> Result<Head, Rejection> {
    let (mut scanner, limits) = (HeadScanner::default(), limits());
    let mut arrived = 0;
    loop {
        if let Some(range) = scanner.advance(&bytes[..arrived], &limits)? {
            return parse(&Bytes::copy_from_slice(&bytes[range]));
        }
        assert!(arrived < bytes.len(), "the head has no end");
        arrived = (arrived + step).min(bytes.len());
    }
}

fn refused(head: &str) -> Rejection {
    let whole = read(head.as_bytes(), head.len()).expect_err(head);
    assert_eq!(
        read(head.as_bytes(), 1).expect_err(head),
        whole,
        "in pieces: {head}"
    );
    whole
}

#[test]
fn a_head_is_parsed_alike_in_any_pieces() {
    let text = b"\r\nPOST /a?b=/+%2B HTTP/1.1\r\nhOST:  x.test \r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\
                 Accept: */*\r\nUser-Agent: caf\xE9\tx\r\nConnection: TE , Accept\r\nX-Any: 1\r\n\r\nrest";
    for step in [1, 2, 3, 7, 1000] {
        let head = read(text, step).unwrap();
        assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
        assert_eq!(&head.target.path_and_query[..], b"/a?b=/+%2B");
        assert_eq!(
            (head.target.path(), head.target.query()),
            (&b"/a"[..], Some(&b"b=/+%2B"[..]))
        );
        assert_eq!(head.host, Host::One(Bytes::from_static(b"x.test")));
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.expects_continue && head.keep_alive);
        assert_eq!(head.accept, None, "named in Connection");
        assert_eq!(head.user_agent.unwrap().as_bytes(), b"caf\xE9\tx");
        assert_eq!(head.size.fields, 7);
        assert_eq!(head.size.head, text.len() - b"\r\n".len() - b"rest".len());
    }
}

#[test]
fn http_1_0_closes_and_knows_neither_chunks_nor_100_continue() {
    let head = read(
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
        99,
    )
    .unwrap();
    assert!(!head.keep_alive && !head.expects_continue);
    assert_eq!(head.host, Host::Absent);
    assert_eq!(
        refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Rejection::MalformedFraming
    );
}

#[test]
fn malformed_heads_are_refused() {
    for head in [
        "GET /\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / http/1.1\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\u{7f}c\r\n\r\n",
        "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
        "GET /a#b HTTP/1.1\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n",
        "GET http://x.test/ HTTP/1.1\r\n\r\n",
        "GET https://x.test HTTP/1.1\r\n\r\n",
        "CONNECT x.test:443 HTTP/1.1\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(refused(head), Rejection::MalformedHead, "{head:?}");
    }
}

#[test]
fn ambiguous_lengths_are_refused() {
    for fields in [
        "Content-Length: +1",
        "Content-Length: 1,1",
        "Content-Length: 0x1",
        "Content-Length: ",
        "Content-Length: 9999999999999999999",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\ncontent-length: 0",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n");
        assert_eq!(refused(&head), Rejection::MalformedFraming, "{fields}");
    }
    assert_eq!(
        refused("GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"),
        Rejection::MalformedFraming
    );
}

#[test]
fn a_head_without_end_is_refused_at_the_limit() {
    let limit = limits().head_bytes;
    let line = format!("GET /{}", "a".repeat(limit));
    assert_eq!(
        read(line.as_bytes(), 16_384).unwrap_err(),
        Rejection::UriTooLong
    );
    let field = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(limit));
    assert_eq!(
        read(field.as_bytes(), 16_384).unwrap_err(),
        Rejection::HeadTooLarge
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_alike_in_pieces(
        bytes in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(b'\r'), proptest::strategy::Just(b'\n'), proptest::strategy::Just(b' '),
            proptest::strategy::Just(b':'), proptest::num::u8::ANY], 0..300),
        step in 1usize..50,
    ) {
        let head = [b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat();
        let whole = read(&head, head.len()).map(|head| format!("{head:?}"));
        proptest::prop_assert_eq!(read(&head, step).map(|head| format!("{head:?}")), whole);
    }
}
