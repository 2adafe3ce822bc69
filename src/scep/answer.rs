//! What a server says of itself: GetCACert, GetCACertChain, GetNextCACert, GetCACaps.

use super::{Certificate, Unreadable};

/// The first [`MAX_CERTIFICATES`] certificates of the answer to GetCACert, GetCACertChain or
/// GetNextCACert (RFC 8894 §4.2.1, §4.7.1), in the order in which they stand. One that cannot be
/// read is left out.
///
/// # Errors
/// Why there is none.
pub fn ca_certificates(body: &[u8]) -> Result<Vec<Certificate>, Unreadable> {
    _ = body;
    Err(Unreadable::NoCertificate)
}

pub const MAX_CERTIFICATES: usize = 16;

/// One word of GetCACaps (RFC 8894 §3.5.2; `Update`, `SHA-224`, `SHA-384`: of its drafts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    Aes,
    Des3,
    GetNextCACert,
    POSTPKIOperation,
    Renewal,
    SCEPStandard,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Update,
}

impl Capability {
    pub const ALL: [Self; 12] = [
        Self::Aes,
        Self::Des3,
        Self::GetNextCACert,
        Self::POSTPKIOperation,
        Self::Renewal,
        Self::SCEPStandard,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Update,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes => "AES",
            Self::Des3 => "DES3",
            Self::GetNextCACert => "GetNextCACert",
            Self::POSTPKIOperation => "POSTPKIOperation",
            Self::Renewal => "Renewal",
            Self::SCEPStandard => "SCEPStandard",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Update => "Update",
        }
    }
}

/// The words of an answer to GetCACaps that are known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// One word a line, ended by CR, LF or both, in any case. Unknown words are passed over, so an
    /// HTML page has none.
    pub fn read(body: &[u8]) -> Self {
        _ = body;
        Self::default()
    }

    pub fn contains(self, word: Capability) -> bool {
        self.0 & 1 << word as u16 != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Capability> {
        let all = Capability::ALL.into_iter();
        all.filter(move |word| self.contains(*word))
    }
}
