//! The algorithms that messages and certificates name.

use super::Oid;

/// The digest of a SignerInfo, in ascending strength. An unknown one counts as the weakest of all,
/// because no policy may accept what it cannot judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Digest {
    Other(Oid),
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The content encryption of an EnvelopedData, in ascending strength (Blowfish before Triple DES:
/// its use in CMS was never standardised, and NDES does not support it). See [`Digest`] for
/// `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cipher {
    Other(Oid),
    Rc2,
    Des,
    Blowfish,
    Des3,
    Aes128,
    Aes192,
    Aes256,
}

/// The signature algorithm of a SignerInfo or a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// rsaEncryption: PKCS #1 v1.5 with the digest that another field of the SignerInfo names.
    Rsa,
    Md5Rsa,
    Sha1Rsa,
    Sha224Rsa,
    Sha256Rsa,
    Sha384Rsa,
    Sha512Rsa,
    /// RSASSA-PSS with any digest.
    Pss,
    Sha1Ecdsa,
    Sha224Ecdsa,
    Sha256Ecdsa,
    Sha384Ecdsa,
    Sha512Ecdsa,
    Ed25519,
    Other(Oid),
}

impl Digest {
    /// All variants except `Other`.
    pub const KNOWN: [Self; 6] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other(_) => "other",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub fn oid(self) -> Oid {
        Oid::new(self.encoded())
    }

    fn encoded(&self) -> &[u8] {
        match self {
            Self::Other(oid) => oid.as_bytes(),
            Self::Md5 => b"\x2a\x86\x48\x86\xf7\x0d\x02\x05",
            Self::Sha1 => b"\x2b\x0e\x03\x02\x1a",
            Self::Sha256 => b"\x60\x86\x48\x01\x65\x03\x04\x02\x01",
            Self::Sha384 => b"\x60\x86\x48\x01\x65\x03\x04\x02\x02",
            Self::Sha512 => b"\x60\x86\x48\x01\x65\x03\x04\x02\x03",
            Self::Sha224 => b"\x60\x86\x48\x01\x65\x03\x04\x02\x04",
        }
    }

    pub(super) fn of(oid: Oid) -> Self {
        let mut known = Self::KNOWN.into_iter();
        let known = known.find(|known| known.encoded() == oid.as_bytes());
        known.unwrap_or(Self::Other(oid))
    }
}

impl Cipher {
    /// All variants except `Other`.
    pub const KNOWN: [Self; 7] = [
        Self::Rc2,
        Self::Des,
        Self::Blowfish,
        Self::Des3,
        Self::Aes128,
        Self::Aes192,
        Self::Aes256,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other(_) => "other",
            Self::Rc2 => "rc2-cbc",
            Self::Des => "des-cbc",
            Self::Blowfish => "blowfish-cbc",
            Self::Des3 => "des3-cbc",
            Self::Aes128 => "aes128-cbc",
            Self::Aes192 => "aes192-cbc",
            Self::Aes256 => "aes256-cbc",
        }
    }

    pub fn oid(self) -> Oid {
        Oid::new(self.encoded())
    }

    fn encoded(&self) -> &[u8] {
        match self {
            Self::Other(oid) => oid.as_bytes(),
            Self::Rc2 => b"\x2a\x86\x48\x86\xf7\x0d\x03\x02",
            Self::Des => b"\x2b\x0e\x03\x02\x07",
            Self::Blowfish => b"\x2b\x06\x01\x04\x01\x97\x55\x01\x02",
            Self::Des3 => b"\x2a\x86\x48\x86\xf7\x0d\x03\x07",
            Self::Aes128 => b"\x60\x86\x48\x01\x65\x03\x04\x01\x02",
            Self::Aes192 => b"\x60\x86\x48\x01\x65\x03\x04\x01\x16",
            Self::Aes256 => b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a",
        }
    }

    pub(super) fn of(oid: Oid) -> Self {
        let mut known = Self::KNOWN.into_iter();
        let known = known.find(|known| known.encoded() == oid.as_bytes());
        known.unwrap_or(Self::Other(oid))
    }
}

impl Signature {
    /// All variants except `Other`.
    pub const KNOWN: [Self; 14] = [
        Self::Rsa,
        Self::Md5Rsa,
        Self::Sha1Rsa,
        Self::Sha224Rsa,
        Self::Sha256Rsa,
        Self::Sha384Rsa,
        Self::Sha512Rsa,
        Self::Pss,
        Self::Sha1Ecdsa,
        Self::Sha224Ecdsa,
        Self::Sha256Ecdsa,
        Self::Sha384Ecdsa,
        Self::Sha512Ecdsa,
        Self::Ed25519,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsassa_pkcs1v15",
            Self::Md5Rsa => "md5_rsa",
            Self::Sha1Rsa => "sha1_rsa",
            Self::Sha224Rsa => "sha224_rsa",
            Self::Sha256Rsa => "sha256_rsa",
            Self::Sha384Rsa => "sha384_rsa",
            Self::Sha512Rsa => "sha512_rsa",
            Self::Pss => "rsassa_pss",
            Self::Sha1Ecdsa => "sha1_ecdsa",
            Self::Sha224Ecdsa => "sha224_ecdsa",
            Self::Sha256Ecdsa => "sha256_ecdsa",
            Self::Sha384Ecdsa => "sha384_ecdsa",
            Self::Sha512Ecdsa => "sha512_ecdsa",
            Self::Ed25519 => "ed25519",
            Self::Other(_) => "other",
        }
    }

    pub fn oid(self) -> Oid {
        Oid::new(self.encoded())
    }

    fn encoded(&self) -> &[u8] {
        match self {
            Self::Other(oid) => oid.as_bytes(),
            Self::Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
            Self::Md5Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04",
            Self::Sha1Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05",
            Self::Pss => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a",
            Self::Sha256Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b",
            Self::Sha384Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c",
            Self::Sha512Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d",
            Self::Sha224Rsa => b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e",
            Self::Sha1Ecdsa => b"\x2a\x86\x48\xce\x3d\x04\x01",
            Self::Sha224Ecdsa => b"\x2a\x86\x48\xce\x3d\x04\x03\x01",
            Self::Sha256Ecdsa => b"\x2a\x86\x48\xce\x3d\x04\x03\x02",
            Self::Sha384Ecdsa => b"\x2a\x86\x48\xce\x3d\x04\x03\x03",
            Self::Sha512Ecdsa => b"\x2a\x86\x48\xce\x3d\x04\x03\x04",
            Self::Ed25519 => b"\x2b\x65\x70",
        }
    }

    pub fn is_pss(self) -> bool {
        self == Self::Pss
    }

    pub fn is_sha1(self) -> bool {
        match self {
            Self::Sha1Rsa | Self::Sha1Ecdsa => true,
            // sha1WithRSA of OIW, 1.3.14.3.2.29
            Self::Other(oid) => oid.as_bytes() == b"\x2b\x0e\x03\x02\x1d",
            _ => false,
        }
    }

    pub(super) fn of(oid: Oid) -> Self {
        let mut known = Self::KNOWN.into_iter();
        let known = known.find(|known| known.encoded() == oid.as_bytes());
        known.unwrap_or(Self::Other(oid))
    }
}
