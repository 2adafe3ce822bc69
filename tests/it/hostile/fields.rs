//! Request header fields: none that a client invents reaches the origin, in whatever spelling.

use super::{Lab, post};
use crate::support::{MSCEP, PUBLIC};

const NAMES: &[&str] = &[
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Scheme",
    "X-Forwarded-Prefix",
    "X-Forwarded-Ssl",
    "X-Forwarded-Client-Cert",
    "X-Forwarded",
    "Forwarded",
    "Forwarded-For",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Originating-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "X-Remote-User",
    "Remote-User",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Client-IP",
    "X-ProxyUser-Ip",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Override-URL",
    "X-Waws-Unencoded-URL",
    "Destination",
    "Overwrite",
    "Depth",
    "If",
    "Lock-Token",
    "Translate",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-ARR-LOG-ID",
    "X-ARR-SSL",
    "X-ARR-ClientCert",
    "X-ARR-PHASE1",
    "X-MS-Proxy",
    "X-MS-Forwarded-Client-IP",
    "X-MS-Endpoint-Absolute-Path",
    "X-MS-Client-Principal",
    "X-MS-ADFS-Proxy-Client-IP",
    "MS-UserAgent",
    "SSL-Client-Cert",
    "X-SSL-Client-Cert",
    "X-SSL-Cert",
    "X-Client-Cert",
    "Client-Cert",
    "Client-Cert-Chain",
    "SSL-Client-Verify",
    "Via",
    "Max-Forwards",
    "Cookie",
    "Cookie2",
    "Authorization",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy",
    "Range",
    "If-Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "Accept-Encoding",
    "Accept-Language",
    "Accept-Charset",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-MD5",
    "Content-Disposition",
    "Content-Range",
    "Transfer_Encoding",
    "Content_Length",
    "Content_Type",
    "User_Agent",
    "X_Forwarded_For",
    "Host_",
    "Trailer",
    "TE",
    "Keep-Alive",
    "HTTP2-Settings",
    "Early-Data",
    "Alt-Used",
    "Origin",
    "Referer",
    "From",
    "Date",
    "Pragma",
    "Cache-Control",
    "Warning",
    "Sec-WebSocket-Key",
    "Sec-Fetch-Site",
    "SOAPAction",
    "X-Requested-With",
    "X-Request-ID",
    "Traceparent",
    "Expect",
    "Surrogate-Capability",
    "X-AspNet-Version",
    "X-UIPATH-Lic",
    "A",
    "-",
    "_",
    "!#$%&'*+-.^_`|~",
];

/// Returns the name in mixed, lower and upper case, and with underscores, as CGI would read it.
fn spellings(name: &str) -> [String; 4] {
    [
        name.to_owned(),
        name.to_lowercase(),
        name.to_uppercase(),
        name.replace('-', "_"),
    ]
}

#[test]
fn no_header_field_of_a_client_reaches_the_origin() {
    let mut lab = Lab::new();
    for name in NAMES {
        for name in spellings(name) {
            let target = lab.target();
            let fields =
                format!("{name}: /certsrv/mscep_admin\r\n{name}:evil\r\nContent-Length: 2\r\n");
            let request = lab.served(&name, &target, post(&target, &fields, "hi"));
            let names: Vec<String> = request.fields().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["host", "content-length"], "{name}");
            assert_eq!(
                request.field("host").as_deref(),
                Some("ndes.corp.test"),
                "{name}"
            );
            assert!(
                !request.head.windows(4).any(|four| four == b"evil"),
                "{name}"
            );
        }
    }
    lab.finish(400);
}

/// Ninety of them at once are within the limit, and none is forwarded.
#[test]
fn many_header_fields_together_are_not_forwarded_either() {
    let mut lab = Lab::new();
    let target = lab.target();
    let fields: String = NAMES[..90]
        .iter()
        .map(|name| format!("{name}: x\r\n"))
        .collect();
    let request = lab.served(
        "all",
        &target,
        format!("GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n{fields}\r\n"),
    );
    assert_eq!(request.fields().len(), 1);
    lab.finish(1);
}

