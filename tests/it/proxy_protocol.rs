//! Behind a load balancer: the PROXY protocol header of a trusted address names the client.

use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use ndes_proxy::config::types::Quota;
use ndes_proxy::config::{ClientAddress, Config};

use crate::support::binary::Binary;
use crate::support::{Connect, Connection, MSCEP, Origin, PUBLIC, Proxy, eventually};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const COUNT: &str = "ndes_proxy_connections_total";
const HANDSHAKES: &str = "ndes_proxy_tls_handshakes_total";

fn trusting(config: &mut Config) {
    config.listen.proxies = Some(vec!["127.0.0.1/32".parse().unwrap()]);
}

fn v1(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { 6 } else { 4 };
    let to = if client.contains(':') {
        "2001:db8::2"
    } else {
        "10.0.0.2"
    };
    format!("PROXY TCP{family} {client} {to} 40000 443\r\n").into_bytes()
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

fn v2_of(client: &str) -> Vec<u8> {
    const PORTS: [u8; 4] = [0x9c, 0x40, 0x01, 0xbb];
    match client.parse().unwrap() {
        std::net::IpAddr::V4(ip) => v2(
            0x21,
            0x11,
            &[&ip.octets()[..], &[10, 0, 0, 2], &PORTS].concat(),
        ),
        std::net::IpAddr::V6(ip) => v2(0x21, 0x21, &[&ip.octets()[..], &[1; 16], &PORTS].concat()),
    }
}

fn behind(proxy: &Proxy, header: Vec<u8>) -> Connection {
    Connect::to(proxy.https).behind(header).open()
}

#[test]
fn the_client_of_the_header_is_forwarded_to_ndes() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        trusting(config);
        config.applications[0].client_address = ClientAddress::XForwardedFor;
    });
    let mut extensions = v2_of("203.0.113.9");
    let length = u16::from_be_bytes([extensions[14], extensions[15]]) + 8;
    extensions[14..16].copy_from_slice(&length.to_be_bytes());
    extensions.extend([4, 0, 5, 0, 0, 0, 0, 0]);
    for (header, client) in [
        (v1("203.0.113.7"), "203.0.113.7"),
        (v2_of("203.0.113.8"), "203.0.113.8"),
        (extensions, "203.0.113.9"),
        (v1("2001:db8::7"), "2001:db8::7"),
        (v2_of("2001:db8::8"), "2001:db8::8"),
        // An IPv4-mapped address is the IPv4 client.
        (v1("::ffff:203.0.113.10"), "203.0.113.10"),
        (v2_of("::ffff:203.0.113.11"), "203.0.113.11"),
    ] {
        assert_eq!(behind(&proxy, header).get(MSCEP).status, 200, "{client}");
        let forwarded = origin.last_requests(1)[0].field("x-forwarded-for");
        assert_eq!(forwarded.as_deref(), Some(client));
    }
    let served = [("result", "served")];
    assert_eq!(proxy.metric(COUNT, &served), 7.0);
}

#[test]
fn the_log_names_the_client_of_the_header() {
    let origin = Origin::ok();
    let listen = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/30\"]";
    let binary = Binary::listening(origin.address, listen, "");
    let connect = |client: &str| Connect::to(binary.https).behind(v1(client));
    assert_eq!(connect("203.0.113.7").open().get(MSCEP).status, 200);
    eventually("its line", || binary.access_lines().len() == 1);
    assert_eq!(connect("2001:db8::7").open().get("/scan").status, 404);
    assert!(connect("203.0.113.8").sni("evil.test").try_open().is_err());
    eventually("all lines", || binary.access_lines().len() == 2);
    let clients: Vec<String> = binary
        .access_lines()
        .iter()
        .map(|line| line["client"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(clients, ["203.0.113.7", "2001:db8::7"]);
    assert_eq!(binary.access_lines()[0]["port"], 40_000);
    let refused = || {
        binary
            .lines()
            .into_iter()
            .find(|line| line["target"] == "tls")
    };
    eventually("a refused handshake", || refused().is_some());
    assert_eq!(refused().unwrap()["client"], "203.0.113.8");
}

/// Neither another port of the balancer nor another address within the same /64 is another client.
#[test]
fn limits_and_rates_apply_to_the_client_of_the_header() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        trusting(config);
        config.limits.connections_per_client = 3;
        config.rate_limit.refused_per_client = Quota {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(4).unwrap(),
        };
    });
    let site = |host: u16| v1(&format!("2001:db8:1:2:{host:x}::1"));
    let mut held: Vec<Connection> = (0..3).map(|host| behind(&proxy, site(host))).collect();
    assert!(Connect::to(proxy.https).behind(site(9)).try_open().is_err());
    proxy.await_metric(COUNT, &[("result", "client_limit_reached")], 1.0);
    // The next /64 and another IPv4 address are other clients.
    let mut next_site = behind(&proxy, v1("2001:db8:1:3::1"));
    let mut office = behind(&proxy, v2_of("203.0.113.7"));
    assert_eq!(office.get(MSCEP).status, 200);

    let began = Instant::now();
    let mut refused = 0;
    'scan: for number in 0.. {
        for connection in &mut held {
            let response = connection.get("/scan");
            if response.status == 429 {
                break 'scan;
            }
            refused += 1;
            assert!(refused <= 5 + began.elapsed().as_secs(), "{number}");
        }
    }
    assert!(refused >= 4);
    for other in [&mut next_site, &mut office] {
        other.get("/scan").assert_refused(404, "path_not_published");
    }
}

