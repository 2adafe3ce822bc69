//! The throw-away PKI of one run: one CA, two certificates of the public name, one of the origin.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::CertificateDer;

use crate::Result;

pub(crate) const PUBLIC_NAME: &str = "scep.example.com";
pub(crate) const ORIGIN_NAME: &str = "ndes.corp.test";

/// What the load generator has to see: the certificates that every proxy presents.
pub(crate) struct Pki {
    pub(crate) ecdsa: CertificateDer<'static>,
    pub(crate) rsa: CertificateDer<'static>,
}

impl Pki {
    /// Writes `ca.pem`, `origin.*`, `ecdsa.*` and `rsa.*` (`.pem` and `.key`) to `dir`, and the two of the public
    /// name once more as HAProxy wants them, key and chain in one file.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let ca = authority()?;
        fs::write(dir.join("ca.pem"), ca.pem())?;
        issue(&ca, dir, "origin", ORIGIN_NAME, KeyPair::generate()?)?;

        let rsa_key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        Ok(Self {
            ecdsa: issue(&ca, dir, "ecdsa", PUBLIC_NAME, KeyPair::generate()?)?,
            rsa: issue(&ca, dir, "rsa", PUBLIC_NAME, rsa_key)?,
        })
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Throughput bench root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn issue(
    ca: &CertifiedIssuer<'_, KeyPair>,
    dir: &Path,
    file: &str,
    name: &str,
    key: KeyPair,
) -> Result<CertificateDer<'static>> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, ca)?;

    let (chain, key) = (certificate.pem(), key.serialize_pem());
    fs::write(dir.join(format!("{file}.pem")), &chain)?;
    write_secret(&dir.join(format!("{file}.key")), &key)?;
    write_secret(&dir.join(format!("site.pem.{file}")), &(chain + &key))?;
    Ok(certificate.der().clone())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
