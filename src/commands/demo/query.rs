//! Reads a query string as NDES does. The reader is lenient on purpose, so that it interprets a
//! query that a proxy forwards by mistake as a real server might.

/// Returns the value of the first parameter `operation` (RFC 8894 §4.1). Ignores the case of the
/// name. Percent-decodes name and value once.
pub fn operation(raw: &str) -> Option<Vec<u8>> {
    raw.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_operation = percent_decode(name).eq_ignore_ascii_case(b"operation");
        is_operation.then(|| percent_decode(value))
    })
}

/// Decodes each `%XX` once. Keeps a `%` that is not followed by two hexadecimal digits.
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
    fn the_first_operation_in_any_case_counts_and_is_decoded_once() {
        for (query, value) in [
            (
                "x=1&message=a&operation=PKIOperation&operation=late",
                Some(&b"PKIOperation"[..]),
            ),
            ("message=AA==&OPER%41TION=%2541", Some(b"%41")),
            ("operation=a=b", Some(b"a=b")),
            // An empty value differs from a missing parameter.
            ("operation", Some(b"")),
            ("", None),
        ] {
            assert_eq!(operation(query).as_deref(), value, "{query}");
        }
    }

    #[test]
    fn an_invalid_escape_is_kept_unchanged() {
        assert_eq!(percent_decode("%zz%4%"), b"%zz%4%");
        assert_eq!(percent_decode("%41%2f"), b"A/");
    }
}
