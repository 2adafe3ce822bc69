//! The head of a request (RFC 9112: request line and header fields) as the edge has read it, the same
//! for HTTP/1.0, 1.1 and 2. The gate judges it, and the request to the upstream is made of it.

use std::net::Ipv6Addr;

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;

/// A well-formed head. Whether its request is published is for the gate to judge.
#[derive(Clone, Debug)]
pub struct Head {
    pub version: Version,
    pub method: Method,
    pub target: Target,
    /// Host field lines, HTTP/2's `:authority` counted as one where Host is absent.
    pub host: Host,
    pub framing: Framing,
    /// `Expect: 100-continue`: the client waits for an interim response before it sends the body.
    pub expects_continue: bool,
    /// The client may send another request on this connection (HTTP/1 only).
    pub keep_alive: bool,
    /// The header fields that go on to the upstream.
    pub accept: Option<HeaderValue>,
    pub content_type: Option<HeaderValue>,
    pub user_agent: Option<HeaderValue>,
    pub size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    H2,
}

/// Methods are case-sensitive (RFC 9110 §9.1); those that NDES never needs are all `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    #[serde(skip)]
    Other,
}

impl Method {
    pub const PUBLISHED: [Self; 3] = [Self::Get, Self::Head, Self::Post];

    pub fn parse(method: &[u8]) -> Self {
        match method {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            _ => Self::Other,
        }
    }

    /// Returns the metric label and log field; for a published method also the item of Allow.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Other => "other",
        }
    }

    /// Returns the method for the upstream, or `None` for one that is never published.
    pub fn to_http(self) -> Option<http::Method> {
        match self {
            Self::Get => Some(http::Method::GET),
            Self::Head => Some(http::Method::HEAD),
            Self::Post => Some(http::Method::POST),
            Self::Other => None,
        }
    }
}

/// The request target (RFC 9112 §3.2), byte for byte: visible ASCII without `#`.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Length as sent, scheme and authority of the absolute form included.
    pub bytes: usize,
    /// Authority of the absolute form, if that was used. HTTP/2 always has one: see `Head::host`.
    pub authority: Option<Bytes>,
    /// Path and query.
    pub path_and_query: Bytes,
    /// Length of the path in it.
    path: usize,
}

impl Target {
    /// Parses a target. Returns `None` if it is neither in origin form nor in absolute form with
    /// https, or not visible ASCII.
    pub fn parse(target: Bytes) -> Option<Self> {
        // Characters that no URI may contain (RFC 3986 §2), and the fragment, which is never sent.
        // There is no early exit, so that the compiler can use SIMD for 64 KB.
        let strange = target.iter().fold(false, |bad, b| {
            let forbidden = (*b == b'#') | (*b == b'"') | (*b == b'<') | (*b == b'>');
            bad | (*b < 0x21) | (*b > 0x7E) | forbidden
        });
        if strange {
            return None;
        }
        let bytes = target.len();
        let (authority, path_and_query) = match &target[..] {
            [b'/', ..] => (None, target),
            scheme if scheme.len() > 8 && scheme[..8].eq_ignore_ascii_case(b"https://") => {
                let slash = memchr::memchr(b'/', &target[8..]).map(|at| at + 8)?;
                (Some(target.slice(8..slash)), target.slice(slash..))
            }
            _ => return None,
        };
        let path = memchr::memchr(b'?', &path_and_query).unwrap_or(path_and_query.len());
        Some(Self {
            bytes,
            authority,
            path_and_query,
            path,
        })
    }

    pub fn path(&self) -> &[u8] {
        &self.path_and_query[..self.path]
    }

    /// Returns the target with the same query under `path`, without a copy if its path is already
    /// `path`.
    pub fn with_path(&self, path: &str) -> Self {
        let mut target = self.clone();
        if self.path() != path.as_bytes() {
            let query = &self.path_and_query[self.path..];
            target.path_and_query = [path.as_bytes(), query].concat().into();
            target.path = path.len();
        }
        target
    }

    /// Returns the query without its `?`, or `None` if there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.path_and_query.get(self.path + 1..)
    }
}

/// What the Host field lines say (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Absent,
    One(Bytes),
    /// More than one, or HTTP/2 with an `:authority` that is not Host.
    Several,
}

/// How long the body is (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    /// Chunked, or HTTP/2 without Content-Length.
    Unknown,
}

impl Framing {
    /// Reads the value of a Content-Length. Returns `None` if it is not 1 to 18 digits; signs, lists
    /// and spaces are refused.
    pub fn content_length(value: &[u8]) -> Option<u64> {
        let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
        text.parse().ok()
    }

    /// Returns the framing of a request with `method`, or `None` for a GET or HEAD with a body, which
    /// has no meaning for NDES.
    pub fn of(self, method: Method) -> Option<Self> {
        let bodiless = matches!(method, Method::Get | Method::Head);
        (!bodiless || self == Self::Length(0)).then_some(self)
    }
}

/// Sizes for the limits, in bytes or, for `fields`, in field lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    pub head: usize,
    pub fields: usize,
    pub largest_field: usize,
}

/// Splits a field line (RFC 9112 §5), which may be a trailer, into name and value. Returns `None` if
/// it is malformed.
pub fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // Neither a folded line nor a space before the colon can be part of a token.
    (is_token(name) && is_field_value(value)).then(|| (name, value.trim_ascii()))
}

/// Whether `name` is a token (RFC 9110 §5.6.2).
pub fn is_token(name: &[u8]) -> bool {
    let tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !name.is_empty() && name.iter().all(tchar)
}

/// Whether `value` has no control characters but the tab (RFC 9110 §5.5). There is no early exit, so
/// that the compiler can use SIMD.
fn is_field_value(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, b| {
        bad | ((*b < 0x20) & (*b != b'\t')) | (*b == 0x7F)
    })
}

/// Returns the name and the port of a Host value or authority, or `None` if it is malformed
/// (userinfo, empty name, a port that is no number).
pub fn host_name(authority: &[u8]) -> Option<(&str, Option<u16>)> {
    let text = std::str::from_utf8(authority).ok()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            (name, Some(port.parse().ok().filter(|_| digits)?))
        }
        _ => (text, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    // Only an IPv6 address has colons of its own, in brackets (RFC 3986 §3.2.2).
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let well_formed = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    (!name.is_empty() && well_formed).then_some((name, port))
}
