//! The health of NDES: probed by the proxy, and reported by the admin listener.

use std::time::Duration;

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::commands::demo::ndes::Options;
use ndes_proxy::config::Config;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::pki::pki;
use crate::support::upstream_tls as tls;
use crate::support::{MSCEP, Ndes, OTHER, Origin, Proxy, eventually, tcp};

const HEALTHY: &str = "ndes_proxy_upstream_healthy";

fn probe_often(config: &mut Config) {
    let probe = &mut config.applications[0].upstreams[0].probe;
    probe.interval = Some(Duration::from_millis(20));
    probe.certificates = Duration::from_millis(20);
}

fn upstream(proxy: &Proxy) -> Value {
    let answer = proxy.ask_admin("/upstreams");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_slice::<Value>(&answer.body).unwrap()[0].take()
}

fn await_reason(proxy: &Proxy, reason: Option<&str>) -> Value {
    eventually(&format!("{reason:?}"), || {
        let upstream = upstream(proxy);
        upstream["reason"].as_str() == reason && upstream["healthy"] == reason.is_none()
    });
    upstream(proxy)
}

#[test]
fn a_healthy_ndes_is_reported_with_its_certificates() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, probe_often);
    let found = await_reason(&proxy, None);
    assert_eq!(found["application"], "public");
    assert_eq!(found["upstream"], "ndes.corp.test:443");
    assert!(found["last_probe"]["milliseconds"].as_f64().unwrap() > 0.0);
    eventually("certificates", || {
        upstream(&proxy)["certificates"].as_array().unwrap().len() == 3
    });
    let roles = upstream(&proxy)["certificates"].clone();
    let roles: Vec<_> = roles
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].clone())
        .collect();
    assert_eq!(roles, ["ca", "ra-signing", "ra-encryption"]);
    assert_eq!(proxy.metric(HEALTHY, &[("reason", "none")]), 1.0);
    let (_, leaf) = X509Certificate::from_der(&pki().internal.chain[0]).unwrap();
    assert_eq!(
        proxy.metric("ndes_proxy_upstream_certificate_not_after_seconds", &[]),
        leaf.validity().not_after.timestamp() as f64
    );
    assert!(
        proxy.metric(
            "ndes_proxy_scep_ca_certificate_not_after_seconds",
            &[("role", "ca")]
        ) > 0.0
    );
    // Probes do not count as requests of a device.
    assert_eq!(proxy.metric("ndes_proxy_requests_total", &[]), 0.0);
    let requests = ndes.requests();
    assert!(
        !requests
            .iter()
            .any(|seen| seen.target.contains("PKIOperation"))
    );
}

#[test]
fn an_unhealthy_ndes_is_reported_with_its_reason_and_the_proxy_stays_ready() {
    for (condition, reason) in [
        (Condition::PoolStopped, "pool_stopped"),
        (Condition::PoolBusy, "iis_busy"),
        (Condition::PolicyModuleMissing, "policy_module_missing"),
        (Condition::Unauthorized, "windows_authentication"),
        (Condition::NotInstalled, "mscep_not_found"),
        (Condition::CapabilitiesFail, "mscep_failed"),
        (Condition::CapabilitiesEmpty, "post_not_offered"),
        (Condition::CertificatesFail, "get_ca_cert_failed"),
        (Condition::CertificatesUnreadable, "get_ca_cert_unreadable"),
        (Condition::RaExpired, "ra_certificate_expired"),
        (Condition::HangsUp, "upstream_closed"),
    ] {
        let ndes = Ndes::start();
        let proxy = Proxy::start(ndes.address, probe_often);
        await_reason(&proxy, None);
        ndes.set(condition);
        let found = await_reason(&proxy, Some(reason));
        assert!(!found["advice"].as_str().unwrap().is_empty());
        assert_eq!(proxy.metric(HEALTHY, &[]), 0.0);
        assert!(
            proxy
                .metrics()
                .contains(&format!("reason=\"{reason}\"}} 0"))
        );
        let ready = proxy.ask_admin("/readyz?verbose");
        assert_eq!(ready.status, 200);
        let text = String::from_utf8(ready.body).unwrap();
        assert!(
            text.contains("upstream public: unhealthy since") && text.contains(reason),
            "{text}"
        );
        assert_eq!(proxy.ask_admin("/readyz").body, b"ready\n");
        ndes.set(Condition::Healthy);
        await_reason(&proxy, None);
    }
}

#[test]
fn an_upstream_that_cannot_be_reached_or_trusted_is_reported() {
    let untrusted = Ndes::with_certificate(&tls::of_unknown_ca(), Options::default());
    for (upstream, reason) in [
        (tcp::nobody(), "upstream_connect"),
        (untrusted.address, "unknown_issuer"),
        (tls::without_common_cipher(), "no_common_cipher"),
    ] {
        let proxy = Proxy::start(upstream, probe_often);
        let found = await_reason(&proxy, Some(reason));
        assert!(found["detail"].as_str().unwrap().len() > 20);
    }
}

/// Probes succeed; only enrolling devices meet the fault.
#[test]
fn consecutive_failed_enrolments_make_ndes_unhealthy_and_one_success_healthy() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    let proxy = Proxy::start(ndes.address, probe_often);
    await_reason(&proxy, None);
    ndes.set(Condition::PkiOperationForbidden);
    let message = super::insight::message(super::insight::PKCS_REQ);
    let enrol = || super::insight::enrol(&proxy, &message).status;
    for _ in 0..5 {
        assert_eq!(enrol(), 403);
    }
    await_reason(&proxy, Some("pki_operation_forbidden"));
    ndes.set(Condition::Healthy);
    assert_eq!(enrol(), 200);
    await_reason(&proxy, None);
}

#[test]
fn disabled_probes_send_no_request() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    assert_eq!(upstream(&proxy)["healthy"], Value::Null);
    let text = proxy.ask_admin("/readyz?verbose").body;
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("upstream public: not probed yet")
    );
    proxy.get(&format!("{MSCEP}?operation=GetCACaps"));
    origin.only_request();
}

#[test]
fn the_probe_path_is_served_for_any_host_without_ndes() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        let path = "/healthz".to_owned();
        config.listen.probe_path = Some(path.try_into().unwrap());
    });
    for host in [OTHER, "192.0.2.1", "nobody.test"] {
        let mut connection = proxy.connect();
        for _ in 0..3 {
            connection.send(format!("GET /healthz?x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let answer = connection.response();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ready\n"[..]));
            connection.send(format!("HEAD /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(connection.response_to_head().status, 200);
        }
    }
    proxy
        .get("/healthz/")
        .assert_refused(404, "path_not_published");
    proxy
        .get("/HEALTHZ")
        .assert_refused(404, "path_not_published");
    proxy
        .post("/healthz", b"")
        .assert_refused(404, "path_not_published");
    origin.assert_untouched();
    proxy.await_metric("ndes_proxy_requests_total", &[], 3.0);
}
