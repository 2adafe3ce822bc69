//! The response to a PKIOperation: a CertRep with the pkiStatus that a test requests (RFC 8894
//! §3.3.2).
//!
//! Called by `enrolment`. PENDING and FAILURE are complete: real clients verify and understand
//! them. SUCCESS is not: instead of the encrypted certificate it contains the RA certificate in the
//! clear, because no certificate was issued. It is for clients that read only the outer layer.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{KeyPair, PKCS_RSA_SHA256, SigningKey};

use super::degenerate::certificates_only;
use super::der::{
    CONTEXT_0, ID_DATA, ID_SIGNED_DATA, INTEGER, OCTET_STRING, PRINTABLE_STRING, SET, UTF8_STRING,
    element, integer, sequence, set_of,
};
use super::pki::Issued;
use crate::scep::{Certificate, FailInfo, MessageType, PkiStatus};

/// The contents of a CertRep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertRep<'a> {
    pub status: PkiStatus,
    pub fail_info: Option<FailInfo>,
    pub fail_info_text: Option<&'a str>,
    /// From the request, as the next.
    pub transaction_id: &'a [u8],
    /// The senderNonce of the request.
    pub recipient_nonce: &'a [u8],
}

impl CertRep<'_> {
    /// Returns the message in DER, signed by `signer` with SHA-256, with PKCS#1 v1.5 if its key is
    /// RSA.
    ///
    /// # Errors
    /// The crypto library cannot sign with this key.
    pub fn signed_by(&self, signer: &Issued) -> Result<Vec<u8>, rcgen::Error> {
        // The envelope is present for SUCCESS and absent otherwise (RFC 8894 §3.3.2). The structure
        // around it stays, empty, because clients that verify with PKCS7_verify of OpenSSL require
        // it.
        let content = match self.status {
            PkiStatus::Success => certificates_only([signer.certificate()]),
            _ => Vec::new(),
        };
        let attributes = self.attributes(&content)?;
        let content = element(CONTEXT_0, &[&element(OCTET_STRING, &[&content])]);
        let signed_data = sequence(&[
            &integer(1),
            &element(SET, &[ALGORITHM_SHA256]),
            &sequence(&[ID_DATA, &content]),
            &element(CONTEXT_0, &[signer.certificate()]),
            &element(SET, &[&signer_info(attributes, signer)?]),
        ]);
        Ok(sequence(&[
            ID_SIGNED_DATA,
            &element(CONTEXT_0, &[&signed_data]),
        ]))
    }

    fn attributes(&self, content: &[u8]) -> Result<Vec<Vec<u8>>, rcgen::Error> {
        let mut nonce = [0; 16];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| rcgen::Error::RingUnspecified)?;
        let digest = digest(&SHA256, content);
        let number = |number: u32| element(PRINTABLE_STRING, &[number.to_string().as_bytes()]);
        let octets = |bytes| element(OCTET_STRING, &[bytes]);
        let transaction_id = element(PRINTABLE_STRING, &[self.transaction_id]);
        let mut attributes = vec![
            attribute(CONTENT_TYPE, ID_DATA),
            attribute(MESSAGE_DIGEST, &octets(digest.as_ref())),
            attribute(MESSAGE_TYPE, &number(MessageType::CertRep.number())),
            attribute(PKI_STATUS, &number(self.status.number())),
            attribute(TRANSACTION_ID, &transaction_id),
            attribute(SENDER_NONCE, &octets(&nonce)),
            attribute(RECIPIENT_NONCE, &octets(self.recipient_nonce)),
        ];
        if let Some(info) = self.fail_info {
            attributes.push(attribute(FAIL_INFO, &number(info.number())));
        }
        if let Some(text) = self.fail_info_text {
            let text = element(UTF8_STRING, &[text.as_bytes()]);
            attributes.push(attribute(FAIL_INFO_TEXT, &text));
        }
        Ok(attributes)
    }
}

fn attribute(id: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[id, &element(SET, &[value])])
}