#[test]
fn health_checks_of_the_balancer_are_served_and_not_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        trusting(config);
        config.limits.connections_per_client = 1;
    });
    let checks = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.7 10.0.0.2 1 2\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &[203, 0, 113, 7, 10, 0, 0, 2, 0, 1, 0, 2]),
        v2(0x21, 0x00, &[]),
    ];
    let mut open: Vec<Connection> = checks
        .iter()
        .map(|check| behind(&proxy, check.clone()))
        .collect();
    for connection in &mut open {
        assert_eq!(connection.get(MSCEP).status, 200);
    }
    // A health check that only connects, as most do.
    for check in &checks {
        let mut tcp = Connect::to(proxy.https).tcp().unwrap();
        tcp.write_all(check).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(tcp.read(&mut [0; 10]), Ok(0) | Err(_)));
    }
    drop(open);
    proxy.await_metric("ndes_proxy_connections_open", &[], 0.0);
    assert_eq!(proxy.metric(COUNT, &[]), 0.0);
    assert_eq!(proxy.metric(HANDSHAKES, &[]), 0.0);
}

fn is_closed(proxy: &Proxy, from: [u8; 4], bytes: &[u8]) -> bool {
    let mut tcp = Connect::to(proxy.https).from(from).tcp().unwrap();
    _ = tcp.write_all(bytes);
    match tcp.read(&mut [0; 100]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn without_a_valid_header_of_a_trusted_balancer_the_connection_closes() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, trusting);
    let good = v1("203.0.113.7");
    let mut cases: Vec<([u8; 4], Vec<u8>)> = vec![
        ([127, 0, 0, 2], good.clone()),
        ([127, 0, 0, 2], v2_of("203.0.113.7")),
        ([127, 1, 0, 1], good),
    ];
    for bytes in [
        // No header at all: a ClientHello, HTTP.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaa".to_vec(),
        format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n").into_bytes(),
        b"proxy TCP4 203.0.113.7 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY\r\n\r\n\r\n\r\n\r\n".to_vec(),
        b"PROXY \r\n\r\n\r\n\r\n\r\n".to_vec(),
        b"PROXY TCP4\r\n\r\n\r\n".to_vec(),
        b"PROXY TCP5 203.0.113.7 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.7 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY tcp4 203.0.113.7 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 1\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 1 2 3\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 1 99999\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 -1 2\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7  10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.700 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 203.0.113 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(),
        b"PROXY TCP6 203.0.113.7 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::g 2001:db8::2 1 2\r\n".to_vec(),
        b"PROXY TCP4 scep.example.test 10.0.0.2 1 2\r\n".to_vec(),
        [&b"PROXY TCP4 203.0.113.7 10.0.0.2 1 2\n"[..], &[b'x'; 200]].concat(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat(),
        b"PROXY TCP4 203.0.113.7\0 10.0.0.2 1 2\r\n".to_vec(),
        // Version 2: another version, command, family, and lengths that do not fit.
        v2(0x11, 0x11, &[1; 12]),
        v2(0x31, 0x11, &[1; 12]),
        v2(0x22, 0x11, &[1; 12]),
        v2(0x2f, 0x11, &[1; 12]),
        v2(0x21, 0x51, &[1; 12]),
        v2(0x21, 0x1f, &[1; 12]),
        v2(0x21, 0x11, &[1; 11]),
        v2(0x21, 0x11, &[]),
        v2(0x21, 0x21, &[1; 35]),
        v2(0x21, 0x11, &[1; 5_000]),
        [SIGNATURE, &[0x21, 0x11, 0xff, 0xff], &[1; 70_000]].concat(),
        [&SIGNATURE[..11], &[0; 20]].concat(),
    ] {
        cases.push(([127, 0, 0, 1], bytes));
    }
    for (from, bytes) in &cases {
        assert!(is_closed(&proxy, *from, bytes), "{}", bytes.escape_ascii());
    }
    let labels = [("result", "bad_proxy_header")];
    proxy.await_metric(COUNT, &labels, cases.len() as f64);
    assert_eq!(proxy.metric(HANDSHAKES, &[]), 0.0);
    origin.assert_untouched();
}

#[test]
fn a_header_in_pieces_is_read_and_an_incomplete_one_times_out() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        trusting(config);
        config.timeouts.tls_handshake = Duration::from_millis(800);
    });
    for header in [v1("203.0.113.7"), v2_of("203.0.113.7")] {
        // One byte per segment, and cut off at each byte.
        let mut cut = Vec::new();
        for length in 0..header.len() {
            let mut tcp = Connect::to(proxy.https).tcp().unwrap();
            tcp.set_nodelay(true).unwrap();
            for byte in &header[..length] {
                tcp.write_all(&[*byte]).unwrap();
            }
            cut.push(tcp);
        }
        let connection = Connect::to(proxy.https).behind_pieces(&header).open();
        drop(connection);
        for mut tcp in cut {
            assert!(matches!(tcp.read(&mut [0; 10]), Ok(0) | Err(_)));
        }
    }
    let tried = v1("203.0.113.7").len() + v2_of("203.0.113.7").len();
    proxy.await_metric(COUNT, &[("result", "bad_proxy_header")], tried as f64);
    assert_eq!(proxy.metric(COUNT, &[("result", "served")]), 2.0);
}

/// Without a configured balancer, the header is an invalid ClientHello.
#[test]
fn a_header_is_refused_if_the_protocol_is_not_configured() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for header in [
        v1("203.0.113.7"),
        v2_of("203.0.113.7"),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ] {
        assert!(Connect::to(proxy.https).behind(header).try_open().is_err());
    }
    proxy.await_metric(HANDSHAKES, &[("result", "failed")], 3.0);
    origin.assert_untouched();
}
