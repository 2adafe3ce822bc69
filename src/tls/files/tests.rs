use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::base::problem::Severity;
use crate::tls::certificate::Certificate;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../testdata/", $name)).as_slice()
    };
}

/// A directory with one file in it.
struct Fixture {
    _dir: TempDir,
    path: PathBuf,
}

fn file(name: &str, content: &[u8]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    Fixture { _dir: dir, path }
}

fn subjects(name: &str, content: &[u8]) -> Vec<String> {
    let file = file(name, content);
    let found = certificates(&file.path).unwrap();
    found
        .iter()
        .map(|der| Certificate::read(der).unwrap().subject)
        .collect()
}

/// The error of a certificate file, its file name made `FILE` without directory.
fn refused_certificate(name: &str, content: &[u8]) -> (String, String) {
    let file = file(name, content);
    told(&file, certificates(&file.path).unwrap_err())
}

fn refused_key(name: &str, content: &[u8]) -> (String, String) {
    let file = file(name, content);
    told(&file, private_key(&file.path).unwrap_err())
}

fn told(file: &Fixture, diagnostic: Diagnostic) -> (String, String) {
    assert_eq!(diagnostic.severity, Severity::Error);
    let directory = format!("{}/", file.path.parent().unwrap().display());
    assert!(
        diagnostic.what.contains(&directory),
        "the file is named: {}",
        diagnostic.what
    );
    (
        diagnostic.what.replace(&directory, ""),
        diagnostic.cure.replace(&directory, ""),
    )
}

fn utf16(text: &[u8], unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.iter()
        .flat_map(|byte| unit(u16::from(*byte)))
        .collect()
}

fn der_of_plain() -> Vec<u8> {
    certificates(&file("a", data!("plain.pem")).path).unwrap()[0].to_vec()
}

const PLAIN: &str = "CN=plain.example.com";

#[test]
fn pem_is_read() {
    assert_eq!(subjects("a.pem", data!("plain.pem")), [PLAIN]);
}

#[test]
fn der_is_read() {
    assert_eq!(subjects("a.cer", &der_of_plain()), [PLAIN]);
}

#[test]
fn several_certificates_keep_their_order() {
    let both = [data!("plain.pem"), data!("old-ca.pem")].concat();
    assert_eq!(subjects("a.pem", &both), [PLAIN, "CN=Old CA"]);
}

#[test]
fn pkcs7_in_pem_is_read() {
    assert_eq!(
        subjects("a.p7b", data!("two.pem.p7b")),
        [PLAIN, "CN=Old CA"]
    );
}

#[test]
fn pkcs7_in_der_is_read() {
    assert_eq!(
        subjects("a.p7b", data!("two.der.p7b")),
        [PLAIN, "CN=Old CA"]
    );
}

#[test]
fn pkcs7_under_the_label_of_a_certificate_is_read() {
    let text = String::from_utf8_lossy(data!("two.pem.p7b")).replace("PKCS7", "CERTIFICATE");
    assert_eq!(subjects("a.p7b", text.as_bytes()), [PLAIN, "CN=Old CA"]);
}

#[test]
fn pkcs7_in_ber_is_told_with_the_command_that_converts_it() {
    // the outer length made indefinite
    let der = data!("two.der.p7b");
    let ber = [&[0x30, 0x80], &der[4..], &[0, 0]].concat();
    let (what, cure) = refused_certificate("ca.p7b", &ber);
    assert_eq!(what, "ca.p7b is a PKCS#7 that is not in DER");
    assert!(
        cure.contains("openssl pkcs7 -print_certs -in ca.p7b -out ca.pem"),
        "{cure}"
    );
}

#[test]
fn utf8_byte_order_mark_is_passed_over() {
    let marked = [b"\xef\xbb\xbf", data!("plain.pem")].concat();
    assert_eq!(subjects("a.pem", &marked), [PLAIN]);
}

#[test]
fn utf16_little_endian_of_powershell_is_read() {
    let text = [
        b"\xff\xfe".to_vec(),
        utf16(data!("plain.pem"), u16::to_le_bytes),
    ]
    .concat();
    assert_eq!(subjects("a.pem", &text), [PLAIN]);
}

