//! Content-Length and Transfer-Encoding in every spelling: unambiguous, or refused.

use super::{Lab, post, smuggled};
use crate::support::{End, MSCEP, PUBLIC};

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

/// Returns the name in mixed, lower, upper and alternating case.
fn spellings(name: &str) -> [String; 4] {
    let strange = name.char_indices().map(|(index, c)| match index % 2 {
        0 => c.to_ascii_lowercase(),
        _ => c.to_ascii_uppercase(),
    });
    [
        name.to_owned(),
        name.to_lowercase(),
        name.to_uppercase(),
        strange.collect(),
    ]
}

#[test]
fn unambiguous_framing_is_accepted() {
    let mut lab = Lab::new();
    for colon in [":", ": ", ":\t", ": \t ", ":                "] {
        for end in ["", " ", "\t", "\t  \t"] {
            for name in spellings("Content-Length") {
                for value in ["5", "05", "000000000000000005"] {
                    let target = lab.target();
                    let field = format!("{name}{colon}{value}{end}\r\n");
                    let case = field.escape_debug().to_string();
                    let request = lab.served(&case, &target, post(&target, &field, "hello"));
                    assert_eq!(request.body, b"hello", "{case}");
                    assert_eq!(request.field("content-length").as_deref(), Some("5"));
                }
            }
            for name in spellings("Transfer-Encoding") {
                for value in ["chunked", "Chunked", "CHUNKED", "cHuNkEd"] {
                    let target = lab.target();
                    let field = format!("{name}{colon}{value}{end}\r\n");
                    let case = field.escape_debug().to_string();
                    let request = lab.served(&case, &target, post(&target, &field, CHUNKS));
                    assert_eq!(request.body, b"hello", "{case}");
                    assert_eq!(request.field("content-length").as_deref(), Some("5"));
                }
            }
        }
    }
    lab.finish(500);
}

/// Values that some parser accepts as 5, or ignores.
const NO_LENGTHS: &[&str] = &[
    "",
    " ",
    "+5",
    "-5",
    "-0",
    "5.0",
    "5e0",
    "0x5",
    "0X5",
    "x5",
    "5x",
    "5;",
    "5;q=1",
    "5,",
    ",5",
    "5,5",
    "5, 5",
    "5, 6",
    "0, 5",
    "5 5",
    "5\t5",
    "5 0",
    "\"5\"",
    "'5'",
    "(5)",
    "5 (five)",
    "5\\",
    "five",
    "NaN",
    "inf",
    "1_0",
    "5_",
    "0b101",
    "0o5",
    "5h",
    "0005,5",
    "5\u{a0}",
    "\u{a0}5",
    "\u{ff15}",
    "\u{665}",
    "\u{b2}",
    "5\u{301}",
    "\u{feff}5",
    "5\0",
    "\0",
    "\u{b}5",
    "5\u{b}",
    "\u{c}5",
    "5\u{c}",
    "\r5",
    "5\r",
    "5\u{7f}",
    "\u{8}5",
    "18446744073709551616",
    "18446744073709551621",
    "9223372036854775808",
    "4294967301000000000000",
    "0000000000000000000000000005",
    "99999999999999999999999999999999999999999",
];

/// Values of Transfer-Encoding that are not just `chunked`.
const NO_CODINGS: &[&str] = &[
    "",
    " ",
    "identity",
    "gzip",
    "deflate",
    "compress",
    "br",
    "x",
    "chunke",
    "chunkedd",
    "xchunked",
    "chunked,",
    ",chunked",
    ", chunked",
    "chunked, ",
    "chunked,chunked",
    "chunked, chunked",
    "identity, chunked",
    "chunked, identity",
    "gzip, chunked",
    "chunked, gzip",
    "chunked gzip",
    "gzip chunked",
    "chunked;",
    "chunked;q=1",
    "chunked; q=0",
    "chunked;x=\"y\"",
    "\"chunked\"",
    "'chunked'",
    "(chunked)",
    "chunked (x)",
    "chunked\0",
    "\0chunked",
    "chun\0ked",
    "\u{b}chunked",
    "chunked\u{b}",
    "\u{c}chunked",
    "chunked\u{c}",
    "\rchunked",
    "chunked\r",
    "chunked\u{7f}",
    "\u{8}chunked",
    "\u{85}chunked",
    "chunked\u{85}",
    "\u{a0}chunked",
    "chunked\u{a0}",
    "\u{feff}chunked",
    "chun ked",
    "chun-ked",
    "chunKed",
    "\u{2011}chunked",
    "chunked\\",
    "chunked/1",
    "chunked=1",
    "chunked\u{301}",
    "ch\u{131}nked",
    "chunked identity",
    "chunked\tidentity",
    "5",
];

