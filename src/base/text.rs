//! Decodes text files as Windows writes them, cuts text, finds invisible characters, and formats
//! numbers without the cost of `fmt`.

use std::borrow::Cow;
use std::net::Ipv4Addr;

/// Decodes the text of a file in UTF-8 or UTF-16 (which `>` and `Out-File` of PowerShell write), with
/// or without byte order mark. Returns `None` if it is neither.
pub fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        odd.is_empty()
            .then(|| String::from_utf16(&units).ok().map(Cow::Owned))
            .flatten()
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Without a mark, an ASCII character in UTF-16 has a zero byte.
        [1..=0xFF, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, 1..=0xFF, ..] => utf16(bytes, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// Returns whether a character has no visible form or changes how others are shown: control
/// characters, line separators, and the marks that reverse the direction of text.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns at most the first `most` bytes of `text`, cut at the end of a character.
pub fn cut(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    let end = ends.find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// Returns as many hexadecimal digits as `number` needs, in lower case and followed by zero bytes,
/// and their count. Decimal digits are written by itoa, which has no hexadecimal ones.
pub fn hex_digits(mut number: u64) -> ([u8; 16], usize) {
    let count = number.checked_ilog(16).unwrap_or(0) as usize + 1;
    let mut digits = [0; 16];
    for digit in digits[..count].iter_mut().rev() {
        *digit = digit_of::<16>(number);
        number /= 16;
    }
    (digits, count)
}

/// Returns the last digit of `number` as ASCII, in lower case.
pub fn digit_of<const BASE: u64>(number: u64) -> u8 {
    b"0123456789abcdef"[(number % BASE) as usize]
}

/// Returns `address` in dotted decimal form, followed by zero bytes, and its length.
pub fn dotted(address: Ipv4Addr) -> ([u8; 15], usize) {
    let (mut text, mut end) = ([0; 15], 0);
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text[end] = b'.';
            end += 1;
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(octet).as_bytes();
        text[end..end + digits.len()].copy_from_slice(digits);
        end += digits.len();
    }
    (text, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(cut(&"ü".repeat(600), 1_023), "ü".repeat(511));
        assert_eq!(cut("short", 5), "short");
    }

    proptest::proptest! {
        #[test]
        fn numbers_and_addresses_equal_the_output_of_fmt(number: u64, address: u32) {
            for number in [number, number >> 40, 0, u64::MAX] {
                let (text, count) = hex_digits(number);
                assert_eq!(&text[..count], format!("{number:x}").as_bytes());
            }
            let address = Ipv4Addr::from(address);
            let (text, count) = dotted(address);
            assert_eq!(&text[..count], address.to_string().as_bytes());
        }
    }

    #[test]
    fn every_encoding_that_windows_writes_is_decoded() {
        let little: Vec<u8> = [0xFF, 0xFE]
            .into_iter()
            .chain("a=1".encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let big: Vec<u8> = [0xFE, 0xFF]
            .into_iter()
            .chain("a=1".encode_utf16().flat_map(u16::to_be_bytes))
            .collect();
        for bytes in [
            b"a=1".as_slice(),
            b"\xEF\xBB\xBFa=1",
            &little,
            &little[2..],
            &big,
            &big[2..],
        ] {
            assert_eq!(decode(bytes).as_deref(), Some("a=1"));
        }
        assert_eq!(decode(b"\xFF\xFEa"), None);
        assert_eq!(decode(b"a\xE9"), None);
    }
}
