//! Paths: whatever IIS might decode, fold or cut, the origin receives only the configured paths.

use std::collections::HashSet;

use super::Lab;
use crate::support::{End, MSCEP, PUBLIC};

const PUBLISHED: [&str; 5] = [
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep",
    "/certsrv/mscep/",
];

/// Sequences that some server reads as `/`.
const SLASHES: &[&str] = &[
    "/",
    "\\",
    "//",
    "/./",
    "\\\\",
    "/\\",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "%252f",
    "%25%32%66",
    "%255c",
    "%u2215",
    "%u2216",
    "%uff0f",
    "%u005c",
    "%c0%af",
    "%c1%9c",
    "%e0%80%af",
    "%f0%80%80%af",
    "%bg%qf",
    "%%32%66",
    "%ef%bc%8f",
    "%e2%88%95",
    "%c0%2f",
    ";/",
    "/;",
    "/;x=y/",
    "%3b/",
    "\u{2215}",
    "\u{ff0f}",
    "\u{2044}",
    "\u{a5}",
];

/// Sequences that some server reads as `..`.
const PARENTS: &[&str] = &[
    "..",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%u002e%u002e",
    "%uff0e%uff0e",
    "...",
    "....",
    ".. ",
    "..%20",
    "..%00",
    "..;",
    "..;x",
    "..%3b",
    ".%00.",
    "%%32%65%%32%65",
    "%2e%2e%2e",
    "..::$INDEX_ALLOCATION",
    "\u{2025}",
    "\u{ff0e}\u{ff0e}",
    ".%09.",
    "..%0d%0a",
    "..%c0%80",
];

/// Returns the path with one byte written in a way that some server decodes.
fn encodings(path: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, c) in path.char_indices() {
        let (before, after) = (&path[..at], &path[at + 1..]);
        for other in [
            format!("%{:02x}", c as u32),
            format!("%25{:02x}", c as u32),
            format!("%u00{:02x}", c as u32),
        ] {
            all.push(format!("{before}{other}{after}"));
        }
        if let Some(full_width) = char::from_u32(c as u32 + 0xfee0) {
            all.push(format!("{before}{full_width}{after}"));
        }
        for inserted in [
            "%00", "%20", "%09", "%ad", "%c2%ad", "%0d", ";", "~", "*", "?x=", "%3f", "%23", "/",
            "/.", "./", "\\",
        ] {
            all.push(format!("{before}{inserted}{c}{after}"));
        }
    }
    all
}

/// Uses one connection as long as the end of each request is certain.
fn not_served(lab: &mut Lab, paths: impl IntoIterator<Item = String>) {
    let mut connection = lab.proxy.connect();
    for path in paths {
        // A published path, or one with a query.
        let bare = path.split('?').next().unwrap_or_default().to_lowercase();
        if PUBLISHED.contains(&&bare[..]) {
            continue;
        }
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
        let response = connection.response();
        assert!(
            [400, 404].contains(&response.status),
            "{path}: {}",
            response.text()
        );
        assert!(response.reason().is_some(), "{path}");
        assert_eq!(
            response.status == 400,
            response.field("connection").is_some(),
            "{path}"
        );
        if response.status == 400 {
            assert_eq!(connection.end(), End::CloseNotify, "{path}");
            connection = lab.proxy.connect();
        }
        lab.cases += 1;
    }
}

fn assert_untouched(lab: Lab, least: usize) {
    lab.origin.assert_untouched();
    lab.finish(least);
}

#[test]
fn path_traversal_is_refused() {
    let mut lab = Lab::new();
    let mut paths = Vec::new();
    for slash in SLASHES {
        for parent in PARENTS {
            paths.push(format!("/certsrv/mscep{slash}{parent}{slash}mscep_admin/"));
            paths.push(format!(
                "/certsrv/mscep/mscep.dll{slash}{parent}{slash}{parent}{slash}mscep_admin"
            ));
            paths.push(format!("/x{slash}{parent}/certsrv/mscep/mscep.dll"));
            paths.push(format!("/certsrv/mscep/mscep.dll/x{slash}{parent}{slash}"));
        }
    }
    not_served(&mut lab, paths);
    assert_untouched(lab, 3_000);
}

#[test]
fn an_encoded_published_path_is_not_published() {
    let mut lab = Lab::new();
    for path in PUBLISHED {
        let paths = encodings(path);
        not_served(&mut lab, paths);
    }
    assert_untouched(lab, 1_500);
}

#[test]
fn other_slashes_do_not_separate_paths() {
    let mut lab = Lab::new();
    let mut paths = Vec::new();
    for path in PUBLISHED {
        for slash in &SLASHES[1..] {
            paths.push(path.replace('/', slash));
            for (at, _) in path.match_indices('/') {
                paths.push(format!("{}{slash}{}", &path[..at], &path[at + 1..]));
            }
        }
    }
    not_served(&mut lab, paths);
    assert_untouched(lab, 690);
}

