//! A SCEP query string as NDES reads it: which operation, and the message of a GET.
//!
//! Called by the simulated NDES. Read leniently on purpose: what a proxy lets through by mistake
//! is then understood here as a real server might.

/// The two parameters that SCEP has (RFC 8894 §4.1); of several of one name the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub operation: Option<Vec<u8>>,
    /// Percent-decoded; base64 still where the operation is PKIOperation.
    pub message: Option<Vec<u8>>,
}

impl Query {
    /// Splits at `&` and the first `=` and percent-decodes once. Names in any case; `+` stays `+`:
    /// it is base64, not a space.
    pub fn parse(raw: &str) -> Self {
        let mut query = Self::default();
        for parameter in raw.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let slot = match percent_decode(name).to_ascii_lowercase().as_slice() {
                b"operation" => &mut query.operation,
                b"message" => &mut query.message,
                _ => continue,
            };
            slot.get_or_insert_with(|| percent_decode(value));
        }
        query
    }
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

/// Decodes the base64 that SCEP clients send (RFC 4648 §4 and §5): either alphabet, lines, with or
/// without padding. None if it is none of these.
pub fn decode_message(text: &[u8]) -> Option<Vec<u8>> {
    let unpadded = text
        .iter()
        .rposition(|byte| !matches!(byte, b'=' | b'\r' | b'\n'))
        .map_or(0, |last| last + 1);
    let mut decoded = Vec::with_capacity(unpadded / 4 * 3);
    let mut bits = 0_u32;
    let mut pending = 0;
    for byte in &text[..unpadded] {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'\r' | b'\n' => continue,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        pending += 6;
        if pending >= 8 {
            pending -= 8;
            decoded.push((bits >> pending) as u8);
        }
    }
    // Six bits left over are one character too many, not a byte.
    (pending < 6).then_some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_in_any_order_and_plus_stays() {
        let query = Query::parse("x=1&message=a+b%2Bc%0A%3D&operation=PKIOperation&message=late");
        assert_eq!(query.operation.as_deref(), Some(&b"PKIOperation"[..]));
        assert_eq!(query.message.as_deref(), Some(&b"a+b+c\n="[..]));
    }

    #[test]
    fn only_the_first_equals_sign_splits_and_decoding_happens_once() {
        let query = Query::parse("message=AA==&OPER%41TION=%2541");
        assert_eq!(query.message.as_deref(), Some(&b"AA=="[..]));
        assert_eq!(query.operation.as_deref(), Some(&b"%41"[..]));
    }

    #[test]
    fn an_absent_operation_is_not_an_empty_one() {
        assert_eq!(Query::parse(""), Query::default());
        assert_eq!(Query::parse("operation").operation, Some(Vec::new()));
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(percent_decode("%zz%4%"), b"%zz%4%");
        assert_eq!(percent_decode("%41%2f"), b"A/");
    }

    #[test]
    fn base64_of_every_client_is_read() {
        let bytes = Some(vec![0xfb, 0xff, 0xfe, 0x01]);
        for form in [
            "+//+AQ==",
            "-__-AQ==",
            "-__-AQ",
            "+//+\r\nAQ=\n=\n",
            "+//+AQ",
        ] {
            assert_eq!(decode_message(form.as_bytes()), bytes, "{form:?}");
        }
        assert_eq!(decode_message(b""), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for form in ["AAAA A", "AAAAA", "AA=A", "AA%3D"] {
            assert_eq!(decode_message(form.as_bytes()), None, "{form:?}");
        }
    }
}
