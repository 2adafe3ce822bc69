//! Tests of the conversion of each kind of publication.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;

/// Returns a publication as in the guide for NDES, with these properties changed.
fn ndes(changes: Value) -> Value {
    let mut publication = json!({
        "Name": "NDES",
        "ExternalUrl": "https://scep.example.test/certsrv/mscep/",
        "BackendServerUrl": "https://ndes.corp.test/certsrv/mscep/",
        "ExternalPreauthentication": "PassThrough",
        "ExternalCertificateThumbprint": "1A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D",
        "BackendServerCertificateValidation": "ValidateCertificate",
        "InactiveTransactionsTimeoutSec": 300,
        "EnableHTTPRedirect": false,
        "PSComputerName": null,
        "CimClass": { "CimSystemProperties": { "ClassName": "PublishedWebApp" } },
        "CimInstanceProperties": ["Name = \"NDES\""],
    });
    for (key, value) in changes.as_object().unwrap() {
        publication[key] = value.clone();
    }
    publication
}

/// Returns a publication with this path in both URLs.
fn at(path: &str) -> Value {
    ndes(json!({
        "ExternalUrl": format!("https://scep.example.test{path}"),
        "BackendServerUrl": format!("https://ndes.corp.test{path}"),
    }))
}

fn import(publications: &Value) -> Result<Imported, Problems> {
    convert(Path::new("wap.json"), publications.to_string().as_bytes())
}

/// Returns the configuration as the proxy parses it.
#[track_caller]
fn config(publications: &Value) -> (Config, Imported) {
    let imported = import(publications).unwrap();
    let parsed = Config::parse(Path::new("ndes-proxy.toml"), &imported.configuration);
    let (config, warnings) = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.0.is_empty(), "{warnings}");
    (config, imported)
}

#[track_caller]
fn refused(publication: &Value, words: &str) {
    let problems = import(publication).unwrap_err().to_string();
    assert!(problems.contains(words), "{problems}");
    assert!(problems.contains("cannot be imported"), "{problems}");
}

/// Returns all comments joined to one line.
fn comments(imported: &Imported) -> String {
    let lines = imported.configuration.lines();
    let comments: Vec<_> = lines
        .filter_map(|line| line.strip_prefix('#'))
        .flat_map(str::split_ascii_whitespace)
        .collect();
    comments.join(" ")
}

#[test]
fn a_publication_of_scep_only_is_imported_without_a_warning() {
    let (config, imported) = config(&ndes(json!({})));
    assert!(imported.warnings.0.is_empty(), "{}", imported.warnings);
    let application = &config.applications[0];
    assert_eq!(application.name, "NDES");
    assert_eq!(application.public_names[0].as_str(), "scep.example.test");
    assert_eq!(
        application.upstreams[0].origin.host.as_str(),
        "ndes.corp.test"
    );
    assert_eq!(application.upstreams[0].origin.port, 443);
    let files = [
        &application.certificates[0].chain,
        &application.certificates[0].key,
        &application.upstreams[0].ca_roots[0],
    ];
    assert_eq!(
        files.map(|file| file.value.to_str().unwrap()),
        [
            "scep.example.test.pem",
            "scep.example.test.key",
            "corp-root.cer"
        ]
    );
    let comments = comments(&imported);
    let export = "-exportPFX My 1A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D scep.example.test.pfx";
    assert!(comments.contains(export), "{comments}");
}

#[test]
fn every_form_of_the_file_is_read() {
    let one = ndes(json!({}));
    for form in [
        one.clone(),
        json!([one]),
        json!({ "value": [one], "Count": 1 }),
    ] {
        assert_eq!(config(&form).0.applications.len(), 1, "{form}");
    }
    let mut utf16 = vec![0xFF, 0xFE];
    utf16.extend(one.to_string().encode_utf16().flat_map(u16::to_le_bytes));
    assert!(convert(Path::new("wap.json"), &utf16).is_ok());
}

