//! The status page and the data that it displays.

use std::time::Duration;

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::scep::FailInfo;
use serde_json::Value;

use crate::insight::{PKCS_REQ, enrol, message};
use crate::support::proxy::ask;
use crate::support::{MSCEP, Ndes, Origin, Proxy, Response, eventually, tcp};

/// A request of sscep for the revocation list.
const GET_CRL: &str = "111-sscep-ndes-sim-post-pkioperation";

fn status(proxy: &Proxy) -> Value {
    let answer = proxy.ask_admin("/status.json");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Returns the status of the only application.
fn application(proxy: &Proxy) -> Value {
    status(proxy)["applications"][0].take()
}

/// Waits until this many PKIOperations are complete: they are counted just after their responses.
fn hour(proxy: &Proxy, pki_operations: u64) -> Value {
    let hour = || application(proxy)["hour"].take();
    eventually("all exchanges are complete", || {
        hour()["pki_operation"] == pki_operations
    });
    hour()
}

fn sum(minutes: &Value) -> u64 {
    let minutes = minutes.as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    minutes.iter().map(|count| count.as_u64().unwrap()).sum()
}

/// Returns reason and count in their order.
fn counts(list: &Value) -> Vec<(&str, u64)> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| {
        let advice = one["advice"].as_str().unwrap();
        assert!(advice.len() > 20, "{advice}");
        (
            one["reason"].as_str().unwrap(),
            one["count"].as_u64().unwrap(),
        )
    })
    .collect()
}

#[test]
fn every_outcome_of_an_enrolment_is_counted() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let enrolment = message(PKCS_REQ);
    let failure = Enrolment::Failure {
        info: FailInfo::BadRequest,
        text: None,
    };
    for operation in ["GetCACaps", "GetCACaps", "GetCACaps"] {
        proxy.get(&format!("{MSCEP}?operation={operation}"));
    }
    for (outcome, times) in [
        (Enrolment::Success, 4),
        (failure, 3),
        (Enrolment::Pending { until_poll: 0 }, 2),
    ] {
        ndes.set_enrolment(outcome);
        for _ in 0..times {
            assert_eq!(enrol(&proxy, &enrolment).status, 200);
        }
    }
    ndes.set(Condition::PkiOperationFails);
    assert_eq!(enrol(&proxy, &enrolment).status, 500);
    ndes.set(Condition::CertificatesFail);
    proxy.get(&format!("{MSCEP}?operation=GetCACert"));

    eventually("GetCACert is complete", || {
        let failed = application(&proxy)["hour"]["anomalies"].to_string();
        failed.contains("get_ca_cert_failed")
    });
    let hour = hour(&proxy, 10);
    for (key, count) in [
        ("get_ca_caps", 3),
        ("get_ca_cert", 0),
        ("issued", 4),
        ("refused", 3),
        ("pending", 2),
        ("failed", 1),
    ] {
        assert_eq!(hour[key], count, "{key}");
        if !key.starts_with("get") {
            assert_eq!(sum(&hour["minutes"][key]), count, "{key}");
        }
    }
    assert_eq!(
        counts(&hour["anomalies"]),
        [
            ("refused_bad_request", 3),
            ("get_ca_cert_failed", 1),
            ("pki_operation_failed", 1)
        ]
    );
    assert_eq!(hour["anomalies"][0]["refused"], true);
    assert_eq!(hour["anomalies"][1]["refused"], false);
    assert!(hour["anomalies"][0]["minutes_ago"].as_u64().unwrap() < 60);
    let latency = |key: &str| hour[key].as_f64().unwrap();
    assert!(0.0 < latency("p50_ms") && latency("p50_ms") <= latency("p95_ms"));
}

#[test]
fn a_request_for_the_revocation_list_is_not_an_enrolment() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    let proxy = Proxy::start(ndes.address, |_| {});
    enrol(&proxy, &message(GET_CRL));
    let hour = hour(&proxy, 1);
    assert_eq!(hour["issued"], 0);
    assert_eq!(hour["failed"], 0);
}

#[test]
fn an_enrolment_without_a_response_of_ndes_counts_as_failed() {
    let proxy = Proxy::start(tcp::nobody(), |_| {});
    assert_eq!(enrol(&proxy, &message(PKCS_REQ)).status, 502);
    let hour = hour(&proxy, 1);
    assert_eq!(hour["failed"], 1);
    assert_eq!(counts(&hour["anomalies"]), [("upstream_connect", 1)]);
    assert_eq!(hour["get_ca_caps"], 0);
}

