//! The audit event of each PKIOperation, and the counters that go with it.

use std::time::Duration;

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::scep::FailInfo;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ANSWERS, PKCS_REQ, PKCS_REQ_BY_GET, enrol, exchange, message, pki_operation, request};
use crate::http2::wire::{self, Raw};
use crate::support::binary::Binary;
use crate::support::client::Connect;
use crate::support::proxy::metric;
use crate::support::{MSCEP, Ndes, PUBLIC, Proxy, eventually, proxy};

fn start(enrolment: Enrolment) -> (Ndes, Binary) {
    let ndes = Ndes::start();
    ndes.set_enrolment(enrolment);
    let binary = Binary::run(ndes.address, "");
    (ndes, binary)
}

fn post(binary: &Binary, body: &[u8]) {
    let mut connection = Connect::to(binary.https).open();
    connection.send(request(&pki_operation(), body));
    connection.response();
}

/// Returns the audit events, once there are `count` of them.
fn events(binary: &Binary, count: usize) -> Vec<Value> {
    let events = || {
        let mut lines = binary.lines();
        lines.retain(|line| line["target"] == "scep");
        lines
    };
    eventually("audit events", || events().len() == count);
    events()
}

/// Asserts that `found` has these fields; null means that a field is absent.
fn assert_has(found: &Value, expected: &Value) {
    for (name, expected) in expected.as_object().unwrap() {
        assert_eq!(&found[name], expected, "{name} in {found:#}");
    }
}

fn metric_of(binary: &Binary, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = proxy::ask(binary.admin, "/metrics").body;
    metric(&String::from_utf8(text).unwrap(), name, labels)
}

#[test]
fn a_success_is_logged_and_counted() {
    let (_ndes, binary) = start(Enrolment::Success);
    post(&binary, &message(PKCS_REQ));
    let event = events(&binary, 1).remove(0);
    let access = binary.access_lines().remove(0);
    assert_eq!(event["request_id"], access["request_id"]);
    assert_has(
        &event,
        &json!({
            "application": "public",
            "client": "127.0.0.1",
            "message_type": "PKCSReq",
            "enrolment": "initial",
            "transaction_id": "gQ7vdMXsCZMrTwza5XdBY0+EX7g=",
            "signer_issuer": null,
            "digest": "sha1",
            "cipher": "des-cbc",
            "message_bytes": message(PKCS_REQ).len(),
            "unreadable": null,
            "status": 200,
            "pki_status": "SUCCESS",
            "fail_info": null,
            "anomaly": null,
            "client_gone": null,
        }),
    );
    let recipients = event["recipients"].as_str().unwrap();
    let expected =
        ["3e9", "3ea", "3eb"].map(|serial| format!("{serial} CN=NDES-sim CA,O=Corp,C=DE"));
    assert_eq!(recipients, expected.join("; "));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &message(PKCS_REQ));
    let hex: String = digest.as_ref()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(event["sha256"], hex);
    assert!(event["duration_ms"].as_f64().unwrap() >= event["upstream_ms"].as_f64().unwrap());

    let labels = [("message_type", "PKCSReq"), ("enrolment", "initial")];
    assert_eq!(
        metric_of(&binary, "ndes_proxy_scep_messages_total", &labels),
        1.0
    );
    for (purpose, algorithm) in [("digest", "sha1"), ("cipher", "des-cbc")] {
        let labels = [("purpose", purpose), ("algorithm", algorithm)];
        assert_eq!(
            metric_of(&binary, "ndes_proxy_scep_algorithms_total", &labels),
            1.0
        );
    }
    let success = [
        ("enrolment", "initial"),
        ("pki_status", "SUCCESS"),
        ("fail_info", "none"),
    ];
    assert_eq!(metric_of(&binary, ANSWERS, &success), 1.0);
}

/// By GET, and a renewal that can be recognised only by its signer.
#[test]
fn a_renewal_by_get_is_logged_and_counted() {
    let (_ndes, binary) = start(Enrolment::Success);
    let query = String::from_utf8(exchange(PKCS_REQ_BY_GET).query()).unwrap();
    let mut connection = Connect::to(binary.https).open();
    connection.get(&format!("{MSCEP}?{query}"));
    assert_has(
        &events(&binary, 1)[0],
        &json!({
            "message_type": "PKCSReq",
            "enrolment": "renewal",
            "transaction_id": "88148059678602703648096892121436499740286215096275686389407558160289990347277",
            "signer_issuer": "CN=NDES-sim CA,O=Corp,C=DE",
            "recipients": "3eb CN=NDES-sim CA,O=Corp,C=DE",
            "cipher": "aes256-cbc",
            "pki_status": "SUCCESS",
        }),
    );
    let labels = [("enrolment", "renewal")];
    for counter in ["ndes_proxy_scep_messages_total", ANSWERS] {
        assert_eq!(metric_of(&binary, counter, &labels), 1.0, "{counter}");
    }
    // No part of the message is in any line.
    let start = &query[query.find("MI").unwrap()..][..40];
    assert!(
        !binary
            .lines()
            .iter()
            .any(|line| line.to_string().contains(start))
    );
}

