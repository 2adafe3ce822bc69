//! Reads words out of the source: those that exist only in a `match`, which the compiler keeps
//! complete.

use super::read;

/// Returns the source of a function or an impl, from `start` to its end.
pub(super) fn body_of(file: &str, start: &str) -> String {
    let source = read(file);
    let (_, rest) = source
        .split_once(start)
        .unwrap_or_else(|| panic!("{file} has no {start:?}"));
    rest.split("\n    }\n").next().unwrap().to_owned()
}

/// Returns the string literals of that function.
pub(super) fn literals(file: &str, start: &str) -> Vec<String> {
    strings(&body_of(file, start))
}

pub(super) fn strings(source: &str) -> Vec<String> {
    source
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