#[test]
fn an_ambiguous_value_is_refused() {
    let mut lab = Lab::new();
    for colon in [":", ": "] {
        for value in NO_LENGTHS {
            let field = format!("Content-Length{colon}{value}\r\n");
            lab.refused(
                &field.escape_debug().to_string(),
                post(MSCEP, &field, "hello"),
            );
        }
        for value in NO_CODINGS {
            // The Kelvin sign is not the letter K.
            let value = value.replace('K', "\u{212a}");
            let field = format!("Transfer-Encoding{colon}{value}\r\n");
            lab.refused(
                &field.escape_debug().to_string(),
                post(MSCEP, &field, CHUNKS),
            );
        }
    }
    lab.finish(220);
}

#[test]
fn an_ambiguous_name_is_refused() {
    let mut lab = Lab::new();
    let strange: &[&[u8]] = &[
        b" ",
        b"\t",
        b"\0",
        b"\x0b",
        b"\x0c",
        b"\x08",
        b"\r",
        b"\x7f",
        b"\x80",
        b"\x85",
        b"\xa0",
        b"\xff",
        b"\xc2\xa0",
        b"\xef\xbb\xbf",
        b"\"",
        b"(",
        b")",
        b",",
        b"/",
        b";",
        b"<",
        b"=",
        b">",
        b"?",
        b"@",
        b"[",
        b"\\",
        b"]",
        b"{",
        b"}",
        b"  ",
        b" \t",
    ];
    for (name, value, body) in [
        ("Content-Length", "5", "hello"),
        ("Transfer-Encoding", "chunked", CHUNKS),
    ] {
        let middle = name.find('-').unwrap();
        for bytes in strange {
            for at in [0, middle, middle + 1, name.len()] {
                let name = [&name.as_bytes()[..at], bytes, &name.as_bytes()[at..]].concat();
                let case = name.escape_ascii().to_string();
                let start = format!("POST {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n");
                let end = format!(": {value}\r\n\r\n{body}");
                lab.refused(&case, [start.as_bytes(), &name, end.as_bytes()].concat());
            }
        }
    }
    lab.finish(250);
}

#[test]
fn a_header_field_that_resembles_framing_is_ignored() {
    let mut lab = Lab::new();
    let names = [
        "Transfer_Encoding",
        "transfer_encoding",
        "TransferEncoding",
        "Transfer--Encoding",
        "Transfer-Encodin",
        "Transfer-Encodings",
        "X-Transfer-Encoding",
        "Transfer.Encoding",
        "Transfer-Encoding-",
        "-Transfer-Encoding",
        "Transfer`Encoding",
        "TE",
        "Content-Encoding",
        "Content_Length",
        "content_length",
        "ContentLength",
        "Content-Lengt",
        "Content-Lengths",
        "X-Content-Length",
        "Content--Length",
        "Content.Length",
        "Content-Length-",
        "Length",
        "Content~Length",
        "Content'Length",
        "Content|Length",
        "Content^Length",
        "Content*Length",
    ];
    for name in names {
        for value in ["chunked", "5", "0"] {
            // After a body, and without one.
            let target = lab.target();
            let field = format!("{name}: {value}\r\nContent-Length: 5\r\n");
            let request = lab.served(&field, &target, post(&target, &field, "hello"));
            assert_eq!(request.body, b"hello", "{field}");
            let target = lab.target();
            let field = format!("{name}: {value}\r\n");
            let request = lab.served(&field, &target, post(&target, &field, ""));
            assert_eq!(request.body, b"", "{field}");
            assert_eq!(request.field("content-length").as_deref(), Some("0"));
        }
    }
    lab.finish(160);
}

#[test]
fn two_framings_are_refused_even_if_they_agree() {
    let mut lab = Lab::new();
    let lengths = [
        "Content-Length: 5",
        "content-length: 0",
        "CONTENT-LENGTH:5",
        "Content-Length: 6",
    ];
    let codings = [
        "Transfer-Encoding: chunked",
        "transfer-encoding: identity",
        "TRANSFER-ENCODING:chunked",
        "Transfer-Encoding: x",
    ];
    let all: Vec<&str> = lengths.into_iter().chain(codings).collect();
    for first in &all {
        for second in &all {
            for between in ["", "X: y\r\n", "Transfer_Encoding: chunked\r\n"] {
                let fields = format!("{first}\r\n{between}{second}\r\n");
                for body in ["hello", CHUNKS] {
                    lab.refused(
                        &fields.escape_debug().to_string(),
                        post(MSCEP, &fields, body),
                    );
                }
            }
        }
    }
    lab.finish(380);
}

#[test]
fn a_folded_line_is_refused_at_any_position() {
    let mut lab = Lab::new();
    for fold in [" ", "\t", "  ", " \t", "\t\t"] {
        for folded in [
            "x",
            "",
            "chunked",
            "5",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            ": x",
        ] {
            for before in [
                "",
                "X: y\r\n",
                "Transfer-Encoding:\r\n",
                "Content-Length:\r\n",
                "Connection: close,\r\n",
            ] {
                let fields = format!("{before}{fold}{folded}\r\nContent-Length: 5\r\n");
                lab.refused(
                    &fields.escape_debug().to_string(),
                    post(MSCEP, &fields, "hello"),
                );
            }
        }
        // Before the first field line, and as the last line.
        let first = format!("GET {MSCEP} HTTP/1.1\r\n{fold}Host: {PUBLIC}\r\n\r\n");
        lab.refused("first", first);
        let last = format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{fold}\r\n\r\n");
        lab.refused("last", last);
    }
    lab.finish(185);
}