#[test]
fn a_failure_is_logged_and_counted() {
    let (_ndes, binary) = start(Enrolment::Failure {
        info: FailInfo::BadRequest,
        text: Some("used\n\"before\"".to_owned()),
    });
    post(&binary, &message(PKCS_REQ));
    let event = events(&binary, 1).remove(0);
    assert_has(
        &event,
        &json!({
            "pki_status": "FAILURE",
            "fail_info": "badRequest",
            "fail_info_text": r#"used\n"before""#,
            "anomaly": "refused_bad_request",
        }),
    );
    assert!(event["advice"].as_str().unwrap().contains("challenge"));
    let labels = [("pki_status", "FAILURE"), ("fail_info", "badRequest")];
    assert_eq!(metric_of(&binary, ANSWERS, &labels), 1.0);
    let mut diagnoses = binary.lines();
    diagnoses.retain(|line| line["target"] == "diagnosis");
    assert_eq!(diagnoses.len(), 1);
    assert_has(
        &diagnoses[0],
        &json!({"reason": "refused_bad_request", "times": 1, "level": "WARN"}),
    );
}

#[test]
fn a_polled_transaction_is_timed_from_its_first_message() {
    let (_ndes, binary) = start(Enrolment::Pending { until_poll: 3 });
    for _ in 0..4 {
        post(&binary, &message(PKCS_REQ));
    }
    let found = events(&binary, 4);
    let statuses: Vec<_> = found
        .iter()
        .map(|event| event["pki_status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["PENDING", "PENDING", "PENDING", "SUCCESS"]);
    let timed = |what| {
        metric_of(
            &binary,
            &format!("ndes_proxy_scep_enrolment_seconds_{what}"),
            &[],
        )
    };
    assert_eq!(timed("count"), 1.0);
    // The sum covers all four requests, not the last one alone.
    let together: f64 = found
        .iter()
        .map(|event| event["upstream_ms"].as_f64().unwrap())
        .sum();
    assert!(
        timed("sum") * 1e3 >= together,
        "{} < {together}",
        timed("sum")
    );
}

/// Values that Windows has beyond RFC 8894, in an otherwise valid message.
#[test]
fn unknown_numbers_are_forwarded_and_counted_as_other() {
    let (ndes, binary) = start(Enrolment::Other(11));
    let (mut body, kind) = (message(PKCS_REQ), b"\x13\x0219");
    let at = body
        .windows(4)
        .position(|four| four == kind)
        .expect("messageType");
    body[at + 2..at + 4].copy_from_slice(b"41");
    post(&binary, &body);
    assert_has(
        &events(&binary, 1)[0],
        &json!({"message_type": "41", "pki_status": "11", "anomaly": null}),
    );
    assert_eq!(ndes.requests().len(), 1);
    let labels = [("message_type", "other")];
    assert_eq!(
        metric_of(&binary, "ndes_proxy_scep_messages_total", &labels),
        1.0
    );
    assert_eq!(metric_of(&binary, ANSWERS, &[("pki_status", "other")]), 1.0);
}

#[test]
fn a_message_without_a_cert_rep_has_its_event_too() {
    let (ndes, binary) = start(Enrolment::Success);
    ndes.set(Condition::PoolStopped);
    post(&binary, &message(PKCS_REQ));
    post(&binary, b"not SCEP");
    let found = events(&binary, 2);
    assert_has(
        &found[0],
        &json!({"status": 503, "pki_status": null, "anomaly": "pool_stopped"}),
    );
    assert_has(
        &found[1],
        &json!({"unreadable": "not_cms", "message_type": null, "message_bytes": 8}),
    );
    assert_eq!(metric_of(&binary, ANSWERS, &[("pki_status", "none")]), 2.0);
    drop(ndes);
    post(&binary, &message(PKCS_REQ));
    let event = events(&binary, 3).remove(2);
    assert_has(
        &event,
        &json!({"status": null, "reason": "upstream_connect", "anomaly": "upstream_connect"}),
    );
}

/// Whatever the reason of the refusal is, and without fields about a message that was not read.
#[test]
fn a_refused_message_has_its_event_and_is_not_counted_as_answered() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    let one_a_second = "{ per_second = 1, burst = 1 }";
    let settings = format!(
        "[[rate_limit.network]]\ncidr = \"127.0.0.2/32\"\nper_client = {one_a_second}\n\
         [limits]\nbody_bytes = 5000"
    );
    let binary = Binary::run(ndes.address, &settings);
    let mut large = Connect::to(binary.https).open();
    large.send(format!(
        "POST {} HTTP/1.1\r\nHost: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\n1389\r\n{}",
        pki_operation(),
        "x".repeat(5_001)
    ));
    large.response();
    let mut hurried = Connect::to(binary.https).from([127, 0, 0, 2]).open();
    let mut passed = 0;
    loop {
        hurried.send(request(&pki_operation(), &message(PKCS_REQ)));
        match hurried.response().status {
            429 => break,
            _ => passed += 1,
        }
    }
    let found = events(&binary, passed + 2);
    let access = binary.access_lines();
    for reason in ["body_too_large", "rate_client"] {
        let event = found.iter().find(|event| event["reason"] == reason);
        let event = event.expect(reason);
        assert_has(
            event,
            &json!({
                "application": "public",
                "message_bytes": null,
                "unreadable": null,
                "status": null,
            }),
        );
        let same = |line: &&Value| line["request_id"] == event["request_id"];
        assert_eq!(access.iter().find(same).unwrap()["reason"], reason);
    }
    assert_eq!(metric_of(&binary, ANSWERS, &[]), passed as f64);
}

/// Devices that get no permit get no certificate, and the ratio of success must show it.
#[test]
fn a_message_without_a_permit_is_counted_among_the_answers() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    ndes.set(Condition::Late);
    let proxy = Proxy::start(ndes.address, |config| {
        let upstream = &mut config.applications[0].upstreams[0];
        (upstream.max_in_flight, upstream.queue) = (1, Duration::from_millis(100));
    });
    let mut first = proxy.connect();
    first.send(request(&pki_operation(), &message(PKCS_REQ)));
    eventually("at NDES", || ndes.requests().len() == 1);
    enrol(&proxy, &message(PKCS_REQ)).assert_refused(503, "upstream_busy");
    proxy.await_metric(ANSWERS, &[("pki_status", "none")], 1.0);
    ndes.set(Condition::Healthy);
    first.response();
    proxy.await_metric(ANSWERS, &[("pki_status", "SUCCESS")], 1.0);
    assert_eq!(proxy.metric(ANSWERS, &[]), 2.0);
}

