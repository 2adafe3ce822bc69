//! Algorithm and size of a public key, for a message.

use std::fmt;

use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;

/// Algorithm and size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Size in bits.
    Rsa(usize),
    P256,
    P384,
    P521,
    Ed25519,
    Other,
}

impl Key {
    /// Refused by devices and by rustls alike.
    pub fn is_short(&self) -> bool {
        matches!(self, Self::Rsa(..2048))
    }

    /// Of the DER of a SubjectPublicKeyInfo.
    pub fn of_spki(der: &[u8]) -> Self {
        SubjectPublicKeyInfo::from_der(der).map_or(Self::Other, |(_, spki)| Self::of(&spki))
    }

    pub(super) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = &spki.algorithm.algorithm;
        if *algorithm == oid::OID_SIG_ED25519 {
            return Self::Ed25519;
        }
        if *algorithm == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = spki
                .algorithm
                .parameters
                .as_ref()
                .and_then(|any| any.as_oid().ok());
            return match curve {
                Some(curve) if curve == oid::OID_EC_P256 => Self::P256,
                Some(curve) if curve == oid::OID_NIST_EC_P384 => Self::P384,
                Some(curve) if curve == oid::OID_NIST_EC_P521 => Self::P521,
                _ => Self::Other,
            };
        }
        match spki.parsed() {
            Ok(PublicKey::RSA(rsa)) => Self::Rsa(bits(rsa.modulus)),
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other => f.write_str("of an unknown kind"),
        }
    }
}

fn bits(modulus: &[u8]) -> usize {
    let digits = modulus
        .iter()
        .position(|byte| *byte != 0)
        .map_or(&[][..], |at| &modulus[at..]);
    digits
        .first()
        .map_or(0, |top| digits.len() * 8 - top.leading_zeros() as usize)
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
