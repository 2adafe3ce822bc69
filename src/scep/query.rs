//! The message of a GET PKIOperation.
//!
//! Percent-decoding and base64 are our own. The text may mix both alphabets, may have line ends
//! anywhere, and may lack its padding. base64 and base64-simd decode one alphabet without line
//! ends, so they would need further passes over the text; data-encoding can translate the second
//! alphabet and ignore line ends, but requires the padding or forbids it. The cost matters: on a
//! GET with 60 KB, SHA-256 and base64 are already a quarter of the request (benches/README.md). On
//! queries of 14 to 16 KB (jscep and certmonger in tests/corpus, release build with fat LTO, busy
//! machine) this decoder took 4 to 7 us, data-encoding and base64 with a trimmed padding, cleaned
//! text and the escapes decoded here 10 to 15 us, and with the percent-encoding crate 19 us and
//! more. That crate also leaves a malformed escape as it is, but here it must be refused.

use std::borrow::Cow;

use super::Unreadable;

/// Returns the CMS bytes of a PKIOperation that was sent by GET (RFC 8894 §4.1): the first
/// parameter `message` of the raw query, whose name may have any case.
///
/// The value is percent-decoded once; `+` stays `+`. Both base64 alphabets are accepted, with and
/// without line ends and padding (RFC 4648 §4, §5). The decoder is written here, because a crate
/// would need the whitespace and the escapes removed by a copy first, and refuses mixed alphabets.
///
/// # Errors
/// `NoMessage` or `NotBase64`.
pub fn message_of_query(query: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let value = message(query).ok_or(Unreadable::NoMessage)?;
    let decoded = decode(value).ok_or(Unreadable::NotBase64)?;
    if decoded.is_empty() {
        return Err(Unreadable::NoMessage);
    }
    Ok(decoded)
}

/// Returns the raw value of the first parameter of that name.
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

/// What a byte of the value means: below 64 it is that sextet, otherwise one of the following.
static SYMBOLS: [u8; 256] = symbols();
const LINE_END: u8 = 0x40;
const PADDING: u8 = 0x41;
const OTHER: u8 = 0x80;

const fn symbols() -> [u8; 256] {
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
    table
}

/// The sextet of a byte, shifted for the first to the fourth of 24 bits. [`NO_SEXTET`] for any
/// other byte.
static SEXTETS: [[u32; 256]; 4] = [sextets(18), sextets(12), sextets(6), sextets(0)];
const NO_SEXTET: u32 = 1 << 24;

const fn sextets(shift: u32) -> [u32; 256] {
    let symbols = symbols();
    let mut table = [NO_SEXTET; 256];
    let mut byte = 0;
    while byte < table.len() {
        if symbols[byte] < 64 {
            table[byte] = (symbols[byte] as u32) << shift;
        }
        byte += 1;
    }
    table
}

/// The value of a hexadecimal digit, or [`OTHER`] for any other byte.
static HEX: [u8; 256] = hex_digits();

const fn hex_digits() -> [u8; 256] {
    let mut table = [OTHER; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
}

/// Returns the byte that `%` and two digits mean.
fn unescape([high, low]: [u8; 2]) -> Option<u8> {
    let (high, low) = (HEX[usize::from(high)], HEX[usize::from(low)]);
    (high | low < 16).then_some(high << 4 | low)
}

/// Decodes percent-encoding and base64. Returns `None` if the text is not base64. Allocates three
/// quarters of `text` and a few bytes, and all of `text` if something in it is escaped.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = &*unescaped(text)?;
    let mut decoded = vec![0; text.len() / 4 * 3 + 8];
    let mut length = 0;
    let mut rest = text;
    let (mut bits, mut sextets, mut padded) = (0_u32, 0, false);
    loop {
        if sextets == 0 && !padded {
            length += decode_groups(&mut rest, &mut decoded[length..]);
        }
        let [first, behind @ ..] = rest else {
            break;
        };
        rest = behind;
        match SYMBOLS[usize::from(*first)] {
            symbol @ 0..64 if !padded => {
                bits = bits << 6 | u32::from(symbol);
                sextets += 1;
                if sextets == 4 {
                    decoded[length..length + 3].copy_from_slice(&bits.to_be_bytes()[1..]);
                    length += 3;
                    (bits, sextets) = (0, 0);
                }
            }
            LINE_END => {}
            PADDING => padded = true,
            _ => return None,
        }
    }
    decoded.truncate(length);
    match sextets {
        0 => {}
        2 => decoded.push((bits >> 4) as u8),
        3 => decoded.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        // A single character is not even a byte.
        _ => return None,
    }
    Some(decoded)
}

/// Decodes percent-encoding once. Line ends, which clients escape most often, are left out at once.
/// Returns `None` if two digits do not follow a `%`.
fn unescaped(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(mut at) = memchr::memchr(b'%', text) else {
        return Some(Cow::Borrowed(text));
    };
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        plain.extend_from_slice(&rest[..at]);
        let (digits, behind) = rest[at + 1..].split_first_chunk()?;
        let byte = unescape(*digits)?;
        if SYMBOLS[usize::from(byte)] != LINE_END {
            plain.push(byte);
        }
        rest = behind;
        let Some(next) = memchr::memchr(b'%', rest) else {
            plain.extend_from_slice(rest);
            return Some(Cow::Owned(plain));
        };
        at = next;
    }
}

/// Decodes four characters at a time as long as they are base64, which is nearly all of a message.
/// Removes them from `text`. Returns the number of decoded bytes.
fn decode_groups(text: &mut &[u8], decoded: &mut [u8]) -> usize {
    let (groups, _) = text.as_chunks();
    let (targets, _) = decoded.as_chunks_mut();
    let mut done = 0;
    for (group, target) in groups.iter().zip(targets) {
        let [a, b, c, d] = <[u8; 4]>::map(*group, usize::from);
        let bits = SEXTETS[0][a] | SEXTETS[1][b] | SEXTETS[2][c] | SEXTETS[3][d];
        if bits >= NO_SEXTET {
            break;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        *target = bytes;
        done += 1;
    }
    *text = &text[4 * done..];
    3 * done
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
    fn the_first_parameter_of_that_name_is_used() {
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