/// Starts an enrolment that NDES has received and whose device has disconnected. NDES responds when
/// it is healthy.
fn enrolment_of_a_disconnected_device() -> (Ndes, Binary) {
    let (ndes, binary) = start(Enrolment::Success);
    ndes.set(Condition::Late);
    let mut connection = Connect::to(binary.https).open();
    connection.send(request(&pki_operation(), &message(PKCS_REQ)));
    eventually("at NDES", || ndes.requests().len() == 1);
    drop(connection);
    (ndes, binary)
}

#[test]
fn the_outcome_is_logged_although_the_device_has_disconnected() {
    let (ndes, binary) = enrolment_of_a_disconnected_device();
    ndes.set(Condition::Healthy);
    let event = events(&binary, 1).remove(0);
    assert_has(
        &event,
        &json!({"client_gone": true, "pki_status": "SUCCESS", "status": 200}),
    );
    assert_eq!(
        metric_of(&binary, ANSWERS, &[("pki_status", "SUCCESS")]),
        1.0
    );
}

#[test]
fn the_outcome_is_logged_although_the_stream_was_reset() {
    let ndes = Ndes::start();
    ndes.set_enrolment(Enrolment::Success);
    ndes.set(Condition::Late);
    let binary = Binary::listening(ndes.address, "protocols = [\"h2\", \"http/1.1\"]", "");
    let mut raw = Raw::silent(&Connect::to(binary.https));
    let (body, target) = (message(PKCS_REQ), pki_operation());
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", PUBLIC),
        (":path", &target[..]),
    ];
    raw.send(&[
        wire::PREFACE.to_vec(),
        wire::settings(&[]),
        wire::headers(wire::END_HEADERS, 1, &fields),
        wire::frame(wire::DATA, wire::END_STREAM, 1, &body),
    ]);
    eventually("at NDES", || ndes.requests().len() == 1);
    raw.send(&[wire::frame(wire::RST_STREAM, 0, 1, &8_u32.to_be_bytes())]);
    drop(raw);
    eventually("the reset is known", || {
        metric_of(&binary, "ndes_proxy_connections_open", &[]) == 0.0
    });
    ndes.set(Condition::Healthy);
    let event = events(&binary, 1).remove(0);
    assert_has(
        &event,
        &json!({"client_gone": true, "pki_status": "SUCCESS", "status": 200}),
    );
}

/// The event is written before the process exits, within the limit of `timeouts.shutdown`.
#[test]
fn shutdown_waits_for_the_outcome_after_the_device_has_disconnected() {
    let (ndes, binary) = enrolment_of_a_disconnected_device();
    binary.signal(Signal::TERM);
    eventually("stopping", || {
        let lines = binary.lines();
        lines.iter().any(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("stopping"))
        })
    });
    ndes.set(Condition::Healthy);
    let (status, lines) = binary.wait();
    assert_eq!(status.code(), Some(0));
    let event = lines
        .iter()
        .find(|line| line["target"] == "scep")
        .expect("an event");
    assert_has(
        event,
        &json!({"client_gone": true, "pki_status": "SUCCESS"}),
    );
}
