//! The handshake before HTTP: ClientHellos that are old, malformed, slow or missing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::support::binary::Binary;
use crate::support::{Connect, MSCEP, Origin, PUBLIC, Proxy, eventually};

const SHORT: Duration = Duration::from_millis(500);

/// Returns the ClientHello of rustls, in one record.
fn hello(name: &str) -> Vec<u8> {
    let config = Connect::to(([127, 0, 0, 1], 1).into()).config();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(config.into(), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

struct Offer<'a> {
    version: u16,
    suites: &'a [u16],
    name: Option<&'a str>,
    /// Whether the extension is sent, as TLS 1.2 requires. Older clients do not send it.
    signature_algorithms: bool,
}

/// Returns a ClientHello in the form of old clients.
fn old_hello(offer: &Offer<'_>) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((body.len() as u16).to_be_bytes());
        extensions.extend(body);
    };
    if let Some(name) = offer.name {
        let length = name.len() as u16;
        extension(
            0,
            &[
                &(length + 3).to_be_bytes()[..],
                &[0],
                &length.to_be_bytes(),
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    extension(10, &[0, 4, 0, 29, 0, 23]);
    extension(11, &[1, 0]);
    if offer.signature_algorithms {
        extension(13, &[0, 8, 4, 3, 4, 1, 2, 1, 2, 3]);
    }
    let suites: Vec<u8> = offer
        .suites
        .iter()
        .flat_map(|suite| suite.to_be_bytes())
        .collect();
    let body = [
        &offer.version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &(suites.len() as u16).to_be_bytes(),
        &suites,
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    records(&message, message.len())
}

/// Splits a handshake message into records of `step` bytes each.
fn records(message: &[u8], step: usize) -> Vec<u8> {
    let record =
        |piece: &[u8]| [&[22, 3, 1][..], &(piece.len() as u16).to_be_bytes(), piece].concat();
    message.chunks(step).flat_map(record).collect()
}

/// Sends `bytes` and reads until the connection closes, which it must.
#[track_caller]
fn until_closed(proxy: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = Connect::to(proxy).tcp().unwrap();
    // The proxy may close the connection before all bytes are sent.
    _ = tcp.write_all(bytes);
    drain(&mut tcp)
}

#[track_caller]
fn drain(tcp: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match tcp.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end: {error}"),
    }
    answer
}

const ECDHE_GCM: u16 = 0xc02b;
const CBC: &[u16] = &[
    0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc027, 0x002f, 0x0035, 0x003c, 0x000a,
];
const PROTOCOL_VERSION: u8 = 70;
const HANDSHAKE_FAILURE: u8 = 40;
const UNRECOGNIZED_NAME: u8 = 112;

#[test]
fn an_old_client_is_refused_and_logged() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    let mut expected = Vec::new();
    for (version, text, result) in [
        (0x0300, "ssl3", "old_tls"),
        (0x0301, "1.0", "old_tls"),
        (0x0302, "1.1", "old_tls"),
    ] {
        for name in [Some(PUBLIC), None] {
            for signature_algorithms in [false, true] {
                let offer = Offer {
                    version,
                    suites: &[&[ECDHE_GCM], CBC].concat(),
                    name,
                    signature_algorithms,
                };
                let bytes = old_hello(&offer);
                let answer = until_closed(binary.https, &bytes);
                // One fatal alert is the whole response.
                assert_eq!(
                    (answer[0], answer.len(), answer[5]),
                    (21, 7, 2),
                    "{text} {name:?}: {answer:?}"
                );
                assert!(
                    [PROTOCOL_VERSION, HANDSHAKE_FAILURE, 109].contains(&answer[6]),
                    "{text}: {answer:?}"
                );
                expected.push((text, name, result));
                // The result is the same if the bytes arrive in the smallest possible pieces.
                let mut tcp = Connect::to(binary.https).tcp().unwrap();
                tcp.set_nodelay(true).unwrap();
                for byte in &bytes {
                    _ = tcp.write_all(&[*byte]);
                }
                drain(&mut tcp);
                expected.push((text, name, result));
            }
        }
    }
    let lines = || {
        binary
            .lines()
            .into_iter()
            .filter(|line| line["target"] == "tls")
            .collect::<Vec<_>>()
    };
    eventually("all logged", || lines().len() == expected.len());
    // The alert is sent before the log line is written, so two workers may write theirs in either
    // order.
    let mut logged: Vec<String> = lines()
        .iter()
        .map(|line| {
            format!(
                "{} {} {} {}",
                line["offered"], line["sni"], line["result"], line["client"]
            )
        })
        .collect();
    let mut expected: Vec<String> = expected
        .into_iter()
        .map(|(version, name, result)| {
            let name = name.map_or_else(|| "null".to_owned(), |name| format!("{name:?}"));
            format!("{version:?} {name} {result:?} \"127.0.0.1\"")
        })
        .collect();
    logged.sort();
    expected.sort();
    assert_eq!(logged, expected);
    let metrics =
        String::from_utf8(crate::support::proxy::ask(binary.admin, "/metrics").body).unwrap();
    let labels = [("result", "old_tls")];
    let counted =
        crate::support::proxy::metric(&metrics, "ndes_proxy_tls_handshakes_total", &labels);
    assert_eq!(counted, expected.len() as f64);
    origin.assert_untouched();
}

#[test]
fn a_tls_1_2_client_without_aead_suites_is_refused() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for suite in CBC {
        let offer = Offer {
            version: 0x0303,
            suites: &[*suite],
            name: Some(PUBLIC),
            signature_algorithms: true,
        };
        let answer = until_closed(proxy.https, &old_hello(&offer));
        assert_eq!(
            (answer[0], answer[6]),
            (21, HANDSHAKE_FAILURE),
            "{suite:04x}: {answer:?}"
        );
    }
    let labels = [("result", "nothing_in_common")];
    proxy.await_metric("ndes_proxy_tls_handshakes_total", &labels, CBC.len() as f64);
}

#[test]
fn unknown_names_get_unrecognized_name_in_any_pieces() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let names = [
        "evil.test",
        "xscep.example.test",
        "scep.example.test.evil.test",
        "ndes.corp.test",
        "example.test",
        "localhost",
        "a",
    ];
    for name in names {
        let bytes = hello(name);
        for step in [1, 100, bytes.len()] {
            let answer = until_closed(proxy.https, &records(&bytes[5..], step));
            assert_eq!(
                answer,
                [21, 3, 3, 0, 2, 2, UNRECOGNIZED_NAME],
                "{name} {step}"
            );
        }
    }
    let labels = [("result", "unknown_name")];
    proxy.await_metric(
        "ndes_proxy_tls_handshakes_total",
        &labels,
        3.0 * names.len() as f64,
    );
}

