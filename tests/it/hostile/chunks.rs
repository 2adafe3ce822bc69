//! Chunked bodies: sizes, extensions, ends of lines, trailers.

use super::{Lab, post};
use crate::support::{End, MSCEP, PUBLIC};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[test]
fn an_ambiguous_chunk_size_is_refused() {
    let mut lab = Lab::new();
    let sizes = [
        "",
        " ",
        "\t",
        "+5",
        "-5",
        "-0",
        "0x5",
        "0X5",
        "x5",
        "5x",
        "5h",
        "5,",
        "5.0",
        "5 5",
        "5\t5",
        " 5",
        "\t5",
        "5_",
        "5\0",
        "\u{0}5",
        "5\u{b}",
        "\u{b}5",
        "5\u{c}",
        "\u{c}5",
        "5\u{7f}",
        "5\u{a0}",
        "\u{ff15}",
        "\u{665}",
        "\"5\"",
        "'5'",
        "(5)",
        "5(",
        "5=",
        "5:",
        "5/",
        "5\\",
        "5#",
        "g",
        "five",
        "--5",
        "++5",
        "5-",
        "5+",
        "0x",
        "\r5",
        "5\r",
        "5 \r",
        "5;\r",
        "5;\0",
        "5;\u{b}",
        "5;x=\"\r\"",
        "5;x=\u{7f}",
        "ffffffff0",
        "fffffffff",
        "100000000",
        "7fffffffffffffff",
        "8000000000000000",
        "ffffffffffffffff",
        "10000000000000000",
        "10000000000000005",
        "fffffffffffffffffffffffffffffffb",
        "000000005",
        "00000000000000000000000000000005",
    ];
    for size in sizes {
        for start in ["", "3\r\nabc\r\n"] {
            let body = format!("{start}{size}\r\nhello\r\n0\r\n\r\n");
            lab.refused(
                &body.escape_debug().to_string(),
                post(&format!("{MSCEP}?operation=PKIOperation"), CHUNKED, &body),
            );
        }
    }
    let zeros = format!("{}\r\nhello\r\n0\r\n\r\n", "0".repeat(100_000));
    lab.refused(
        "zeros",
        post(&format!("{MSCEP}?operation=PKIOperation"), CHUNKED, &zeros),
    );
    lab.finish(120);
}

#[test]
fn a_chunk_that_differs_from_its_size_is_refused() {
    let mut lab = Lab::new();
    let bodies = [
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "7\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello \r\n0\r\n\r\n",
        "5\r\nhello\n\r0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\n\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\n\r\nhello0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "\n5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\r\n",
        "5\r\nhello\r\n 0\r\n\r\n",
        "5\r\nhello\r\n-0\r\n\r\n",
        "5\r\nhello\r\n0x0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "hello",
        "{}",
        "\u{ff10}\r\n\r\n",
        "5\r\nhello\r\n0;\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "2\r\n\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let before = (lab.request_count)();
        let bytes = post(&format!("{MSCEP}?operation=PKIOperation"), CHUNKED, body);
        // The bytes that follow are not a chunk, so that each interpretation ends.
        let mut connection = lab.proxy.connect();
        connection.send([&bytes[..], b"\nz\r\n\r\nz\r\n"].concat());
        let response = connection.response();
        let found = (response.status, response.reason());
        let expected = (400, Some("malformed_framing"));
        assert_eq!(found, expected, "{}", body.escape_debug());
        assert_eq!(
            connection.end(),
            End::CloseNotify,
            "{}",
            body.escape_debug()
        );
        assert_eq!((lab.request_count)(), before, "{}", body.escape_debug());
        lab.cases += 1;
    }
    lab.finish(34);
}

