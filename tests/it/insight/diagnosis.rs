//! Each fault of NDES has its own reason.

use std::time::Duration;

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::commands::demo::ndes::Options;
use ndes_proxy::config::PolicyModule;
use ndes_proxy::scep::FailInfo;
use rustls::version;

use super::{ANOMALIES, PKCS_REQ, enrol, exchange, message, pki_operation, target_of_operation};
use crate::support::origin::answer;
use crate::support::proxy::target_of;
use crate::support::upstream_tls as tls;
use crate::support::{MSCEP, Ndes, Origin, Proxy};

fn assert_only(proxy: &Proxy, reason: &str) {
    proxy.await_metric(ANOMALIES, &[("reason", reason)], 1.0);
    assert_eq!(proxy.metric(ANOMALIES, &[]), 1.0, "{reason} alone");
}

#[test]
fn a_healthy_ndes_has_no_anomaly() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    let proxy = Proxy::start(ndes.address, |_| {});
    assert_eq!(proxy.get(MSCEP).status, 403);
    for operation in ["GetCACaps", "GetCACert"] {
        assert_eq!(proxy.get(&target_of_operation(operation)).status, 200);
    }
    proxy.await_metric("ndes_proxy_requests_total", &[], 3.0);
    assert_eq!(proxy.metric(ANOMALIES, &[]), 0.0);
}

#[test]
fn each_fault_of_ndes_has_its_reason() {
    let long = target_of(12_000);
    let (caps, cert) = (
        target_of_operation("GetCACaps"),
        target_of_operation("GetCACert"),
    );
    let enrols = pki_operation();
    for (condition, target, reason) in [
        (
            Condition::PolicyModuleMissing,
            MSCEP,
            "policy_module_missing",
        ),
        (Condition::Unauthorized, MSCEP, "windows_authentication"),
        (Condition::Unauthorized, &caps, "windows_authentication"),
        (Condition::NotInstalled, &caps, "mscep_not_found"),
        (Condition::Failing, MSCEP, "mscep_failed"),
        (Condition::Failing, &caps, "mscep_failed"),
        (Condition::CapabilitiesFail, &caps, "mscep_failed"),
        (Condition::CertificatesFail, &cert, "get_ca_cert_failed"),
        (Condition::PoolStopped, &caps, "pool_stopped"),
        (Condition::PoolStopped, &enrols, "pool_stopped"),
        (Condition::PoolBusy, &caps, "iis_busy"),
        (
            Condition::PkiOperationForbidden,
            &enrols,
            "pki_operation_forbidden",
        ),
        (
            Condition::PkiOperationFails,
            &enrols,
            "pki_operation_failed",
        ),
        (Condition::PkiOperationPage, &enrols, "pki_operation_page"),
        (Condition::CapabilitiesEmpty, &caps, "post_not_offered"),
        (
            Condition::CapabilitiesWithoutPost,
            &caps,
            "post_not_offered",
        ),
        (
            Condition::CertificatesUnreadable,
            &cert,
            "get_ca_cert_unreadable",
        ),
        (Condition::RaExpired, &cert, "ra_certificate_expired"),
        (Condition::CaRenewed, &cert, "ra_not_issued_by_ca"),
        (Condition::CaSha1, &cert, "ca_signature_sha1"),
        (Condition::CaPss, &cert, "ca_signature_pss"),
        (Condition::IisLimits, &long, "request_filtering"),
        (
            Condition::HttpSysLimits,
            &target_of(20_000),
            "http_sys_limit",
        ),
        (Condition::HangsUp, &caps, "upstream_closed"),
    ] {
        let ndes = Ndes::start();
        ndes.set(condition);
        let proxy = Proxy::start(ndes.address, |_| {});
        match target == enrols {
            true => enrol(&proxy, &message(PKCS_REQ)),
            false => proxy.get(target),
        };
        assert_only(&proxy, reason);
    }
}

/// As other MDMs require it: the page of NDES is healthy if no policy module is expected.
#[test]
fn without_a_policy_module_the_page_is_healthy() {
    let ndes = Ndes::start();
    ndes.set(Condition::PolicyModuleMissing);
    let proxy = Proxy::start(ndes.address, |config| {
        config.applications[0].policy_module = PolicyModule::None;
    });
    assert_eq!(proxy.get(MSCEP).status, 200);
    proxy.await_metric("ndes_proxy_requests_total", &[], 1.0);
    assert_eq!(proxy.metric(ANOMALIES, &[]), 0.0);
}