#[test]
fn an_invalid_file_is_reported_with_its_line_and_the_command() {
    for (bytes, line, words) in [
        (&b""[..], None, "contains no publication"),
        (b" [] ", None, "contains no publication"),
        (b"[\n{\"Name\": 5}]", Some(2), "expected a string"),
        (
            b"[{\n\"ExternalPreauthentication\": []}]",
            Some(2),
            "a word or a number",
        ),
        (b"Name : NDES", Some(1), "not the output of ConvertTo-Json"),
        (b"[{\"Name\": \"NDES\"", Some(1), "EOF"),
        (b"\xFF\xFEa", None, "neither UTF-8 nor UTF-16"),
    ] {
        let problems = convert(Path::new("wap.json"), bytes).unwrap_err();
        assert_eq!(problems.0.len(), 1);
        assert_eq!(problems.0[0].location.line, line, "{problems}");
        let text = problems.to_string();
        assert!(text.contains(words), "{text}");
        assert!(text.contains("Get-WebApplicationProxyApplication | ConvertTo-Json"));
    }
    let deep = "[".repeat(100_000);
    assert!(convert(Path::new("wap.json"), deep.as_bytes()).is_err());
}

#[test]
fn a_publication_wider_than_scep_is_narrowed_with_a_warning() {
    for (path, wider) in [("/certsrv/", "all of /certsrv/"), ("/", "the whole site")] {
        let (config, imported) = config(&at(path));
        let default = Config::parse(
            Path::new("minimal.toml"),
            include_str!("../../../config/minimal.toml"),
        );
        let default = default.unwrap().0;
        assert_eq!(config.applications[0].paths, default.applications[0].paths);
        assert!(imported.configuration.contains("# WARNING"));
        for text in [comments(&imported), imported.warnings.to_string()] {
            assert!(text.contains(wider), "{text}");
            assert!(text.contains("mscep_admin"), "{text}");
            assert!(text.contains("MDM"), "{text}");
        }
    }
    for path in [
        "/certsrv/mscep/mscep.dll/",
        "/CertSrv/mscep/mscep.dll/pkiclient.exe/",
        "/certsrv/mscep",
    ] {
        let warnings = config(&at(path)).1.warnings;
        assert!(warnings.0.is_empty(), "{warnings}");
    }
}

#[test]
fn a_publication_that_cannot_be_scep_is_skipped_with_the_reason() {
    let url = |key: &str, url: &str| ndes(json!({ key: url }));
    for (publication, words) in [
        (at("/owa/"), "\"/owa/\" is not a SCEP path"),
        (at("/certsrv/mscep_admin/"), "challenge passwords"),
        (at("/CertificateRegistrationSvc/"), "not a SCEP path"),
        (
            ndes(json!({ "ExternalPreauthentication": "ADFS" })),
            "cannot sign in",
        ),
        (
            ndes(json!({ "ExternalPreauthentication": 1 })),
            "cannot sign in",
        ),
        (
            url("ExternalUrl", "http://scep.example.test/certsrv/mscep/"),
            "plain HTTP",
        ),
        (
            url("ExternalUrl", "https://*.example.test/certsrv/mscep/"),
            "many names",
        ),
        (
            url("ExternalUrl", "https://10.0.0.1/certsrv/mscep/"),
            "is an IP address",
        ),
        (url("ExternalUrl", "scep.example.test"), "is no URL"),
        (
            ndes(json!({ "ExternalUrl": null })),
            "ExternalUrl is missing",
        ),
        (
            url("BackendServerUrl", "http://ndes.corp.test/certsrv/mscep/"),
            "https binding",
        ),
        (
            url("BackendServerUrl", "https://ndes.corp.test/"),
            "different paths",
        ),
        (
            url("BackendServerUrl", "https://10.0.0.5/certsrv/mscep/"),
            "address",
        ),
        (
            ndes(json!({ "BackendServerUrl": null })),
            "BackendServerUrl is missing",
        ),
    ] {
        refused(&publication, words);
        let (config, imported) = config(&json!([
            publication,
            ndes(json!({
                "ExternalUrl": "https://good.example.test/certsrv/mscep/",
            }))
        ]));
        assert_eq!(config.applications.len(), 1);
        let comments = comments(&imported);
        assert!(comments.contains("1 of 2 publications"), "{comments}");
        assert!(comments.contains(words), "{comments}");
    }
}

