//! An ill NDES behind the proxy: what it answers reaches the client as it is, and the proxy's own
//! words are kept for what NDES leaves unanswered.

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

/// Any signed message with a transactionID does for a request.
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
    let answer = proxy.post(&format!("{MSCEP}?operation=PKIOperation"), request);
    assert_eq!(
        answer.field("content-type"),
        Some("application/x-pki-message")
    );
    Message::read(&answer.body).unwrap()
}

#[test]
fn an_enrolment_ends_as_it_is_told_to() {
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
        let answer = enrol(&proxy, &request);
        assert_eq!(answer.message_type, Some(MessageType::CertRep));
        assert_eq!(answer.pki_status, Some(status));
        assert_eq!(answer.fail_info, fail_info);
        let text = fail_info.map(|_| "no such template");
        assert_eq!(answer.fail_info_text.as_deref(), text);
        assert_eq!(answer.transaction_id.as_deref(), Some(&b"id 1+/="[..]));
        let sent = Message::read(&request).unwrap();
        assert_eq!(answer.recipient_nonce, sent.sender_nonce);
        let empty = answer.envelope == Envelope::Empty;
        assert_eq!(empty, status != PkiStatus::Success);
    }
}

#[test]
fn a_polled_transaction_succeeds_in_the_end() {
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
fn an_ndes_with_a_certificate_of_a_stranger_is_not_asked() {
    let ndes = Ndes::with_certificate(&upstream_tls::of_a_stranger(), Options::default());
    let proxy = Proxy::start(ndes.address, |_| {});
    proxy
        .get(&get_ca_cert())
        .assert_refused(502, "upstream_tls");
    assert!(ndes.requests().is_empty());
}
