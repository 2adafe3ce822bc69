//! An X.509 certificate, read leniently: devices sign with certificates that break RFC 5280.

use super::{Oid, Recipient, Signature};

/// Decides nothing about trust. Text is as the certificate has it: escape it before it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As `CN=ndes,O=Corp,C=DE` (RFC 4514), cut after [`MAX_NAME`] bytes; none if not readable.
    pub subject: Option<String>,
    pub issuer: Option<String>,
    /// The number in lower-case hexadecimal digits without leading zeros; cut after
    /// [`MAX_SERIAL`] bytes of the number.
    pub serial: String,
    /// Subject and issuer are the same. No signature is verified.
    pub self_issued: bool,
    /// Seconds since 1970.
    pub not_after: Option<i64>,
    pub key: Key,
    pub is_ca: bool,
    /// None without the extension.
    pub key_usage: Option<KeyUsage>,
    /// The first [`MAX_EXT_KEY_USAGES`]; empty without the extension.
    pub ext_key_usage: Vec<Oid>,
    /// Of the signature of its issuer.
    pub signature: Signature,
    /// Cut after [`MAX_KEY_ID`] bytes, as the next.
    pub subject_key_id: Option<Box<[u8]>>,
    pub authority_key_id: Option<Box<[u8]>>,
    /// Of the certificate's bytes.
    pub sha256: [u8; 32],
}

pub const MAX_NAME: usize = 1024;
pub const MAX_SERIAL: usize = 64;
pub const MAX_EXT_KEY_USAGES: usize = 16;
pub const MAX_KEY_ID: usize = 64;

/// Kind and size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Bits of the modulus.
    Rsa(u32),
    /// Bits of the curve; none of one that is not known here.
    Ec(Option<u32>),
    Ed25519,
    Other,
}

/// What a certificate that NDES presents is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ca,
    /// Registration authority that signs and decrypts.
    Ra,
    RaSigning,
    RaEncryption,
    Other,
}

/// The bits of keyUsage (RFC 5280 §4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl Certificate {
    /// By basicConstraints, then by keyUsage.
    pub fn role(&self) -> Role {
        Role::Other
    }

    /// Whether `ca` looks like the one that signed this: by name and, where both have one, by key
    /// identifier, as a CA that is renewed with a new key keeps its name.
    pub fn is_issued_by(&self, ca: &Self) -> bool {
        _ = ca;
        false
    }

    /// Whether an envelope for `recipient` is for this certificate.
    pub fn is(&self, recipient: &Recipient) -> bool {
        _ = recipient;
        false
    }
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
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Ca,
        Self::Ra,
        Self::RaSigning,
        Self::RaEncryption,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Ra => "ra",
            Self::RaSigning => "ra-signing",
            Self::RaEncryption => "ra-encryption",
            Self::Other => "other",
        }
    }
}
