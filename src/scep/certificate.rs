//! An X.509 certificate, read leniently: devices sign with certificates that break RFC 5280.
//!
//! This is the one reader of certificates: of SCEP messages, of the files of an administrator, and
//! of what NDES presents. Whether a certificate is trusted is decided by rustls, which is stricter.

use std::net::IpAddr;

use super::ber::{BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_3, INTEGER, OID, Reader, SEQUENCE};
use super::inline_bytes::InlineBytes;
use super::{Name, Oid, Serial, Signature, Unreadable, name};
use crate::base::hash::sha256;

mod key;
mod usage;
mod validity;

pub use key::Key;
pub use usage::{KeyUsage, Role};

/// What a certificate says. Strings are as the certificate has them: escape them before they are
/// shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub subject: Name,
    pub issuer: Name,
    pub serial: Serial,
    /// Whether subject and issuer are the same. No signature is verified.
    pub self_issued: bool,
    /// Seconds since 1970.
    pub not_before: Option<i64>,
    /// Seconds since 1970.
    pub not_after: Option<i64>,
    pub key: Key,
    /// The DER of the SubjectPublicKeyInfo.
    pub spki: Box<[u8]>,
    /// The DER of the subjectAltName, which is empty without the extension.
    san: Box<[u8]>,
    pub is_ca: bool,
    /// `None` without the extension.
    pub key_usage: Option<KeyUsage>,
    /// The first [`MAX_EXT_KEY_USAGES`]; empty without the extension.
    pub ext_key_usage: Vec<Oid>,
    /// Whether a TLS server may present the certificate: it has no extended key usage, or
    /// serverAuth, or anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
    pub is_for_servers: bool,
    /// The algorithm with which the issuer signed.
    pub signature: Signature,
    pub subject_key_id: Option<KeyId>,
    pub authority_key_id: Option<KeyId>,
    /// The hash of the certificate.
    pub sha256: [u8; 32],
}

/// A key identifier, cut after [`MAX_KEY_ID`] bytes.
pub type KeyId = InlineBytes<MAX_KEY_ID>;

pub const MAX_EXT_KEY_USAGES: usize = 16;
pub const MAX_KEY_ID: usize = 64;

impl Certificate {
    /// Returns the role by basicConstraints, then by keyUsage.
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

    /// Returns the DNS names of the SAN, as they are in the certificate.
    pub fn dns_names(&self) -> impl Iterator<Item = String> {
        let names = self.alternative_names(DNS_NAME);
        names.map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Returns the IP addresses of the SAN.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.alternative_names(IP_ADDRESS).filter_map(address)
    }

    /// Returns the names of one type in the SAN (RFC 5280 §4.2.1.6). A name that cannot be read
    /// ends the list.
    fn alternative_names(&self, wanted: u8) -> impl Iterator<Item = &[u8]> {
        let inside = Reader::new(&self.san).constructed(SEQUENCE, |names| Ok(*names));
        let mut names = inside.ok();
        std::iter::from_fn(move || {
            let names = names.as_mut()?;
            while let Some(tag) = names.peek().ok()? {
                if tag == wanted {
                    return names.primitive(tag).ok();
                }
                names.skip().ok()?;
            }
            None
        })
    }

    /// Returns whether `ca` looks like the issuer: by name and, if both have one, by key identifier,
    /// because a CA that is renewed with a new key keeps its name.
    pub fn is_issued_by(&self, ca: &Self) -> bool {
        let same_key = match (&self.authority_key_id, &ca.subject_key_id) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        same_key && self.issuer.is_same(&ca.subject)
    }

