//! Determines what a DER file contains, and takes the certificates out of a PKCS#7.
//!
//! Called by `files`, so that an admin who gives a PFX, a CSR or a key in the wrong place is told
//! its name. Only the outer shape of strict DER is read, which the lenient reader of certificates
//! is not meant for: what this accepts is handed to parsers that accept DER only.

use rustls::pki_types::CertificateDer;

/// The kind of a DER value, judged by its outer shape only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Certificate,
    /// Certificate signing request, PKCS#10 (RFC 2986).
    Request,
    RevocationList,
    /// CMS SignedData, "PKCS#7" to Windows (RFC 5652).
    Pkcs7,
    /// "PFX" to Windows (RFC 7292).
    Pkcs12,
    /// RFC 5208.
    Pkcs8,
    /// RSA key (RFC 8017 appendix A.1.2).
    Pkcs1,
    /// Elliptic curve key (RFC 5915).
    Sec1,
    /// Key under a password (RFC 5208 section 6).
    EncryptedKey,
    PublicKey,
    Unknown,
}

impl Kind {
    pub(super) fn of(der: &[u8]) -> Self {
        let Some((SEQUENCE, content, _)) = element(der) else {
            return Self::Unknown;
        };
        match tags(content).as_slice() {
            [OID, CONTEXT_0, ..] if first(content) == Some(SIGNED_DATA) => Self::Pkcs7,
            [INTEGER, SEQUENCE, ..] if first(content) == Some(&[3]) => Self::Pkcs12,
            [INTEGER, SEQUENCE, OCTET_STRING, ..] => Self::Pkcs8,
            [INTEGER, INTEGER, INTEGER, ..] => Self::Pkcs1,
            [INTEGER, OCTET_STRING, ..] => Self::Sec1,
            [SEQUENCE, OCTET_STRING] => Self::EncryptedKey,
            [SEQUENCE, BIT_STRING] => Self::PublicKey,
            [SEQUENCE, SEQUENCE, BIT_STRING] => first(content).map_or(Self::Unknown, signed_kind),
            _ => Self::Unknown,
        }
    }
}

/// Returns the certificates of a PKCS#7 in their order. Returns `None` if it is not strict DER:
/// some tools write BER, and the caller then names the command that converts it.
pub(super) fn pkcs7_certificates(der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    // ContentInfo { OID, [0] { SignedData { version, digests, content, [0] certificates, ... } } }
    let (_, info, _) = strict(der)?;
    let (_, _, info) = strict(info)?;
    let (_, explicit, _) = strict(info)?;
    let (SEQUENCE, mut signed, _) = strict(explicit)? else {
        return None;
    };
    let mut certificates = loop {
        let (tag, content, rest) = strict(signed)?;
        if tag == CONTEXT_0 {
            break content;
        }
        signed = rest;
    };
    let mut found = Vec::new();
    while !certificates.is_empty() {
        let (_, _, rest) = strict(certificates)?;
        let one = &certificates[..certificates.len() - rest.len()];
        if Kind::of(one) == Kind::Certificate {
            found.push(CertificateDer::from(one.to_vec()));
        }
        certificates = rest;
    }
    Some(found)
}

/// Returns whether `der` and everything constructed in it have definite lengths, as DER requires
/// (X.690 §10.1).
pub(super) fn is_definite(der: &[u8]) -> bool {
    is_definite_within(der, MAX_DEPTH)
}

/// More than any certificate has.
const MAX_DEPTH: u8 = 32;

fn is_definite_within(mut der: &[u8], depth: u8) -> bool {
    const CONSTRUCTED: u8 = 0x20;
    while !der.is_empty() {
        let Some((tag, content, rest)) = strict(der) else {
            return false;
        };
        let is_constructed = tag & CONSTRUCTED != 0;
        if is_constructed && (depth == 0 || !is_definite_within(content, depth - 1)) {
            return false;
        }
        der = rest;
    }
    true
}

/// Returns the content of the first element, without its tag and length.
pub(super) fn first(der: &[u8]) -> Option<&[u8]> {
    element(der).map(|(_, content, _)| content)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// Certificates, requests and revocation lists are all `SIGNED { ... }`.
fn signed_kind(to_be_signed: &[u8]) -> Kind {
    match tags(to_be_signed).as_slice() {
        // A certificate of version 3, then one of version 1, which has no version field.
        [CONTEXT_0, INTEGER, ..] | [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, ..] => {
            Kind::Certificate
        }
        [INTEGER, SEQUENCE, SEQUENCE] | [INTEGER, SEQUENCE, SEQUENCE, CONTEXT_0] => Kind::Request,
        [INTEGER, SEQUENCE, SEQUENCE, UTC_TIME | GENERALIZED_TIME, ..]
        | [SEQUENCE, SEQUENCE, UTC_TIME | GENERALIZED_TIME, ..] => Kind::RevocationList,
        _ => Kind::Unknown,
    }
}

/// Returns the tags of consecutive elements. A shape needs no more than eight.
fn tags(mut der: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while let Some((tag, _, rest)) = element(der)
        && found.len() < 8
    {
        found.push(tag);
        der = rest;
    }
    found
}

/// Returns tag, content and rest. An indefinite length (BER) takes the whole rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    match der {
        [tag, 0x80, content @ ..] => Some((*tag, content, &[])),
        _ => strict(der),
    }
}

/// Does the same for a definite length only.
fn strict(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else {
        return None;
    };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // Four bytes are more than the largest file that is read.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (
                bytes
                    .iter()
                    .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
