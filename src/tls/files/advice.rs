//! What to tell about a file that cannot be used as it is: every text names the file and gives
//! the line to run.

use std::io;
use std::path::Path;

use crate::base::problem::Diagnostic;

use super::{Kind, Piece};

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let (what, cure) = match error.kind() {
        io::ErrorKind::NotFound => (
            "is missing".to_owned(),
            "check the path: a relative one starts at the directory of the configuration file, \
             and in a container the file must be mounted"
                .to_owned(),
        ),
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            let what = format!("may not be read by user {user}, as whom the proxy runs");
            (what, format!("run: setfacl -m u:{user}:r {}", quoted(path)))
        }
        io::ErrorKind::IsADirectory => (
            "is a directory".to_owned(),
            "name the file in it".to_owned(),
        ),
        _ => (
            format!("cannot be read: {error}"),
            "check the path and the disk".to_owned(),
        ),
    };
    Diagnostic::error(format!("{} {what}", path.display()), cure)
}

pub(super) fn empty(path: &Path) -> Diagnostic {
    Diagnostic::error(
        format!("{} is empty", path.display()),
        "export or copy it again",
    )
}

pub(super) fn too_large(path: &Path, limit: u64) -> Diagnostic {
    Diagnostic::error(
        format!("{} is larger than {limit} bytes", path.display()),
        "name a file that holds only certificates or the key",
    )
}

pub(super) fn no_end(path: &Path, label: &str) -> Diagnostic {
    Diagnostic::error(
        format!(
            "{} breaks off: no END line after BEGIN {}",
            path.display(),
            short(label)
        ),
        "copy the whole file again",
    )
}

pub(super) fn damaged(path: &Path, label: &str) -> Diagnostic {
    let file = quoted(path);
    Diagnostic::error(
        format!(
            "{} has a {} section that is not base64",
            path.display(),
            short(label)
        ),
        format!("export or copy it again; openssl asn1parse -in {file} shows where it breaks"),
    )
}

pub(super) fn pkcs7(path: &Path) -> Diagnostic {
    let (file, out) = (quoted(path), beside(path, "pem"));
    Diagnostic::error(
        format!("{} is a PKCS#7 that is not in DER", path.display()),
        format!(
            "run: openssl pkcs7 -print_certs -in {file} -out {out} \
             (with -inform DER if the file is binary), and name {out}"
        ),
    )
}

pub(super) fn trusted(path: &Path) -> Diagnostic {
    let (file, out) = (quoted(path), beside(path, "plain.pem"));
    Diagnostic::error(
        format!(
            "{} holds a TRUSTED CERTIFICATE, which only openssl reads",
            path.display()
        ),
        format!("run: openssl x509 -in {file} -out {out}, and name {out}"),
    )
}

pub(super) fn no_certificate(path: &Path) -> Diagnostic {
    Diagnostic::error(
        format!("{} holds no certificate", path.display()),
        format!(
            "name the certificate's file; openssl asn1parse -in {} shows it",
            quoted(path)
        ),
    )
}

pub(super) fn instead_of_certificate(path: &Path, found: &Piece) -> Diagnostic {
    let (name, file, pem) = (path.display(), quoted(path), beside(path, "pem"));
    match found.kind {
        Kind::Pkcs12 => pfx(path),
        Kind::Pkcs8 | Kind::Pkcs1 | Kind::Sec1 | Kind::EncryptedKey => Diagnostic::error(
            format!("{name} holds a private key where a certificate is expected"),
            format!("name the certificate's file here, and {file} as key"),
        ),
        Kind::PublicKey => Diagnostic::error(
            format!("{name} holds a bare public key where a certificate is expected"),
            "name the certificate that the CA issued for it",
        ),
        Kind::Request => Diagnostic::error(
            format!("{name} is a certificate request (CSR), not a certificate"),
            format!(
                "let the CA sign it, as by: certreq -submit {file} {}, and name what it returns",
                beside(path, "cer")
            ),
        ),
        Kind::RevocationList => Diagnostic::error(
            format!("{name} is a revocation list (CRL), not a certificate"),
            "name the CA's certificate (.crt or .cer), which lies beside it in CertEnroll",
        ),
        Kind::Certificate | Kind::Pkcs7 | Kind::Unknown => Diagnostic::error(
            format!(
                "{name} is neither PEM nor DER of a certificate{}",
                label(found)
            ),
            format!("export it again, or on Windows run: certutil -encode {file} {pem}"),
        ),
    }
}

