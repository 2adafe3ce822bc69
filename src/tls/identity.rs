//! A certificate and its key, as the public side presents them.
//!
//! Called by the configuration at start, at reload and by `check`: whatever would make a device
//! refuse the certificate is reported before anything is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use zeroize::Zeroize;

use crate::base::problem::{Diagnostic, Located, Problems, Severity};

use super::certificate::{Certificate, Key, date, seconds};
use super::files;

mod chain;
#[cfg(test)]
mod tests;

use chain::{Chain, Link};

/// A chain and a key that belong together and are valid for the public names now.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Leaf first, each certificate followed by its issuer, without the root (RFC 8446 §4.4.2).
    pub certified: Arc<CertifiedKey>,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Seconds since 1970.
    pub not_before: i64,
    /// The DNS names of the SAN in lower case.
    pub names: Vec<String>,
    pub subject: String,
    pub issuer: String,
    /// Such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
}

/// Reads and checks both files. Adds every problem to `problems`. Returns `None` if one of them is
/// an error.
pub fn load(
    chain: &Located<PathBuf>,
    key: &Located<PathBuf>,
    public_names: &[String],
    now: SystemTime,
    problems: &mut Problems,
) -> Option<Identity> {
    if let Some(warning) = files::key_mode_diagnostic(&key.value) {
        problems.add(&key.location, warning);
    }
    // Both are read before either is judged, so that an admin learns about both at once.
    let links = links(&chain.value).map_err(|diagnostic| problems.add(&chain.location, diagnostic));
    let der = files::private_key(&key.value).map_err(|error| problems.add(&key.location, error));
    let (links, der) = (links.ok()?, der.ok()?);

    let (signer, leaf) = match signer(&key.value, der, &links) {
        Ok(found) => found,
        Err(diagnostic) => {
            problems.add(&key.location, diagnostic);
            return None;
        }
    };
    let chain_of_leaf = Chain::build(links, leaf);
    let mut diagnostics = leaf_diagnostics(&chain_of_leaf.leaf.certificate, public_names, now);
    diagnostics.extend(chain_of_leaf.diagnostics(&chain.value));
    let usable = diagnostics
        .iter()
        .all(|diagnostic| diagnostic.severity == Severity::Warning);
    diagnostics
        .into_iter()
        .for_each(|diagnostic| problems.add(&chain.location, diagnostic));
    usable.then(|| identity(chain_of_leaf, signer))
}

/// Let's Encrypt and most tools renew with a third of the lifetime left. Less is a sign that
/// nothing renews the certificate.
pub const RENEWAL_IS_LATE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn identity(chain: Chain, signer: Arc<dyn SigningKey>) -> Identity {
    let leaf = &chain.leaf.certificate;
    Identity {
        not_after: leaf.not_after,
        not_before: leaf.not_before,
        names: leaf.dns_names.clone(),
        subject: leaf.subject.clone(),
        issuer: leaf.issuer.clone(),
        key: leaf.key.to_string(),
        certified: Arc::new(CertifiedKey::new(chain.into_der(), signer)),
    }
}

fn links(path: &Path) -> Result<Vec<Link>, Diagnostic> {
    let read = |(at, der): (usize, CertificateDer<'static>)| match Certificate::read(&der) {
        Ok(certificate) => Ok(Link { der, certificate }),
        Err(unreadable) => Err(Diagnostic::error(
            format!(
                "certificate {} of {} is {unreadable}",
                at + 1,
                path.display()
            ),
            "export it again, or take it out of the file",
        )),
    };
    files::certificates(path)?
        .into_iter()
        .enumerate()
        .map(read)
        .collect()
}

