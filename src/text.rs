//! Text files as Windows writes them. Used for the configuration and for PEM files.

use std::borrow::Cow;

/// The text of a file: UTF-8 or UTF-16 (what PowerShell's `>` and `Out-File` write), with or
/// without byte order mark. None where it is neither.
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
        // Without a mark: the zero byte of an ASCII character.
        [1..=0xFF, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, 1..=0xFF, ..] => utf16(bytes, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

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
