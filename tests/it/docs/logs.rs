//! The fields in config/reference/logs.md.

use super::assert_same;
use super::markdown::first_words;
use super::source::literals;

const FILE: &str = "config/reference/logs.md";

#[test]
fn log_fields() {
    let access = literals("src/proxy/record.rs", "fn access(");
    assert_same("log fields", first_words(FILE, "## Access log"), access);
    let audit = literals("src/insight/audit.rs", "pub fn write(");
    assert_same("audit fields", first_words(FILE, "## Audit"), audit);
}