/// Returns the key ready to sign, and the position of the certificate that it belongs to.
fn signer(
    path: &Path,
    mut key: PrivateKeyDer<'static>,
    links: &[Link],
) -> Result<(Arc<dyn SigningKey>, usize), Diagnostic> {
    let signer = aws_lc_rs::sign::any_supported_type(&key);
    // The signer is in aws-lc now, which wipes it when the certificate is replaced.
    key.zeroize();
    let signer = signer.map_err(|_| unusable(path, links))?;
    let public = signer.public_key().ok_or_else(|| unusable(path, links))?;
    // A renewed certificate that kept its key may be in the file beside the old one.
    let own = links
        .iter()
        .enumerate()
        .filter(|(_, link)| link.certificate.has_key(&public));
    match own.max_by_key(|(_, link)| link.certificate.not_after) {
        Some((leaf, _)) => Ok((signer, leaf)),
        None => Err(mismatch(path, Key::of_spki(&public), links)),
    }
}

fn unusable(path: &Path, links: &[Link]) -> Diagnostic {
    let short = links
        .iter()
        .map(|link| link.certificate.key)
        .find(|key| key.is_short());
    let what = short.map_or_else(
        || format!("the private key in {} cannot be used", path.display()),
        |key| format!("the private key in {} is too short: {key}", path.display()),
    );
    Diagnostic::error(
        what,
        "use RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519",
    )
}

fn mismatch(path: &Path, key: Key, links: &[Link]) -> Diagnostic {
    let presented: Vec<String> = links
        .iter()
        .map(|Link { certificate: c, .. }| format!("{} ({})", c.subject, c.key))
        .collect();
    Diagnostic::error(
        format!(
            "the private key in {} ({key}) belongs to no certificate of the chain, which holds {}",
            path.display(),
            presented.join("; ")
        ),
        "name the key with which this certificate was requested, or the certificate of this key: \
         openssl x509 -noout -pubkey and openssl pkey -pubout print the same for a pair",
    )
}

fn leaf_diagnostics(
    leaf: &Certificate,
    public_names: &[String],
    now: SystemTime,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if leaf.key.is_short() {
        diagnostics.push(Diagnostic::error(
            format!("the certificate's key is too short: {}", leaf.key),
            "request a certificate with RSA 2048 or ECDSA P-256",
        ));
    }
    if !leaf.server_auth {
        diagnostics.push(Diagnostic::error(
            "the certificate is not for servers: its extended key usage lacks serverAuth",
            "request it from a template for web servers (1.3.6.1.5.5.7.3.1)",
        ));
    }
    diagnostics.extend(date_diagnostic(leaf, now));
    diagnostics.extend(name_diagnostic(leaf, public_names));
    diagnostics
}

/// Returns `None` if `leaf` is valid now and for a while.
pub fn date_diagnostic(leaf: &Certificate, now: SystemTime) -> Option<Diagnostic> {
    let today = seconds(now);
    let late = seconds(now + RENEWAL_IS_LATE);
    let renew = "renew it and put the new chain and key in place of the old";
    if today > leaf.not_after {
        let what = format!("the certificate expired on {}", date(leaf.not_after));
        Some(Diagnostic::error(what, renew))
    } else if today < leaf.not_before {
        let what = format!(
            "the certificate is valid only from {}, and it is {} now",
            date(leaf.not_before),
            date(today)
        );
        Some(Diagnostic::error(what, "wait, or set this machine's clock"))
    } else if late > leaf.not_after {
        let what = format!("the certificate expires soon, on {}", date(leaf.not_after));
        Some(Diagnostic::warning(what, renew))
    } else {
        None
    }
}

/// Returns `None` if `leaf` covers all of `public_names`.
pub fn name_diagnostic(leaf: &Certificate, public_names: &[String]) -> Option<Diagnostic> {
    let missing: Vec<&str> = public_names
        .iter()
        .map(String::as_str)
        .filter(|name| !leaf.covers(name))
        .collect();
    let first = missing.first()?;
    let found = if leaf.names_only_in_common_name(first) {
        "which has the name only in its CN: devices look at the SAN".to_owned()
    } else {
        format!("whose SAN names are: {}", leaf.san_text())
    };
    Some(Diagnostic::error(
        format!(
            "the certificate does not cover {}: it is {}, {found}",
            missing.join(", "),
            leaf.subject
        ),
        "request a certificate with all public names in the SAN, or mend public_names",
    ))
}
