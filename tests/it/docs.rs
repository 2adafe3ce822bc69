//! Holds the documents against the code, both ways: the tables of config/reference, the README and
//! config/ndes-proxy.toml; links between documents; and the modules against the floors of
//! src/lib.rs.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

mod circles;
mod config;
mod doctor;
mod floors;
mod links;
mod logs;
mod markdown;
mod metrics;
mod operation;
mod readme;
mod refusals;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Returns a path in the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reports what is missing on either side, not only that the two differ.
#[track_caller]
fn assert_same<T: Ord + std::fmt::Debug>(
    what: &str,
    written: impl IntoIterator<Item = T>,
    real: impl IntoIterator<Item = T>,
) {
    let written: BTreeSet<T> = written.into_iter().collect();
    let real: BTreeSet<T> = real.into_iter().collect();
    assert!(!real.is_empty(), "{what}: nothing was found in the code");
    let missing: Vec<_> = real.difference(&written).collect();
    let extra: Vec<_> = written.difference(&real).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: not written: {missing:?}; written, but not there: {extra:?}"
    );
}
