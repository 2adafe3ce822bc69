//! Tests of the connections to NDES: name resolution, reuse, closed connections, and which requests
//! may be sent twice.

use std::collections::HashMap;
use std::net::SocketAddr;

use ndes_proxy::commands::demo::pki::Leaf;

use crate::support::origin::answer;
use crate::support::pki::pki;
use crate::support::{MSCEP, Origin, PUBLIC, Proxy, Received, Wire};

const CAPS: &str = "/certsrv/mscep/mscep.dll?operation=GetCACaps";
const PKI: &str = "/certsrv/mscep/mscep.dll?operation=PKIOperation";
const CONNECTIONS: &str = "ndes_proxy_upstream_connections_total";

/// Starts a proxy with one worker, and therefore one set of idle connections.
fn proxy(origin: &Origin) -> Proxy {
    Proxy::start(origin.address, |config| config.listen.workers = 1)
}

#[test]
fn a_connection_is_reused_after_every_kind_of_request() {
    let origin = Origin::ok();
    let proxy = proxy(&origin);
    // The requests are from several clients, because a connection does not belong to a client.
    for target in [CAPS, MSCEP, CAPS] {
        assert_eq!(proxy.get(target).status, 200);
    }
    assert_eq!(proxy.post(PKI, b"message").status, 200);
    assert_eq!(proxy.get(&format!("{PKI}&message=x")).status, 200);
    assert_eq!((origin.connections(), origin.requests().len()), (1, 5));
    assert_eq!(proxy.metric(CONNECTIONS, &[("source", "opened")]), 1.0);
    assert_eq!(proxy.metric(CONNECTIONS, &[("source", "pool")]), 4.0);
}

#[test]
fn a_response_with_connection_close_closes_the_connection() {
    for fields in [&["Connection: close"][..], &["connection: x, CLOSE"]] {
        let origin = Origin::answering(answer(200, fields, b"ok"));
        let proxy = proxy(&origin);
        for _ in 0..3 {
            assert_eq!(proxy.get(CAPS).body, b"ok");
        }
        assert_eq!(origin.connections(), 3);
        assert_eq!(proxy.metric(CONNECTIONS, &[("source", "pool")]), 0.0);
    }
}

/// How an origin closes a connection.
type Leave = fn(&mut Wire);
const LEAVES: [(&str, Leave); 3] = [
    ("close", Wire::close),
    ("cut", Wire::cut),
    ("reset", Wire::reset),
];

#[test]
fn connections_that_close_after_each_response_cause_no_502() {
    for (_, leave) in LEAVES {
        let origin = Origin::start(move |_, wire| {
            wire.send(answer(200, &[], b"ok"));
            leave(wire);
        });
        let proxy = proxy(&origin);
        let mut client = proxy.connect();
        // 1000 requests in total.
        for _ in 0..334 {
            let found = client.get(CAPS);
            assert_eq!((found.status, &found.body[..]), (200, &b"ok"[..]));
        }
    }
}

#[test]
fn no_message_is_sent_twice_if_connections_close_after_each_response() {
    for (name, leave) in LEAVES {
        let origin = Origin::start(move |_, wire| {
            wire.send(answer(200, &[], b"ok"));
            leave(wire);
        });
        let proxy = proxy(&origin);
        let mut client = proxy.connect();
        let mut failed = 0;
        for number in 0..200 {
            // GET and POST alternately, each with its own message.
            let request = if number % 2 == 0 {
                format!("GET {PKI}&message={number} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n")
            } else {
                let body = format!("{number:06}");
                format!("POST {PKI} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 6\r\n\r\n{body}")
            };
            client.send(request);
            let found = client.response();
            if found.status != 200 {
                // The origin closed the connection while the message was in transit, so it is
                // unknown whether NDES received it.
                found.assert_refused(502, "upstream_closed");
                failed += 1;
            }
        }
        let mut seen: HashMap<(String, Vec<u8>), usize> = HashMap::new();
        for Received { head, body, .. } in origin.requests() {
            let head = String::from_utf8(head).unwrap();
            *seen.entry((head, body)).or_default() += 1;
        }
        assert!(seen.values().all(|times| *times == 1), "{seen:?}");
        assert!(failed < 50, "{name}: {failed} of 200 were lost");
    }
}

