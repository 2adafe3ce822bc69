//! Properties that hold for any bytes as head, path or query: nothing panics, and nothing is forwarded
//! to a path that is not configured, or with another query than that of the client. The tests call
//! the parser of heads and the gate without sockets, so that there are thousands of cases.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use ndes_proxy::config::types::DnsName;
use ndes_proxy::config::{Config, Limits};
use ndes_proxy::edge::head::{HeadScanner, parse};
use ndes_proxy::proxy::gate;
use ndes_proxy::proxy::rules::Rules;
use ndes_proxy::proxy::site::Site;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const PUBLISHED: [&str; 5] = [
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep",
    "/certsrv/mscep/",
];

struct HeadAndGate {
    site: Site<Rules>,
    limits: Limits,
}

impl HeadAndGate {
    fn new() -> Self {
        let minimal = include_str!("../../config/minimal.toml");
        let (config, _) = Config::parse(Path::new("minimal.toml"), minimal).unwrap();
        let application = &config.applications[0];
        let names = application.public_names.iter().map(DnsName::as_str);
        Self {
            site: Site::new([(Arc::new(Rules::new(application)), names)]),
            limits: config.limits,
        }
    }

    /// Returns the target that would be forwarded to NDES, or `None` if the head is refused or
    /// incomplete.
    fn target(&self, head: &[u8]) -> Option<PathAndQuery> {
        let range = HeadScanner::default().advance(head, &self.limits).ok()??;
        let head = parse(&Bytes::copy_from_slice(&head[range])).ok()?;
        let admitted = gate::admit(&head, None, &self.site, &self.limits).ok()?;
        // Another parser confirms that the target is a URI (RFC 3986) and that its path is published.
        let target = PathAndQuery::from_maybe_shared(admitted.target.path_and_query);
        let target = target.expect("a path and a query");
        assert!(PUBLISHED.contains(&target.path()), "{target:?}");
        Some(target)
    }

    /// Returns the same for a GET of `target` that is valid otherwise.
    fn target_of(&self, target: &[u8]) -> Option<PathAndQuery> {
        let rest = b" HTTP/1.1\r\nHost: scep.example.com\r\n\r\n";
        self.target(&[b"GET ", target, rest].concat())
    }
}

/// Generates any bytes, and among them those that are significant to some parser much more often than
/// by chance.
fn hostile(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

const OF_HEADS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    " ",
    "\t",
    ":",
    "GET ",
    "POST ",
    "/certsrv/mscep/mscep.dll",
    "?operation=GetCACaps",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "https://scep.example.com",
    "Host: scep.example.com\r\n",
    "Host: other\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close, accept\r\n",
    "X-Original-URL: /certsrv/mscep_admin/\r\n",
];

const OF_PATHS: &[&str] = &[
    "/",
    "//",
    "\\",
    ".",
    "..",
    "/../",
    "%2e",
    "%2f",
    "%5c",
    "%00",
    "%25",
    "%c0%af",
    ";",
    ":",
    "?",
    "#",
    "@",
    "*",
    "+",
    " ",
    "certsrv",
    "CertSrv",
    "mscep",
    "MSCEP",
    "mscep.dll",
    "mscep_admin",
    "pkiclient.exe",
    "https://scep.example.com",
    "::$DATA",
    "~1",
];

const OF_QUERIES: &[&str] = &[
    "operation",
    "Operation",
    "=",
    "&",
    "?",
    ";",
    "%",
    "%26",
    "%3d",
    "%6F",
    "%256F",
    "+",
    "/",
    "GetCACaps",
    "PKIOperation",
    "NDESGenerateChallenge",
    "message",
    "MIA",
    "#",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_as_head(bytes in hostile(OF_HEADS, 20)) {
        _ = HeadAndGate::new().target(&bytes);
    }

    #[test]
    fn any_bytes_within_a_valid_head(at: Index, gone in 0usize..9, bytes in hostile(OF_HEADS, 3)) {
        let head = b"GET /certsrv/mscep/mscep.dll?operation=GetCACaps HTTP/1.1\r\nHost: scep.example.com\r\n\r\n";
        let at = at.index(head.len());
        let behind = &head[(at + gone).min(head.len())..];
        _ = HeadAndGate::new().target(&[&head[..at], &bytes, behind].concat());
    }

    #[test]
    fn any_bytes_as_path(bytes in hostile(OF_PATHS, 12)) {
        let head_and_gate = HeadAndGate::new();
        for start in ["", "/", PUBLISHED[0], PUBLISHED[4]] {
            _ = head_and_gate.target_of(&[start.as_bytes(), &bytes].concat());
        }
    }

    #[test]
    fn any_bytes_as_query(bytes in hostile(OF_QUERIES, 12)) {
        let head_and_gate = HeadAndGate::new();
        for start in ["", "operation=GetCACaps&"] {
            let query = [start.as_bytes(), &bytes].concat();
            if let Some(target) = head_and_gate.target_of(&[PUBLISHED[0].as_bytes(), b"?", &query].concat()) {
                prop_assert_eq!(target.path(), PUBLISHED[0]);
                prop_assert_eq!(target.query().map(str::as_bytes), Some(&query[..]));
            }
        }
    }
}

#[test]
fn a_valid_request_is_forwarded() {
    let target = HeadAndGate::new().target_of(b"/CertSrv/mscep/?operation=GetCACaps&message=%2B");
    let target = target.expect("admitted");
    assert_eq!(
        target.as_str(),
        "/certsrv/mscep/?operation=GetCACaps&message=%2B"
    );
}
