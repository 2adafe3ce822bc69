//! An X.509 certificate, read leniently: devices sign with certificates that break RFC 5280.

use super::ber::{BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_3, INTEGER, OID, Reader, SEQUENCE};
use super::{Oid, Recipient, Signature, Unreadable, name};
use crate::hash::sha256;

mod key;
mod usage;
mod validity;

pub use key::Key;
pub use usage::{KeyUsage, Role};

/// Decides nothing about trust. Text is as the certificate has it: escape it before it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As `CN=ndes,O=Corp,C=DE` (RFC 4514), cut after [`MAX_NAME`](super::MAX_NAME) bytes; none
    /// if not readable.
    pub subject: Option<String>,
    pub issuer: Option<String>,
    /// The number in lower-case hexadecimal digits without leading zeros; of one of more than
    /// [`MAX_SERIAL`] bytes the first.
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
    /// Of the certificate's bytes; none of a signer, which is read too often for that.
    pub sha256: Option<[u8; 32]>,
}

pub const MAX_SERIAL: usize = 64;
pub const MAX_EXT_KEY_USAGES: usize = 16;
pub const MAX_KEY_ID: usize = 64;

impl Certificate {
    /// By basicConstraints, then by keyUsage.
    pub fn role(&self) -> Role {
        match self.key_usage {
            _ if self.is_ca => Role::Ca,
            None => Role::Ra,
            Some(usage) => match (usage.is_for_signing(), usage.is_for_encryption()) {
                (true, true) => Role::Ra,
                (true, false) => Role::RaSigning,
                (false, true) => Role::RaEncryption,
                (false, false) => Role::Other,
            },
        }
    }

    /// Whether `ca` looks like the one that signed this: by name and, where both have one, by key
    /// identifier, as a CA that is renewed with a new key keeps its name.
    pub fn is_issued_by(&self, ca: &Self) -> bool {
        let same_key = match (&self.authority_key_id, &ca.subject_key_id) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        same_key && is_same_name(self.issuer.as_deref(), ca.subject.as_deref())
    }

    /// Whether an envelope for `recipient` is for this certificate.
    pub fn is(&self, recipient: &Recipient) -> bool {
        match recipient {
            Recipient::IssuerAndSerial { issuer, serial } => {
                *serial == self.serial && is_same_name(issuer.as_deref(), self.issuer.as_deref())
            }
            Recipient::KeyId(id) => self.subject_key_id.as_deref() == Some(&**id),
            Recipient::Other => false,
        }
    }

