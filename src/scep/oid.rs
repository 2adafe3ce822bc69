//! Object identifiers.

use std::fmt;

use super::inline_bytes::InlineBytes;

/// An object identifier as BER encodes it (X.690 §8.19), without tag and length. It displays as
/// `1.2.840.113549.1.1.11`. Of an identifier longer than [`Oid::MAX`] bytes the start is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(InlineBytes<{ Self::MAX }>);

impl Oid {
    /// Twice the length of the longest identifier in use.
    pub const MAX: usize = 31;

    pub(super) fn new(encoded: &[u8]) -> Self {
        Self(InlineBytes::new(encoded))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arc = 0_u64;
        let mut first = true;
        for byte in self.as_bytes() {
            // An arc beyond 64 bits loses its top; nobody has registered one.
            arc = arc << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 != 0 {
                continue;
            }
            if first {
                // The first two arcs are one number: 40 * (0, 1 or 2) + the second.
                let root = (arc / 40).min(2);
                write!(f, "{root}.{}", arc - root * 40)?;
                first = false;
            } else {
                write!(f, ".{arc}")?;
            }
            arc = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Oid;

    #[test]
    fn identifiers_display_in_dotted_form() {
        for (encoded, dotted) in [
            (
                &b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"[..],
                "1.2.840.113549.1.1.11",
            ),
            (b"\x2b\x0e\x03\x02\x07", "1.3.14.3.2.7"),
            (
                b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a",
                "2.16.840.1.101.3.4.1.42",
            ),
            (b"\x88\x37\x01", "2.999.1"),
            (b"", ""),
            (b"\x2a\x86", "1.2"),
        ] {
            assert_eq!(Oid::new(encoded).to_string(), dotted);
        }
        let long = [1; 40];
        assert_eq!(Oid::new(&long), Oid::new(&long[..Oid::MAX]));
        assert_eq!(Oid::new(&[0xff; 31]).to_string(), "");
    }
}
