//! Writes DER (X.690), of which the responses of a SCEP server consist. There is no reader in it:
//! [`crate::scep`] has that.
//!
//! Called by `degenerate`, `cert_rep` and `ra`.

/// Returns an element with this identifier octet and these parts, one after the other.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    element.extend(length(content.len()));
    element.extend(content);
    element
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// Returns a SET OF in the order of DER, which is that of the encodings (X.690 §11.6).
pub(super) fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort_unstable();
    element(SET, &[&elements.concat()])
}

/// Returns a small INTEGER that is not negative.
pub(super) fn integer(value: u8) -> Vec<u8> {
    match value {
        0..0x80 => element(INTEGER, &[&[value]]),
        // The first bit is the sign.
        0x80.. => element(INTEGER, &[&[0, value]]),
    }
}

/// Returns a length (X.690 §8.1.3): one byte below 128, otherwise the number of its bytes and
/// these.
fn length(length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let significant = &bytes[length.leading_zeros() as usize / 8..];
    match significant {
        [] => vec![0],
        [one] if *one < 0x80 => vec![*one],
        many => {
            let mut long = vec![0x80 | many.len() as u8];
            long.extend_from_slice(many);
            long
        }
    }
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// 1.2.840.113549.1.7.1
pub(super) const ID_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
/// 1.2.840.113549.1.7.2
pub(super) const ID_SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_can_be() {
        for (value, expected) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0x81, 128]),
            (255, vec![0x81, 255]),
            (256, vec![0x82, 1, 0]),
            (65536, vec![0x83, 1, 0, 0]),
        ] {
            assert_eq!(length(value), expected, "{value}");
        }
    }

    #[test]
    fn an_integer_has_room_for_its_sign() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
    }

    #[test]
    fn a_set_is_sorted_by_its_encodings() {
        let set = set_of(vec![integer(3), integer(200), integer(1)]);
        assert_eq!(set, b"\x31\x0a\x02\x01\x01\x02\x01\x03\x02\x02\x00\xc8");
    }
}