#[test]
fn only_cr_lf_ends_a_line() {
    let mut lab = Lab::new();
    let lines = [
        format!("POST {MSCEP}?operation=PKIOperation HTTP/1.1"),
        format!("Host: {PUBLIC}"),
        "X: y".to_owned(),
        "Content-Length: 5".to_owned(),
        String::new(),
    ];
    for end in [
        "\n",
        "\r",
        "\n\r",
        "\r\r\n",
        "\r\n\n",
        "\0\r\n",
        "\u{b}\r\n",
        "\u{c}\r\n",
        "\r\0\n",
        "\r \n",
    ] {
        for at in 0..lines.len() {
            if at == lines.len() - 1 && end.starts_with("\r\n") {
                // The head ends before this line, which is the start of the body.
                continue;
            }
            let ends = (0..lines.len()).map(|line| if line == at { end } else { "\r\n" });
            let head: String = lines
                .iter()
                .zip(ends)
                .map(|(line, end)| line.clone() + end)
                .collect();
            lab.refused(&head.escape_debug().to_string(), head + "hello\r\n\r\n");
        }
    }
    lab.finish(45);
}

#[test]
fn transfer_encoding_is_refused_in_http_1_0() {
    let mut lab = Lab::new();
    for connection in [
        "",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Connection: transfer-encoding\r\n",
    ] {
        for coding in ["chunked", "identity", "gzip, chunked"] {
            let head = format!(
                "POST {MSCEP}?operation=PKIOperation HTTP/1.0\r\nHost: {PUBLIC}\r\n{connection}Transfer-Encoding: {coding}\r\n\r\n{CHUNKS}"
            );
            lab.refused(&head.escape_debug().to_string(), head);
        }
    }
    lab.finish(12);
}

#[test]
fn connection_cannot_remove_the_framing() {
    let mut lab = Lab::new();
    for option in [
        "Content-Length",
        "content-length, x",
        "Transfer-Encoding",
        "Host",
        "x,Host,y",
        "Content-Type, Content-Length",
    ] {
        let target = lab.target();
        let fields = format!("Connection: {option}\r\nContent-Length: 5\r\n");
        let request = lab.served(&fields, &target, post(&target, &fields, "hello"));
        assert_eq!(request.body, b"hello");
        assert_eq!(request.field("host").as_deref(), Some("ndes.corp.test"));
        let target = lab.target();
        let fields = format!("Connection: {option}\r\nTransfer-Encoding: chunked\r\n");
        let request = lab.served(&fields, &target, post(&target, &fields, CHUNKS));
        assert_eq!(request.body, b"hello");
    }
    lab.finish(12);
}

#[test]
fn a_get_has_no_body() {
    let mut lab = Lab::new();
    for method in ["GET", "HEAD"] {
        for framing in [
            "Content-Length: 1",
            "Content-Length: 5",
            "Content-Length: 262145",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
        ] {
            let head =
                format!("{method} {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{framing}\r\n\r\nhello");
            lab.refused(&head, &head);
        }
    }
    // A length of zero means no body.
    let target = lab.target();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 0\r\n\r\n");
    let request = lab.served("0", &target, head);
    assert_eq!(request.field("content-length"), None);
    lab.finish(11);
}

#[test]
fn after_a_malformed_pipelined_request_nothing_is_served() {
    let mut lab = Lab::new();
    let bad = [
        "NONSENSE\r\n\r\n".to_owned(),
        format!("GET {MSCEP} HTTP/1.1\r\n\r\n"),
        format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nHost: {PUBLIC}\r\n\r\n"),
        format!("GET {MSCEP} HTTP/3.0\r\nHost: {PUBLIC}\r\n\r\n"),
        format!("POST {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: x\r\n\r\n"),
        format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"
        ),
        format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nUpgrade: h2c\r\n\r\n"),
        format!("GET {MSCEP} HTTP/1.1\nHost: {PUBLIC}\r\n\r\n"),
        "\r\n\r\n\r\n".to_owned(),
    ];
    for bad in &bad {
        for good_ones in [1, 2, 5] {
            let before = (lab.request_count)();
            let mut connection = lab.proxy.connect();
            let good = smuggled().repeat(good_ones);
            connection.send([&good, bad.as_bytes(), &smuggled().repeat(3)].concat());
            for _ in 0..good_ones {
                assert_eq!(connection.response().status, 200);
            }
            let response = connection.response();
            assert_eq!(
                response.status,
                400,
                "{}: {}",
                bad.escape_debug(),
                response.text()
            );
            assert_eq!(connection.end(), End::CloseNotify);
            assert_eq!(
                (lab.request_count)() - before,
                good_ones,
                "{}",
                bad.escape_debug()
            );
            lab.cases += 1;
        }
    }
    lab.finish(27);
}
