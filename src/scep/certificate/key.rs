//! The algorithm and the size of a public key.

use std::fmt;

use crate::scep::Unreadable;
use crate::scep::ber::{BIT_STRING, INTEGER, OID, Reader, SEQUENCE};
use crate::scep::serial::without_zeros;

/// The algorithm and the size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The bits of the modulus.
    Rsa(u32),
    /// The bits of the curve. `None` if the curve is unknown.
    Ec(Option<u32>),
    Ed25519,
    Other,
}

impl Key {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::Ec(_) => "ec",
            Self::Ed25519 => "ed25519",
            Self::Other => "other",
        }
    }

    pub fn bits(self) -> Option<u32> {
        match self {
            Self::Rsa(bits) => Some(bits),
            Self::Ec(bits) => bits,
            Self::Ed25519 => Some(256),
            Self::Other => None,
        }
    }

    /// Returns whether devices and rustls alike refuse the key.
    pub fn is_short(self) -> bool {
        matches!(self, Self::Rsa(..2048))
    }

    /// Reads the DER of a SubjectPublicKeyInfo.
    pub fn of_spki(der: &[u8]) -> Self {
        let key = Reader::new(der).constructed(SEQUENCE, Self::read);
        key.unwrap_or(Self::Other)
    }

    /// Reads the values in a SubjectPublicKeyInfo.
    pub(super) fn read(info: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (algorithm, curve) = info.constructed(SEQUENCE, |algorithm| {
            let kind = algorithm.oid()?;
            let curve = match algorithm.peek()? {
                Some(OID) => Some(algorithm.oid()?),
                _ => None,
            };
            Ok((kind, curve))
        })?;
        let key = info.primitive(BIT_STRING)?;
        Ok(match algorithm.as_bytes() {
            // rsaEncryption, id-RSAES-OAEP, id-RSASSA-PSS
            b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
            | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07"
            | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" => {
                // The first byte is the number of unused bits in the last byte.
                let mut key = Reader::new(key.get(1..).unwrap_or_default());
                let modulus = key.constructed(SEQUENCE, |key| key.primitive(INTEGER));
                modulus.map_or(Self::Other, |modulus| Self::Rsa(bits(modulus)))
            }
            b"\x2a\x86\x48\xce\x3d\x02\x01" => {
                Self::Ec(curve.and_then(|curve| match curve.as_bytes() {
                    b"\x2b\x81\x04\x00\x21" => Some(224),
                    b"\x2a\x86\x48\xce\x3d\x03\x01\x07" => Some(256),
                    b"\x2b\x81\x04\x00\x22" => Some(384),
                    b"\x2b\x81\x04\x00\x23" => Some(521),
                    _ => None,
                }))
            }
            b"\x2b\x65\x70" => Self::Ed25519,
            _ => Self::Other,
        })
    }
}

impl fmt::Display for Key {
    /// Writes `RSA 2048` or `ECDSA P-256`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ec(Some(bits)) => write!(f, "ECDSA P-{bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Ec(None) | Self::Other => f.write_str("of an unknown kind"),
        }
    }
}

fn bits(modulus: &[u8]) -> u32 {
    let digits = without_zeros(modulus);
    digits
        .first()
        .map_or(0, |top| digits.len() as u32 * 8 - top.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_of_a_modulus_do_not_count() {
        assert_eq!(bits(&[0, 0x80, 0]), 16);
        assert_eq!(bits(&[0x01, 0xff]), 9);
        assert_eq!(bits(&[0]), 0);
    }
}
