//! CA and RA certificates with faults that an admin must repair.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use crate::commands::demo::condition::Condition;
use crate::commands::demo::der::{BIT_STRING, element, sequence};
use crate::commands::demo::pki::{Key, Leaf, Pki};
use crate::scep::to_be_signed;

use super::{CA_NAME, ScepCertificates};

impl ScepCertificates {
    /// Returns what an NDES with these certificates returns in this condition, and the same
    /// certificates if the condition does not concern them.
    ///
    /// # Errors
    /// The crypto library cannot generate a key.
    pub fn when(&self, condition: Condition) -> Result<Self, rcgen::Error> {
        let expiring_on = |not_after| {
            self.reissued(&self.issuer, |leaf| Leaf {
                not_before: not_after - Duration::days(365),
                not_after,
                ..leaf
            })
        };
        let now = OffsetDateTime::now_utc();
        match condition {
            Condition::RaExpired => expiring_on(now - Duration::DAY),
            Condition::RaExpiring => expiring_on(now + Duration::days(10)),
            Condition::CaRenewed => Ok(Self {
                ca: Pki::new(CA_NAME, self.key)?.certificate().clone(),
                ..self.clone()
            }),
            Condition::CaSha1 => self.below_rsa_ca(SHA1_WITH_RSA, &RSA_PKCS1_SHA256),
            Condition::CaPss => self.below_rsa_ca(PSS_WITH_SHA256, &RSA_PSS_SHA256),
            _ => Ok(self.clone()),
        }
    }

    /// Returns the RA certificates of a new CA, whose own certificate names this
    /// AlgorithmIdentifier.
    fn below_rsa_ca(
        &self,
        algorithm: &[u8],
        encoding: &'static dyn RsaEncoding,
    ) -> Result<Self, rcgen::Error> {
        let issuer = Pki::new(CA_NAME, Key::Rsa2048)?;
        let ca = resigned(&issuer, algorithm, encoding).ok_or(rcgen::Error::RemoteKeyError)?;
        Ok(Self {
            ca,
            ..self.reissued(&issuer, |leaf| leaf)?
        })
    }
}

/// Returns the certificate of `issuer` with another signature algorithm, signed again with
/// `encoding`.
///
/// No library signs with SHA-1 any more, so such a certificate names it and is signed with SHA-256.
/// No client verifies the signature of a CA on its own certificate.
fn resigned(
    issuer: &Pki,
    algorithm: &[u8],
    encoding: &'static dyn RsaEncoding,
) -> Option<CertificateDer<'static>> {
    let signed = to_be_signed(issuer.certificate())?;
    // The identifier that rcgen wrote occurs once, directly behind the serial number.
    let at = signed
        .windows(SHA256_WITH_RSA.len())
        .position(|window| window == SHA256_WITH_RSA)?;
    // SEQUENCE, 0x82 and two bytes of length.
    let before = signed.get(4..at)?;
    let after = &signed[at + SHA256_WITH_RSA.len()..];
    let signed = sequence(&[before, algorithm, after]);

    let key = RsaKeyPair::from_pkcs8(issuer.key().secret_pkcs8_der()).ok()?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), &signed, &mut signature)
        .ok()?;
    let signature = element(BIT_STRING, &[&[0], &signature]);
    Some(sequence(&[&signed, algorithm, &signature]).into())
}

/// AlgorithmIdentifier (RFC 4055 §5): 1.2.840.113549.1.1.11 and NULL.
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
/// 1.2.840.113549.1.1.5 and NULL (RFC 3279 §2.2.1).
const SHA1_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
/// 1.2.840.113549.1.1.10 with SHA-256 in both places and a salt of 32 bytes (RFC 4055 §3.1).
const PSS_WITH_SHA256: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa2\x03\x02\x01\x20";

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    use x509_parser::prelude::{FromDer, X509Certificate};
    use x509_parser::public_key::PublicKey;

    use super::*;

    fn healthy() -> ScepCertificates {
        ScepCertificates::new(Key::EcdsaP256).unwrap()
    }

    fn issued(ca: &CertificateDer<'_>, certificate: &CertificateDer<'_>) -> bool {
        let (ca, certificate) = (parse(ca), parse(certificate));
        let algorithm: &dyn VerificationAlgorithm = match ca.public_key().parsed().unwrap() {
            PublicKey::RSA(_) => &RSA_PKCS1_2048_8192_SHA256,
            _ => &ECDSA_P256_SHA256_ASN1,
        };
        UnparsedPublicKey::new(algorithm, &ca.public_key().subject_public_key.data)
            .verify(
                certificate.tbs_certificate.as_ref(),
                &certificate.signature_value.data,
            )
            .is_ok()
    }

    fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
        X509Certificate::from_der(der).unwrap().1
    }

    #[test]
    fn ra_certificates_have_expired_or_are_about_to() {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        for (condition, days) in [(Condition::RaExpired, -1), (Condition::RaExpiring, 10)] {
            let scep = healthy().when(condition).unwrap();
            for ra in [scep.signing.certificate(), scep.encryption.certificate()] {
                assert!(issued(&scep.ca, ra));
                let left = parse(ra).validity().not_after.timestamp() - now;
                assert!((left - days * 86400).abs() < 60, "{condition:?}: {left} s");
            }
        }
    }

    #[test]
    fn a_renewed_ca_has_the_name_of_the_old_one_and_did_not_issue_the_ra() {
        let scep = healthy().when(Condition::CaRenewed).unwrap();
        let ra = scep.signing.certificate();
        assert_eq!(parse(ra).issuer(), parse(&scep.ca).subject());
        assert!(!issued(&scep.ca, ra));
    }

    #[test]
    fn a_ca_signed_with_sha1_or_pss_says_so_twice_and_has_issued_the_ra() {
        for (condition, oid) in [
            (Condition::CaSha1, "1.2.840.113549.1.1.5"),
            (Condition::CaPss, "1.2.840.113549.1.1.10"),
        ] {
            let scep = healthy().when(condition).unwrap();
            let ca = parse(&scep.ca);
            assert_eq!(ca.signature_algorithm.algorithm.to_id_string(), oid);
            assert_eq!(ca.tbs_certificate.signature, ca.signature_algorithm);
            for ra in [scep.signing.certificate(), scep.encryption.certificate()] {
                assert!(issued(&scep.ca, ra));
            }
        }
    }

    #[test]
    fn openssl_verifies_the_pss_signature() {
        let scep = healthy().when(Condition::CaPss).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let [der, pem] = ["ca.der", "ca.pem"].map(|name| dir.path().join(name));
        let (der, pem) = (der.as_path(), pem.as_path());
        std::fs::write(der, &scep.ca).unwrap();
        let convert = ["x509", "-inform", "DER", "-in"];
        let verify = ["verify", "-check_ss_sig", "-CAfile"];
        for (arguments, files) in [
            (&convert[..], [der, Path::new("-out"), pem]),
            (&verify[..], [pem, pem, pem]),
        ] {
            let openssl = Command::new("openssl").args(arguments).args(files).output();
            assert!(openssl.as_ref().unwrap().status.success(), "{openssl:?}");
        }
    }

    #[test]
    fn other_conditions_are_not_about_certificates() {
        let scep = healthy();
        let same = scep.when(Condition::PoolStopped).unwrap();
        assert_eq!(scep.get_ca_cert(), same.get_ca_cert());
    }
}
