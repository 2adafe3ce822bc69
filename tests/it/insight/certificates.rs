//! What GetCACert reveals about NDES, and about the devices that encrypt for it.

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{ANOMALIES, PKCS_REQ, PKCS_REQ_BY_GET, enrol, exchange, message, target_of_operation};
use crate::support::origin::answer;
use crate::support::{MSCEP, Ndes, Origin, Proxy};

const NOT_AFTER: &str = "ndes_proxy_scep_ca_certificate_not_after_seconds";
const CHANGED: &str = "ndes_proxy_scep_ra_certificates_changed_total";

#[test]
fn the_expiry_of_each_role_is_a_metric() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    proxy.get(&target_of_operation("GetCACert"));
    for (role, der) in [
        ("ca", &ndes.scep.ca),
        ("ra-signing", ndes.scep.signing.certificate()),
        ("ra-encryption", ndes.scep.encryption.certificate()),
    ] {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        let expected = certificate.validity().not_after.timestamp() as f64;
        proxy.await_metric(NOT_AFTER, &[("role", role)], expected);
    }
    ndes.set(Condition::RaMissing);
    proxy.get(&target_of_operation("GetCACert"));
    proxy.await_metric(NOT_AFTER, &[("role", "ra-signing")], 0.0);
    assert!(!proxy.metrics().contains("role=\"ra-signing\""));
}

#[test]
fn other_ra_certificates_are_counted_once_for_each_change() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let mut requests = 0.0;
    let mut changes = |count| {
        for _ in 0..3 {
            proxy.get(&target_of_operation("GetCACert"));
            requests += 1.0;
        }
        proxy.await_metric("ndes_proxy_requests_total", &[], requests);
        assert_eq!(proxy.metric(CHANGED, &[("application", "public")]), count);
    };
    changes(0.0);
    ndes.renew_ra();
    changes(1.0);
    ndes.renew_ra();
    changes(2.0);
}

/// An NDES with the certificates for which a message of the corpus is encrypted.
fn matching_ndes() -> Origin {
    let certificates = exchange("004-curl-get-getcacert").answer();
    let cert_rep = exchange(PKCS_REQ).answer();
    Origin::start(move |request, wire| {
        let body = match request.target().contains("GetCACert") {
            true => &certificates,
            false => &cert_rep,
        };
        wire.send(answer(
            200,
            &["Content-Type: application/x-pki-message"],
            body,
        ));
    })
}

#[test]
fn a_message_for_one_of_its_certificates_is_not_stale() {
    let ndes = matching_ndes();
    let proxy = Proxy::start(ndes.address, |_| {});
    proxy.get(&target_of_operation("GetCACert"));
    assert_eq!(enrol(&proxy, &message(PKCS_REQ)).status, 200);
    proxy.await_metric("ndes_proxy_requests_total", &[], 2.0);
    assert_eq!(proxy.metric(ANOMALIES, &[]), 0.0);
}

#[test]
fn a_message_for_another_certificate_is_stale_once_the_current_ones_are_known() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    let proxy = Proxy::start(ndes.address, |_| {});
    let query = String::from_utf8(exchange(PKCS_REQ_BY_GET).query()).unwrap();
    let enrols = format!("{MSCEP}?{query}");
    let stale = [("reason", "stale_ra_certificate")];
    proxy.get(&enrols);
    proxy.get(&target_of_operation("GetCACert"));
    proxy.await_metric("ndes_proxy_requests_total", &[], 2.0);
    assert_eq!(
        proxy.metric(ANOMALIES, &stale),
        0.0,
        "the certificates are not known yet"
    );
    proxy.get(&enrols);
    proxy.await_metric(ANOMALIES, &stale, 1.0);
}
