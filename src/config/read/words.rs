//! Error messages about wrong keys and values.

use crate::base::problem::Diagnostic;
use crate::config::example::Example;

/// Returns the diagnostic for a value that is not a `T`, from the error `message` of its parser.
///
/// Errors of our own types already have the form `what; cure`. Those of serde speak of types and
/// variants, which mean nothing to an admin, and contain no cure.
pub(super) fn diagnostic<T: Example>(message: &str) -> Diagnostic {
    let message = message.trim().replace('\n', " ");
    if let Some((what, cure)) = message.split_once("; ") {
        return Diagnostic::error(what, cure);
    }
    let (found, expected) = message.split_once(", expected ").unwrap_or((&message, ""));
    let example = format!("write it as {}", T::example());
    if let Some(word) = found.strip_prefix("unknown variant ") {
        return Diagnostic::error(
            format!("{word} is not one of the accepted values"),
            format!("write {}", expected.replace('`', "\"")),
        );
    }
    let what = if let Some(key) = found.strip_prefix("unknown field ") {
        format!("the key {key} is unknown here")
    } else if let Some(key) = found.strip_prefix("missing field ") {
        format!("the key {key} is missing here")
    } else if let Some(value) = found.strip_prefix("invalid type: ") {
        format!("the {value} has the wrong type")
    } else if let Some(value) = found.strip_prefix("invalid value: ") {
        format!("the {value} is not a valid value")
    } else if message == "wanted string or table" {
        "this must be a word in double quotes".to_owned()
    } else {
        format!("this value is not accepted: {message}")
    };
    Diagnostic::error(what, example)
}

/// Returns `full_key` as it is written in the header of a table: without the indexes of tables.
pub(super) fn header(full_key: &str) -> String {
    let mut parts = full_key.split('[');
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once(']').map_or("", |(_, after)| after));
    std::iter::once(first).chain(rest).collect()
}

/// Returns the first 60 characters of a key that the admin wrote, escaped to fit on one line.
pub(super) fn bounded(key: &str) -> String {
    key.chars().take(60).flat_map(char::escape_debug).collect()
}

/// Returns the known key that is most similar to `name`, if at most two edits apart.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .copied()
        .map(|key| (distance(name, key), key))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, key)| key)
}

/// Returns the Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_key_finds_the_known_one_and_another_word_does_not() {
        let known = ["url", "address", "server_name", "ca_roots"];
        for (name, near) in [
            ("ca_root", Some("ca_roots")),
            ("servername", Some("server_name")),
            ("adress", Some("address")),
            ("uri", Some("url")),
            ("certificate", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
    }
}