    /// Whether the certificate in `der` has this issuer (a Name with its tag) and serial (the
    /// content of its INTEGER).
    pub(super) fn is_named(der: &[u8], issuer: &[u8], serial: &[u8]) -> bool {
        let identity = |tbs: &mut Reader<'_>| {
            let (found_serial, _) = serial_and_algorithm(tbs)?;
            let found_issuer = tbs.raw()?;
            let same_name = || {
                found_issuer == issuer
                    || is_same_name(
                        name::text(found_issuer).as_deref(),
                        name::text(issuer).as_deref(),
                    )
            };
            Ok(without_zeros(found_serial) == without_zeros(serial) && same_name())
        };
        let read =
            Reader::new(der).constructed(SEQUENCE, |all| all.constructed(SEQUENCE, identity));
        read.unwrap_or(false)
    }

    /// With its digest.
    pub(super) fn read_whole(der: &[u8]) -> Option<Self> {
        let certificate = Self::read(der)?;
        Some(Self {
            sha256: Some(sha256(der)),
            ..certificate
        })
    }

    /// None if it has not even the shape of a certificate; an extension that cannot be read counts
    /// as absent.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let read = |tbs: &mut Reader<'_>| {
            let (serial, algorithm) = serial_and_algorithm(tbs)?;
            let issuer = tbs.raw()?;
            let not_after = tbs.constructed(SEQUENCE, validity::not_after)?;
            let subject = tbs.raw()?;
            let key = tbs.constructed(SEQUENCE, Key::read)?;
            let issuer_text = name::text(issuer);
            let subject_text = if subject == issuer {
                issuer_text.clone()
            } else {
                name::text(subject)
            };
            let mut certificate = Self {
                self_issued: subject == issuer
                    || is_same_name(subject_text.as_deref(), issuer_text.as_deref()),
                subject: subject_text,
                issuer: issuer_text,
                serial: serial_text(serial),
                not_after,
                key,
                is_ca: false,
                key_usage: None,
                ext_key_usage: Vec::new(),
                signature: Signature::of(algorithm),
                subject_key_id: None,
                authority_key_id: None,
                sha256: None,
            };
            while let Some(tag) = tbs.peek()? {
                if tag == CONTEXT_3 {
                    // Version 3; those before the one that cannot be read count.
                    _ = tbs.constructed(CONTEXT_3, |explicit| {
                        explicit.constructed(SEQUENCE, |extensions| certificate.note(extensions))
                    });
                    break;
                }
                tbs.skip()?; // issuerUniqueID, subjectUniqueID
            }
            Ok(certificate)
        };
        let mut reader = Reader::new(der);
        let read = reader.constructed(SEQUENCE, |all| all.constructed(SEQUENCE, read));
        read.ok()
    }

    fn note(&mut self, extensions: &mut Reader<'_>) -> Result<(), Unreadable> {
        while extensions.peek()?.is_some() {
            extensions.constructed(SEQUENCE, |extension| {
                // 2.5.29, the arc of the standard ones
                let Some([kind]) = extension.primitive(OID)?.strip_prefix(b"\x55\x1d") else {
                    return Ok(());
                };
                if extension.peek()? == Some(BOOLEAN) {
                    extension.skip()?; // critical
                }
                let value = extension.string()?;
                _ = self.note_one(*kind, &mut Reader::new(&value));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The last part of its number; RFC 5280 §4.2.1.
    fn note_one(&mut self, kind: u8, value: &mut Reader<'_>) -> Result<(), Unreadable> {
        match kind {
            14 => self.subject_key_id = Some(boxed(&value.string()?)),
            15 => self.key_usage = Some(KeyUsage::read(value.primitive(BIT_STRING)?)),
            19 => self.is_ca = value.constructed(SEQUENCE, is_ca)?,
            35 => self.authority_key_id = value.constructed(SEQUENCE, key_id)?,
            37 => self.ext_key_usage = value.constructed(SEQUENCE, purposes)?,
            _ => {}
        }
        Ok(())
    }
}

/// Passes over the version; the algorithm is that of the certificate's signature.
fn serial_and_algorithm<'a>(tbs: &mut Reader<'a>) -> Result<(&'a [u8], Oid), Unreadable> {
    tbs.optional(CONTEXT_0, |_version| Ok(()))?;
    Ok((tbs.primitive(INTEGER)?, tbs.algorithm()?))
}

fn is_ca(constraints: &mut Reader<'_>) -> Result<bool, Unreadable> {
    match constraints.peek()? {
        Some(BOOLEAN) => Ok(constraints.primitive(BOOLEAN)? != [0]),
        _ => Ok(false),
    }
}

/// keyIdentifier [0] of the authorityKeyIdentifier.
fn key_id(identifier: &mut Reader<'_>) -> Result<Option<Box<[u8]>>, Unreadable> {
    match identifier.peek()? {
        Some(0x80) => identifier.primitive(0x80).map(boxed).map(Some),
        _ => Ok(None),
    }
}

fn purposes(usages: &mut Reader<'_>) -> Result<Vec<Oid>, Unreadable> {
    let mut found = Vec::new();
    while usages.peek()? == Some(OID) && found.len() < MAX_EXT_KEY_USAGES {
        found.push(usages.oid()?);
    }
    Ok(found)
}

/// As a person compares them: the same text, however it is encoded.
fn is_same_name(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other)
        .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// A key identifier as it is kept.
pub(super) fn boxed(key_id: &[u8]) -> Box<[u8]> {
    key_id[..key_id.len().min(MAX_KEY_ID)].into()
}

/// The value of an INTEGER in hexadecimal, see [`Certificate::serial`]; `-` before a negative one.
pub(super) fn serial_text(content: &[u8]) -> String {
    let content = &content[..content.len().min(MAX_SERIAL)];
    let mut text = String::new();
    if content.first().is_some_and(|first| first & 0x80 != 0) {
        // Two's complement (X.690 §8.3.3).
        let mut carry = true;
        let mut magnitude = content.to_vec();
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
        name::push_hex(&mut text, without_zeros(&magnitude));
        let digits = text.trim_start_matches('0').len();
        text.replace_range(..text.len() - digits, "-");
        return text;
    }
    name::push_hex(&mut text, without_zeros(content));
    match text.as_bytes() {
        [] => text.push('0'),
        [b'0', ..] => _ = text.remove(0),
        _ => {}
    }
    text
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials() {
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
            assert_eq!(serial_text(content), text, "{content:?}");
        }
        assert_eq!(serial_text(&[0x11; 100]), "11".repeat(MAX_SERIAL));
    }
}
