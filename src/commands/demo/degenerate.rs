//! The response to GetCACert: a PKCS#7 with certificates and nothing else.
//!
//! Called by `ra`. The certificates stay in the given order, which BER allows and every SCEP client
//! accepts; strict DER would sort them.

use rustls::pki_types::CertificateDer;

use super::der::{CONTEXT_0, ID_DATA, ID_SIGNED_DATA, SET, element, integer, sequence};

/// Returns a SignedData with these certificates and without signers and content (RFC 8894 §3.4),
/// the body of a response of type `application/x-x509-ca-ra-cert` (§4.2.1.2).
pub fn certificates_only<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>,
) -> Vec<u8> {
    let certificates: Vec<u8> = certificates
        .into_iter()
        .flat_map(|der| der.iter().copied())
        .collect();
    let signed_data = sequence(&[
        &integer(1),
        &element(SET, &[]), // digestAlgorithms
        &sequence(&[ID_DATA]),
        &element(CONTEXT_0, &[&certificates]),
        &element(SET, &[]), // signerInfos
    ]);
    sequence(&[ID_SIGNED_DATA, &element(CONTEXT_0, &[&signed_data])])
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use crate::commands::demo::pki::Key;
    use crate::commands::demo::ra::ScepCertificates;

    #[test]
    fn openssl_finds_the_certificates_in_their_order() {
        let scep = ScepCertificates::new(Key::EcdsaP256).unwrap();
        let mut openssl = Command::new("openssl")
            .args(["pkcs7", "-inform", "DER", "-print_certs", "-noout"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = openssl.stdin.take().unwrap();
        stdin.write_all(&scep.get_ca_cert()).unwrap();
        drop(stdin);
        let output = openssl.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let subjects: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("subject="))
            .map(|subject| subject.trim().replace("CN = ", "CN="))
            .collect();
        assert_eq!(
            subjects,
            [
                "CN=ndes-proxy demo issuing CA",
                "CN=NDES-MSCEP-RA signing",
                "CN=NDES-MSCEP-RA encryption"
            ]
        );
    }
}