/// Starts an origin that closes the connection without a response if the target contains
/// `operation`.
fn closing_at(operation: &'static str, leave: Leave) -> Origin {
    Origin::start(move |request, wire| {
        if request.target().contains(operation) {
            leave(wire);
        } else {
            wire.send(answer(200, &[], b"ok"));
        }
    })
}

#[test]
fn a_message_whose_connection_closes_is_502_and_is_sent_once() {
    for (name, leave) in LEAVES {
        for is_post in [false, true] {
            for is_reused in [false, true] {
                let origin = closing_at("PKIOperation", leave);
                let proxy = proxy(&origin);
                if is_reused {
                    assert_eq!(proxy.get(CAPS).status, 200);
                }
                let found = if is_post {
                    proxy.post(PKI, b"message")
                } else {
                    proxy.get(&format!("{PKI}&message=x"))
                };
                found.assert_refused(502, "upstream_closed");
                // A message that was sent again would arrive before this request.
                assert_eq!(proxy.get(CAPS).status, 200);
                let requests = origin.requests();
                let messages = requests.iter().filter(|r| r.target().starts_with(PKI));
                assert_eq!(messages.count(), 1, "{name}, {is_post}, {is_reused}");
                let labels = [("kind", "closed")];
                proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
            }
        }
    }
}

#[test]
fn a_read_is_repeated_only_if_its_reused_connection_closed() {
    // The first connection closes at its second request. The next connection works.
    let origin = Origin::start(
        |request, wire| match (request.connection, request.target()) {
            (0, target) if target.contains("GetCACert") => wire.close(),
            _ => wire.send(answer(200, &[], b"ok")),
        },
    );
    let proxy = proxy(&origin);
    assert_eq!(proxy.get(CAPS).status, 200);
    let target = format!("{MSCEP}?operation=GetCACert");
    assert_eq!(proxy.get(&target).body, b"ok");
    let connections: Vec<_> = origin.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 1]);

    // On a new connection the close is final, and the request is not repeated.
    let origin = closing_at("GetCACert", Wire::close);
    let proxy = self::proxy(&origin);
    proxy.get(&target).assert_refused(502, "upstream_closed");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_upstream_is_resolved_by_its_name() {
    let certificate = pki().internal_root.issue(&Leaf::server(&["localhost"]));
    let origin = Origin::with_certificate(&certificate.unwrap(), |_, wire| {
        wire.send(answer(200, &[], b"by name"))
    });
    let port = origin.address.port();
    let proxy = Proxy::start_text(&named(&format!("localhost:{port}")), |_| {});
    assert_eq!(proxy.get(CAPS).body, b"by name");
    assert_eq!(origin.only_request().field("host").unwrap(), "localhost");
}

#[test]
fn an_unknown_name_is_502() {
    // RFC 6761 §6.4: this name never resolves.
    let proxy = Proxy::start_text(&named("ndes.invalid"), |config| {
        config.timeouts.upstream_connect = crate::support::MAX_WAIT;
    });
    let found = proxy.get(CAPS);
    found.assert_refused(502, "upstream_name");
    assert!(!found.text().contains("invalid"), "{}", found.text());
    let labels = [("kind", "name")];
    proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
}

/// Returns the configuration of an application whose upstream has no `address`.
fn named(authority: &str) -> String {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let text = crate::support::proxy::application(PUBLIC, "public", nowhere);
    text.lines()
        .filter(|line| !line.starts_with("address"))
        .map(|line| match line.starts_with("url") {
            true => format!("url = \"https://{authority}\"\n"),
            false => format!("{line}\n"),
        })
        .collect()
}
