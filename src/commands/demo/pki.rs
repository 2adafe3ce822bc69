//! A temporary PKI: certification authorities and the certificates that they issue.
//!
//! Used by the demo, the integration tests and the benches, which also need certificates that no CA
//! should issue: expired ones, wrong names, a CN without a SAN.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, RsaKeySize,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// A certification authority that exists as long as this value. Its key is never written.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// From the certificate of this CA up to the root, which is not included.
    intermediates: Vec<CertificateDer<'static>>,
    /// The same in PEM.
    intermediates_pem: String,
}

impl Pki {
    /// Creates a root CA that is valid for 90 days.
    ///
    /// # Errors
    /// The crypto library cannot generate a key.
    pub fn new(common_name: &str, key: Key) -> Result<Self, rcgen::Error> {
        let issuer = CertifiedIssuer::self_signed(ca_params(common_name), key.generate()?)?;
        Ok(Self {
            issuer,
            intermediates: Vec::new(),
            intermediates_pem: String::new(),
        })
    }

    /// Creates a CA below this one. The chains of its certificates contain it.
    ///
    /// # Errors
    /// The crypto library cannot generate a key.
    pub fn intermediate(&self, common_name: &str, key: Key) -> Result<Self, rcgen::Error> {
        let issuer =
            CertifiedIssuer::signed_by(ca_params(common_name), key.generate()?, &self.issuer)?;
        let mut intermediates = vec![issuer.der().clone()];
        intermediates.extend_from_slice(&self.intermediates);
        let intermediates_pem = issuer.pem() + &self.intermediates_pem;
        Ok(Self {
            issuer,
            intermediates,
            intermediates_pem,
        })
    }

    /// Returns the certificate of this CA in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// Returns the certificate of this CA in PEM.
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// A name is not ASCII, or the crypto library cannot generate a key.
    pub fn issue(&self, leaf: &Leaf) -> Result<Issued, rcgen::Error> {
        self.certify(leaf, &leaf.key.generate()?)
    }

    /// Issues a certificate for the key of `issued`. `leaf.key` is ignored.
    ///
    /// # Errors
    /// A name is not ASCII, or this module did not generate the key.
    pub fn reissue(&self, issued: &Issued, leaf: &Leaf) -> Result<Issued, rcgen::Error> {
        self.certify(leaf, &KeyPair::try_from(&issued.key)?)
    }

    fn certify(&self, leaf: &Leaf, key: &KeyPair) -> Result<Issued, rcgen::Error> {
        let certificate = leaf.params()?.signed_by(key, &self.issuer)?;
        let chain_pem = certificate.pem() + &self.intermediates_pem;
        let mut chain = vec![certificate.into()];
        chain.extend_from_slice(&self.intermediates);
        Ok(Issued {
            chain,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
            chain_pem,
            key_pem: key.serialize_pem(),
        })
    }

    /// Returns the key of this CA as PKCS#8.
    pub(super) fn key(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.issuer.key().serialize_der())
    }

    /// Writes `{stem}.pem`, the certificate of this CA, into `dir` and returns its path.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn write_to(&self, dir: &Path, stem: &str) -> io::Result<PathBuf> {
        write_file(dir.join(format!("{stem}.pem")), 0o644, &self.issuer.pem())
    }
}

/// The contents of a certificate.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub common_name: String,
    /// DNS names and IP addresses of the SAN. If empty, the certificate has no SAN.
    pub names: Vec<String>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub key: Key,
    pub key_usages: Vec<KeyUsagePurpose>,
    pub extended_key_usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Leaf {
    /// A TLS server certificate for these names, of which the first is also the CN. It has an ECDSA
    /// key and is valid from yesterday for 90 days, unless the caller changes the fields.
    pub fn server(names: &[&str]) -> Self {
        Self {
            common_name: (*names.first().unwrap_or(&"server")).to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            not_before: yesterday(),
            not_after: yesterday() + LIFETIME,
            key: Key::EcdsaP256,
            key_usages: vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
            ],
            extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name = distinguished_name(&self.common_name);
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages.clone_from(&self.key_usages);
        params
            .extended_key_usages
            .clone_from(&self.extended_key_usages);
        Ok(params)
    }
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    EcdsaP256,
    /// Takes some tenths of a second to generate.
    Rsa2048,
}

impl Key {
    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
    }
}

/// A certificate with its key.
pub struct Issued {
    /// The certificate first, then the intermediates, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivatePkcs8KeyDer<'static>,
    /// The same chain in PEM.
    pub chain_pem: String,
    /// The same key in PEM (PKCS#8).
    pub key_pem: String,
}

impl Issued {
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// Returns a rustls server configuration with only this certificate: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// Those of rustls. There are none for certificates of this module.
    pub fn server_config(&self) -> Result<rustls::ServerConfig, rustls::Error> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Writes `{stem}.pem` and `{stem}.key` (mode 0600) into `dir`.
    ///
    /// # Errors
    /// The files cannot be created or written.
    pub fn write_to(&self, dir: &Path, stem: &str) -> io::Result<Files> {
        let chain = dir.join(format!("{stem}.pem"));
        let key = dir.join(format!("{stem}.key"));
        Ok(Files {
            chain: write_file(chain, 0o644, &self.chain_pem)?,
            key: write_file(key, 0o600, &self.key_pem)?,
        })
    }
}

