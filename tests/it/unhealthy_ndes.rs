//! Tests of an unhealthy NDES behind the proxy: its responses reach the client unchanged, and the
//! proxy generates a response only if NDES sends none.

use std::time::Duration;

use clap::ValueEnum;
use ndes_proxy::commands::demo::cert_rep::CertRep;
use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::commands::demo::ndes::Options;
use ndes_proxy::scep::{Envelope, FailInfo, Message, MessageType, PkiStatus};

use crate::support::{MSCEP, Ndes, Proxy, upstream_tls};

fn get_ca_cert() -> String {
    format!("{MSCEP}?operation=GetCACert")
}

#[test]
fn no_response_of_an_unhealthy_ndes_is_replaced() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let has_response =
        |condition: &&Condition| ![Condition::Late, Condition::HangsUp].contains(condition);
    for condition in Condition::value_variants().iter().filter(has_response) {
        ndes.set(*condition);
        let status = match condition {
            Condition::Unauthorized => 401,
            Condition::NotInstalled => 404,
            Condition::Failing | Condition::CertificatesFail => 500,
            Condition::PoolStopped | Condition::PoolBusy => 503,
            _ => 200,
        };
        let response = proxy.get(&get_ca_cert());
        assert_eq!(response.status, status, "{condition:?}");
        assert_eq!(response.reason(), None, "{condition:?}");
    }
}

#[test]
fn get_ca_cert_always_returns_the_current_certificates() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let body = || proxy.get(&get_ca_cert()).body;
    assert_eq!(body(), ndes.scep.get_ca_cert());
    ndes.renew_ra();
    let renewed = body();
    assert_ne!(renewed, ndes.scep.get_ca_cert());
    ndes.set(Condition::RaExpired);
    assert_ne!(body(), renewed);
}

#[test]
fn a_connection_closed_without_a_response_is_502() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    ndes.set(Condition::HangsUp);
    assert_eq!(proxy.get(&get_ca_cert()).status, 502);
}

#[test]
fn a_late_response_is_504() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |config| {
        config.timeouts.upstream_response = Duration::from_millis(100);
    });
    ndes.set(Condition::Late);
    assert_eq!(proxy.get(&get_ca_cert()).status, 504);
}

#[test]
fn a_message_that_ndes_cannot_read_is_500_for_every_enrolment() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    ndes.set_enrolment(Enrolment::Success);
    let target = format!("{MSCEP}?operation=PKIOperation");
    assert_eq!(proxy.post(&target, b"no CMS").status, 500);
}

/// Returns a request. The simulated NDES accepts any signed message with a transactionID.
fn request(ndes: &Ndes, transaction_id: &str) -> Vec<u8> {
    let message = CertRep {
        status: PkiStatus::Pending,
        fail_info: None,
        fail_info_text: None,
        transaction_id: transaction_id.as_bytes(),
        recipient_nonce: b"",
    };
    message.signed_by(&ndes.scep.signing).unwrap()
}

fn enrol(proxy: &Proxy, request: &[u8]) -> Message {
    let response = proxy.post(&format!("{MSCEP}?operation=PKIOperation"), request);
    assert_eq!(
        response.field("content-type"),
        Some("application/x-pki-message")
    );
    Message::read(&response.body).unwrap()
}

#[test]
fn every_result_of_an_enrolment_reaches_the_client() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let request = request(&ndes, "id 1+/=");
    let failure = |info| Enrolment::Failure {
        info,
        text: Some("no such template".to_owned()),
    };
    let failures = FailInfo::KNOWN.map(|info| (failure(info), PkiStatus::Failure, Some(info)));
    let others = [
        (Enrolment::Success, PkiStatus::Success, None),
        (
            Enrolment::Pending { until_poll: 0 },
            PkiStatus::Pending,
            None,
        ),
        (Enrolment::Other(11), PkiStatus::Other(11), None),
    ];
    for (enrolment, status, fail_info) in failures.into_iter().chain(others) {
        ndes.set_enrolment(enrolment);
        let cert_rep = enrol(&proxy, &request);
        assert_eq!(cert_rep.message_type, Some(MessageType::CertRep));
        assert_eq!(cert_rep.pki_status, Some(status));
        assert_eq!(cert_rep.fail_info, fail_info);
        let text = fail_info.map(|_| "no such template");
        assert_eq!(cert_rep.fail_info_text.as_deref(), text);
        assert_eq!(cert_rep.transaction_id.as_deref(), Some(&b"id 1+/="[..]));
        let sent = Message::read(&request).unwrap();
        assert_eq!(cert_rep.recipient_nonce, sent.sender_nonce);
        let empty = cert_rep.envelope == Envelope::Empty;
        assert_eq!(empty, status != PkiStatus::Success);
    }
}

#[test]
fn a_polled_transaction_succeeds_at_the_configured_poll() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    ndes.set_enrolment(Enrolment::Pending { until_poll: 2 });
    let (one, other) = (request(&ndes, "one"), request(&ndes, "other"));
    let status = |request: &[u8]| enrol(&proxy, request).pki_status.unwrap();
    assert_eq!(status(&one), PkiStatus::Pending);
    assert_eq!(status(&one), PkiStatus::Pending);
    assert_eq!(status(&other), PkiStatus::Pending);
    assert_eq!(status(&one), PkiStatus::Success);
    assert_eq!(status(&other), PkiStatus::Pending);
}

#[test]
fn an_ndes_with_an_untrusted_certificate_gets_no_request() {
    let ndes = Ndes::with_certificate(&upstream_tls::of_unknown_ca(), Options::default());
    let proxy = Proxy::start(ndes.address, |_| {});
    proxy
        .get(&get_ca_cert())
        .assert_refused(502, "upstream_tls");
    assert!(ndes.requests().is_empty());
}
