//! The words for what is wrong with a key or a value.

use super::Example;
use crate::base::problem::Diagnostic;

/// What a value that is no `T` gets told. Errors of our own types read `what; cure`. serde's
/// speak of types and variants, which mean nothing to an admin, and have no cure.
pub(super) fn diagnostic<T: Example>(message: &str) -> Diagnostic {
    let message = message.trim().replace('\n', " ");
    if let Some((what, cure)) = message.split_once("; ") {
        return Diagnostic::error(what, cure);
    }
    let (found, expected) = message.split_once(", expected ").unwrap_or((&message, ""));
    let example = format!("write {}", T::example());
    if let Some(word) = found.strip_prefix("unknown variant ") {
        let choice = expected.strip_prefix("one of ").unwrap_or(expected);
        return Diagnostic::error(
            format!("{word} is none of the words for this"),
            format!("write {}", choice.replace('`', "\"")),
        );
    }
    let what = if let Some(key) = found.strip_prefix("unknown field ") {
        format!("the key {key} is unknown here")
    } else if let Some(key) = found.strip_prefix("missing field ") {
        format!("the key {key} is missing here")
    } else if let Some(value) = found.strip_prefix("invalid type: ") {
        format!("the {value} cannot stand here")
    } else if let Some(value) = found.strip_prefix("invalid value: ") {
        format!("the {value} is not possible here")
    } else if message == "wanted string or table" {
        "this must be a word in double quotes".to_owned()
    } else {
        message
    };
    Diagnostic::error(what, example)
}

/// A full key as it stands in the header of a table: without the numbers of `[[tables]]`.
pub(super) fn header(full_key: &str) -> String {
    let mut parts = full_key.split('[');
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once(']').map_or("", |(_, after)| after));
    std::iter::once(first).chain(rest).collect()
}

/// A key as the admin wrote it, short enough for one line.
pub(super) fn bounded(key: &str) -> String {
    key.chars().take(60).flat_map(char::escape_debug).collect()
}

pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .copied()
        .map(|key| (distance(name, key), key))
        .filter(|(far, _)| *far <= 2)
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein's edit distance.
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
    fn a_slip_finds_its_key_and_another_word_does_not() {
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
