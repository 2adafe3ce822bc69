//! The tables of reasons in config/reference, which are generated from the table of reasons.
//!
//! `UPDATE_DOCS=1 cargo test --test it docs::refusals` writes them anew.

use std::fmt::Write;

use ndes_proxy::base::reason::{Reason, Row};

use super::{at, read};

const REFUSALS: &str = "config/reference/refusals.md";
const DIAGNOSIS: &str = "config/reference/diagnosis.md";

#[test]
fn refusals() {
    let mut table = header(&[
        "Status",
        "Reason",
        "Severity",
        "What happened",
        "What to do",
    ]);
    for row in Reason::refusals().map(Reason::row) {
        let status = row.response.unwrap().status;
        let severity = row.severity.as_str();
        _ = writeln!(
            table,
            "| {status} | `{}` | {severity} | {}",
            row.word,
            texts(row)
        );
    }
    assert_generated(REFUSALS, "refusals", &table);
}

#[test]
fn upstream_errors() {
    let mut table = header(&["Kind", "Reason", "What happened", "What to do"]);
    for row in Reason::upstream_errors().map(Reason::row) {
        let kind = row.kind.unwrap();
        _ = writeln!(table, "| `{kind}` | `{}` | {}", row.word, texts(row));
    }
    assert_generated(REFUSALS, "upstream errors", &table);
}

#[test]
fn diagnosis() {
    let mut table = header(&["Reason", "Severity", "What happened", "What to do"]);
    // The errors of TLS are in the table of upstream errors.
    let is_of_tls = |row: &Row| row.kind == Some(row.word);
    for row in Reason::anomalies()
        .map(Reason::row)
        .filter(|row| !is_of_tls(row))
    {
        let severity = row.severity.as_str();
        _ = writeln!(table, "| `{}` | {severity} | {}", row.word, texts(row));
    }
    assert_generated(DIAGNOSIS, "diagnosis", &table);
}

/// Every alert on named reasons has their severity.
#[test]
fn alerts_have_the_severity_of_their_reasons() {
    let rules = read("config/prometheus/rules.yml");
    let mut seen = 0;
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        let (_, severity) = alert.split_once("severity: ").unwrap();
        let severity = severity.split(['}', ',', '\n']).next().unwrap().trim();
        for reason in named_reasons(alert) {
            seen += 1;
            let reason = Reason::find(reason).unwrap_or_else(|| panic!("{name}: {reason}"));
            assert_eq!(reason.severity().as_str(), severity, "{name}: {reason}");
        }
    }
    assert!(seen > 5, "only {seen} reasons were found");
}

/// Returns the words of `reason="a"` and `reason=~"a|b"` in an expression.
fn named_reasons(alert: &str) -> impl Iterator<Item = &str> {
    let selectors = alert.split("reason=").skip(1);
    selectors.flat_map(|rest| {
        let rest = rest.trim_start_matches('~').strip_prefix('"').unwrap();
        rest.split('"').next().unwrap().split('|')
    })
}

fn header(columns: &[&str]) -> String {
    let rules = vec!["---"; columns.len()];
    format!("| {} |\n|{}|\n", columns.join(" | "), rules.join("|"))
}

/// The last two cells of a row.
fn texts(row: &Row) -> String {
    format!("{} | {} |", with_code(row.what), with_code(row.cure))
}

/// Marks keys, metrics and file names as code: words with a dot or an underscore inside.
fn with_code(text: &str) -> String {
    let marked = text.split(' ').map(|word| {
        let end = word.trim_end_matches([',', '.', ')']).len();
        let (word, punctuation) = word.split_at(end);
        let start = word.len() - word.trim_start_matches('(').len();
        let (opening, word) = word.split_at(start);
        let is_code = word.starts_with(|c: char| c.is_ascii_lowercase() || c == '[')
            && word.contains(['.', '_']);
        match is_code {
            true => format!("{opening}`{word}`{punctuation}"),
            false => format!("{opening}{word}{punctuation}"),
        }
    });
    marked.collect::<Vec<_>>().join(" ")
}

/// Compares `table` with what is between the markers of `name`, or writes it there.
fn assert_generated(file: &str, name: &str, table: &str) {
    let (text, start) = (read(file), format!("<!-- generated: {name} -->\n"));
    let (before, rest) = text.split_once(&start).unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    if written.trim() == table.trim() {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "{file}: the table of {name} is not as the code says; write it anew with UPDATE_DOCS=1"
    );
    let text = format!("{before}{start}\n{}\n\n<!-- end -->{after}", table.trim());
    std::fs::write(at(file), text).unwrap();
}
