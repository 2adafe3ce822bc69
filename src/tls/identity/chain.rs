//! Puts the certificates of a file in the order in which they are sent.
//!
//! Called by `identity`. Devices differ in what they accept: a chain out of order or with a missing
//! certificate works on some and fails on others, so it is sent in the right order whatever the
//! file looks like.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use crate::base::problem::Diagnostic;
use crate::tls::certificate::Certificate;

/// A certificate as bytes and as read.
pub(super) struct Link {
    pub(super) der: CertificateDer<'static>,
    pub(super) certificate: Certificate,
}

/// A leaf and the certificates that lead from it towards the root.
pub(super) struct Chain {
    pub(super) leaf: Link,
    /// The issuer of the leaf first. The root is not among them, because a device that does not
    /// have it would not trust it for being sent.
    intermediates: Vec<Link>,
    root_was_there: bool,
    reordered: bool,
    /// The subjects of certificates that do not belong to the chain.
    dropped: Vec<String>,
}

impl Chain {
    /// `leaf` is the position of the leaf in `links`.
    pub(super) fn build(mut links: Vec<Link>, leaf: usize) -> Self {
        let mut chain = Self {
            leaf: links.remove(leaf),
            intermediates: Vec::new(),
            root_was_there: false,
            reordered: leaf != 0,
            dropped: Vec::new(),
        };
        while let Some(at) = chain.position_of_next(&links) {
            let next = links.remove(at);
            // The others stay in order, so the next certificate of a chain in order is the first of
            // them.
            chain.reordered |= at != 0;
            if next.certificate.self_issued {
                chain.root_was_there = true;
                break;
            }
            chain.intermediates.push(next);
        }
        chain.dropped = links
            .into_iter()
            .map(|link| link.certificate.subject)
            .collect();
        chain
    }

    pub(super) fn into_der(self) -> Vec<CertificateDer<'static>> {
        std::iter::once(self.leaf)
            .chain(self.intermediates)
            .map(|link| link.der)
            .collect()
    }

    /// Returns warnings: none of them keeps every device away.
    pub(super) fn diagnostics(&self, path: &Path) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        let leaf = &self.leaf.certificate;
        if !self.dropped.is_empty() {
            diagnostics.push(Diagnostic::warning(
                format!(
                    "{} holds certificates that are not of the chain and are not sent: {}",
                    path.display(),
                    self.dropped.join("; ")
                ),
                "take them out of the file",
            ));
        } else if self.reordered {
            diagnostics.push(Diagnostic::warning(
                format!(
                    "{} is out of order; the chain is sent in the right order",
                    path.display()
                ),
                "put the server's certificate first, then each issuer after what it issued",
            ));
        }
        if !leaf.self_issued && self.intermediates.is_empty() && !self.root_was_there {
            diagnostics.push(Diagnostic::warning(
                format!(
                    "{} holds no intermediate certificate: devices that do not know {} refuse the \
                     server",
                    path.display(),
                    leaf.issuer
                ),
                "append that issuer's certificate to the file, unless it is a root that all \
                 devices have",
            ));
        }
        for link in std::iter::once(&self.leaf).chain(&self.intermediates) {
            if link.certificate.sha1_signature {
                diagnostics.push(Diagnostic::warning(
                    format!(
                        "{} is signed with SHA-1, which devices refuse",
                        link.certificate.subject
                    ),
                    "have it issued again with SHA-256",
                ));
            }
        }
        diagnostics
    }

    fn position_of_next(&self, links: &[Link]) -> Option<usize> {
        let last = self.intermediates.last().unwrap_or(&self.leaf);
        if last.certificate.self_issued {
            return None;
        }
        links
            .iter()
            .position(|link| last.certificate.is_issued_by(&link.certificate))
    }
}