#[test]
fn utf16_big_endian_is_read() {
    let text = [
        b"\xfe\xff".to_vec(),
        utf16(data!("plain.pem"), u16::to_be_bytes),
    ]
    .concat();
    assert_eq!(subjects("a.pem", &text), [PLAIN]);
}

#[test]
fn utf16_without_a_mark_is_read() {
    assert_eq!(
        subjects("a.pem", &utf16(data!("plain.pem"), u16::to_le_bytes)),
        [PLAIN]
    );
    assert_eq!(
        subjects("a.pem", &utf16(data!("plain.pem"), u16::to_be_bytes)),
        [PLAIN]
    );
}

#[test]
fn utf16_key_is_read() {
    let text = [
        b"\xff\xfe".to_vec(),
        utf16(data!("plain.key"), u16::to_le_bytes),
    ]
    .concat();
    assert!(matches!(
        private_key(&file("a", &text).path),
        Ok(PrivateKeyDer::Pkcs8(_))
    ));
}

#[test]
fn crlf_and_indented_lines_are_read() {
    let text = String::from_utf8_lossy(data!("plain.pem")).replace('\n', "\r\n    ");
    assert_eq!(subjects("a.pem", text.as_bytes()), [PLAIN]);
}

#[test]
fn text_before_between_and_after_is_passed_over() {
    let text = [b"Zert f\xfcr uns:\n", data!("plain.pem"), b"\nEnde -----\n"].concat();
    assert_eq!(subjects("a.pem", &text), [PLAIN]);
}

#[test]
fn output_of_openssl_pkcs12_gives_certificate_and_key() {
    assert_eq!(subjects("a.pem", data!("bag.pem")), [PLAIN]);
    let key = private_key(&file("a.pem", data!("bag.pem")).path).unwrap();
    assert!(matches!(key, PrivateKeyDer::Pkcs8(_)));
}

#[test]
fn certificate_beside_an_encrypted_key_is_read() {
    let both = [
        data!("legacy-encrypted.key"),
        data!("encrypted.key"),
        data!("plain.pem"),
    ]
    .concat();
    assert_eq!(subjects("a.pem", &both), [PLAIN]);
}

#[test]
fn keys_are_read_in_every_form() {
    let kinds = [data!("plain.key"), data!("pkcs1.key"), data!("sec1.key")].map(|pem| {
        let of_pem = private_key(&file("a.key", pem).path).unwrap();
        let of_der = private_key(&file("a.key", of_pem.secret_der()).path).unwrap();
        assert_eq!(of_pem, of_der);
        of_pem
    });
    assert!(matches!(
        kinds,
        [
            PrivateKeyDer::Pkcs8(_),
            PrivateKeyDer::Pkcs1(_),
            PrivateKeyDer::Sec1(_)
        ]
    ));
}

#[test]
fn pfx_is_told_with_both_commands() {
    for (what, cure) in [
        refused_certificate("scep.pfx", data!("plain.pfx")),
        refused_key("scep.pfx", data!("plain.pfx")),
    ] {
        assert_eq!(what, "scep.pfx is a PFX (PKCS#12)");
        assert!(
            cure.contains("openssl pkcs12 -in scep.pfx -nokeys -out scep.pem"),
            "{cure}"
        );
        assert!(
            cure.contains("openssl pkcs12 -in scep.pfx -nocerts -nodes -out scep.key"),
            "{cure}"
        );
    }
}

#[test]
fn pfx_in_ber_is_told() {
    let ber = [&[0x30, 0x80], &data!("plain.pfx")[4..], &[0, 0]].concat();
    assert_eq!(
        refused_key("scep.pfx", &ber).0,
        "scep.pfx is a PFX (PKCS#12)"
    );
}

#[test]
fn key_under_a_password_in_pem_is_told() {
    for content in [data!("encrypted.key"), data!("legacy-encrypted.key")] {
        let (what, cure) = refused_key("scep.key", content);
        assert!(
            what.starts_with("scep.key holds a private key under a password"),
            "{what}"
        );
        assert!(
            cure.contains("openssl pkey -in scep.key -out scep.plain.key"),
            "{cure}"
        );
    }
}

