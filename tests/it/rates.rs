//! Request rates: which requests are refused, and which are not.

use std::num::NonZeroU32;
use std::time::Instant;

use ndes_proxy::config::types::Quota;

use crate::support::{Connect, Connection, End, MSCEP, Origin, PUBLIC, Proxy, Response};

/// A quota that refills so slowly that hardly any token comes back during a test.
fn burst(burst: u32) -> Quota {
    Quota {
        per_second: NonZeroU32::MIN,
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

/// Sends requests until one gets a 429, and returns that response. Asserts that `burst` requests
/// pass before it, and no more than the tokens that came back in that time.
#[track_caller]
fn until_429(burst: u32, mut ask: impl FnMut() -> Response) -> Response {
    let began = Instant::now();
    for passed in 0.. {
        let response = ask();
        if response.status == 429 {
            assert!(passed >= burst, "only {passed} of {burst} passed");
            return response;
        }
        let most = u64::from(burst) + 1 + began.elapsed().as_secs();
        assert!(u64::from(passed) < most, "more than {most} passed");
    }
    unreachable!("the range is unbounded")
}

fn from(proxy: &Proxy, address: [u8; 4]) -> Connection {
    Connect::to(proxy.https).from(address).open()
}

#[test]
fn a_burst_passes_and_one_more_is_429() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.per_client = burst(20);
    });
    let mut connection = proxy.connect();
    let refused = until_429(20, || connection.get(MSCEP));
    refused.assert_refused(429, "rate_client");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(refused.field("connection"), None);
    proxy.await_refusals("rate_client", 1);
    // A new connection is not a new client, but another address is.
    until_429(0, || proxy.get(MSCEP));
    assert_eq!(from(&proxy, [127, 0, 0, 2]).get(MSCEP).status, 200);
}

#[test]
fn a_429_comes_before_the_body_is_read() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.per_client = burst(1);
    });
    let refused = until_429(1, || {
        let mut connection = proxy.connect();
        connection.send(format!(
            "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n"
        ));
        let response = connection.response();
        if response.status == 429 {
            assert_eq!(connection.end(), End::CloseNotify);
        }
        response
    });
    refused.assert_refused(429, "rate_client");
    // A request that got a 100 Continue but sent no body is not forwarded either.
    origin.assert_untouched();
}

#[test]
fn refused_requests_do_not_use_up_the_rate_of_admitted_ones() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.per_client = burst(5);
        config.rate_limit.refused_per_client = burst(10);
    });
    for _ in 0..10 {
        proxy.get("/scan").assert_refused(404, "path_not_published");
    }
    for _ in 0..5 {
        assert_eq!(proxy.get(MSCEP).status, 200);
    }
}

#[test]
fn a_client_beyond_the_refused_burst_gets_429_and_is_disconnected() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.refused_per_client = burst(10);
    });
    let mut connection = proxy.connect();
    let refused = until_429(10, || connection.get("/scan"));
    refused.assert_refused(429, "rate_refused");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(refused.field("connection"), Some("close"));
    assert_eq!(connection.end(), End::CloseNotify);
    proxy.await_refusals("rate_refused", 1);
    // Malformed heads are charged to the same limit.
    let malformed = until_429(0, || {
        let mut connection = proxy.connect();
        connection.send("nonsense\r\n\r\n");
        connection.response()
    });
    malformed.assert_refused(429, "rate_refused");
    // Devices behind the same address are still served, and other addresses have a limit of their
    // own.
    assert_eq!(proxy.get(MSCEP).status, 200);
    let other = from(&proxy, [127, 0, 0, 3]).get("/scan");
    other.assert_refused(404, "path_not_published");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_global_rate_counts_only_requests_to_the_upstream() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.global = burst(10);
    });
    for _ in 0..50 {
        assert_eq!(proxy.get("/scan").status, 404);
    }
    // From many clients, so that no limit of a single client applies.
    let mut clients = 1..;
    let refused = until_429(10, || {
        from(&proxy, [127, 0, 1, clients.next().unwrap()]).get(MSCEP)
    });
    refused.assert_refused(429, "rate_global");
    proxy.await_refusals("rate_global", 1);
}

#[test]
fn a_network_can_have_rates_of_its_own() {
    use ndes_proxy::config::NetworkRate;
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.rate_limit.per_client = burst(1);
        config.rate_limit.networks = vec![NetworkRate {
            cidr: "127.0.5.0/24".parse().unwrap(),
            per_client: burst(1_000),
            refused_per_client: burst(1),
        }];
    });
    let mut office = from(&proxy, [127, 0, 5, 9]);
    for _ in 0..50 {
        assert_eq!(office.get(MSCEP).status, 200);
    }
    let mut elsewhere = from(&proxy, [127, 0, 6, 9]);
    until_429(1, || elsewhere.get(MSCEP));
}
