use std::net::IpAddr;
use std::time::Duration;

use governor::clock::FakeRelativeClock;

use super::*;
use crate::config::NetworkRate;

fn quota(per_second: u32, burst: u32) -> Quota {
    Quota {
        per_second: per_second.try_into().unwrap(),
        burst: burst.try_into().unwrap(),
    }
}

fn rates(clock: &FakeRelativeClock) -> Rates<FakeRelativeClock> {
    let network = |cidr: &str, burst| NetworkRate {
        cidr: cidr.parse().unwrap(),
        per_client: quota(1, burst),
        refused_per_client: quota(1, 1),
    };
    let config = RateLimit {
        per_client: quota(1, 3),
        refused_per_client: quota(1, 2),
        global: quota(1, 5),
        networks: vec![network("203.0.113.128/25", 1), network("203.0.113.0/24", 2)],
    };
    Rates::with_clock(&config, clock.clone())
}

fn key(address: &str) -> ClientKey {
    address.parse::<IpAddr>().unwrap().into()
}

fn passes(rates: &Rates<FakeRelativeClock>, address: &str) -> usize {
    (0..100)
        .take_while(|_| rates.admitted(key(address)).is_ok())
        .count()
}

#[test]
fn a_burst_passes_and_one_more_request_does_not() {
    let rates = rates(&FakeRelativeClock::default());
    assert_eq!(passes(&rates, "192.0.2.1"), 3);
    assert_eq!(
        passes(&rates, "192.0.2.2"),
        3,
        "another client has its own bucket"
    );
}

#[test]
fn a_client_is_admitted_after_retry_after_and_not_before() {
    let clock = FakeRelativeClock::default();
    let rates = rates(&clock);
    assert_eq!(passes(&rates, "192.0.2.1"), 3);
    let Err(Rejection::RateClient { retry_after }) = rates.admitted(key("192.0.2.1")) else {
        panic!("the bucket is empty")
    };
    clock.advance(Duration::from_secs(retry_after) - Duration::from_millis(1));
    assert!(rates.admitted(key("192.0.2.1")).is_err());
    clock.advance(Duration::from_millis(1));
    assert_eq!(rates.admitted(key("192.0.2.1")), Ok(()));
}

#[test]
fn refused_and_admitted_requests_have_separate_buckets() {
    let rates = rates(&FakeRelativeClock::default());
    let refuse = || rates.refused(key("192.0.2.1"), Rejection::PathNotPublished);
    assert_eq!(refuse(), Rejection::PathNotPublished);
    assert_eq!(refuse(), Rejection::PathNotPublished);
    assert_eq!(refuse(), Rejection::RateRefused { retry_after: 1 });
    assert_eq!(passes(&rates, "192.0.2.1"), 3);
}

#[test]
fn the_narrowest_network_applies() {
    let rates = rates(&FakeRelativeClock::default());
    assert_eq!(passes(&rates, "203.0.113.1"), 2);
    assert_eq!(passes(&rates, "203.0.113.129"), 1);
    assert_eq!(passes(&rates, "::ffff:203.0.113.2"), 2);
    assert_eq!(passes(&rates, "2001:db8::1"), 3);
}

#[test]
fn the_global_rate_is_shared_by_all_clients() {
    let rates = rates(&FakeRelativeClock::default());
    assert_eq!(
        (0..100).take_while(|_| rates.forwarded().is_ok()).count(),
        5
    );
    assert_eq!(
        rates.forwarded(),
        Err(Rejection::RateGlobal { retry_after: 1 })
    );
}