#[test]
fn refusals_are_counted_by_reason() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    assert_eq!(counts(&status(&proxy)["refusals"]), []);
    for target in ["/of-a-device", "/certsrv/", "/of-a-device", "/"] {
        proxy.get(target);
    }
    proxy.get(&format!("{MSCEP}?operation=Scan"));
    let refusals = || status(&proxy)["refusals"].take();
    eventually("all refusals", || {
        counts(&refusals()) == [("path_not_published", 4), ("operation_not_published", 1)]
    });
    assert_eq!(refusals()[0]["meaning"], "This path is not published.");
    let status_json = status(&proxy).to_string();
    assert!(!status_json.contains("of-a-device"), "{status_json}");
    assert_eq!(application(&proxy)["hour"]["pki_operation"], 0);
}

#[test]
fn the_status_contains_what_is_published_and_all_certificates() {
    let ndes = Ndes::start();
    let proxy = Proxy::start(ndes.address, |config| {
        let probe = &mut config.applications[0].upstreams[0].probe;
        probe.interval = Some(Duration::from_millis(20));
    });
    let certificates = || application(&proxy)["certificates"].take();
    eventually("certificates", || {
        certificates().as_array().unwrap().len() == 5
    });
    let all = certificates();
    let mut roles: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["role"])
        .collect();
    roles.sort_by_key(|role| role.to_string());
    assert_eq!(
        roles,
        ["ca", "ndes", "public", "ra-encryption", "ra-signing"]
    );
    let days = |index: usize| all[index]["days_left"].as_i64().unwrap();
    assert!((0..5).all(|index| days(index) >= days(0) && days(index) > 30));

    let status_json = status(&proxy);
    assert_eq!(status_json["state"], "serving");
    assert_eq!(status_json["reload"]["refused"], false);
    let application = &status_json["applications"][0];
    assert_eq!(application["public_names"][0], "scep.example.test");
    assert_eq!(application["paths"][0], MSCEP);
    assert_eq!(application["ndes"]["healthy"], true);
}

#[test]
fn expiring_and_expired_certificates_show_their_days_left() {
    for (condition, days) in [(Condition::RaExpiring, 9), (Condition::RaExpired, -2)] {
        let ndes = Ndes::start();
        ndes.set(condition);
        let proxy = Proxy::start(ndes.address, |_| {});
        proxy.get(&format!("{MSCEP}?operation=GetCACert"));
        let first = || application(&proxy)["certificates"][0].take();
        eventually("RA certificates", || first()["role"] == "ra-signing");
        // A day more or less, because the certificates may have been made before midnight.
        let found = first()["days_left"].as_i64().unwrap();
        assert!((days..=days + 1).contains(&found), "{condition:?}: {found}");
    }
}

#[test]
fn the_page_is_one_file_that_loads_nothing_else() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let page = proxy.ask_admin("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.field("cache-control"), Some("no-store"));
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");

    let html = String::from_utf8(page.body.clone()).unwrap();
    let nonce = nonce(&page);
    for tag in ["style", "script"] {
        assert!(
            policy.contains(&format!("{tag}-src 'nonce-{nonce}'")),
            "{policy}"
        );
        assert_eq!(html.matches(&format!("<{tag}")).count(), 1);
        assert!(html.contains(&format!("<{tag} nonce=\"{nonce}\">")));
    }
    assert_ne!(
        nonce,
        self::nonce(&proxy.ask_admin("/")),
        "the nonce was used twice"
    );
    for parser in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!html.contains(parser), "{parser}");
    }
    for outside in ["src=", "@import", "url(", " style=", " onclick", " onload"] {
        assert!(!html.contains(outside), "{outside}");
    }
    origin.assert_untouched();
}

fn nonce(page: &Response) -> String {
    let policy = page.field("content-security-policy").unwrap();
    let (_, rest) = policy.split_once("'nonce-").unwrap();
    rest.split('\'').next().unwrap().to_owned()
}

#[test]
fn the_page_is_only_on_the_admin_listener() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for path in ["/", "/status.json"] {
        proxy.get(path).assert_refused(404, "path_not_published");
    }
    assert_eq!(ask(proxy.admin, "/status.json?x=1").status, 200);
    assert_eq!(ask(proxy.admin, "/status").status, 404);
}