#[test]
fn extensions_are_ignored_and_limited() {
    let mut lab = Lab::new();
    for extension in [
        "",
        ";",
        ";x",
        ";x=y",
        "; x = y",
        ";x=\"a;b\"",
        ";x=\"\\\"\"",
        " ;x",
        "\t;x",
        ";;;",
        ";x=0\t",
        ";0",
        ";\u{e9}",
    ] {
        let target = lab.target();
        let body = format!(
            "5{extension}\r\nhello\r\n00A{extension}\r\n0123456789\r\n0{extension}\r\n\r\n"
        );
        let request = lab.served(extension, &target, post(&target, CHUNKED, &body));
        assert_eq!(request.body, b"hello0123456789", "{extension}");
        assert_eq!(request.field("content-length").as_deref(), Some("15"));
    }
    let target = format!("{MSCEP}?operation=PKIOperation");
    for (name, body) in [
        (
            "one long",
            format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5_000)),
        ),
        ("one endless", format!("5;{}", "x".repeat(1 << 20))),
        (
            "many",
            format!("1;{}\r\nx\r\n", "x".repeat(1_000)).repeat(100),
        ),
        ("many small chunks", "1\r\nx\r\n".repeat(200_000)),
    ] {
        lab.refused(name, post(&target, CHUNKED, &body));
    }
    lab.finish(17);
}

#[test]
fn trailers_are_not_forwarded() {
    let mut lab = Lab::new();
    let trailers = [
        "Host: evil.test\r\n",
        "Authorization: Basic eDp5\r\n",
        "Content-Length: 100\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 0\r\n",
        "X-Forwarded-For: 10.0.0.1\r\n",
        "Content-Type: text/evil\r\n",
        "User-Agent: evil\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: h2c\r\n",
        "Cookie: evil=1\r\n",
        "X: y\r\nX: z\r\n",
        "Trailer: X\r\n",
    ];
    for trailer in trailers {
        for announced in ["", "Trailer: Host, X\r\n"] {
            let target = lab.target();
            let body = format!("5\r\nhello\r\n0\r\n{trailer}\r\n");
            let request = lab.served(
                trailer,
                &target,
                post(&target, &format!("{announced}{CHUNKED}"), &body),
            );
            assert_eq!(request.body, b"hello");
            let names: Vec<String> = request.fields().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["host", "content-length"], "{trailer}");
            assert_eq!(request.field("host").as_deref(), Some("ndes.corp.test"));
        }
    }
    lab.finish(28);
}

#[test]
fn malformed_trailers_are_refused() {
    let mut lab = Lab::new();
    let trailers = [
        "no colon\r\n",
        ": x\r\n",
        " X: y\r\n",
        "X: y\r\n folded\r\n",
        "X : y\r\n",
        "X\0: y\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\nb\r\n",
        "X: y\n",
        "X: y\r\r\n",
        "\u{b}X: y\r\n",
        "X: \u{7f}\r\n",
        "GET /certsrv/mscep_admin HTTP/1.1\r\nHost: x\r\n",
        "(X): y\r\n",
        "X Y: z\r\n",
    ];
    for trailer in trailers {
        let body = format!("5\r\nhello\r\n0\r\n{trailer}\r\n");
        lab.refused(
            &body.escape_debug().to_string(),
            post(&format!("{MSCEP}?operation=PKIOperation"), CHUNKED, &body),
        );
    }
    for (name, trailers) in [
        ("a long one", format!("X: {}\r\n", "y".repeat(5_000))),
        ("an endless one", format!("X: {}", "y".repeat(1 << 20))),
        ("many", "X: y\r\n".repeat(20_000)),
    ] {
        let body = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
        lab.refused(
            name,
            post(&format!("{MSCEP}?operation=PKIOperation"), CHUNKED, &body),
        );
    }
    lab.finish(19);
}

#[test]
fn a_body_is_the_same_in_any_pieces() {
    let mut lab = Lab::new();
    let bytes = |target: &str| {
        post(
            target,
            CHUNKED,
            "5;x=y\r\nhello\r\n0006\r\n world\r\n0\r\nX: y\r\n\r\n",
        )
    };
    for step in [1, 2, 3, 7, 50] {
        let target = lab.target();
        let mut connection = lab.proxy.connect();
        for piece in bytes(&target).chunks(step) {
            connection.send(piece);
        }
        assert_eq!(connection.response().body, target.as_bytes());
        assert_eq!(lab.origin.last_requests(1)[0].body, b"hello world");
        // The same with the head in pieces, which split every line end.
        let target = lab.target();
        let head = format!("\r\nGET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\nX: y\r\n\r\n");
        for piece in head.as_bytes().chunks(step) {
            connection.send(piece);
        }
        assert_eq!(connection.response().body, target.as_bytes());
    }
    lab.finish(10);
}
