//! Reads certificates and keys from files, in the formats that a Windows admin has.
//!
//! Called while the configuration is read. This is the only file that uses rustls-pemfile: that
//! crate is archived (RUSTSEC-2025-0134) and a thin wrapper of rustls-pki-types, so replacing it
//! changes one file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize, Zeroizing};

use crate::base::problem::Diagnostic;
use crate::base::text;

use super::der::{self, Kind};

mod advice;
#[cfg(test)]
mod tests;

/// Reads all certificates of a file in their order: PEM (one or more, with any text and keys
/// between them), DER (`.cer`) or PKCS#7 (`.p7b`). Returns at least one.
///
/// # Errors
/// Says what the file contains instead, with the command that converts it to a certificate file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for mut piece in pieces(path)? {
        match piece.kind {
            Kind::Certificate => found.push(CertificateDer::from(piece.take())),
            Kind::Pkcs7 => match der::pkcs7_certificates(&piece.der) {
                Some(certificates) => found.extend(certificates),
                None => return Err(advice::pkcs7(path)),
            },
            // If it were left out, only the devices that need this certificate would notice.
            _ if piece.label == "TRUSTED CERTIFICATE" => return Err(advice::trusted(path)),
            _ => others.push(piece),
        }
    }
    match (found.is_empty(), others.first()) {
        (false, _) => Ok(found),
        (true, None) => Err(advice::no_certificate(path)),
        (true, Some(other)) => Err(advice::instead_of_certificate(path, other)),
    }
}

/// Reads the only private key of a file: PKCS#8, PKCS#1 or SEC1, PEM or DER. Certificates beside it
/// are ignored.
///
/// # Errors
/// Says what the file contains instead, with the command that converts it to a key file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Diagnostic> {
    let mut keys = Vec::new();
    let mut others = Vec::new();
    for mut piece in pieces(path)? {
        match piece.kind {
            Kind::Pkcs8 => keys.push(PrivateKeyDer::Pkcs8(piece.take().into())),
            Kind::Pkcs1 => keys.push(PrivateKeyDer::Pkcs1(piece.take().into())),
            Kind::Sec1 => keys.push(PrivateKeyDer::Sec1(piece.take().into())),
            Kind::Certificate
            | Kind::Request
            | Kind::RevocationList
            | Kind::Pkcs7
            | Kind::Pkcs12
            | Kind::EncryptedKey
            | Kind::PublicKey
            | Kind::Unknown => others.push(piece),
        }
    }
    if keys.len() > 1 {
        return Err(advice::several_keys(path, keys.len()));
    }
    // An encrypted key explains more than the certificate before it.
    let other = others
        .iter()
        .find(|piece| piece.kind == Kind::EncryptedKey)
        .or_else(|| others.first());
    match (keys.pop(), other) {
        (Some(key), _) => Ok(key),
        (None, None) => Err(advice::no_key(path)),
        (None, Some(other)) => Err(advice::instead_of_key(path, other)),
    }
}

/// Returns a warning if every user of the machine can read the key.
pub fn key_mode_diagnostic(path: &Path) -> Option<Diagnostic> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| advice::open_to_others(path, mode))
}

/// The most bytes of a file. No file of certificates is near this; reading `ca_roots =
/// ["/dev/zero"]` must end too.
const MAX_FILE: u64 = 1 << 20;

/// A part of the file: a PEM section, or the whole of a DER file.
struct Piece {
    /// The label, as in `-----BEGIN label-----`. Empty for DER.
    label: String,
    kind: Kind,
    der: Zeroizing<Vec<u8>>,
}

impl Piece {
    /// Returns the bytes; the caller wipes them.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.der)
    }
}

/// All memory that held the file is wiped, because it may be a key.
fn pieces(path: &Path) -> Result<Vec<Piece>, Diagnostic> {
    let bytes = read(path)?;
    if let Some(text) = text(&bytes) {
        let sections = sections(&text).map(|section| section.decode(path));
        let pieces = sections.collect();
        if let Cow::Owned(mut text) = text {
            text.zeroize();
        }
        return pieces;
    }
    let kind = Kind::of(&bytes);
    Ok(vec![Piece {
        label: String::new(),
        kind,
        der: bytes,
    }])
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Diagnostic> {
    // Memory for all of it, because a buffer that grows leaves copies behind.
    let expected = std::fs::metadata(path).map_or(0, |metadata| metadata.len().min(MAX_FILE));
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected as usize + 64));
    let size = File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error: io::Error| advice::unreadable(path, &error))?;
    match size {
        0 => Err(advice::empty(path)),
        size if size as u64 > MAX_FILE => Err(advice::too_large(path, MAX_FILE)),
        _ => Ok(bytes),
    }
}

/// Returns the file as text if it has a PEM section.
fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    // Latin-1 letters in the surrounding text do not matter.
    let text = text::decode(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes));
    text.contains(BEGIN).then_some(text)
}

const BEGIN: &str = "-----BEGIN ";

/// A PEM section as it is in the text, including its markers.
struct Section<'a> {
    label: &'a str,
    body: &'a str,
}

fn sections(text: &str) -> impl Iterator<Item = Section<'_>> {
    // Text before the first marker is ignored.
    text.split(BEGIN).skip(1).map(|after| {
        let (label, body) = after.split_once("-----").unwrap_or((after, ""));
        Section { label, body }
    })
}

impl Section<'_> {
    fn decode(&self, path: &Path) -> Result<Piece, Diagnostic> {
        let piece = |kind, der| Piece {
            label: self.label.to_owned(),
            kind,
            der: Zeroizing::new(der),
        };
        // RFC 1421 header fields, which openssl wrote for encrypted keys before PKCS#8.
        if self.body.contains("Proc-Type:") && self.body.contains("ENCRYPTED") {
            return Ok(piece(Kind::EncryptedKey, Vec::new()));
        }
        let Some((base64, _)) = self.body.split_once("-----END ") else {
            return Err(advice::no_end(path, self.label));
        };
        // Every section is decoded under one label, and one whose result can be wiped:
        // rustls-pemfile skips labels that it does not know (PKCS7, ENCRYPTED PRIVATE KEY), and
        // Windows writes PKCS#7 and even PFX as CERTIFICATE. The DER says what it is. Lines are
        // trimmed, because mail and YAML indent them.
        let mut pem = Zeroizing::new(String::with_capacity(self.body.len() + 64));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        for line in base64.lines() {
            pem.push_str(line.trim());
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        match rustls_pemfile::pkcs8_private_keys(&mut pem.as_bytes()).next() {
            Some(Ok(mut decoded)) => {
                let der = decoded.secret_pkcs8_der();
                let piece = match self.label {
                    // EC PARAMETERS is a single OID; a TRUSTED CERTIFICATE has additional data at
                    // its end.
                    "EC PARAMETERS" | "DH PARAMETERS" | "TRUSTED CERTIFICATE" => {
                        piece(Kind::Unknown, Vec::new())
                    }
                    _ => piece(Kind::of(der), der.to_vec()),
                };
                decoded.zeroize();
                Ok(piece)
            }
            _ => Err(advice::damaged(path, self.label)),
        }
    }
}
