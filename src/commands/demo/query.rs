//! A query string as NDES reads it, leniently on purpose: what a proxy lets through by mistake is
//! then understood here as a real server might.

/// The value of the first parameter `operation` (RFC 8894 §4.1), its name in any case; both
/// percent-decoded once.
pub fn operation(raw: &str) -> Option<Vec<u8>> {
    raw.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_operation = percent_decode(name).eq_ignore_ascii_case(b"operation");
        is_operation.then(|| percent_decode(value))
    })
}

/// Decodes each `%XX` once; a `%` that no two hex digits follow stays.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        rest = match byte {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                &tail[2..]
            }
            None => {
                decoded.push(*first);
                tail
            }
        };
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_any_spelling_counts_and_is_decoded_once() {
        for (query, value) in [
            (
                "x=1&message=a&operation=PKIOperation&operation=late",
                Some(&b"PKIOperation"[..]),
            ),
            ("message=AA==&OPER%41TION=%2541", Some(b"%41")),
            ("operation=a=b", Some(b"a=b")),
            // Not the same as none.
            ("operation", Some(b"")),
            ("", None),
        ] {
            assert_eq!(operation(query).as_deref(), value, "{query}");
        }
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(percent_decode("%zz%4%"), b"%zz%4%");
        assert_eq!(percent_decode("%41%2f"), b"A/");
    }
}