pub(super) fn no_key(path: &Path) -> Diagnostic {
    Diagnostic::error(
        format!("{} holds no private key", path.display()),
        "name the file of the key",
    )
}

pub(super) fn several_keys(path: &Path, count: usize) -> Diagnostic {
    let out = beside(path, "one.key");
    Diagnostic::error(
        format!("{} holds {count} private keys", path.display()),
        format!(
            "run: openssl pkey -in {} -out {out} to keep the first one",
            quoted(path)
        ),
    )
}

pub(super) fn instead_of_key(path: &Path, found: &Piece) -> Diagnostic {
    let (name, file, out) = (path.display(), quoted(path), beside(path, "plain.key"));
    match found.kind {
        Kind::Pkcs12 => pfx(path),
        Kind::EncryptedKey => {
            let command = if found.label.is_empty() {
                "pkcs8 -inform DER"
            } else {
                "pkey"
            };
            Diagnostic::error(
                format!("{name} holds a private key under a password, which nobody can type here"),
                format!(
                    "run: openssl {command} -in {file} -out {out} && chmod 600 {out}, \
                     and name {out}"
                ),
            )
        }
        Kind::Certificate | Kind::Pkcs7 => Diagnostic::error(
            format!("{name} holds a certificate where a private key is expected"),
            format!(
                "name the key's file; on Windows the key leaves the store only in a PFX: \
                 certutil -exportPFX -p PASSWORD my SERIALNUMBER {}",
                beside(path, "pfx")
            ),
        ),
        Kind::Request => Diagnostic::error(
            format!("{name} is a certificate request (CSR), not a private key"),
            "name the key's file that was made together with it",
        ),
        Kind::PublicKey => Diagnostic::error(
            format!("{name} holds a public key where the private one is expected"),
            "name the file of the private key",
        ),
        Kind::RevocationList | Kind::Pkcs8 | Kind::Pkcs1 | Kind::Sec1 | Kind::Unknown => {
            Diagnostic::error(
                format!(
                    "{name} is neither PEM nor DER of a private key{}",
                    label(found)
                ),
                format!("run: openssl pkey -in {file} -out {out}, and name {out}"),
            )
        }
    }
}

pub(super) fn open_to_others(path: &Path, mode: u32) -> Diagnostic {
    Diagnostic::warning(
        format!(
            "{} is open to every user (mode {:03o})",
            path.display(),
            mode & 0o777
        ),
        format!("run: chmod o-rwx {}", quoted(path)),
    )
}

fn pfx(path: &Path) -> Diagnostic {
    let (file, pem, key) = (quoted(path), beside(path, "pem"), beside(path, "key"));
    Diagnostic::error(
        format!("{} is a PFX (PKCS#12)", path.display()),
        format!(
            "run: openssl pkcs12 -in {file} -nokeys -out {pem} && \
             openssl pkcs12 -in {file} -nocerts -nodes -out {key} && chmod 600 {key} \
             (add -legacy if it says unsupported), and name {pem} and {key}"
        ),
    )
}

fn label(found: &Piece) -> String {
    if found.label.is_empty() {
        String::new()
    } else {
        format!(" but says BEGIN {}", short(&found.label))
    }
}

/// A label comes from the file, which may be anything.
fn short(label: &str) -> String {
    label
        .chars()
        .take(40)
        .flat_map(char::escape_debug)
        .collect()
}

/// The same name with another ending, for the output of a command.
fn beside(path: &Path, ending: &str) -> String {
    let other = path.with_extension(ending);
    if other == path {
        quoted(&path.with_extension(format!("new.{ending}")))
    } else {
        quoted(&other)
    }
}

/// Fit to be pasted into a shell.
fn quoted(path: &Path) -> String {
    let name = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-:+@".contains(c);
    if name.chars().all(plain) {
        name
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}
