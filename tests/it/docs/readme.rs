//! The tables of the README against the code. Where the code has a list, that is asked; where a
//! word exists only in a `match`, which the compiler keeps complete, the source is read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ndes_proxy::base::head::Method;
use ndes_proxy::base::reason::{Reason, Row};
use ndes_proxy::commands::doctor::Step;
use ndes_proxy::observe::metrics::{Accepted, Answered, Handshake, Incomplete, Metrics, Reload};
use ndes_proxy::scep::{
    Cipher, Digest, FailInfo, MessageType, Operation, PkiStatus, Role, Signature, Unreadable,
};

use super::{assert_same, at, read};

#[test]
fn refusals() {
    assert_same(
        "refusals",
        table("### Refusals")
            .iter()
            .map(|row| (row[0].clone(), word(&row[1]))),
        Reason::refusals().map(|reason| {
            let row = reason.row();
            (
                row.response.unwrap().status.to_string(),
                row.word.to_owned(),
            )
        }),
    );
}

#[test]
fn steps_of_the_doctor() {
    let steps = Step::ALL.map(|step| step.word().to_owned());
    assert_same("steps", first_words("### Steps"), steps);
    let words = literals("src/commands/doctor/finding.rs", "fn names(");
    let words = words.into_iter().step_by(2);
    assert_same(
        "Step::ALL",
        Step::ALL.map(|step| step.word().to_owned()),
        words,
    );
}

#[test]
fn upstream_errors() {
    let kinds = Reason::upstream_errors().filter_map(|reason| reason.row().kind);
    let kinds = kinds.map(str::to_owned);
    assert_same("upstream errors", first_words("### Upstream errors"), kinds);
}

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

    let written = table("### Metrics")
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
            "impl Accepted {",
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
    tables("### Metrics").remove(1)
}

#[test]
fn diagnosis() {
    // The TLS errors are in the table of upstream errors.
    let is_of_tls = |row: &Row| row.kind == Some(row.word);
    let rows = Reason::anomalies().map(Reason::row);
    let words = rows
        .filter(|row| !is_of_tls(row))
        .map(|row| row.word.to_owned());
    assert_same("diagnosis", first_words("### Diagnosis"), words);
}

#[test]
fn log_fields() {
    let access = literals("src/proxy/record.rs", "fn access(");
    assert_same("log fields", first_words("### Log"), access);
    let audit = literals("src/insight/audit.rs", "pub fn write(");
    assert_same("audit fields", first_words("### Audit"), audit);
}

#[test]
fn the_minimal_configuration_is_the_file() {
    assert!(read("README.md").contains(&format!("```toml\n{}```\n", read("config/minimal.toml"))));
}

#[test]
fn links_lead_somewhere() {
    let readme = read("README.md");
    let anchors: BTreeSet<String> = readme
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-")
        })
        .collect();
    let links = readme
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    let mut seen = 0;
    for link in links {
        seen += 1;
        match link.strip_prefix('#') {
            Some(anchor) => assert!(anchors.contains(anchor), "#{anchor}"),
            None => assert!(at(link).exists(), "{link}"),
        }
    }
    assert!(seen > 5, "only {seen} links were found");
}

/// Every series at least once.
fn touched() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.connection(Accepted::Served);
    metrics.handshake(Handshake::Tls13);
    metrics.incomplete(Incomplete::Client);
    metrics.request(&Answered {
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

/// The rows, without heading and rule, of the first table below a heading of the README.
pub(super) fn table(heading: &str) -> Vec<Vec<String>> {
    tables(heading).remove(0)
}

/// The tables between a heading and the next one.
fn tables(heading: &str) -> Vec<Vec<Vec<String>>> {
    let readme = read("README.md");
    let (_, below) = readme
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("the README has no {heading:?}"));
    let section = below.split("\n#").next().unwrap();
    let mut tables = Vec::new();
    for block in section.split("\n\n").map(str::trim) {
        if block.starts_with('|') {
            let rows = block.lines().skip(2);
            tables.push(rows.map(cells).collect());
        }
    }
    tables
}

fn cells(row: &str) -> Vec<String> {
    let row = row.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The one thing between backticks.
pub(super) fn word(cell: &str) -> String {
    let word = cell
        .strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'));
    word.unwrap_or_else(|| panic!("{cell} is not between backticks"))
        .to_owned()
}

/// All that stands between backticks.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn first_words(heading: &str) -> Vec<String> {
    table(heading).iter().map(|row| word(&row[0])).collect()
}

/// The source of a function of an impl, from `start` to its end.
fn body_of(file: &str, start: &str) -> String {
    let source = read(file);
    let (_, rest) = source
        .split_once(start)
        .unwrap_or_else(|| panic!("{file} has no {start:?}"));
    rest.split("\n    }\n").next().unwrap().to_owned()
}

/// The string literals of that function.
fn literals(file: &str, start: &str) -> Vec<String> {
    strings(&body_of(file, start))
}

fn strings(source: &str) -> Vec<String> {
    source
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
