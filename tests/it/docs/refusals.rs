//! The tables of reasons in config/reference/refusals.md and diagnosis.md.

use std::collections::BTreeSet;

use ndes_proxy::base::rejection::Rejection;
use ndes_proxy::insight::diagnosis::Anomaly;
use ndes_proxy::tls::refusal::Kind;

use super::markdown::{first_words, table, word};
use super::source::{body_of, literals};
use super::{assert_same, read};

const REFUSALS: &str = "config/reference/refusals.md";
const DIAGNOSIS: &str = "config/reference/diagnosis.md";

#[test]
fn refusals() {
    let arms = body_of("src/base/rejection/facts.rs", "fn facts(")
        .lines()
        .filter(|line| line.trim_start().starts_with("Self::"))
        .count();
    assert_eq!(arms, Rejection::ALL.len(), "Rejection::ALL is not complete");
    assert_same(
        "refusals",
        table(REFUSALS, "## Refusals")
            .iter()
            .map(|row| (row[0].clone(), word(&row[1]))),
        Rejection::ALL.map(|rejection| {
            (
                rejection.status().as_str().to_owned(),
                rejection.reason().to_owned(),
            )
        }),
    );
}

#[test]
fn upstream_errors() {
    let tls = Kind::ALL.map(|kind| kind.reason().to_owned());
    assert_same(
        "tls::refusal::Kind::ALL",
        tls.clone(),
        literals("src/tls/refusal.rs", "const fn reason("),
    );
    let others = literals("src/upstream/failure.rs", "pub fn kind(");
    let all: BTreeSet<_> = tls.iter().chain(&others).cloned().collect();
    assert_eq!(
        all.len(),
        tls.len() + others.len(),
        "a kind with two meanings"
    );
    let written = first_words(REFUSALS, "## Upstream errors");
    assert_same("upstream errors", written, all);
}

#[test]
fn diagnosis() {
    let tls = Kind::ALL.map(|kind| kind.reason().to_owned());
    let written = first_words(DIAGNOSIS, "## Reasons").into_iter().chain(tls);
    let real = Anomaly::all().map(|anomaly| anomaly.reason().to_owned());
    assert_same("diagnosis", written, real);
    let arms = body_of("src/insight/diagnosis/words.rs", "fn words(");
    let plain = arms.matches(" => (\n").count();
    let listed = read("src/insight/diagnosis/words.rs")
        .matches("    Anomaly::")
        .count();
    assert_eq!(plain, listed, "PLAIN is not complete");
}
