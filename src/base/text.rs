//! Decodes text files as Windows writes them, and formats numbers without the cost of `fmt`.

use std::borrow::Cow;
use std::net::Ipv4Addr;

/// Decodes the text of a file: UTF-8 or UTF-16 (which PowerShell's `>` and `Out-File` write), with
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
        // Without a mark, the zero byte of an ASCII character shows the byte order.
        [1..=0xFF, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, 1..=0xFF, ..] => utf16(bytes, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
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

/// Returns the last digit of `number` in `BASE`, in lower case.
pub fn digit_of<const BASE: u64>(number: u64) -> u8 {
    b"0123456789abcdef"[(number % BASE) as usize]
}

/// Returns an address in dotted form, followed by zero bytes, and its length.
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

    proptest::proptest! {
        #[test]
        fn numbers_and_addresses_are_as_fmt_writes_them(number: u64, address: u32) {
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
    fn every_form_that_windows_writes_is_read() {
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
