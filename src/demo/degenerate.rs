//! The answer to GetCACert: certificates and nothing else in a PKCS#7 envelope.
//!
//! Called by `ra`. The certificates stay in the order given, which BER allows and
//! every SCEP client takes; strict DER would sort them.

use rustls::pki_types::CertificateDer;

/// A SignedData without signers and content around these certificates (RFC 8894 §3.4), the body
/// of an answer of type `application/x-x509-ca-ra-cert` (§4.2.1.2).
pub fn certificates_only<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>,
) -> Vec<u8> {
    let certificates: Vec<u8> = certificates
        .into_iter()
        .flat_map(|der| der.iter().copied())
        .collect();
    let signed_data = element(
        SEQUENCE,
        &[
            VERSION_1.to_vec(),
            element(SET, &[]), // digestAlgorithms
            element(SEQUENCE, &[ID_DATA.to_vec()]),
            element(CONTEXT_0, &[certificates]),
            element(SET, &[]), // signerInfos
        ],
    );
    element(
        SEQUENCE,
        &[ID_SIGNED_DATA.to_vec(), element(CONTEXT_0, &[signed_data])],
    )
}

fn element(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    element.extend(length(content.len()));
    element.extend(content);
    element
}

/// X.690 §8.1.3: one byte below 128, else the count of the length's bytes and these.
fn length(length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let significant = &bytes[length.leading_zeros() as usize / 8..];
    match significant {
        [] => vec![0],
        [one] if *one < 0x80 => vec![*one],
        many => {
            let mut long = vec![0x80 | many.len() as u8];
            long.extend_from_slice(many);
            long
        }
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const VERSION_1: [u8; 3] = [0x02, 0x01, 0x01];
/// 1.2.840.113549.1.7.1
const ID_DATA: [u8; 11] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01,
];
/// 1.2.840.113549.1.7.2
const ID_SIGNED_DATA: [u8; 11] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
];

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use crate::demo::pki::Key;
    use crate::demo::ra::ScepCertificates;

    use super::length;

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

    #[test]
    fn lengths_are_as_short_as_can_be() {
        for (value, expected) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0x81, 128]),
            (255, vec![0x81, 255]),
            (256, vec![0x82, 1, 0]),
            (65536, vec![0x83, 1, 0, 0]),
        ] {
            assert_eq!(length(value), expected, "{value}");
        }
    }
}
