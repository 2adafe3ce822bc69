//! The tables of reasons in config/reference/refusals.md and diagnosis.md.

use ndes_proxy::base::reason::{Reason, Row};

use super::assert_same;
use super::markdown::{first_words, table, word};

const REFUSALS: &str = "config/reference/refusals.md";
const DIAGNOSIS: &str = "config/reference/diagnosis.md";

#[test]
fn refusals() {
    assert_same(
        "refusals",
        table(REFUSALS, "## Refusals")
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
fn upstream_errors() {
    let kinds = Reason::upstream_errors().filter_map(|reason| reason.row().kind);
    let kinds = kinds.map(str::to_owned);
    let written = first_words(REFUSALS, "## Upstream errors");
    assert_same("upstream errors", written, kinds);
}

#[test]
fn diagnosis() {
    // The TLS errors are in the table of upstream errors.
    let is_of_tls = |row: &Row| row.kind == Some(row.word);
    let rows = Reason::anomalies().map(Reason::row);
    let words = rows
        .filter(|row| !is_of_tls(row))
        .map(|row| row.word.to_owned());
    assert_same("diagnosis", first_words(DIAGNOSIS, "## Reasons"), words);
}
