//! Connections to NDES: found by name, kept, given up in time, and what may be sent twice.

use std::collections::HashMap;
use std::net::SocketAddr;

use ndes_proxy::commands::demo::pki::Leaf;

use crate::support::origin::answer;
use crate::support::pki::pki;
use crate::support::{MSCEP, Origin, PUBLIC, Proxy, Received, Wire};

const CAPS: &str = "/certsrv/mscep/mscep.dll?operation=GetCACaps";
const PKI: &str = "/certsrv/mscep/mscep.dll?operation=PKIOperation";
const CONNECTIONS: &str = "ndes_proxy_upstream_connections_total";

/// One worker, and so one shelf of kept connections.
fn proxy(origin: &Origin) -> Proxy {
    Proxy::start(origin.address, |config| config.listen.workers = 1)
}

#[test]
fn a_connection_serves_the_next_request_whatever_came_before() {
    let origin = Origin::ok();
    let proxy = proxy(&origin);
    // Of several clients: the connection belongs to none of them.
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
fn an_answer_that_ends_the_connection_ends_it() {
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

/// How an origin ends a connection.
type Leave = fn(&mut Wire);
const LEAVES: [(&str, Leave); 3] = [
    ("close", Wire::close),
    ("cut", Wire::cut),
    ("reset", Wire::reset),
];

#[test]
fn connections_that_are_closed_after_each_answer_give_no_502() {
    for (_, leave) in LEAVES {
        let origin = Origin::start(move |_, wire| {
            wire.send(answer(200, &[], b"ok"));
            leave(wire);
        });
        let proxy = proxy(&origin);
        let mut client = proxy.connect();
        // 1000 in all
        for _ in 0..334 {
            let found = client.get(CAPS);
            assert_eq!((found.status, &found.body[..]), (200, &b"ok"[..]));
        }
    }
}

#[test]
fn over_such_connections_too_no_message_is_sent_twice() {
    for (name, leave) in LEAVES {
        let origin = Origin::start(move |_, wire| {
            wire.send(answer(200, &[], b"ok"));
            leave(wire);
        });
        let proxy = proxy(&origin);
        let mut client = proxy.connect();
        let mut failed = 0;
        for number in 0..200 {
            // GET and POST in turn, each with a message of its own.
            let request = if number % 2 == 0 {
                format!("GET {PKI}&message={number} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n")
            } else {
                let body = format!("{number:06}");
                format!("POST {PKI} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 6\r\n\r\n{body}")
            };
            client.send(request);
            let found = client.response();
            if found.status != 200 {
                // The origin went while the message was on its way: nobody can know more.
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

/// Answers until a request has this in its target; then leaves without an answer.
fn leaving_at(operation: &'static str, leave: Leave) -> Origin {
    Origin::start(move |request, wire| {
        if request.target().contains(operation) {
            leave(wire);
        } else {
            wire.send(answer(200, &[], b"ok"));
        }
    })
}

#[test]
fn a_message_whose_connection_dies_is_502_and_was_sent_once() {
    for (name, leave) in LEAVES {
        for is_post in [false, true] {
            for is_reused in [false, true] {
                let origin = leaving_at("PKIOperation", leave);
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
                // Whatever were sent again would have come before the next answer.
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
fn a_read_is_repeated_once_its_kept_connection_has_died_and_only_then() {
    // Dies with the second request of its first connection; a new one serves.
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

    // On a new connection its end is an answer: nothing is asked twice.
    let origin = leaving_at("GetCACert", Wire::close);
    let proxy = self::proxy(&origin);
    proxy.get(&target).assert_refused(502, "upstream_closed");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_upstream_is_found_by_its_name() {
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
fn a_name_that_is_unknown_is_502() {
    // RFC 6761 §6.4: never resolved.
    let proxy = Proxy::start_text(&named("ndes.invalid"), |config| {
        config.timeouts.upstream_connect = crate::support::PATIENCE;
    });
    let found = proxy.get(CAPS);
    found.assert_refused(502, "upstream_name");
    assert!(!found.text().contains("invalid"), "{}", found.text());
    let labels = [("kind", "name")];
    proxy.await_metric("ndes_proxy_upstream_errors_total", &labels, 1.0);
}

/// An application whose upstream has no `address`.
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