#[test]
fn a_client_hello_in_many_pieces_is_read() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.tls_handshake = SHORT * 10
    });
    let bytes = hello(PUBLIC);
    // One byte per record, one byte per segment.
    let whole = [
        records(&bytes[5..], 1),
        records(&bytes[5..], 7),
        bytes.clone(),
    ];
    for bytes in whole {
        for step in [1, 1_000_000] {
            let mut tcp = Connect::to(proxy.https).tcp().unwrap();
            tcp.set_nodelay(true).unwrap();
            for piece in bytes.chunks(step) {
                tcp.write_all(piece).unwrap();
            }
            let mut answer = [0; 6];
            tcp.read_exact(&mut answer).unwrap();
            // The response is a ServerHello.
            assert_eq!((answer[0], answer[5]), (22, 2), "{answer:?}");
        }
    }
}

/// Returns pseudo-random bytes, which are the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn garbage_is_closed_in_bounded_time() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.timeouts.tls_handshake = SHORT
    });
    let good = hello(PUBLIC);
    let mut cases = vec![
        (
            "HTTP",
            format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n").into_bytes(),
        ),
        ("h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (
            "SSLv2",
            [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[1; 37]].concat(),
        ),
        (
            "RDP",
            vec![
                3, 0, 0, 0x13, 0x0e, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0,
            ],
        ),
        ("zeros", vec![0; 100_000]),
        ("ones", vec![0xff; 100_000]),
        ("heartbeat", vec![24, 3, 2, 0, 3, 1, 0x40, 0]),
        ("an alert", vec![21, 3, 1, 0, 2, 2, 40]),
        ("alerts", [21, 3, 1, 0, 2, 1, 0].repeat(10_000)),
        ("data", vec![23, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
        ("change cipher spec", [20, 3, 3, 0, 1, 1].repeat(10_000)),
        ("a record of nothing", [22, 3, 1, 0, 0].repeat(10_000)),
        (
            "a record too long",
            [&[22, 3, 1, 0xff, 0xff][..], &[1; 70_000]].concat(),
        ),
        ("another version", [&[22, 9, 9][..], &good[3..]].concat()),
        (
            "a server's hello",
            [&[22, 3, 1, 0, 50, 2, 0, 0, 46, 3, 3][..], &[7; 44]].concat(),
        ),
        (
            "a hello of 16 MB",
            records(
                &[&[1, 0xff, 0xff, 0xff, 3, 3][..], &[7; 200_000]].concat(),
                16_000,
            ),
        ),
        (
            "a hello of 60 KB",
            records(
                &[&[1, 0, 0xea, 0x60, 3, 3][..], &[7; 60_000]].concat(),
                16_000,
            ),
        ),
        ("a hello of nothing", vec![22, 3, 1, 0, 4, 1, 0, 0, 0]),
        (
            "PROXY",
            [b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", &good[..]].concat(),
        ),
        ("twice", [&good[..], &good[..]].concat()),
    ];
    for length in (0..good.len()).step_by(37) {
        cases.push(("cut", good[..length].to_vec()));
        let mut flipped = good.clone();
        flipped[length] ^= 0x55;
        flipped.truncate(length + 200);
        cases.push(("flipped", flipped));
    }
    for seed in 1..40 {
        cases.push(("noise", noise(seed, 500)));
        cases.push(("noise in a record", records(&noise(seed, 500), 500)));
        cases.push((
            "noise in a hello",
            records(&[&[1, 0, 1, 0xf4][..], &noise(seed, 500)].concat(), 600),
        ));
    }
    let began = Instant::now();
    // All at once, because each may take as long as a handshake.
    std::thread::scope(|scope| {
        let open: Vec<_> = cases
            .iter()
            .map(|(name, bytes)| {
                let mut tcp = Connect::to(proxy.https).tcp().unwrap();
                _ = tcp.write_all(bytes);
                (name, tcp)
            })
            .collect();
        scope.spawn(move || {
            for (name, mut tcp) in open {
                let answer = drain(&mut tcp);
                assert!(
                    !answer.windows(4).any(|four| four == b"HTTP"),
                    "{name}: {}",
                    answer.escape_ascii()
                );
            }
        });
    });
    assert!(began.elapsed() < SHORT * 20, "{:?}", began.elapsed());
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    assert_eq!(
        proxy.metric("ndes_proxy_tls_handshakes_total", &[]),
        cases.len() as f64
    );
    assert_eq!(proxy.get(MSCEP).status, 200);
    assert_eq!(origin.requests().len(), 1);
}

/// An attacker who has recorded a request in 0-RTT could replay it.
#[test]
fn resumption_accepts_no_early_data() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut config = Connect::to(proxy.https)
        .version(&rustls::version::TLS13)
        .config();
    config.enable_early_data = true;
    let config = std::sync::Arc::new(config);
    let mut resumed = 0;
    for _ in 0..3 {
        let name = ServerName::try_from(PUBLIC).unwrap();
        let mut client = ClientConnection::new(config.clone(), name).unwrap();
        assert!(client.early_data().is_none());
        let mut tcp = Connect::to(proxy.https).tcp().unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut tcp);
        write!(
            stream,
            "GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        resumed += usize::from(client.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
    }
    assert_eq!(resumed, 2);
}
