//! A certificate as text that is safe to log, and the names that it covers.
//!
//! Called by `identity` for the certificates of the proxy, and by `client` and `refusal` for those
//! that an upstream presents. The reader is [`crate::scep::Certificate`], which is lenient. Whether
//! a certificate is trusted is decided by rustls, which is stricter.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;

use super::der::{self, Kind};
use crate::base::hash::sha256;
use crate::scep;
pub use crate::scep::Key;

mod text;

pub use text::{MAX_NAMES, MAX_TEXT, date, hex, seconds};
pub(super) use text::{name_text, printable};

/// One certificate. All text is cut to [`MAX_TEXT`] characters and has no control characters,
/// because it may come from a stranger and is logged.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// In the format of RFC 4514, such as `CN=ndes.corp.local,O=Example`.
    pub subject: String,
    pub issuer: String,
    /// The last CN of the subject, which is the most specific one.
    pub common_name: Option<String>,
    /// The DNS names of the SAN in lower case.
    pub dns_names: Vec<String>,
    /// The IP addresses of the SAN.
    pub addresses: Vec<IpAddr>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    pub key: Key,
    /// The SHA-256 of the DER of the SubjectPublicKeyInfo, which `pin_sha256` is compared with.
    pub spki_sha256: [u8; 32],
    /// Whether subject and issuer are the same: a root, or a certificate that nobody else signed.
    pub self_issued: bool,
    pub is_ca: bool,
    /// Whether a TLS server may present it: it has no extended key usage, or serverAuth, or any.
    pub server_auth: bool,
    pub sha1_signature: bool,
    read: scep::Certificate,
}

/// A certificate that is not even X.509.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a readable X.509 certificate")]
pub struct Unreadable;

impl Certificate {
    /// # Errors
    /// [`Unreadable`] if the bytes are not a certificate. An extension that cannot be read counts
    /// as absent.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, Unreadable> {
        // The reader also accepts BER and what is not signed, which no TLS client does.
        let is_certificate = der::is_definite(der) && Kind::of(der) == Kind::Certificate;
        let read = is_certificate.then(|| scep::Certificate::read(der));
        let read = read.flatten().ok_or(Unreadable)?;
        let (Some(not_before), Some(not_after)) = (read.not_before, read.not_after) else {
            return Err(Unreadable);
        };
        Ok(Self {
            subject: name_text(&read.subject),
            issuer: name_text(&read.issuer),
            common_name: read.subject.common_name().map(|name| printable(&name)),
            dns_names: read
                .dns_names()
                .map(|name| printable(&name.to_lowercase()))
                .collect(),
            addresses: read.addresses().collect(),
            not_before,
            not_after,
            key: read.key,
            spki_sha256: sha256(&read.spki),
            self_issued: read.subject.as_der() == read.issuer.as_der(),
            is_ca: read.is_ca,
            server_auth: read.is_for_servers,
            sha1_signature: read.signature.is_sha1(),
            read,
        })
    }

    /// Returns whether `issuer` looks like the issuer: by name and, if both have one, by key
    /// identifier, because a CA that is renewed with a new key keeps its name.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        let same_key = match (&self.read.authority_key_id, &issuer.read.subject_key_id) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        same_key && self.read.issuer.as_der() == issuer.read.subject.as_der()
    }

    /// Returns whether the certificate is for the key of this SubjectPublicKeyInfo (DER). Compares
    /// the key itself, because tools encode the algorithm before it differently.
    pub fn has_key(&self, spki: &[u8]) -> bool {
        let (own, other) = (scep::public_key(&self.read.spki), scep::public_key(spki));
        own.is_some() && own == other
    }

    /// Returns whether `name` is in the SAN, compared without regard to case, or matches a wildcard
    /// for exactly one label (RFC 6125 §6.4.3).
    pub fn covers(&self, name: &str) -> bool {
        self.dns_names
            .iter()
            .any(|pattern| is_same_or_wildcard(pattern, name))
    }

    /// Returns whether `name` is only in the CN, which TLS clients ignore.
    pub fn names_only_in_common_name(&self, name: &str) -> bool {
        let same = self
            .common_name
            .as_ref()
            .is_some_and(|cn| is_same_or_wildcard(&cn.to_lowercase(), name));
        same && self.dns_names.is_empty()
    }

    /// Returns the names of the SAN for a message, such as `a.example.com, 10.0.0.5`, or `none`. At
    /// most [`MAX_NAMES`] of them.
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

    /// Returns the DER of the name of the issuer, with its tag and length.
    pub(super) fn raw_issuer(&self) -> &[u8] {
        self.read.issuer.as_der()
    }
}

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
