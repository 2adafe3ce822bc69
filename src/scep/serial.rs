//! Serial numbers of certificates.

use super::inline_bytes::InlineBytes;
use super::name::push_hex;

pub const MAX_SERIAL: usize = 64;

/// The content of an INTEGER, cut after [`MAX_SERIAL`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct Serial(InlineBytes<MAX_SERIAL>);

impl Serial {
    pub fn new(content: &[u8]) -> Self {
        Self(InlineBytes::new(content))
    }

    /// Returns the content of the INTEGER.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns lower-case hexadecimal digits without leading zeros, and `-` before a negative
    /// number.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(2 * self.0.len() + 1);
        if self.0.first().is_some_and(|first| first & 0x80 != 0) {
            // Two's complement (X.690 §8.3.3).
            let mut carry = true;
            let mut magnitude = self.0.to_vec();
            for byte in magnitude.iter_mut().rev() {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
            push_hex(&mut text, without_zeros(&magnitude));
            let digits = text.trim_start_matches('0').len();
            text.replace_range(..text.len() - digits, "-");
            return text;
        }
        push_hex(&mut text, without_zeros(&self.0));
        match text.as_bytes() {
            [] => text.push('0'),
            [b'0', ..] => _ = text.remove(0),
            _ => {}
        }
        text
    }

    /// Returns the bytes without those that only repeat the sign.
    fn shortest(&self) -> &[u8] {
        let mut rest = &*self.0;
        while let [0, next, ..] | [0xff, next, ..] = rest
            && (rest[0] ^ next) & 0x80 == 0
        {
            rest = &rest[1..];
        }
        if rest == [0] { &[] } else { rest }
    }
}

/// Compares the numbers, in any encoding.
impl PartialEq for Serial {
    fn eq(&self, other: &Self) -> bool {
        self.shortest() == other.shortest()
    }
}

impl Eq for Serial {}

pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_written_in_hexadecimal() {
        for (content, text) in [
            (&b"\x03\xe9"[..], "3e9"),
            (b"\x0a", "a"),
            (b"\x00\x80", "80"),
            (b"\x00\x00\x01", "1"),
            (b"\x00", "0"),
            (b"", "0"),
            (b"\xff", "-1"),
            (b"\x80", "-80"),
            (b"\xff\x00", "-100"),
        ] {
            assert_eq!(Serial::new(content).text(), text, "{content:?}");
        }
        assert_eq!(Serial::new(&[0x11; 100]).text(), "11".repeat(MAX_SERIAL));
    }

    #[test]
    fn padding_does_not_change_a_number() {
        let same: [(&[u8], &[u8]); 5] = [
            (b"\x00\x80", b"\x00\x00\x80"),
            (b"\x80", b"\xff\xff\x80"),
            (b"\x01", b"\x00\x01"),
            (b"", b"\x00\x00"),
            (b"\xff", b"\xff\xff"),
        ];
        for (one, other) in same {
            assert_eq!(Serial::new(one), Serial::new(other));
        }
        let others: [(&[u8], &[u8]); 3] =
            [(b"\x00\x80", b"\x80"), (b"\xff", b"\x00"), (b"", b"\x01")];
        for (one, other) in others {
            assert_ne!(Serial::new(one), Serial::new(other));
        }
    }
}
