//! Rate limits: a client cannot appear as several, and its refused requests are not charged to others.

use std::num::NonZeroU32;
use std::time::Instant;

use ndes_proxy::config::types::Quota;

use crate::support::{Connect, Connection, MSCEP, Origin, PUBLIC, Proxy};

fn burst(burst: u32) -> Quota {
    Quota {
        per_second: NonZeroU32::MIN,
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

#[test]
fn one_client_cannot_appear_as_many() {
    const BURST: u32 = 20;
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.per_client = burst(BURST)
    });
    let fields = [
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-IP",
        "Via",
        "Cookie",
        "User-Agent",
        "Authorization",
        "From",
    ];
    let began = Instant::now();
    let mut passed = 0;
    for number in 0..200 {
        let (field, ip) = (fields[number % fields.len()], format!("203.0.113.{number}"));
        // Another port each time, and another value for everything that a client can choose.
        let connect = match number % 4 {
            0 => Connect::to(proxy.https).without_sni(),
            1 => Connect::to(proxy.https).version(&rustls::version::TLS12),
            2 => Connect::to(proxy.https).alpn(&[]),
            _ => Connect::to(proxy.https),
        };
        let mut connection = connect.open();
        let version = number % 2;
        let path = if number % 3 == 0 {
            "/CERTSRV/mscep"
        } else {
            MSCEP
        };
        connection.send(format!(
            "GET {path}?x={number} HTTP/1.{version}\r\nHost: {PUBLIC}\r\n{field}: {ip}\r\n\r\n"
        ));
        let response = connection.response();
        if response.status == 200 {
            passed += 1;
        } else {
            response.assert_refused(429, "rate_client");
        }
    }
    let most = u64::from(BURST) + 1 + began.elapsed().as_secs();
    assert!(
        (u64::from(BURST)..=most).contains(&passed),
        "{passed} passed"
    );
    assert_eq!(origin.requests().len() as u64, passed);
    // Another client has its own rate.
    let mut other = Connect::to(proxy.https).from([127, 0, 9, 1]).open();
    assert_eq!(other.get(MSCEP).status, 200);
}

#[test]
fn refused_requests_do_not_use_the_global_rate() {
    const BURST: u32 = 30;
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.global = burst(BURST);
        config.limits.buffered_bytes = 1_000;
        config.applications[0].upstreams[0].max_request_head_bytes = Some(2_000);
    });
    let path = format!("{MSCEP}?operation=PKIOperation");
    let post = |rest: &str| format!("POST {path} HTTP/1.1\r\nHost: {PUBLIC}\r\n{rest}");
    let junk = [
        "nonsense\r\n\r\n".to_owned(),
        format!("GET /scan HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"),
        format!("GET {MSCEP} HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
        format!("GET {MSCEP}?operation=Other HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"),
        format!("PUT {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"),
        format!(
            "GET {MSCEP}?{} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n",
            "x".repeat(70_000)
        ),
        // Longer than what NDES accepts.
        format!(
            "GET {MSCEP}?{} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n",
            "x".repeat(3_000)
        ),
        post("Content-Length: 999999999\r\n\r\n"),
        post("Content-Length: x\r\n\r\n"),
        post(&format!(
            "Content-Length: 2000\r\n\r\n{}",
            "x".repeat(2_000)
        )),
        post("Transfer-Encoding: chunked\r\n\r\nx\r\n"),
    ];
    for bytes in &junk {
        for _ in 0..BURST / 2 {
            let mut connection: Connection = proxy.connect();
            connection.send(bytes);
            assert_ne!(connection.response().status, 200, "{bytes:.80}");
        }
    }
    origin.assert_untouched();
    // The same for a request whose body breaks off.
    for _ in 0..BURST / 2 {
        let mut connection = proxy.connect();
        connection.send(post("Content-Length: 500\r\n\r\nhello"));
        connection.finish();
        connection.response().assert_refused(400, "body_aborted");
    }
    for number in 0..BURST {
        assert_eq!(proxy.get(MSCEP).status, 200, "{number}");
    }
}

/// A URI that only NDES finds too long is a refusal like every other.
#[test]
fn a_request_over_max_request_head_bytes_is_charged() {
    const BURST: u32 = 10;
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.refused_per_client = burst(BURST);
        config.applications[0].upstreams[0].max_request_head_bytes = Some(2_000);
    });
    let target = format!("{MSCEP}?{}", "x".repeat(3_000));
    for _ in 0..BURST {
        let response = proxy.get(&target);
        response.assert_refused(414, "upstream_max_request_bytes");
    }
    proxy.get(&target).assert_refused(429, "rate_refused");
    origin.assert_untouched();
}