    /// Reads a certificate. Returns `None` if the bytes have not even the shape of one. An extension
    /// that cannot be read counts as absent.
    pub fn read(der: &[u8]) -> Option<Self> {
        let read = |tbs: &mut Reader<'_>| {
            let (serial, algorithm) = serial_and_algorithm(tbs)?;
            let issuer = tbs.raw()?;
            let [not_before, not_after] = tbs.constructed(SEQUENCE, validity::read)?;
            let subject = tbs.raw()?;
            let spki = tbs.raw()?;
            let key = Reader::new(spki).constructed(SEQUENCE, Key::read)?;
            let mut certificate = Self {
                self_issued: name::is_same(subject, issuer),
                subject: Name::new(subject),
                issuer: Name::new(issuer),
                serial: Serial::new(serial),
                not_before,
                not_after,
                key,
                spki: spki.into(),
                san: Box::default(),
                is_ca: false,
                key_usage: None,
                ext_key_usage: Vec::new(),
                is_for_servers: true,
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

    fn note_usages(&mut self, usages: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.is_for_servers = false;
        while usages.peek()? == Some(OID) {
            let usage = usages.oid()?;
            self.is_for_servers |= [SERVER_AUTH, ANY_USAGE].contains(&usage.as_bytes());
            if self.ext_key_usage.len() < MAX_EXT_KEY_USAGES {
                self.ext_key_usage.push(usage);
            }
        }
        Ok(())
    }

    /// `kind` is the last part of the number of the extension (RFC 5280 §4.2.1).
    fn note_one(&mut self, kind: u8, value: &mut Reader<'_>) -> Result<(), Unreadable> {
        match kind {
            14 => self.subject_key_id = Some(KeyId::new(&value.string()?)),
            17 => self.san = value.raw()?.into(),
            15 => self.key_usage = Some(KeyUsage::read(value.primitive(BIT_STRING)?)),
            19 => self.is_ca = value.constructed(SEQUENCE, is_ca)?,
            35 => self.authority_key_id = value.constructed(SEQUENCE, key_id)?,
            37 => value.constructed(SEQUENCE, |usages| self.note_usages(usages))?,
            _ => {}
        }
        Ok(())
    }
}

/// dNSName [2]
const DNS_NAME: u8 = 0x82;
/// iPAddress [7]
const IP_ADDRESS: u8 = 0x87;

/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x01";
/// 2.5.29.37.0
const ANY_USAGE: &[u8] = b"\x55\x1d\x25\x00";

/// Returns the content of the key in the DER of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
pub fn public_key(spki: &[u8]) -> Option<&[u8]> {
    let key = Reader::new(spki).constructed(SEQUENCE, |info| {
        info.skip()?; // algorithm
        info.primitive(BIT_STRING)
    });
    key.ok()
}

/// Returns the TBSCertificate of a certificate, which its issuer signed (RFC 5280 §4.1.1.1).
pub fn to_be_signed(der: &[u8]) -> Option<&[u8]> {
    Reader::new(der).constructed(SEQUENCE, Reader::raw).ok()
}

/// Applies `read` to the values in a TBSCertificate (RFC 5280 §4.1).
pub(super) fn of_tbs<'a, T>(
    der: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    Reader::new(der).constructed(SEQUENCE, |all| all.constructed(SEQUENCE, read))
}

/// Reads the serial number and the algorithm of the signature, and skips the version.
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

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// keyIdentifier [0] of the authorityKeyIdentifier.
fn key_id(identifier: &mut Reader<'_>) -> Result<Option<KeyId>, Unreadable> {
    match identifier.peek()? {
        Some(0x80) => identifier.primitive(0x80).map(KeyId::new).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    use super::*;

    fn certificate(names: &[&str]) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
        (certificate.unwrap().der().to_vec(), key)
    }

    #[test]
    fn what_an_issuer_wrote_is_read() {
        let (der, key) = certificate(&["scep.example.com", "*.example.com", "192.0.2.1", "::1"]);
        let read = Certificate::read(&der).unwrap();
        let names: Vec<_> = read.dns_names().collect();
        assert_eq!(names, ["scep.example.com", "*.example.com"]);
        let addresses: Vec<_> = read.addresses().map(|one| one.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1", "::1"]);
        assert_eq!(*read.spki, *key.subject_public_key_info());
        assert_eq!(read.key.to_string(), "ECDSA P-256");
        assert_eq!(
            read.subject.common_name().unwrap(),
            "rcgen self signed cert"
        );
        // rcgen's defaults: from 1975 to 4096.
        assert_eq!(read.not_before, Some(157_766_400));
        assert_eq!(read.not_after, Some(67_090_118_400));
        assert!(read.self_issued && read.is_for_servers && !read.is_ca);
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_never_panics(end: prop::sample::Index, at: prop::sample::Index, byte: u8) {
            let (der, _) = certificate(&["scep.example.com", "192.0.2.1"]);
            let mut damaged = der[..end.index(der.len() + 1)].to_vec();
            if !damaged.is_empty() {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
            if let Some(read) = Certificate::read(&damaged) {
                _ = (read.dns_names().count(), read.addresses().count());
                _ = (read.subject.text(), read.subject.common_name(), public_key(&read.spki));
            }
        }
    }
}