#[test]
fn each_fail_info_has_its_reason() {
    for (info, reason) in [
        (FailInfo::BadAlg, "refused_bad_alg"),
        (FailInfo::BadMessageCheck, "refused_bad_message_check"),
        (FailInfo::BadRequest, "refused_bad_request"),
        (FailInfo::BadTime, "refused_bad_time"),
        (FailInfo::BadCertId, "refused_bad_cert_id"),
        (FailInfo::Other(99), "refused"),
    ] {
        let ndes = Ndes::start();
        ndes.set_enrolment(Enrolment::Failure { info, text: None });
        let proxy = Proxy::start(ndes.address, |_| {});
        assert_eq!(enrol(&proxy, &message(PKCS_REQ)).status, 200);
        assert_only(&proxy, reason);
        let labels = [("pki_status", "FAILURE"), ("fail_info", info.as_str())];
        assert_eq!(proxy.metric(super::ANSWERS, &labels), 1.0, "{info:?}");
    }
}

/// Responses that no condition of the simulated NDES produces.
#[test]
fn each_unexpected_response_has_its_reason() {
    let caps = target_of_operation("GetCACaps");
    let http_sys = "Server: Microsoft-HTTPAPI/2.0";
    let der = "Content-Type: application/x-pki-message";
    let foreign = exchange("015-micromdm-scepclient-scepserver-post-pkioperation").answer();
    for (status, field, body, target, reason) in [
        (302, "Location: /x", &b""[..], &caps, "redirected"),
        (400, http_sys, b"", &caps, "http_sys_invalid"),
        (414, http_sys, b"", &target_of(9_000), "http_sys_limit"),
        (403, http_sys, b"", &caps, "forbidden"),
        (413, der, b"", &pki_operation(), "content_too_large"),
        (502, der, b"", &caps, "unexpected_status"),
        (
            200,
            der,
            b"\x30\x82\x10",
            &pki_operation(),
            "cert_rep_unreadable",
        ),
        (200, der, &foreign, &pki_operation(), "cert_rep_mismatch"),
    ] {
        let origin = Origin::answering(answer(status, &[field], body));
        let proxy = Proxy::start(origin.address, |_| {});
        let got = match *target == pki_operation() {
            true => enrol(&proxy, &message(PKCS_REQ)),
            false => proxy.get(target),
        };
        assert_eq!((got.status, &got.body[..]), (status, body), "{reason}");
        assert_only(&proxy, reason);
    }
}

#[test]
fn an_untrusted_upstream_has_the_reason_of_its_fault() {
    for (ndes, reason) in [
        (tls::of_unknown_ca(), "unknown_issuer"),
        (tls::without_intermediate(), "unknown_issuer"),
        (tls::of_other_names(), "wrong_name"),
        (
            tls::issued(tls::common_name_only()),
            "name_only_in_common_name",
        ),
        (tls::expired(), "expired"),
    ] {
        let ndes = Ndes::with_certificate(&ndes, Options::default());
        let proxy = Proxy::start(ndes.address, |_| {});
        assert_eq!(
            proxy.get(&target_of_operation("GetCACaps")).status,
            502,
            "{reason}"
        );
        assert_only(&proxy, reason);
    }
    for (upstream, reason) in [
        (tls::without_common_cipher(), "no_common_cipher"),
        (tls::old(), "old_tls"),
        (
            tls::demanding_after_the_request(),
            "client_certificate_demanded",
        ),
        (crate::support::tcp::nobody(), "upstream_connect"),
    ] {
        let proxy = Proxy::start(upstream, |_| {});
        proxy.get(&target_of_operation("GetCACaps")).assert_refused(
            502,
            match reason {
                "upstream_connect" => "upstream_connect",
                _ => "upstream_tls",
            },
        );
        assert_only(&proxy, reason);
    }
    let origin = Origin::with_config(tls::demanding(&version::TLS13), |_, _| {});
    let proxy = Proxy::start(origin.address, |_| {});
    assert_eq!(proxy.get(&target_of_operation("GetCACaps")).status, 502);
    assert_only(&proxy, "client_certificate_demanded");
}

#[test]
fn a_late_or_incomplete_response_has_its_reason() {
    let ndes = Ndes::start();
    ndes.set(Condition::Late);
    let proxy = Proxy::start(ndes.address, |config| {
        config.timeouts.upstream_response = Duration::from_millis(200);
    });
    assert_eq!(proxy.get(&target_of_operation("GetCACaps")).status, 504);
    assert_only(&proxy, "upstream_timeout");

    let origin = Origin::start(|_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nAES");
        wire.close();
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    let caps = target_of_operation("GetCACaps");
    connection.send(format!(
        "GET {caps} HTTP/1.1\r\nHost: {}\r\n\r\n",
        crate::support::PUBLIC
    ));
    connection.until_end();
    assert_only(&proxy, "upstream_broken");
}
