//! Tests of `ndes-proxy import-wap` as an admin runs it: with a file from Windows PowerShell, the
//! configuration in a file, the certificates next to it, and `check`.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::pki::pki;
use crate::support::{INTERNAL, PUBLIC};

fn ndes_proxy(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"));
    command.args(arguments).current_dir(directory);
    command.output().unwrap()
}

/// Returns UTF-16 with a byte order mark and Windows line ends, as `>` writes it.
fn powershell(text: &str) -> Vec<u8> {
    let text = text.replace('\n', "\r\n");
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

#[test]
fn the_imported_configuration_passes_check_once_its_files_exist() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let json = format!(
        r#"{{
    "BackendServerCertificateValidation":  "None",
    "BackendServerUrl":  "https://{INTERNAL}/certsrv/",
    "ExternalCertificateThumbprint":  "1A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D",
    "ExternalPreauthentication":  "PassThrough",
    "ExternalUrl":  "https://{PUBLIC}/certsrv/",
    "ID":  "7B1A21A4-0A25-8D4D-65A7-3A0C5D1C4C06",
    "Name":  "NDES",
    "PSComputerName":  null,
    "CimClass":  "ROOT/Microsoft/Windows/WebApplicationProxy:PublishedWebApp"
}}
"#
    );
    std::fs::write(at("wap.json"), powershell(&json)).unwrap();

    let imported = ndes_proxy(&["import-wap", "wap.json"], directory.path());
    assert!(imported.status.success(), "{imported:?}");
    let warnings = String::from_utf8(imported.stderr).unwrap();
    assert!(warnings.contains("wap.json: \"NDES\": warning: WAP published all of /certsrv/"));
    assert!(warnings.contains("WAP did not verify the certificate of NDES"));
    std::fs::write(at("ndes-proxy.toml"), imported.stdout).unwrap();

    let check = ["check", "--config", "ndes-proxy.toml"];
    let checked = ndes_proxy(&check, directory.path());
    let missing = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(missing.lines().count(), 3, "{missing}");
    assert!(
        missing.lines().all(|line| line.contains("is missing")),
        "{missing}"
    );

    pki().public.write_to(directory.path(), PUBLIC).unwrap();
    let root = pki().internal_root.write_to(directory.path(), "root");
    std::fs::rename(root.unwrap(), at("corp-root.cer")).unwrap();
    let checked = ndes_proxy(&check, directory.path());
    let published = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{published}");
    assert!(published.contains(PUBLIC), "{published}");
    assert!(published.contains(INTERNAL), "{published}");
}

#[test]
fn without_a_scep_publication_no_configuration_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let json = r#"[{"Name": "OWA", "ExternalUrl": "https://mail.example.test/owa/"}]"#;
    std::fs::write(directory.path().join("wap.json"), json).unwrap();
    for (file, words) in [
        ("wap.json", "\"OWA\": warning: \"/owa/\" is not a SCEP path"),
        ("other.json", "other.json: error: cannot be read"),
    ] {
        let imported = ndes_proxy(&["import-wap", file], directory.path());
        assert_eq!(imported.status.code(), Some(1));
        assert!(imported.stdout.is_empty());
        let problems = String::from_utf8(imported.stderr).unwrap();
        assert!(problems.contains(words), "{problems}");
    }
    let without_file = ndes_proxy(&["import-wap"], directory.path());
    assert_eq!(without_file.status.code(), Some(2));
}
