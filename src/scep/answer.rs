//! The responses in which a server describes itself: GetCACert, GetCACertChain, GetNextCACert and
//! GetCACaps.

use super::ber::{Reader, SEQUENCE};
use super::cms::{MAX_MESSAGE, signed_data};
use super::{Certificate, Unreadable};

/// Reads the first [`MAX_CERTIFICATES`](super::MAX_CERTIFICATES) certificates of the response to
/// GetCACert, GetCACertChain or GetNextCACert (RFC 8894 §4.2.1, §4.7.1), in their order: one bare
/// certificate, or those of a SignedData. If that contains another SignedData, the inner ones. A
/// certificate that cannot be read is left out.
///
/// # Errors
/// Returns the reason if no certificate can be read.
pub fn ca_certificates(body: &[u8]) -> Result<Vec<Certificate>, Unreadable> {
    let certificates = match bare(body) {
        Some(certificate) => vec![certificate],
        None => bundled(body)?,
    };
    if certificates.is_empty() {
        return Err(Unreadable::NoCertificate);
    }
    Ok(certificates)
}

fn bare(body: &[u8]) -> Option<Certificate> {
    let first = Reader::new(body).constructed(SEQUENCE, |all| all.peek());
    match first {
        Ok(Some(SEQUENCE)) if body.len() <= MAX_MESSAGE => Certificate::read(body),
        _ => None,
    }
}

fn bundled(body: &[u8]) -> Result<Vec<Certificate>, Unreadable> {
    let read = |certificates: &[&[u8]]| {
        let read = certificates.iter().filter_map(|der| Certificate::read(der));
        read.collect::<Vec<_>>()
    };
    signed_data(body, |outer, _| {
        let inner = outer.content.as_deref().unwrap_or_default();
        signed_data(inner, |inner, _| Ok(read(inner.certificates())))
            .or_else(|_| Ok(read(outer.certificates())))
    })
}

/// One word of GetCACaps (RFC 8894 §3.5.2; `Update`, `SHA-224` and `SHA-384` are from its drafts).
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

/// The known words of a response to GetCACaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Reads one word per line, ended by CR, LF or both, in any case. Unknown words are ignored, so
    /// an HTML page has none.
    pub fn read(body: &[u8]) -> Self {
        let mut found = 0;
        for line in body.split(|byte| matches!(byte, b'\r' | b'\n')) {
            let line = line.trim_ascii();
            let is_line = |word: &Capability| word.as_str().as_bytes().eq_ignore_ascii_case(line);
            if let Some(word) = Capability::ALL.into_iter().find(is_line) {
                found |= 1 << word as u16;
            }
        }
        Self(found)
    }

    pub fn contains(self, word: Capability) -> bool {
        self.0 & 1 << word as u16 != 0
    }

    /// Returns whether a PKIOperation may be sent by POST, which SCEPStandard also says (RFC 8894
    /// §3.5.2), as it does for AES.
    pub fn takes_post(self) -> bool {
        self.contains(Capability::POSTPKIOperation) || self.contains(Capability::SCEPStandard)
    }

    pub fn takes_aes(self) -> bool {
        self.contains(Capability::Aes) || self.contains(Capability::SCEPStandard)
    }

    pub fn iter(self) -> impl Iterator<Item = Capability> {
        let all = Capability::ALL.into_iter();
        all.filter(move |word| self.contains(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_line_by_line() {
        let words = |body: &str| {
            let words = Capabilities::read(body.as_bytes()).iter();
            words.map(Capability::as_str).collect::<Vec<_>>()
        };
        for body in [
            "POSTPKIOperation\nSHA-256\nAES\n",
            "aes\r\nsha-256\r\npostpkioperation",
            " AES \r\rSHA-256\nUnknown\nAESX\n\nPOSTPKIOperation\nAES",
        ] {
            assert_eq!(words(body), ["AES", "POSTPKIOperation", "SHA-256"]);
        }
        assert!(words("").is_empty());
        assert!(words("<html>AES</html>").is_empty());
        let all = Capability::ALL.map(Capability::as_str);
        assert_eq!(words(&all.join("\n")), all);
    }
}
