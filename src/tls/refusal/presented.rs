//! Compares what a server presented with what was expected.
//!
//! Called by the verifier in `client` after rustls has refused the certificate: this only finds the
//! words.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, OtherError, RootCertStore};

use super::{NEW_CERTIFICATE, UpstreamTlsError};
use crate::base::reason::Reason;
use crate::tls::certificate::{Certificate, date, hex, printable};
use crate::tls::der;

/// The certificates of one handshake.
pub(in crate::tls) struct PresentedChain<'a> {
    pub(in crate::tls) end_entity: &'a CertificateDer<'a>,
    pub(in crate::tls) intermediates: &'a [CertificateDer<'a>],
    pub(in crate::tls) server_name: &'a ServerName<'a>,
    pub(in crate::tls) now: UnixTime,
}

impl PresentedChain<'_> {
    /// The leaf cannot be parsed.
    pub(in crate::tls) fn invalid(&self, error: &Error) -> UpstreamTlsError {
        self.refusal(
            Reason::InvalidCertificate,
            printable(&error.to_string()),
            NEW_CERTIFICATE,
        )
    }

    /// The chain leads to no root, or a certificate in it is not valid.
    pub(in crate::tls) fn untrusted(
        &self,
        error: &Error,
        roots: &RootCertStore,
    ) -> UpstreamTlsError {
        let Error::InvalidCertificate(error) = error else {
            return self.invalid(error);
        };
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let chain = self.chain();
        match error {
            // For the last two, a root of that name exists, and its key did not sign.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                self.unknown_issuer(&chain, roots)
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let which = chain.iter().find(|one| one.not_after < now);
                self.refusal(
                    Reason::Expired,
                    which.map_or_else(
                        || "a certificate of the chain has expired".to_owned(),
                        |one| format!("{} expired on {}", one.subject, date(one.not_after)),
                    ),
                    format!(
                        "renew it and bind the new one in IIS; it is {} here",
                        date(now)
                    ),
                )
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let which = chain.iter().find(|one| one.not_before > now);
                self.refusal(
                    Reason::NotYetValid,
                    which.map_or_else(
                        || "a certificate of the chain is not valid yet".to_owned(),
                        |one| {
                            format!(
                                "{} is valid only from {}",
                                one.subject,
                                date(one.not_before)
                            )
                        },
                    ),
                    format!("set the clocks: it is {} here", date(now)),
                )
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
                let sha1 = chain.iter().find(|one| one.sha1_signature);
                self.refusal(
                    Reason::WeakSignature,
                    sha1.map_or_else(
                        || "the chain is signed with an algorithm that is not known".to_owned(),
                        |one| format!("{} is signed with SHA-1", one.subject),
                    ),
                    "have it issued again with RSA or ECDSA and SHA-256 (on the CA: certutil \
                     -setreg ca\\csp\\CNGHashAlgorithm SHA256)",
                )
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                self.refusal(
                    Reason::WrongPurpose,
                    "the certificate is not for servers: serverAuth is not in its key usage",
                    "issue it from a template for web servers (1.3.6.1.5.5.7.3.1)",
                )
            }
            _ if chain.first().is_some_and(|leaf| leaf.is_ca) => self.refusal(
                Reason::InvalidCertificate,
                "the certificate is one of a CA (basic constraints), not of a server",
                NEW_CERTIFICATE,
            ),
            // The inner one, because rustls names what it has no text for by its types.
            CertificateError::Other(OtherError(inner)) => {
                let what = printable(&inner.to_string());
                self.refusal(Reason::InvalidCertificate, what, NEW_CERTIFICATE)
            }
            other => {
                let what = printable(&other.to_string());
                self.refusal(Reason::InvalidCertificate, what, NEW_CERTIFICATE)
            }
        }
    }

    /// The chain is right and the name is not in the SAN.
    pub(in crate::tls) fn misnamed(&self, error: &Error) -> UpstreamTlsError {
        let Ok(leaf) = Certificate::read(self.end_entity) else {
            return self.invalid(error);
        };
        let name = self.server_name.to_str();
        let or_pin = format!(
            "issue a certificate with {name} in its SAN, or set pin_sha256 = \"{}\" after \
             comparing it with the server's key",
            hex(&leaf.spki_sha256)
        );
        if leaf.names_only_in_common_name(&name) {
            let what = format!("{name} is only in the CN, which counts for nothing today");
            return self.refusal(Reason::NameOnlyInCommonName, what, or_pin);
        }
        let cure = if leaf.dns_names.is_empty() && leaf.addresses.is_empty() {
            or_pin
        } else {
            format!("set server_name to one of its names: {}", leaf.san_text())
        };
        self.refusal(
            Reason::WrongName,
            format!("the certificate is not for {name}"),
            cure,
        )
    }

    /// Chain and dates are right and the key is not the pinned one.
    pub(in crate::tls) fn other_key(&self, pin: [u8; 32]) -> UpstreamTlsError {
        let cure = Certificate::read(self.end_entity).map_or_else(
            |_| NEW_CERTIFICATE.to_owned(),
            |leaf| {
                format!(
                    "if the server was given a new key on purpose, set pin_sha256 = \"{}\"",
                    hex(&leaf.spki_sha256)
                )
            },
        );
        let what = format!("the key is not the one of pin_sha256 = \"{}\"", hex(&pin));
        self.refusal(Reason::PinMismatch, what, cure)
    }

    fn unknown_issuer(&self, chain: &[Certificate], roots: &RootCertStore) -> UpstreamTlsError {
        let Some(top) = chain.last() else {
            let what = "the certificate cannot be read";
            return self.refusal(Reason::InvalidCertificate, what, NEW_CERTIFICATE);
        };
        let issuer = &top.issuer;
        let (what, cure) = if chain.len() == 1 && top.self_issued {
            (
                "the certificate is self-signed".to_owned(),
                "bind a certificate from your CA in IIS, or put this one into ca_roots".to_owned(),
            )
        } else if is_name_of_root(roots, top) {
            (
                format!("{} was not signed by the {issuer} of ca_roots", top.subject),
                format!(
                    "if that CA was renewed with a new key, add its new certificate ({issuer})"
                ),
            )
        } else if chain.len() == 1 {
            (
                format!("{issuer} is not in ca_roots, and the server sent no intermediate"),
                format!(
                    "put the certificate of {issuer} into ca_roots, or, if only its root is to \
                     be there, install {issuer} on the server (Intermediate Certification \
                     Authorities) so that IIS sends it"
                ),
            )
        } else {
            (
                format!("the chain ends at {issuer}, which is not in ca_roots"),
                format!("put the certificate of {issuer} into ca_roots"),
            )
        };
        self.refusal(Reason::UnknownIssuer, what, cure)
    }

    /// Returns the leaf and the issuers that were sent, as far as they lead.
    fn chain(&self) -> Vec<Certificate> {
        let mut others: Vec<Certificate> = self
            .intermediates
            .iter()
            .filter_map(|der| Certificate::read(der).ok())
            .collect();
        let mut chain: Vec<Certificate> = Certificate::read(self.end_entity).into_iter().collect();
        while let Some(last) = chain.last()
            && !last.self_issued
            && let Some(at) = others.iter().position(|other| last.is_issued_by(other))
        {
            chain.push(others.swap_remove(at));
        }
        chain
    }

    fn refusal(
        &self,
        reason: Reason,
        why: impl Into<String>,
        cure: impl Into<String>,
    ) -> UpstreamTlsError {
        let presented = Certificate::read(self.end_entity).map_or_else(
            |unreadable| format!("something {unreadable}"),
            |leaf| {
                format!(
                    "subject {}, issuer {}, SAN {}, valid from {} to {}, key {}, SHA-256 of the \
                     key {}, and {} more certificates",
                    leaf.subject,
                    leaf.issuer,
                    leaf.san_text(),
                    date(leaf.not_before),
                    date(leaf.not_after),
                    leaf.key,
                    hex(&leaf.spki_sha256),
                    self.intermediates.len()
                )
            },
        );
        let what = format!(
            "{}: expected {}, presented was {presented}",
            why.into(),
            self.server_name.to_str()
        );
        UpstreamTlsError::new(reason, what, cure)
    }
}

/// Reports that the signature of the handshake failed because of the size of the key, which rustls
/// reports as a bad signature.
/// bad signature.
pub(in crate::tls) fn key_of_handshake(cert: &CertificateDer<'_>, error: Error) -> Error {
    match Certificate::read(cert) {
        Ok(leaf) if leaf.key.is_short() => UpstreamTlsError::new(
            Reason::WeakSignature,
            format!("the key of {} is too short: {}", leaf.subject, leaf.key),
            "issue a certificate with RSA 2048 or ECDSA P-256",
        )
        .into(),
        _ => error,
    }
}

/// Returns whether a root has the name of the issuer. rustls stores it without its DER header.
fn is_name_of_root(roots: &RootCertStore, certificate: &Certificate) -> bool {
    let name = der::first(certificate.raw_issuer());
    roots
        .roots
        .iter()
        .any(|root| Some(root.subject.as_ref()) == name)
}