/// Returns a SignerInfo (RFC 5652 §5.3) that names the signer by issuer and serial number.
fn signer_info(attributes: Vec<Vec<u8>>, signer: &Issued) -> Result<Vec<u8>, rcgen::Error> {
    let certificate =
        Certificate::read(signer.certificate()).ok_or(rcgen::Error::CouldNotParseCertificate)?;
    let serial = element(INTEGER, &[certificate.serial.as_bytes()]);
    let signer_id = sequence(&[certificate.issuer.as_der(), &serial]);

    // The attributes are signed as a SET and sent as [0] of the same bytes (§5.4).
    let signed = set_of(attributes);
    let mut sent = signed.clone();
    sent[0] = CONTEXT_0;

    let key = KeyPair::try_from(&signer.key)?;
    let algorithm = if key.algorithm() == &PKCS_RSA_SHA256 {
        RSA_ENCRYPTION
    } else {
        ECDSA_WITH_SHA256
    };
    let signature = element(OCTET_STRING, &[&key.sign(&signed)?]);
    Ok(sequence(&[
        &integer(1),
        &signer_id,
        ALGORITHM_SHA256,
        &sent,
        algorithm,
        &signature,
    ]))
}

/// 2.16.840.1.101.3.4.2.1, without parameters (RFC 5754 §2).
const ALGORITHM_SHA256: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
/// 1.2.840.113549.1.1.1 and NULL, as NDES and OpenSSL name PKCS#1 v1.5 in a SignerInfo.
const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

/// 1.2.840.113549.1.9.3
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
/// 1.2.840.113549.1.9.4
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
/// 1.3.6.1.5.5.7.24.1
const FAIL_INFO_TEXT: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x18\x01";

// Below 2.16.840.1.113733.1.9 (RFC 8894 §3.2.1).
const MESSAGE_TYPE: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x02";
const PKI_STATUS: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x03";
const FAIL_INFO: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x04";
const SENDER_NONCE: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x05";
const RECIPIENT_NONCE: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x06";
const TRANSACTION_ID: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x07";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::commands::demo::pki::Key;
    use crate::commands::demo::ra::ScepCertificates;

    use super::*;

    fn openssl(arguments: &[&str], message: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("message.der");
        std::fs::write(&file, message).unwrap();
        let output = Command::new("openssl")
            .args(arguments)
            .args(["-inform", "DER", "-in"])
            .arg(file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn verify(message: &[u8]) {
        let arguments = ["smime", "-verify", "-noverify", "-out", "/dev/null"];
        openssl(&arguments, message);
    }

    fn message(status: PkiStatus, fail_info: Option<FailInfo>, signer: &Issued) -> Vec<u8> {
        let cert_rep = CertRep {
            status,
            fail_info,
            fail_info_text: fail_info.map(|_| "no such template"),
            transaction_id: b"a b+/=",
            recipient_nonce: b"0123456789abcdef",
        };
        cert_rep.signed_by(signer).unwrap()
    }

    #[test]
    fn openssl_verifies_every_status_with_either_kind_of_key() {
        for key in [Key::Rsa2048, Key::EcdsaP256] {
            let signer = ScepCertificates::new(key).unwrap().signing;
            verify(&message(PkiStatus::Success, None, &signer));
            verify(&message(PkiStatus::Pending, None, &signer));
            verify(&message(PkiStatus::Other(11), None, &signer));
            let failure = Some(FailInfo::BadRequest);
            verify(&message(PkiStatus::Failure, failure, &signer));
        }
    }

    #[test]
    fn openssl_finds_the_attributes() {
        let signer = ScepCertificates::new(Key::EcdsaP256).unwrap().signing;
        for (index, info) in FailInfo::KNOWN.into_iter().enumerate() {
            let message = message(PkiStatus::Failure, Some(info), &signer);
            let text = openssl(&["cms", "-cmsout", "-print", "-noout"], &message);
            let value = |object: &str| {
                let after = text.split(&format!("({object})")).nth(1).unwrap();
                after.lines().nth(2).unwrap().trim()
            };
            let scep = |number: u8| value(&format!("2.16.840.1.113733.1.9.{number}"));
            assert_eq!(scep(2), "PRINTABLESTRING:3");
            assert_eq!(scep(3), "PRINTABLESTRING:2");
            assert_eq!(scep(4), format!("PRINTABLESTRING:{index}"));
            assert_eq!(scep(7), "PRINTABLESTRING:a b+/=");
            assert!(text.contains("0123456789abc"), "{text}");
            assert!(text.contains("UTF8STRING:no such template"), "{text}");
        }
    }
}
