//! The certificates that an NDES hands out: those of its CA and of itself as registration authority.
//!
//! Called by whoever starts a simulated NDES.

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;

use super::degenerate::certificates_only;
use super::pki::{Issued, Key, Leaf, Pki};

/// The CA of an NDES and its two RA certificates.
pub struct ScepCertificates {
    pub ca: CertificateDer<'static>,
    /// RA certificate that signs answers.
    pub signing: Issued,
    /// RA certificate that devices encrypt for.
    pub encryption: Issued,
}

impl ScepCertificates {
    /// An issuing CA of its own with its RA certificates. SCEP needs RSA; a test that only wants
    /// some certificates in the answer is faster with ECDSA.
    ///
    /// # Errors
    /// Only when the crypto library cannot make a key.
    pub fn new(key: Key) -> Result<Self, rcgen::Error> {
        let ca = Pki::new("ndes-proxy demo issuing CA", key)?;
        let issue = |common_name: &str, usage| {
            ca.issue(&Leaf {
                common_name: common_name.to_owned(),
                key,
                key_usages: vec![usage],
                extended_key_usages: vec![ExtendedKeyUsagePurpose::Other(
                    CERTIFICATE_REQUEST_AGENT.to_vec(),
                )],
                ..Leaf::server(&[])
            })
        };
        Ok(Self {
            ca: ca.certificate().clone(),
            signing: issue("NDES-MSCEP-RA signing", KeyUsagePurpose::DigitalSignature)?,
            encryption: issue("NDES-MSCEP-RA encryption", KeyUsagePurpose::KeyEncipherment)?,
        })
    }

    /// The body of an answer to GetCACert, `application/x-x509-ca-ra-cert`.
    pub fn get_ca_cert(&self) -> Vec<u8> {
        certificates_only([
            &self.ca,
            self.signing.certificate(),
            self.encryption.certificate(),
        ])
    }
}

/// Certificate Request Agent (Microsoft): what makes a certificate one of an RA.
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
