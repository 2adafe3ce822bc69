//! An X.509 certificate, read leniently: devices sign with certificates that break RFC 5280.

use super::ber::{BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_3, INTEGER, OID, Reader, SEQUENCE};
use super::inline_bytes::InlineBytes;
use super::{Name, Oid, Recipient, Serial, Signature, Unreadable, name};
use crate::base::hash::sha256;

mod key;
mod usage;
mod validity;

pub use key::Key;
pub use usage::{KeyUsage, Role};

/// Decides nothing about trust. Text is as the certificate has it: escape it before it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub subject: Name,
    pub issuer: Name,
    pub serial: Serial,
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
    pub subject_key_id: Option<KeyId>,
    pub authority_key_id: Option<KeyId>,
    /// Of the certificate's bytes.
    pub sha256: [u8; 32],
}

/// A key identifier, cut after [`MAX_KEY_ID`] bytes.
pub type KeyId = InlineBytes<MAX_KEY_ID>;

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
        same_key && self.issuer.is_same(&ca.subject)
    }

    /// Whether an envelope for `recipient` is for this certificate.
    pub fn is(&self, recipient: &Recipient) -> bool {
        match recipient {
            Recipient::IssuerAndSerial { issuer, serial } => {
                *serial == self.serial && self.issuer.is_same(issuer)
            }
            Recipient::KeyId(id) => self.subject_key_id == Some(*id),
            Recipient::Other => false,
        }
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
            let mut certificate = Self {
                self_issued: name::is_same(subject, issuer),
                subject: Name::new(subject),
                issuer: Name::new(issuer),
                serial: Serial::new(serial),
                not_after,
                key,
                is_ca: false,
                key_usage: None,
                ext_key_usage: Vec::new(),
                signature: Signature::of(algorithm),
                subject_key_id: None,
                authority_key_id: None,
                sha256: sha256(der),
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
        of_tbs(der, read).ok()
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
            14 => self.subject_key_id = Some(KeyId::new(&value.string()?)),
            15 => self.key_usage = Some(KeyUsage::read(value.primitive(BIT_STRING)?)),
            19 => self.is_ca = value.constructed(SEQUENCE, is_ca)?,
            35 => self.authority_key_id = value.constructed(SEQUENCE, key_id)?,
            37 => self.ext_key_usage = value.constructed(SEQUENCE, purposes)?,
            _ => {}
        }
        Ok(())
    }
}

/// What `read` makes of the values in a TBSCertificate (RFC 5280 §4.1).
pub(super) fn of_tbs<'a, T>(
    der: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    Reader::new(der).constructed(SEQUENCE, |all| all.constructed(SEQUENCE, read))
}

/// Passes over the version; the algorithm is that of the certificate's signature.
pub(super) fn serial_and_algorithm<'a>(
    tbs: &mut Reader<'a>,
) -> Result<(&'a [u8], Oid), Unreadable> {
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
fn key_id(identifier: &mut Reader<'_>) -> Result<Option<KeyId>, Unreadable> {
    match identifier.peek()? {
        Some(0x80) => identifier.primitive(0x80).map(KeyId::new).map(Some),
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