#[test]
fn a_published_path_with_prefix_or_suffix_is_not_published() {
    let mut lab = Lab::new();
    let mut paths = Vec::new();
    for path in PUBLISHED {
        for behind in [
            ".",
            "..",
            "...",
            "%20",
            "%00",
            "%0a",
            "%09",
            "+",
            "~",
            "~1",
            ":",
            "::$DATA",
            ":$I30:$INDEX_ALLOCATION",
            ";",
            ";x",
            ";jsessionid=1",
            "%3b",
            "*",
            "%2a",
            "|",
            "<",
            ">",
            "\"",
            "'",
            "/x",
            "/.",
            "/..",
            "/./",
            "//",
            "/%2e",
            "\\",
            "%5c",
            "%2f",
            "%3f",
            "%3foperation=GetCACert",
            "%23",
            "#",
            "#?operation=GetCACert",
            "&",
            "&operation=GetCACert",
            "=",
            ",",
            "!",
            "$",
            "@",
            "^",
            "`",
            "{",
            "}",
            "[",
            "]",
            "_",
            "-",
            "_admin",
            "_admin/",
            "x",
            ".dll",
            ".config",
            "/mscep_admin",
            "/web.config",
            "/certnew.cer",
            "\u{80}",
            "\u{ff}",
            "\0",
            "\u{1}",
            "\u{7f}",
            "%",
            "%2",
            "%zz",
            "%u",
        ] {
            paths.push(format!("{path}{behind}"));
        }
        for before in [
            "/",
            "/.",
            "/..",
            "/x/..",
            "/.;",
            "\\",
            "/%2e",
            "/%20",
            "/%00",
            "/_vti_bin/..%255c..",
            "/~",
            "/*",
            "/scripts/..",
            "/certsrv/..",
            "/%3f",
            "/ ",
        ] {
            paths.push(format!("{before}{path}"));
        }
    }
    not_served(&mut lab, paths);
    assert_untouched(lab, 380);
}

#[test]
fn the_other_pages_of_the_server_are_not_published() {
    let mut lab = Lab::new();
    let pages = [
        "/",
        "/certsrv",
        "/certsrv/",
        "/certsrv/mscep_admin",
        "/certsrv/mscep_admin/",
        "/certsrv/mscep_admin/mscep.dll",
        "/certsrv/mscep.dll",
        "/certsrv/default.asp",
        "/certsrv/certfnsh.asp",
        "/certsrv/certrqxt.asp",
        "/certsrv/certnew.cer",
        "/certsrv/certcrl.crl",
        "/certsrv/certcarc.asp",
        "/CertEnroll/",
        "/CertEnroll/ca.crl",
        "/CertificateRegistrationSvc/",
        "/CertificateRegistrationSvc/Certificate/VerifyRequest",
        "/CMCertificateRegistration/",
        "/ADPolicyProvider_CEP_Kerberos/service.svc/CEP",
        "/ca_CES_Kerberos/service.svc/CES",
        "/cgi-bin/pkiclient.exe",
        "/iisstart.htm",
        "/iisstart.png",
        "/aspnet_client/",
        "/_vti_bin/",
        "/scripts/",
        "/msadc/",
        "/rpc/",
        "/rpc/rpcproxy.dll",
        "/ews/exchange.asmx",
        "/adfs/ls/",
        "/adfs/services/trust/mex",
        "/FederationMetadata/2007-06/FederationMetadata.xml",
        "/wsman",
        "/powershell",
        "/web.config",
        "/global.asax",
        "/trace.axd",
        "/elmah.axd",
        "/robots.txt",
        "/favicon.ico",
        "/.well-known/acme-challenge/x",
        "/.git/config",
        "/metrics",
        "/livez",
        "/readyz",
        "/server-status",
        "/phpinfo.php",
        "/mscep",
        "/mscep.dll",
        "/mscep/mscep.dll",
        "/certsrv/mscep/pkiclient.exe",
        "/certsrv/mscep/x",
        "/certsrv/mscep/mscep",
        "/certsrv/mscep/mscep.dl",
        "/certsrv/mscep/mscep.dllx",
        "/certsrv/mscepx/mscep.dll",
        "/CERTSRV/MSCEP~1/",
        "/CERTSRV/MSCEP~1/MSCEP.DLL",
        "/CERTSR~1/mscep/mscep.dll",
    ];
    let paths = pages.iter().flat_map(|page| {
        [
            (*page).to_owned(),
            page.to_uppercase(),
            format!("{page}?operation=GetCACert"),
            format!("{page}?{MSCEP}"),
        ]
    });
    not_served(&mut lab, paths);
    assert_untouched(lab, 200);
}

/// The proxy folds the case as IIS does, and nothing else: the origin receives the configured spelling.
#[test]
fn the_origin_receives_the_configured_spelling_and_the_exact_query() {
    let mut lab = Lab::new();
    let queries = [
        "operation=GetCACert",
        "",
        "operation=GetCACert&message=",
        "operation=GetCACert&message=a%2Fb%2fb+c%20d",
        "operation=GetCACert&&",
        "message=x&operation=GetCACert",
        "operation=GetCACert&message=..%2f..%2fmscep_admin",
        "operation=GetCACert&x=/../../mscep_admin/",
        "operation=GetCACert&x=\\..\\",
        "operation=GetCACert&x=%00%0d%0a",
        "operation=GetCACert&x=%zz%u0041%",
        "operation=GetCACert&x=?y?z",
        "operation=GetCACert&x=a;b=c",
        "operation=GetCACert&x='|`^{}[]~!$*(),:@",
        "operation=GetCACert&x=%E2%82%AC%c0%ae",
        "x",
        "=",
        "&",
        "operation=GetCACert&message=MIA%2B%2F%3D%0A",
    ];
    for path in PUBLISHED {
        let strange: String = path
            .char_indices()
            .map(|(at, c)| {
                if at % 3 == 0 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect();
        for written in [path.to_owned(), path.to_uppercase(), strange] {
            for query in queries {
                let target = format!("{path}?{query}");
                lab.served(
                    &target,
                    &target,
                    format!("GET {written}?{query} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"),
                );
                lab.cases += 1;
            }
        }
    }
    let seen: HashSet<String> = lab
        .origin
        .requests()
        .iter()
        .map(|request| request.target().split('?').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        seen,
        PUBLISHED.iter().map(|path| (*path).to_owned()).collect()
    );
    lab.finish(280);
}
