//! The temporary PKI of one run: a CA, two certificates of the public name and one of the origin.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ndes_proxy::commands::demo::pki::{self, Key, Leaf};
use rustls::pki_types::CertificateDer;

use crate::Result;

pub(crate) const PUBLIC_NAME: &str = "scep.example.com";
pub(crate) const ORIGIN_NAME: &str = "ndes.corp.test";

/// Returns the public name of an application: [`PUBLIC_NAME`] for the first, then other names that
/// the certificates cover too.
pub(crate) fn public_name(number: usize) -> String {
    match number {
        0 => PUBLIC_NAME.to_owned(),
        _ => format!("scep{number}.example.com"),
    }
}

/// The certificates that every proxy presents and the load generator expects.
pub(crate) struct Pki {
    pub(crate) ecdsa: CertificateDer<'static>,
    pub(crate) rsa: CertificateDer<'static>,
}

impl Pki {
    /// Writes `ca.pem`, `origin.*`, `ecdsa.*` and `rsa.*` (`.pem` and `.key`) to `dir`. For HAProxy
    /// it also writes the two of the public name with chain and key in one file.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let public = [PUBLIC_NAME, "*.example.com"];
        let ca = pki::Pki::new("Throughput bench root", Key::EcdsaP256)?;
        fs::write(dir.join("ca.pem"), ca.certificate_pem())?;
        issue(&ca, dir, "origin", &[ORIGIN_NAME], Key::EcdsaP256)?;
        Ok(Self {
            ecdsa: issue(&ca, dir, "ecdsa", &public, Key::EcdsaP256)?,
            rsa: issue(&ca, dir, "rsa", &public, Key::Rsa2048)?,
        })
    }
}

fn issue(
    ca: &pki::Pki,
    dir: &Path,
    file: &str,
    names: &[&str],
    key: Key,
) -> Result<CertificateDer<'static>> {
    let issued = ca.issue(&Leaf {
        key,
        ..Leaf::server(names)
    })?;
    issued.write_to(dir, file)?;
    let both = format!("{}{}", issued.chain_pem, issued.key_pem);
    write_secret(&dir.join(format!("site.pem.{file}")), &both)?;
    Ok(issued.certificate().clone())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