#[test]
fn key_under_a_password_in_der_is_told() {
    let (what, cure) = refused_key("scep.der", data!("encrypted.der"));
    assert!(
        what.starts_with("scep.der holds a private key under a password"),
        "{what}"
    );
    assert!(
        cure.contains("openssl pkcs8 -inform DER -in scep.der -out scep.plain.key"),
        "{cure}"
    );
}

#[test]
fn encrypted_key_explains_more_than_the_certificate_before_it() {
    let both = [data!("plain.pem"), data!("encrypted.key")].concat();
    assert!(refused_key("a.pem", &both).0.contains("under a password"));
}

#[test]
fn key_in_place_of_a_certificate_is_told() {
    for content in [
        data!("plain.key"),
        data!("pkcs1.key"),
        data!("encrypted.der"),
    ] {
        let (what, cure) = refused_certificate("scep.key", content);
        assert_eq!(
            what,
            "scep.key holds a private key where a certificate is expected"
        );
        assert!(cure.contains("scep.key as key"), "{cure}");
    }
}

#[test]
fn certificate_in_place_of_a_key_is_told() {
    for content in [data!("plain.pem"), &der_of_plain(), data!("two.der.p7b")] {
        let (what, cure) = refused_key("scep.cer", content);
        assert_eq!(
            what,
            "scep.cer holds a certificate where a private key is expected"
        );
        assert!(cure.contains("certutil -exportPFX"), "{cure}");
    }
}

#[test]
fn request_is_told() {
    let text = String::from_utf8_lossy(data!("plain.csr"));
    let windows = text
        .replace("BEGIN CERT", "BEGIN NEW CERT")
        .replace("END CERT", "END NEW CERT");
    for content in [text.as_bytes(), windows.as_bytes()] {
        let (what, cure) = refused_certificate("scep.csr", content);
        assert_eq!(
            what,
            "scep.csr is a certificate request (CSR), not a certificate"
        );
        assert!(cure.contains("certreq -submit scep.csr scep.cer"), "{cure}");
        assert!(
            refused_key("scep.csr", content)
                .0
                .contains("is a certificate request")
        );
    }
}

#[test]
fn trusted_certificate_of_openssl_is_told() {
    let (what, cure) = refused_certificate("a.pem", data!("trusted.pem"));
    assert!(what.contains("TRUSTED CERTIFICATE"), "{what}");
    assert!(
        cure.contains("openssl x509 -in a.pem -out a.plain.pem"),
        "{cure}"
    );
}

#[test]
fn revocation_list_is_told() {
    // SEQUENCE { SEQUENCE { INTEGER 1, SEQUENCE, SEQUENCE, UTCTime }, SEQUENCE, BIT STRING }
    let crl = b"\x30\x0f\x30\x09\x02\x01\x01\x30\x00\x30\x00\x17\x00\x30\x00\x03\x00";
    let (what, _) = refused_certificate("ca.crl", crl);
    assert_eq!(what, "ca.crl is a revocation list (CRL), not a certificate");
}

#[test]
fn empty_file_is_told() {
    assert_eq!(refused_certificate("a.pem", b"").0, "a.pem is empty");
    assert_eq!(refused_key("a.key", b"").0, "a.key is empty");
}

#[test]
fn missing_file_is_told() {
    let file = file("a.pem", b"");
    fs::remove_file(&file.path).unwrap();
    let (what, cure) = told(&file, certificates(&file.path).unwrap_err());
    assert_eq!(what, "a.pem is missing");
    assert!(
        cure.contains("directory of the configuration file"),
        "{cure}"
    );
}

#[test]
fn directory_is_told() {
    let file = file("a.pem", b"");
    let directory = file.path.parent().unwrap();
    let diagnostic = certificates(directory).unwrap_err();
    assert!(
        diagnostic.what.ends_with("is a directory"),
        "{}",
        diagnostic.what
    );
}