#[test]
fn only_a_skipped_ndes_is_a_warning() {
    let owa = ndes(json!({ "Name": "OWA", "ExternalUrl": "https://mail.example.test/owa/" }));
    let http = ndes(json!({ "BackendServerUrl": "http://ndes.corp.test/certsrv/mscep/" }));
    let good = ndes(json!({ "ExternalUrl": "https://good.example.test/certsrv/mscep/" }));
    let warnings = import(&json!([owa, good])).unwrap().warnings;
    assert!(warnings.0.is_empty(), "{warnings}");
    let warnings = import(&json!([http, good])).unwrap().warnings.to_string();
    assert!(
        warnings.starts_with("wap.json: \"NDES\": warning: "),
        "{warnings}"
    );
}

#[test]
fn a_whole_site_is_imported_only_if_no_other_publication_is_ndes() {
    let site = ndes(json!({
        "Name": "Portal",
        "ExternalUrl": "https://portal.example.test/",
        "BackendServerUrl": "https://portal.corp.test/",
    }));
    let (alone, imported) = config(&site);
    assert_eq!(alone.applications.len(), 1);
    let warnings = imported.warnings.to_string();
    assert!(
        warnings.contains("without any other sign that it is NDES"),
        "{warnings}"
    );

    let (beside, imported) = config(&json!([site, ndes(json!({}))]));
    assert_eq!(beside.applications[0].name, "NDES");
    assert_eq!(beside.applications.len(), 1);
    assert!(comments(&imported).contains("nothing indicates that it is NDES"));
}

#[test]
fn the_narrowest_publication_of_a_public_name_is_imported() {
    let wide = ndes(json!({
        "Name": "wide",
        "ExternalUrl": "https://SCEP.example.test:8443/",
        "BackendServerUrl": "https://ndes.corp.test/",
    }));
    let (same, imported) = config(&json!([wide, ndes(json!({}))]));
    assert_eq!(same.applications.len(), 1);
    assert_eq!(same.applications[0].name, "NDES");
    let ports: Vec<_> = same.listen.https.iter().map(|https| https.port()).collect();
    assert_eq!(ports, [443, 8443]);
    assert!(imported.warnings.0.is_empty(), "{}", imported.warnings);

    let other = ndes(
        json!({ "Name": "other", "BackendServerUrl": "https://ndes2.corp.test/certsrv/mscep/" }),
    );
    let (first, imported) = config(&json!([ndes(json!({})), other]));
    assert_eq!(first.applications.len(), 1);
    let warnings = imported.warnings.to_string();
    assert!(
        warnings.contains("\"other\": warning: has the public name of \"NDES\""),
        "{warnings}"
    );
}

#[test]
fn application_names_are_valid_labels_and_unique() {
    let named = |name: &str, number: usize| {
        ndes(json!({
            "Name": name,
            "ExternalUrl": format!("https://scep{number}.example.test/certsrv/mscep/"),
        }))
    };
    let long = "x".repeat(100);
    let names = ["NDES (Intune)", "NDES Intune", "", "Äöü", &long, &long];
    let all: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| named(name, n))
        .collect();
    let (config, imported) = config(&json!(all));
    let names: Vec<_> = config
        .applications
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let cut = "x".repeat(56);
    let numbered = format!("{cut}-2");
    assert_eq!(
        names,
        [
            "NDES-Intune",
            "NDES-Intune-2",
            "scep2.example.test",
            "scep3.example.test",
            &cut,
            &numbered
        ]
    );
    // All publications share one certificate, so there is one export and one pair of files.
    assert_eq!(imported.configuration.matches("-exportPFX").count(), 1);
    assert!(
        config
            .applications
            .iter()
            .all(|one| { one.certificates[0].chain.value == Path::new("scep0.example.test.pem") })
    );
}

