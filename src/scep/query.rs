//! The message of a GET PKIOperation.

use super::Unreadable;

/// The CMS bytes of a PKIOperation that was sent by GET (RFC 8894 §4.1): the first parameter
/// `message` of the raw query, its name in any case.
///
/// Percent-decoded once; `+` stays `+`. Either base64 alphabet, with lines and without, with
/// padding and without (RFC 4648 §4, §5).
///
/// # Errors
/// `NoMessage`, `NotBase64`.
pub fn message_of_query(query: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let value = message(query).ok_or(Unreadable::NoMessage)?;
    let decoded = decode(value).ok_or(Unreadable::NotBase64)?;
    if decoded.is_empty() {
        return Err(Unreadable::NoMessage);
    }
    Ok(decoded)
}

/// The value of the first parameter of that name, as it stands.
fn message(query: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"message";
    let mut rest = Some(query);
    while let Some(parameters) = rest {
        let end = memchr::memchr(b'&', parameters);
        let parameter = &parameters[..end.unwrap_or(parameters.len())];
        rest = end.map(|end| &parameters[end + 1..]);
        if let Some((name, value)) = parameter.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
            && let [b'=', value @ ..] = value
        {
            return Some(value);
        }
    }
    None
}

/// What a byte of the value stands for: below 64 that sextet, else one of the following.
const SEXTETS: [u8; 256] = sextets();
const LINE_END: u8 = 0x40;
const PADDING: u8 = 0x41;
const PERCENT: u8 = 0x42;
const OTHER: u8 = 0x80;

const fn sextets() -> [u8; 256] {
    let mut table = [OTHER; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < alphabet.len() {
        table[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table[b'\r' as usize] = LINE_END;
    table[b'\n' as usize] = LINE_END;
    table[b'=' as usize] = PADDING;
    table[b'%' as usize] = PERCENT;
    table
}

/// Percent-decoding and base64 in one pass; none if it is not base64. Allocates once, at most three
/// quarters of `text`.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut rest = text;
    let (mut bits, mut sextets, mut padded) = (0_u32, 0, false);
    loop {
        if sextets == 0 && !padded {
            rest = decode_plain(rest, &mut decoded);
        }
        let [first, behind @ ..] = rest else {
            break;
        };
        rest = behind;
        let mut symbol = SEXTETS[usize::from(*first)];
        if symbol == PERCENT {
            let [high, low, behind @ ..] = rest else {
                return None;
            };
            rest = behind;
            let byte = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
            symbol = SEXTETS[byte as usize];
        }
        match symbol {
            0..64 if !padded => {
                bits = bits << 6 | u32::from(symbol);
                sextets += 1;
                if sextets == 4 {
                    decoded.extend_from_slice(&bits.to_be_bytes()[1..]);
                    (bits, sextets) = (0, 0);
                }
            }
            LINE_END => {}
            PADDING => padded = true,
            _ => return None,
        }
    }
    match sextets {
        0 => {}
        2 => decoded.push((bits >> 4) as u8),
        3 => decoded.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        // One character alone is not even a byte.
        _ => return None,
    }
    Some(decoded)
}

/// Decodes groups of four characters as long as all of them are plain base64; what is left.
fn decode_plain<'t>(text: &'t [u8], decoded: &mut Vec<u8>) -> &'t [u8] {
    let mut rest = text;
    while let Some((group, behind)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = group.map(|byte| SEXTETS[usize::from(byte)]);
        if a | b | c | d >= 64 {
            break;
        }
        decoded.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        rest = behind;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_client_is_read() {
        for form in [
            "+//+AQID",
            "-__-AQID",
            "%2B%2f%2F%2bAQID",
            "%2D%5f%5F-%41QI%44",
            "+//+%0AAQ\r\nID%0D%0A",
            "+//+AQID%3D=%0A=",
        ] {
            assert_eq!(
                decode(form.as_bytes()).unwrap(),
                b"\xfb\xff\xfe\x01\x02\x03",
                "{form}"
            );
        }
        for (form, bytes) in [
            ("", &b""[..]),
            ("AQ==", b"\x01"),
            ("AQ", b"\x01"),
            ("A%51%3D=", b"\x01"),
            ("AQI=", b"\x01\x02"),
            ("AQI", b"\x01\x02"),
            ("AQ%0a=%0A=", b"\x01"),
        ] {
            assert_eq!(decode(form.as_bytes()).unwrap(), bytes, "{form}");
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for form in [
            "AQID%20AQID",
            "AQID AQID",
            "A",
            "AQIDA",
            "AQ=I",
            "AQ%3DID",
            "AQID%252B",
            "AQID%",
            "AQID%2",
            "AQID%2g",
            "AQID\0",
            "AQID\u{e9}",
        ] {
            assert_eq!(decode(form.as_bytes()), None, "{form}");
        }
    }

    #[test]
    fn the_first_parameter_of_that_name_counts() {
        for query in [
            "operation=PKIOperation&message=AQ==",
            "message=AQ==&operation=PKIOperation",
            "OPERATION=PKIOperation&MESSAGE=AQ==",
            "messages=AAAA&xmessage=AAAA&message&message=AQ&message=AAAA",
        ] {
            assert_eq!(message_of_query(query.as_bytes()), Ok(vec![1]), "{query}");
        }
        for query in [
            "",
            "message",
            "message=",
            "message=%0A",
            "message=&message=AQ",
            "a=b",
        ] {
            let read = message_of_query(query.as_bytes());
            assert_eq!(read, Err(Unreadable::NoMessage), "{query}");
        }
    }
}
