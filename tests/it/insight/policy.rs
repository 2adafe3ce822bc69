//! What an application can refuse of SCEP, and what is forwarded by default.

use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::config::{OnUnreadable, ScepPolicy};
use ndes_proxy::scep::{Cipher, Digest, MessageType};

use super::{PKCS_REQ, PKCS_REQ_BY_GET, enrol, exchange, message, pki_operation};
use crate::support::{Ndes, Proxy};

fn start(policy: ScepPolicy) -> (Ndes, Proxy) {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    let proxy = Proxy::start(ndes.address, |config| config.applications[0].scep = policy);
    (ndes, proxy)
}

/// micromdm's scepclient: SHA-1, single DES.
const WEAK: &str = "014-micromdm-scepclient-scepserver-post-pkioperation";

#[test]
fn nothing_is_refused_by_default() {
    let (ndes, proxy) = start(ScepPolicy::default());
    for body in [&message(WEAK)[..], b"", b"\x30", &[0xff; 5_000]] {
        enrol(&proxy, body);
    }
    for query in [
        "",
        "&message=",
        "&message=%",
        "&message=AAAA",
        "&message=%41%41",
    ] {
        proxy.get(&(pki_operation() + query));
    }
    assert_eq!(ndes.requests().len(), 9);
    let unreadable = [("message", "request")];
    proxy.await_metric("ndes_proxy_scep_unreadable_total", &unreadable, 8.0);
    for (reason, count) in [("no_message", 3.0), ("not_base64", 1.0)] {
        let labels = [("message", "request"), ("reason", reason)];
        let found = proxy.metric("ndes_proxy_scep_unreadable_total", &labels);
        assert_eq!(found, count, "{reason}\n{}", proxy.metrics());
    }
}

#[test]
fn an_unreadable_message_is_refused_if_configured() {
    let (ndes, proxy) = start(ScepPolicy {
        unreadable: OnUnreadable::Refuse,
        ..ScepPolicy::default()
    });
    for body in [&b""[..], b"\x30", &[0xff; 5_000]] {
        enrol(&proxy, body).assert_refused(400, "scep_unreadable");
    }
    for query in ["", "&message=", "&message=%", "&message=AAAA"] {
        proxy
            .get(&(pki_operation() + query))
            .assert_refused(400, "scep_unreadable");
    }
    assert!(ndes.requests().is_empty());
    assert_eq!(enrol(&proxy, &message(PKCS_REQ)).status, 200);
    let query = String::from_utf8(exchange(PKCS_REQ_BY_GET).query()).unwrap();
    let by_get = format!("{}?{query}", crate::support::MSCEP);
    assert_eq!(proxy.get(&by_get).status, 200);
    // Other operations have no message to read.
    assert_eq!(
        proxy
            .get(&super::target_of_operation("GetCACaps&message=x"))
            .status,
        200
    );
    assert_eq!(ndes.requests().len(), 3);
}

#[test]
fn unpublished_message_types_are_refused() {
    let (ndes, proxy) = start(ScepPolicy {
        refused_messages: vec![MessageType::PKCSReq, MessageType::GetCRL],
        ..ScepPolicy::default()
    });
    enrol(&proxy, &message(PKCS_REQ)).assert_refused(400, "scep_message_type");
    assert!(ndes.requests().is_empty());
    let poll = message("063-scepreq-post-pkioperation");
    assert_eq!(enrol(&proxy, &poll).status, 200);
}

#[test]
fn digests_and_ciphers_below_the_minimum_are_refused() {
    for (digest, cipher, reason) in [
        (None, None, None),
        (Some(Digest::Sha1), Some(Cipher::Des), None),
        (Some(Digest::Sha224), None, Some("scep_digest")),
        (
            Some(Digest::Sha512),
            Some(Cipher::Aes256),
            Some("scep_digest"),
        ),
        (None, Some(Cipher::Blowfish), Some("scep_cipher")),
        (None, Some(Cipher::Aes128), Some("scep_cipher")),
    ] {
        let (ndes, proxy) = start(ScepPolicy {
            weakest_digest: digest,
            weakest_cipher: cipher,
            ..ScepPolicy::default()
        });
        let answer = enrol(&proxy, &message(WEAK));
        match reason {
            None => assert_eq!((answer.status, ndes.requests().len()), (200, 1)),
            Some(reason) => {
                answer.assert_refused(400, reason);
                assert!(ndes.requests().is_empty());
            }
        }
    }
}

/// The operations of the policy module itself, whatever the policy.
#[test]
fn internal_operations_stay_blocked() {
    let (ndes, proxy) = start(ScepPolicy::default());
    for operation in ["NDESGenerateChallenge", "NDESGetCACertThumbprint"] {
        proxy
            .get(&super::target_of_operation(operation))
            .assert_refused(400, "operation_not_published");
    }
    assert!(ndes.requests().is_empty());
}
