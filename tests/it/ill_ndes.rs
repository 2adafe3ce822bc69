//! An ill NDES behind the proxy: what it answers reaches the client as it is, and the proxy's own
//! words are kept for what NDES leaves unanswered.

use std::time::Duration;

use clap::ValueEnum;
use ndes_proxy::demo::condition::Condition;
use ndes_proxy::demo::enrolment::Enrolment;
use ndes_proxy::demo::ndes::Options;

use crate::support::{MSCEP, Ndes, Proxy, upstream_tls};

fn get_ca_cert() -> String {
    format!("{MSCEP}?operation=GetCACert")
}

#[test]
fn no_answer_of_an_ill_ndes_is_replaced() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let answered =
        |condition: &&Condition| ![Condition::Late, Condition::HangsUp].contains(condition);
    for condition in Condition::value_variants().iter().filter(answered) {
        ndes.set(*condition);
        let status = match condition {
            Condition::Unauthorized => 401,
            Condition::NotInstalled => 404,
            Condition::Failing | Condition::CertificatesFail => 500,
            Condition::PoolStopped | Condition::PoolBusy => 503,
            _ => 200,
        };
        let answer = proxy.get(&get_ca_cert());
        assert_eq!(answer.status, status, "{condition:?}");
        assert_eq!(answer.reason(), None, "{condition:?}");
    }
}

#[test]
fn the_certificates_are_those_of_the_moment() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let answer = || proxy.get(&get_ca_cert()).body;
    assert_eq!(answer(), ndes.scep.get_ca_cert());
    ndes.renew_ra();
    let renewed = answer();
    assert_ne!(renewed, ndes.scep.get_ca_cert());
    ndes.set(Condition::RaExpired);
    assert_ne!(answer(), renewed);
}

#[test]
fn who_hangs_up_is_502() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    ndes.set(Condition::HangsUp);
    assert_eq!(proxy.get(&get_ca_cert()).status, 502);
}

#[test]
fn who_is_late_is_504() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |config| {
        config.timeouts.upstream_response = Duration::from_millis(100);
    });
    ndes.set(Condition::Late);
    assert_eq!(proxy.get(&get_ca_cert()).status, 504);
}

#[test]
fn a_message_that_ndes_cannot_read_is_500_whatever_the_enrolment() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    ndes.set_enrolment(Enrolment::Success);
    let target = format!("{MSCEP}?operation=PKIOperation");
    assert_eq!(proxy.post(&target, b"no CMS").status, 500);
}

#[test]
fn an_ndes_with_a_certificate_of_a_stranger_is_not_asked() {
    let ndes = Ndes::with_certificate(&upstream_tls::of_a_stranger(), Options::default());
    let proxy = Proxy::start(ndes.address, |_| {});
    proxy
        .get(&get_ca_cert())
        .assert_refused(502, "upstream_tls");
    assert!(ndes.requests().is_empty());
}
