//! What there is to tell a person about one certificate, read leniently.
//!
//! Called by `identity` (our own certificates) and `client` and `refusal` (what an upstream
//! presents). Decides nothing about trust: rustls does that, and is stricter.

use crate::base::hash::sha256;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

mod key;
mod text;

pub use key::Key;
pub(super) use text::printable;
pub use text::{MAX_NAMES, MAX_TEXT, date, hex, seconds};
use text::{attribute_text, name_text};

/// One certificate. All text is cut to [`MAX_TEXT`] characters, with control characters escaped,
/// as it may come from a stranger and goes into the log.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// As `CN=ndes.corp.local, O=Example`.
    pub subject: String,
    pub issuer: String,
    /// The last CN of the subject: the most specific one.
    pub common_name: Option<String>,
    /// DNS names of the SAN, lower case.
    pub dns_names: Vec<String>,
    /// IP addresses of the SAN.
    pub addresses: Vec<IpAddr>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    pub key: Key,
    /// SHA-256 of the DER of the SubjectPublicKeyInfo: what `pin_sha256` is compared with.
    pub spki_sha256: [u8; 32],
    /// Subject and issuer are the same: a root, or a certificate that nobody else signed.
    pub self_issued: bool,
    pub is_ca: bool,
    /// May be shown by a TLS server: no extended key usage at all, or serverAuth, or any.
    pub server_auth: bool,
    pub sha1_signature: bool,
    public_key: Vec<u8>,
    raw_subject: Vec<u8>,
    raw_issuer: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
}

/// A certificate that is not even X.509.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a readable X.509 certificate")]
pub struct Unreadable;

impl Certificate {
    /// # Errors
    /// [`Unreadable`] if the bytes are no certificate at all; an extension that cannot be read
    /// counts as absent.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, Unreadable> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| Unreadable)?;
        let mut certificate = Self {
            subject: name_text(parsed.subject()),
            issuer: name_text(parsed.issuer()),
            common_name: parsed.subject().iter_common_name().last().map(|cn| {
                let value = cn.attr_value();
                printable(&attribute_text(value.tag(), value.data))
            }),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            key: Key::of(parsed.public_key()),
            spki_sha256: sha256(parsed.public_key().raw),
            self_issued: parsed.subject().as_raw() == parsed.issuer().as_raw(),
            is_ca: false,
            server_auth: true,
            sha1_signature: SHA1_SIGNATURES.contains(&parsed.signature_algorithm.algorithm),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            raw_subject: parsed.subject().as_raw().to_vec(),
            raw_issuer: parsed.issuer().as_raw().to_vec(),
            subject_key_id: None,
            issuer_key_id: None,
        };
        for extension in parsed.extensions() {
            certificate.note(extension.parsed_extension());
        }
        Ok(certificate)
    }

    /// Whether `issuer` looks like the one that signed this: by name and, as a CA renewed with a
    /// new key keeps its name, by key identifier where both certificates have one.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        let same_key = match (&self.issuer_key_id, &issuer.subject_key_id) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        same_key && self.raw_issuer == issuer.raw_subject
    }

    /// Whether the certificate is for the key of this SubjectPublicKeyInfo (DER). Compares the key
    /// itself: tools differ in how they write the algorithm before it.
    pub fn has_key(&self, spki: &[u8]) -> bool {
        SubjectPublicKeyInfo::from_der(spki)
            .is_ok_and(|(_, spki)| *spki.subject_public_key.data == *self.public_key)
    }

    /// Whether `name` is in the SAN: letter by letter without regard to case, or by a wildcard
    /// that stands for exactly one label (RFC 6125 section 6.4.3).
    pub fn covers(&self, name: &str) -> bool {
        self.dns_names
            .iter()
            .any(|pattern| is_same_or_wildcard(pattern, name))
    }

    /// Whether the CN, which counts for nothing today, says `name`, and no SAN does.
    pub fn names_only_in_common_name(&self, name: &str) -> bool {
        let same = self
            .common_name
            .as_ref()
            .is_some_and(|cn| is_same_or_wildcard(&cn.to_lowercase(), name));
        same && self.dns_names.is_empty()
    }

    /// Names of the SAN for a message, as `a.example.com, 10.0.0.5`, or `none`; at most
    /// [`MAX_NAMES`] of them.
    pub fn san_text(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let mut names: Vec<String> = self
            .dns_names
            .iter()
            .cloned()
            .chain(addresses)
            .take(MAX_NAMES)
            .collect();
        match self.dns_names.len() + self.addresses.len() {
            0 => names.push("none".to_owned()),
            all if all > MAX_NAMES => names.push(format!("and {} more", all - MAX_NAMES)),
            _ => {}
        }
        names.join(", ")
    }

    /// DER of the issuer's name, outer header included.
    pub(super) fn raw_issuer(&self) -> &[u8] {
        &self.raw_issuer
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(san) => {
                for name in &san.general_names {
                    match name {
                        GeneralName::DNSName(dns) => {
                            self.dns_names.push(printable(&dns.to_lowercase()));
                        }
                        GeneralName::IPAddress(bytes) => self.addresses.extend(address(bytes)),
                        _ => {}
                    }
                }
            }
            ParsedExtension::BasicConstraints(constraints) => self.is_ca = constraints.ca,
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.server_auth = usage.server_auth || usage.any;
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
}

/// The last is ecdsa-with-SHA1.
const SHA1_SIGNATURES: [Oid<'static>; 3] = [
    oid::OID_PKCS1_SHA1WITHRSA,
    oid::OID_SHA1_WITH_RSA,
    oid!(1.2.840.10045.4.1),
];

fn is_same_or_wildcard(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(parent), Some((label, rest))) => {
            !label.is_empty() && parent.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_stands_for_one_label() {
        assert!(is_same_or_wildcard("*.example.com", "a.EXAMPLE.com"));
        assert!(!is_same_or_wildcard("*.example.com", "a.b.example.com"));
        assert!(!is_same_or_wildcard("*.example.com", ".example.com"));
        assert!(!is_same_or_wildcard("*", "example"));
    }
}
