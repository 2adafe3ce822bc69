//! Responses that are sent while the client still sends its body: all of them can be read, none is cut
//! off by a reset, and each is counted and logged.

use std::num::NonZeroU32;

use ndes_proxy::config::types::Quota;

use crate::support::binary::Binary;
use crate::support::proxy::target_of;
use crate::support::{Connect, Connection, End, MSCEP, Origin, PUBLIC, Proxy};

/// Larger than all buffers between client and proxy.
const BODY: usize = 8 << 20;
const LIMIT: usize = 9 << 20;

/// Sends `head` and a body of `length` bytes, and only then reads the response.
#[track_caller]
fn send_then_read(
    connection: &mut Connection,
    head: &str,
    length: usize,
    framing: Framing,
) -> (u16, String) {
    let expect = if framing.expects {
        "Expect: 100-continue\r\n"
    } else {
        ""
    };
    let coding = if framing.chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {length}")
    };
    connection.send(format!("{head}{expect}{coding}\r\n\r\n"));
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..length / piece.len() {
        if framing.chunked {
            connection.send(format!("{:x}\r\n", piece.len()));
        }
        connection.send(&piece);
        if framing.chunked {
            connection.send("\r\n");
        }
    }
    if framing.chunked {
        connection.send("0\r\n\r\n");
    }
    let mut response = connection.response();
    if response.status == 100 {
        response = connection.response();
    }
    assert_eq!(response.field("connection"), Some("close"), "{head:.80}");
    assert_eq!(connection.end(), End::CloseNotify, "{head:.80}");
    (
        response.status,
        response.reason().expect("a reason").to_owned(),
    )
}

#[derive(Clone, Copy)]
struct Framing {
    chunked: bool,
    expects: bool,
}

const FRAMINGS: [Framing; 4] = [
    Framing {
        chunked: false,
        expects: false,
    },
    Framing {
        chunked: true,
        expects: false,
    },
    Framing {
        chunked: false,
        expects: true,
    },
    Framing {
        chunked: true,
        expects: true,
    },
];

#[test]
fn early_responses_are_complete_counted_and_logged() {
    let origin = Origin::ok();
    let settings = format!("[limits]\nheader_fields = 20\nbody_bytes = {LIMIT}");
    let binary = Binary::run(origin.address, &settings);
    let path = format!("{MSCEP}?operation=PKIOperation");
    let line =
        |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n");
    let good = line("POST", &path);
    let cases = [
        (400, "malformed_head", format!("{good}X Y: z\r\n")),
        (
            400,
            "malformed_framing",
            format!("{good}Content-Length: 5\r\n"),
        ),
        (400, "malformed_framing", line("GET", &path)),
        (400, "host_missing", format!("POST {path} HTTP/1.1\r\n")),
        (400, "host_invalid", format!("{good}Host: x\r\n")),
        (400, "operation_missing", line("POST", MSCEP)),
        (
            400,
            "operation_not_published",
            line("POST", &format!("{MSCEP}?operation=Other")),
        ),
        (
            404,
            "path_not_published",
            line("POST", "/certsrv/mscep_admin"),
        ),
        (405, "method_not_allowed", line("PUT", &path)),
        (413, "body_too_large", good.clone()),
        (414, "uri_too_long", line("POST", &target_of(70_000))),
        (
            421,
            "host_not_published",
            format!("POST {path} HTTP/1.1\r\nHost: evil.test\r\n"),
        ),
        (
            431,
            "field_too_large",
            format!("{good}X: {}\r\n", "y".repeat(66_000)),
        ),
        (
            431,
            "too_many_fields",
            format!("{good}{}", "X: y\r\n".repeat(30)),
        ),
    ];
    let mut expected = Vec::new();
    for (number, (status, reason, head)) in cases.iter().enumerate() {
        // Refusals that depend on the length are tried with each framing; for the others, half of the
        // framings are enough.
        let step = if [413, 404].contains(status) { 1 } else { 2 };
        for framing in FRAMINGS
            .iter()
            .skip(if step == 1 { 0 } else { number % 2 })
            .step_by(step)
        {
            let mut connection = Connect::to(binary.https).open();
            let length = if *status == 413 { LIMIT + BODY } else { BODY };
            let found = send_then_read(&mut connection, head, length, *framing);
            // The framing of a head is checked before anything else.
            assert_eq!(found, (*status, (*reason).to_owned()), "{head:.80}");
            expected.push(found);
        }
    }
    crate::support::eventually("all logged", || {
        binary.access_lines().len() >= expected.len()
    });
    let logged: Vec<(u16, String)> = binary
        .access_lines()
        .iter()
        .map(|line| {
            (
                line["status"].as_u64().unwrap() as u16,
                line["reason"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(logged, expected);
    let metrics = crate::support::proxy::ask(binary.admin, "/metrics").body;
    let metrics = String::from_utf8(metrics).unwrap();
    for (_, reason, _) in &cases {
        let count = expected.iter().filter(|(_, other)| other == reason).count();
        let labels = [("reason", *reason)];
        assert_eq!(
            crate::support::proxy::metric(&metrics, "ndes_proxy_refusals_total", &labels),
            count as f64
        );
    }
    origin.assert_untouched();
}

#[test]
fn rate_limits_and_full_buffers_also_respond_early() {
    let origin = Origin::ok();
    let once = |burst| Quota {
        per_second: NonZeroU32::MIN,
        burst: NonZeroU32::new(burst).unwrap(),
    };
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.per_client = once(1);
        config.rate_limit.refused_per_client = once(1);
        config.limits.buffered_bytes = 10_000;
        config.limits.body_bytes = LIMIT;
    });
    let from = |last| Connect::to(proxy.https).from([127, 0, 4, last]).open();
    let head = |target: &str| format!("POST {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n");
    let good = head(&format!("{MSCEP}?operation=PKIOperation"));
    for (number, framing) in FRAMINGS.into_iter().enumerate() {
        let client = 10 + number as u8;
        let full = send_then_read(&mut from(client), &good, BODY, framing);
        assert_eq!(full, (503, "buffers_full".to_owned()));
        // The only token is used. It returns after a second, and 10 MB are usually sent before that.
        let late = loop {
            let answer = send_then_read(&mut from(client), &good, BODY, framing);
            if answer.0 == 429 {
                break answer;
            }
        };
        assert_eq!(late, (429, "rate_client".to_owned()));
        let refused = loop {
            let answer = send_then_read(&mut from(client), &head("/scan"), BODY, framing);
            if answer.0 == 429 {
                break answer;
            }
        };
        assert_eq!(refused, (429, "rate_refused".to_owned()));
    }
    assert_eq!(proxy.metric("ndes_proxy_buffered_bytes", &[]), 0.0);
    origin.assert_untouched();
}
