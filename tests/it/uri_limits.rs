//! How long a URI, a body and a head may be, and that a client learns of it.

use crate::support::proxy::target_of;
use crate::support::{Ndes, Origin, Proxy};

#[test]
fn a_target_of_65534_bytes_is_forwarded_unchanged() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let target = target_of(65_534);
    let response = proxy.get(&target);
    assert_eq!(
        (response.status, &response.body[..]),
        (200, &b"from the origin"[..])
    );
    assert_eq!(origin.only_request().target(), target);
}

#[test]
fn the_simulated_ndes_takes_65534_bytes_too() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let target = target_of(65_534);
    // It enrols nobody.
    assert_eq!(proxy.get(&target).status, 500);
    assert_eq!(ndes.requests()[0].target, target);
}

#[test]
fn a_target_of_65535_bytes_is_414_and_counted() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection
        .get(&target_of(65_535))
        .assert_refused(414, "uri_too_long");
    proxy.await_refusals("uri_too_long", 1);
    origin.assert_untouched();
}