#[test]
fn a_timeout_other_than_the_default_is_imported() {
    for (wap, proxy) in [
        (json!(300), 180),
        (json!(null), 180),
        (json!(600), 600),
        (json!(0), 1),
        (json!(u32::MAX), 86_400),
    ] {
        let publication = ndes(json!({ "InactiveTransactionsTimeoutSec": wap }));
        let timeout = config(&publication).0.timeouts.upstream_pki_operation;
        assert_eq!(timeout.as_secs(), proxy, "{wap}");
    }
}

#[test]
fn unsupported_properties_are_listed_in_comments() {
    for (changes, words) in [
        (json!({ "EnableHTTPRedirect": true }), "serves no port 80"),
        (
            json!({ "DisableTranslateUrlInRequestHeaders": true }),
            "server_name",
        ),
        (
            json!({ "ExternalPreauthentication": 0 }),
            "read as PassThrough",
        ),
        (
            json!({ "EnableSignOut": true, "UseOAuthAuthentication": true }),
            "EnableSignOut, UseOAuthAuthentication.",
        ),
        (
            json!({ "BackendServerAuthenticationSPN": "http/ndes" }),
            "BackendServerAuthenticationSPN",
        ),
        (
            json!({ "BackendServerCertificateValidation": "None" }),
            "did not verify the certificate",
        ),
        (
            json!({ "ExternalCertificateThumbprint": "no; rm -rf /" }),
            "The certificate for this name",
        ),
        (
            json!({ "BackendServerUrl": "https://ndes.corp.test:8443/certsrv/mscep/" }),
            "ndes.corp.test:8443",
        ),
    ] {
        let comments = comments(&config(&ndes(changes)).1);
        assert!(comments.contains(words), "{comments}");
        assert!(!comments.contains("rm -rf"));
    }
}

#[test]
fn a_name_cannot_escape_from_its_comment() {
    for end in [
        "\n",
        "\r\n",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\0",
        "\u{7f}",
        "\u{1b}[2J",
    ] {
        let name = format!("x{end}[listen]{end}admin = \"0.0.0.0:1\"");
        let skipped = ndes(json!({ "Name": name, "ExternalUrl": format!("https://a{end}/owa/") }));
        let selected = ndes(json!({ "Name": name }));
        let (config, imported) = config(&json!([skipped, selected]));
        assert!(config.listen.admin.ip().is_loopback());
        assert!(!imported.configuration.contains("\n[listen]"));
        let control = |c: char| c != '\n' && c.is_control();
        assert!(!imported.configuration.contains(control));
        assert!(!imported.warnings.to_string().contains(control));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = convert(Path::new("wap.json"), &bytes);
    }

    #[test]
    fn every_output_is_a_valid_configuration(
        // Includes control characters.
        name in "[\\x00-\\xff]{0,12}",
        host in "[a-zA-Z0-9*._:\\[\\]é-]{0,20}",
        path in "(/certsrv)?(/mscep)?/?[a-z\"\\\\\n]{0,4}",
        free in proptest::collection::vec("[\\x00-\\xff\\u{2028}\\u{202e}]{0,12}", 5),
        number: u32,
    ) {
        let publication = json!({
            "Name": name,
            "ExternalUrl": format!("https://{host}{path}"),
            "BackendServerUrl": format!("https://ndes.corp.test{path}"),
            "ExternalCertificateThumbprint": free[0],
            "BackendServerAuthenticationSPN": free[1],
            "BackendServerCertificateValidation": free[2],
            "InactiveTransactionsTimeoutSec": number,
        });
        let skipped = json!({ "Name": free[3], "ExternalUrl": free[4] });
        let certain = ndes(json!({}));
        let imported = import(&json!([skipped, publication, certain])).unwrap();
        let parsed = Config::parse(Path::new("ndes-proxy.toml"), &imported.configuration);
        prop_assert!(parsed.is_ok(), "{}\n{}", parsed.unwrap_err(), imported.configuration);
    }
}
