//! The tables of config/reference/metrics.md. If the code has a list, the test uses it; words that
//! exist only in a `match` are read from the source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ndes_proxy::base::head::Method;
use ndes_proxy::base::reason::Reason;
use ndes_proxy::observe::metrics::{
    CompletedRequest, ConnectionResult, Handshake, Incomplete, Metrics, Reload,
};
use ndes_proxy::scep::{
    Cipher, Digest, FailInfo, MessageType, Operation, PkiStatus, Role, Signature, Unreadable,
};

use super::assert_same;
use super::markdown::{table, word, words};
use super::source::{body_of, literals, strings};

const FILE: &str = "config/reference/metrics.md";

#[test]
fn metrics() {
    let text = String::from_utf8(touched().text().unwrap()).unwrap();
    // A metric that `touched` forgets is in the source, but not in the text.
    let helps = body_of("src/observe/metrics.rs", "pub fn new(")
        + &body_of("src/observe/metrics/requests.rs", "fn new(")
        + &body_of("src/observe/metrics/scep.rs", "fn new(")
        + &body_of("src/observe/metrics/upstream.rs", "fn new(");
    let helps = strings(&helps)
        .into_iter()
        .filter(|text| text.ends_with('.'));
    let told = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ndes_proxy_")?.split_once(' '))
        .map(|(_, help)| help.to_owned());
    assert_same("metrics touched by this test", told, helps);

    let written = table(FILE, "## Metrics")
        .into_iter()
        .map(|row| (word(&row[0]), row[1].clone(), words(&row[2])));
    assert_same("metrics", written, described(&text));
}

#[test]
fn label_values() {
    let of = |metric, file, function| (format!("ndes_proxy_{metric}"), literals(file, function));
    let mut operations = Operation::PUBLISHED.map(Operation::as_str).to_vec();
    operations.push("none");
    let real = [
        of(
            "connections_total",
            "src/observe/metrics/labels.rs",
            "impl ConnectionResult {",
        ),
        of(
            "tls_handshakes_total",
            "src/observe/metrics/labels.rs",
            "impl Handshake {",
        ),
        of(
            "reloads_total",
            "src/observe/metrics/labels.rs",
            "impl Reload {",
        ),
        of("requests_total", "src/base/head.rs", "pub fn as_str("),
        of(
            "upstream_connections_total",
            "src/observe/metrics/upstream.rs",
            "fn of(",
        ),
        of(
            "responses_incomplete_total",
            "src/observe/metrics/labels.rs",
            "impl Incomplete {",
        ),
        (
            "all".to_owned(),
            operations.into_iter().map(str::to_owned).collect(),
        ),
    ];
    let real = real.map(|(of, values)| (of, BTreeSet::from_iter(values)));
    let written = label_rows()
        .into_iter()
        .filter(|row| !row[1].contains("_scep_"))
        .map(|row| (row[1].trim_matches('`').to_owned(), words(&row[2])));
    assert_same("label values", written, real);
}

#[test]
fn label_values_of_scep() {
    let algorithms = [
        &Digest::KNOWN.map(Digest::as_str)[..],
        &Cipher::KNOWN.map(Cipher::as_str),
        &Signature::KNOWN.map(Signature::as_str),
        &["other"],
    ];
    let roles = Role::ALL.map(Role::as_str);
    let reasons = Unreadable::ALL.map(Unreadable::reason);
    let real = [
        (
            "message_type",
            [
                &MessageType::KNOWN.map(MessageType::as_str)[..],
                &["other", "none", "unreadable"],
            ]
            .concat(),
        ),
        ("enrolment", vec!["initial", "renewal", "unknown"]),
        ("purpose", vec!["digest", "signature", "cipher"]),
        ("algorithm", algorithms.concat()),
        ("message", vec!["request", "answer"]),
        ("reason", reasons.to_vec()),
        (
            "pki_status",
            [
                &PkiStatus::KNOWN.map(PkiStatus::as_str)[..],
                &["other", "unreadable", "none"],
            ]
            .concat(),
        ),
        (
            "fail_info",
            [
                &FailInfo::KNOWN.map(FailInfo::as_str)[..],
                &["other", "none"],
            ]
            .concat(),
        ),
        (
            "role",
            roles.into_iter().filter(|role| *role != "other").collect(),
        ),
    ];
    let real = real.map(|(label, values)| {
        let values: BTreeSet<_> = values.into_iter().map(str::to_owned).collect();
        (label.to_owned(), values)
    });
    let written = label_rows()
        .into_iter()
        .filter(|row| row[1].contains("_scep_"))
        .map(|row| (word(&row[0]), words(&row[2])));
    assert_same("label values of SCEP", written, real);
}

fn label_rows() -> Vec<Vec<String>> {
    table(FILE, "## Labels")
}

/// Every series at least once.
fn touched() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.connection(ConnectionResult::Served);
    metrics.handshake(Handshake::Tls13);
    metrics.incomplete(Incomplete::Client);
    metrics.request(&CompletedRequest {
        application: None,
        operation: None,
        method: Method::Get,
        status: Some(http::StatusCode::OK),
        duration: Duration::ZERO,
        uri_bytes: Some(0),
    });
    metrics
        .certificate_not_after
        .with_label_values(&["a", "k"])
        .set(0);
    let scep = metrics.scep("a");
    scep.message("PKCSReq", "initial");
    scep.algorithm("digest", "sha256");
    scep.unreadable("request", "truncated");
    scep.answer("initial", "SUCCESS", "none");
    scep.certificate("ca", Some(0));
    scep.anomaly(Reason::Refused, 1);
    metrics.health("a").show(None);
    let upstream = metrics.upstream("a");
    upstream.certificate(0);
    upstream.responded(None, Duration::ZERO);
    upstream.failed("timeout");
    metrics.reloaded(Reload::Success);
    let queue = metrics.queue("a");
    queue.in_flight.set(0);
    queue.in_flight_max.set(0);
    queue.waiting.set(0);
    metrics
}

/// Name, type and label names of each metric in the text format.
fn described(text: &str) -> BTreeSet<(String, String, BTreeSet<String>)> {
    let types: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _value) = line.rsplit_once(' ').unwrap();
        let (name, pairs) = series.split_once('{').unwrap_or((series, ""));
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            name.strip_suffix(end)
                .filter(|base| types.contains_key(base))
        });
        let names = pairs
            .split(',')
            .filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned()));
        labels
            .entry(of_histogram.unwrap_or(name))
            .or_default()
            .extend(names.filter(|name| name != "le"));
    }
    assert_same("samples", labels.keys(), types.keys());
    types
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind.to_owned(), labels[name].clone()))
        .collect()
}
