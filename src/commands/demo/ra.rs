//! The certificates that GetCACert of a simulated NDES returns: those of its CA and of its
//! registration authority.
//!
//! Used by all code that starts a simulated NDES.

use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;

use super::degenerate::certificates_only;
use super::pki::{Issued, Key, Leaf, Pki};

mod faulty;

/// The CA of an NDES and its two RA certificates. Clones are equal.
#[derive(Clone)]
pub struct ScepCertificates {
    pub ca: CertificateDer<'static>,
    /// The RA certificate that signs responses.
    pub signing: Arc<Issued>,
    /// The RA certificate that devices encrypt for.
    pub encryption: Arc<Issued>,
    issuer: Arc<Pki>,
    key: Key,
}

impl ScepCertificates {
    /// Creates an issuing CA with its RA certificates. SCEP needs RSA; a test that only needs some
    /// certificates in the response is faster with ECDSA.
    ///
    /// # Errors
    /// The crypto library cannot generate a key.
    pub fn new(key: Key) -> Result<Self, rcgen::Error> {
        let issuer = Pki::new(CA_NAME, key)?;
        Ok(Self {
            ca: issuer.certificate().clone(),
            signing: issuer.issue(&signing(key))?.into(),
            encryption: issuer.issue(&encryption(key))?.into(),
            issuer: issuer.into(),
            key,
        })
    }

    /// Returns the same CA with new RA certificates for new keys, as after their renewal.
    ///
    /// # Errors
    /// The crypto library cannot generate a key.
    pub fn renewed(&self) -> Result<Self, rcgen::Error> {
        Ok(Self {
            signing: self.issuer.issue(&signing(self.key))?.into(),
            encryption: self.issuer.issue(&encryption(self.key))?.into(),
            ..self.clone()
        })
    }

    /// Returns certificates for the same RA keys, as `issuer` issues them after `change`.
    fn reissued(&self, issuer: &Pki, change: impl Fn(Leaf) -> Leaf) -> Result<Self, rcgen::Error> {
        let again = |ra, leaf| issuer.reissue(ra, &change(leaf));
        Ok(Self {
            signing: again(&self.signing, signing(self.key))?.into(),
            encryption: again(&self.encryption, encryption(self.key))?.into(),
            ..self.clone()
        })
    }

    /// Returns the body of a response to GetCACert, `application/x-x509-ca-ra-cert`.
    pub fn get_ca_cert(&self) -> Vec<u8> {
        certificates_only([
            &self.ca,
            self.signing.certificate(),
            self.encryption.certificate(),
        ])
    }
}

fn signing(key: Key) -> Leaf {
    ra("signing", KeyUsagePurpose::DigitalSignature, key)
}

fn encryption(key: Key) -> Leaf {
    ra("encryption", KeyUsagePurpose::KeyEncipherment, key)
}

fn ra(purpose: &str, usage: KeyUsagePurpose, key: Key) -> Leaf {
    Leaf {
        common_name: format!("NDES-MSCEP-RA {purpose}"),
        key,
        key_usages: vec![usage],
        extended_key_usages: vec![ExtendedKeyUsagePurpose::Other(
            CERTIFICATE_REQUEST_AGENT.to_vec(),
        )],
        ..Leaf::server(&[])
    }
}

const CA_NAME: &str = "ndes-proxy demo issuing CA";

/// Certificate Request Agent (Microsoft), the extended key usage of an RA certificate.
const CERTIFICATE_REQUEST_AGENT: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 1];

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn ra_certificates_are_rsa_and_marked_as_such() {
        let scep = ScepCertificates::new(Key::Rsa2048).unwrap();
        let parse = |der| X509Certificate::from_der(der).unwrap().1;
        let ca = parse(&scep.ca);
        let signing = parse(scep.signing.certificate());
        let encryption = parse(scep.encryption.certificate());

        let usage = signing.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_encipherment());
        let usage = encryption.key_usage().unwrap().unwrap().value;
        assert!(usage.key_encipherment() && !usage.digital_signature());
        for ra in [&signing, &encryption] {
            let other = &ra.extended_key_usage().unwrap().unwrap().value.other;
            assert_eq!(other[0].to_id_string(), "1.3.6.1.4.1.311.20.2.1");
            assert_eq!(ra.issuer(), ca.subject());
        }
        for certificate in [ca, signing, encryption] {
            let key = certificate.public_key().parsed();
            assert!(matches!(key, Ok(public_key::PublicKey::RSA(_))));
        }
    }
}