#[test]
fn forwarded_header_fields_arrive_once_and_byte_for_byte() {
    let mut lab = Lab::new();
    for (name, known) in [
        ("Accept", "accept"),
        ("Content-Type", "content-type"),
        ("User-Agent", "user-agent"),
    ] {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            for value in [
                "x",
                "a,  b;c=\"d\" (e)",
                "application/x-pki-message",
                "a\tb",
                "()<>@,;:\\\"/[]?={}",
                "%0d%0aX: y",
                "\\r\\nX: y",
                "'; --",
            ] {
                for again in ["", "evil", "x"] {
                    let target = lab.target();
                    let second = if again.is_empty() {
                        String::new()
                    } else {
                        format!("{name}: {again}\r\n")
                    };
                    let fields = format!("{name}: \t{value}\t \r\n{second}Content-Length: 2\r\n");
                    let request = lab.served(&fields, &target, post(&target, &fields, "hi"));
                    assert_eq!(request.field(known).as_deref(), Some(value), "{fields}");
                    assert_eq!(request.fields().len(), 3, "{fields}");
                }
            }
        }
    }
    lab.finish(200);
}

#[test]
fn header_fields_named_in_connection_are_not_forwarded_in_any_spelling() {
    let mut lab = Lab::new();
    for option in [
        "Accept",
        "accept",
        "ACCEPT",
        "x, accept",
        "accept,x",
        "x ,\taccept , y",
        ",accept,",
        "close-not, accept",
        "keep-alive, accept",
        "accept,accept",
    ] {
        for order in [0, 1] {
            let target = lab.target();
            let lines = [
                format!("Connection: {option}\r\n"),
                "Accept: evil\r\n".to_owned(),
            ];
            let fields = format!("{}{}Content-Length: 2\r\n", lines[order], lines[1 - order]);
            let request = lab.served(&fields, &target, post(&target, &fields, "hi"));
            assert_eq!(request.fields().len(), 2, "{fields}");
        }
    }
    // Two field lines are one list (RFC 9110 §5.3).
    for name in ["User-Agent", "Content-Type", "Accept"] {
        let target = lab.target();
        let fields =
            format!("{name}: evil\r\nConnection: x\r\nconnection: {name}\r\nContent-Length: 2\r\n");
        let request = lab.served(&fields, &target, post(&target, &fields, "hi"));
        assert_eq!(request.fields().len(), 2, "{fields}");
    }
    lab.finish(23);
}

#[test]
fn control_bytes_are_refused_in_any_header_field() {
    let mut lab = Lab::new();
    for name in [
        "User-Agent",
        "Accept",
        "Host",
        "Cookie",
        "X",
        "Connection",
        "Expect",
    ] {
        for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
            let head = format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{name}: a");
            let bytes = [head.as_bytes(), &[byte], b"b\r\n\r\n"].concat();
            lab.refused(&format!("{name} {byte:02x}"), bytes);
        }
    }
    lab.finish(200);
}

#[test]
fn expect_is_not_forwarded_in_any_form() {
    let mut lab = Lab::new();
    for expect in [
        "100-continue",
        "100-CONTINUE",
        "100-continue ",
        "200-ok",
        "100-continue, x",
        "x",
        "",
        "100-continued",
        "100",
    ] {
        for again in ["", "Expect: 100-continue\r\n"] {
            let target = lab.target();
            let fields = format!("Expect: {expect}\r\n{again}Content-Length: 2\r\n");
            // The body is sent with the head, so no interim response is necessary.
            let request = lab.served(&fields, &target, post(&target, &fields, "hi"));
            assert_eq!(request.fields().len(), 2, "{fields}");
        }
    }
    lab.finish(18);
}