#[test]
fn file_without_permission_is_told_with_the_user() {
    // By hand: the tests may run as root, whom no mode keeps out.
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let diagnostic = advice::unreadable(Path::new("/etc/scep.key"), &denied);
    let user = rustix::process::geteuid().as_raw();
    assert!(
        diagnostic
            .what
            .starts_with(&format!("/etc/scep.key may not be read by user {user}"))
    );
    assert_eq!(
        diagnostic.cure,
        format!("run: setfacl -m u:{user}:r /etc/scep.key")
    );
}

#[test]
fn file_of_one_mebibyte_is_read_and_one_byte_more_is_told() {
    let mut content = data!("plain.pem").to_vec();
    content.resize(1 << 20, b'\n');
    assert_eq!(subjects("a.pem", &content), [PLAIN]);
    content.push(b'\n');
    assert_eq!(
        refused_certificate("a.pem", &content).0,
        "a.pem is larger than 1048576 bytes"
    );
}

#[test]
fn file_that_breaks_off_is_told() {
    let content = &data!("plain.pem")[..500];
    let (what, _) = refused_certificate("a.pem", content);
    assert_eq!(
        what,
        "a.pem breaks off: no END line after BEGIN CERTIFICATE"
    );
}

#[test]
fn damaged_base64_is_told() {
    let text = String::from_utf8_lossy(data!("plain.pem")).replacen("MII", "M~I", 1);
    let (what, cure) = refused_certificate("a.pem", text.as_bytes());
    assert_eq!(what, "a.pem has a CERTIFICATE section that is not base64");
    assert!(cure.contains("openssl asn1parse -in a.pem"), "{cure}");
}

#[test]
fn anything_else_is_told_with_a_command() {
    let (what, cure) = refused_certificate("a.cer", b"hello");
    assert_eq!(what, "a.cer is neither PEM nor DER of a certificate");
    assert!(cure.contains("certutil -encode a.cer a.pem"), "{cure}");
    let (what, cure) = refused_key("a.key", b"hello");
    assert_eq!(what, "a.key is neither PEM nor DER of a private key");
    assert!(
        cure.contains("openssl pkey -in a.key -out a.plain.key"),
        "{cure}"
    );
}

#[test]
fn two_keys_are_told() {
    let both = [data!("plain.key"), data!("sec1.key")].concat();
    assert_eq!(refused_key("a.key", &both).0, "a.key holds 2 private keys");
}

#[test]
fn label_of_a_stranger_cannot_write_to_the_terminal() {
    let text = "-----BEGIN \u{1b}[2J-----\nAAAA\n-----END \u{1b}[2J-----\n";
    let (what, _) = refused_certificate("a.pem", text.as_bytes());
    assert!(!what.contains('\u{1b}'), "{what:?}");
}

#[test]
fn name_with_a_blank_is_quoted_for_the_shell() {
    let (_, cure) = refused_key("it's a.pfx", data!("plain.pfx"));
    assert!(cure.contains(r"it'\''s a.pfx'"), "{cure}");
}

#[test]
fn key_open_to_others_is_warned_of() {
    let file = file("a.key", data!("plain.key"));
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(key_mode_diagnostic(&file.path), None);
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
    let diagnostic = key_mode_diagnostic(&file.path).unwrap();
    assert_eq!(diagnostic.severity, Severity::Warning);
    assert!(
        diagnostic
            .what
            .ends_with("is open to every user (mode 644)"),
        "{}",
        diagnostic.what
    );
    assert_eq!(
        diagnostic.cure,
        format!("run: chmod o-rwx {}", file.path.display())
    );
}

#[test]
fn no_file_makes_it_panic() {
    // Every file cut at every place, and with every byte changed.
    for content in [
        data!("two.der.p7b"),
        data!("plain.pfx"),
        data!("encrypted.der"),
    ] {
        for at in 0..content.len() {
            let mut changed = content.to_vec();
            changed[at] ^= 0xff;
            for bytes in [&content[..at], &changed] {
                let kind = Kind::of(bytes);
                if kind == Kind::Pkcs7 {
                    let _ = der::pkcs7_certificates(bytes);
                }
            }
        }
    }
}