/// The paths of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub chain: PathBuf,
    pub key: PathBuf,
}

fn ca_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name);
    params.not_before = yesterday();
    params.not_after = yesterday() + LIFETIME;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// One day back, so that a client whose clock is behind accepts the certificates too.
fn yesterday() -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::DAY
}

/// Sets the mode at creation, so that others can never read a key.
fn write_file(path: PathBuf, mode: u32, text: &str) -> io::Result<PathBuf> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

const LIFETIME: Duration = Duration::days(90);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use x509_parser::prelude::*;

    use super::*;

    fn parse<'a>(der: &'a CertificateDer<'static>) -> X509Certificate<'a> {
        X509Certificate::from_der(der).unwrap().1
    }

    #[test]
    fn a_server_certificate_carries_names_and_addresses_and_is_valid_now() {
        let pki = Pki::new("test CA", Key::EcdsaP256).unwrap();
        let leaf = Leaf::server(&["scep.example.test", "127.0.0.1"]);
        let issued = pki.issue(&leaf).unwrap();
        let certificate = parse(issued.certificate());

        assert_eq!(certificate.subject().to_string(), "CN=scep.example.test");
        let names = &certificate
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names;
        let expected = [
            GeneralName::DNSName("scep.example.test"),
            GeneralName::IPAddress(&[127, 0, 0, 1]),
        ];
        assert_eq!(names[..], expected);
        assert!(certificate.validity().is_valid());
        assert_eq!(certificate.issuer(), parse(pki.certificate()).subject());
    }

    #[test]
    fn without_names_there_is_no_san() {
        let pki = Pki::new("test CA", Key::EcdsaP256).unwrap();
        let leaf = Leaf {
            common_name: "ndes.corp.test".to_owned(),
            ..Leaf::server(&[])
        };
        let issued = pki.issue(&leaf).unwrap();
        let certificate = parse(issued.certificate());
        assert_eq!(certificate.subject().to_string(), "CN=ndes.corp.test");
        assert!(certificate.subject_alternative_name().unwrap().is_none());
    }

    #[test]
    fn an_expired_certificate_can_be_had() {
        let pki = Pki::new("test CA", Key::EcdsaP256).unwrap();
        let now = OffsetDateTime::now_utc();
        let leaf = Leaf {
            not_before: now - Duration::days(2),
            not_after: now - Duration::days(1),
            ..Leaf::server(&["ndes.corp.test"])
        };
        let issued = pki.issue(&leaf).unwrap();
        assert!(!parse(issued.certificate()).validity().is_valid());
    }

    #[test]
    fn an_intermediate_is_in_the_chain_and_the_root_is_not() {
        let root = Pki::new("root", Key::EcdsaP256).unwrap();
        let middle = root.intermediate("middle", Key::EcdsaP256).unwrap();
        let lower = middle.intermediate("lower", Key::EcdsaP256).unwrap();
        let issued = lower.issue(&Leaf::server(&["a.test"])).unwrap();

        let subjects: Vec<_> = issued
            .chain
            .iter()
            .map(|der| parse(der).subject().to_string())
            .collect();
        assert_eq!(subjects, ["CN=a.test", "CN=lower", "CN=middle"]);
        let from_pem: Vec<_> = Pem::iter_from_buffer(issued.chain_pem.as_bytes())
            .map(|pem| pem.unwrap().contents)
            .collect();
        let from_der: Vec<_> = issued.chain.iter().map(|der| der.to_vec()).collect();
        assert_eq!(from_pem, from_der);
    }

    #[test]
    fn an_rsa_key_serves_tls() {
        let pki = Pki::new("test CA", Key::EcdsaP256).unwrap();
        let leaf = Leaf {
            key: Key::Rsa2048,
            ..Leaf::server(&["scep.example.test"])
        };
        let issued = pki.issue(&leaf).unwrap();
        let certificate = parse(issued.certificate());
        let Ok(public_key::PublicKey::RSA(key)) = certificate.public_key().parsed() else {
            panic!("not RSA");
        };
        assert_eq!(key.key_size(), 2048);
        // with_single_cert refuses a key that does not belong to the certificate.
        assert!(issued.server_config().is_ok());
    }

    #[test]
    fn keys_are_written_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new("test CA", Key::EcdsaP256).unwrap();
        let issued = pki.issue(&Leaf::server(&["scep.example.test"])).unwrap();

        let files = issued.write_to(dir.path(), "public").unwrap();
        assert_eq!(files.chain, dir.path().join("public.pem"));
        let mode = std::fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&files.key).unwrap(), issued.key_pem);
        // An existing file, perhaps a link of another user, is never written through.
        assert!(issued.write_to(dir.path(), "public").is_err());
    }
}
