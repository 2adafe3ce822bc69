//! Handshakes: resumption, versions that are too old, and the listening addresses.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::support::binary::Binary;
use crate::support::{Connect, MSCEP, OTHER, Origin, Proxy, eventually};

#[test]
fn a_session_is_resumed_by_its_ticket() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for version in rustls::ALL_VERSIONS {
        let connect = Connect::to(proxy.https).version(version);
        let config = Arc::new(connect.config());
        let mut first = connect.open_with(config.clone()).unwrap();
        assert!(!first.is_resumed());
        // In TLS 1.3 the ticket arrives with the response.
        assert_eq!(first.get(MSCEP).status, 200);
        let mut second = connect.open_with(config).unwrap();
        assert!(second.is_resumed(), "{version:?}");
        assert_eq!(second.get(MSCEP).status, 200);
    }
}

#[test]
fn a_resumed_session_belongs_to_its_own_sni() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let proxy = Proxy::start_two(first.address, second.address);
    let connect = Connect::to(proxy.https).sni(OTHER);
    let config = Arc::new(connect.config());
    for resumed in [false, true] {
        let mut connection = connect.open_with(config.clone()).unwrap();
        assert_eq!(connection.is_resumed(), resumed);
        connection
            .get(MSCEP)
            .assert_refused(421, "host_not_published");
    }
    first.assert_untouched();
}

/// A ClientHello of `version` (the low byte) without extensions, as devices of 2005 send it.
fn old_client_hello(version: u8) -> Vec<u8> {
    let suites = [0xC0, 0x14, 0xC0, 0x13, 0x00, 0x35, 0x00, 0x2F, 0x00, 0x0A];
    let mut hello = vec![3, version];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, suites.len() as u8]);
    hello.extend_from_slice(&suites);
    hello.extend_from_slice(&[1, 0]);
    let length = hello.len() as u8;
    let handshake = [&[1, 0, 0, length][..], &hello].concat();
    [&[22, 3, version, 0, length + 4][..], &handshake].concat()
}

#[test]
fn old_tls_versions_get_an_alert_and_are_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let ssl3_to_tls11 = [0, 1, 2];
    for version in ssl3_to_tls11 {
        let mut tcp = Connect::to(proxy.https).tcp().unwrap();
        tcp.write_all(&old_client_hello(version)).unwrap();
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).unwrap();
        // One fatal alert and no other record.
        assert_eq!(answer.len(), 7, "{answer:02x?}");
        assert_eq!((answer[0], answer[5]), (21, 2), "{answer:02x?}");
    }
    let labels = [("result", "old_tls")];
    proxy.await_metric("ndes_proxy_tls_handshakes_total", &labels, 3.0);
}

#[test]
fn an_old_client_can_be_identified_in_the_log() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    let mut tcp = Connect::to(binary.https)
        .from([127, 0, 0, 9])
        .tcp()
        .unwrap();
    let port = tcp.local_addr().unwrap().port();
    tcp.write_all(&old_client_hello(1)).unwrap();
    let line = || binary.lines().into_iter().find(|l| l["target"] == "tls");
    eventually("a line", || line().is_some());
    let line = line().unwrap();
    for (key, value) in [
        ("client", "127.0.0.9".into()),
        ("port", serde_json::Value::from(port)),
        ("result", "old_tls".into()),
        ("offered", "1.0".into()),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
}

#[test]
fn the_proxy_listens_on_every_address() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.listen.https.push(([127, 0, 0, 2], 0).into());
        config.listen.https.push(([127, 0, 0, 1], 0).into());
    });
    assert_eq!(proxy.listeners.len(), 3);
    for address in &proxy.listeners {
        for _ in 0..5 {
            assert_eq!(Connect::to(*address).open().get(MSCEP).status, 200);
        }
    }
    assert_eq!(origin.requests().len(), 15);
}
