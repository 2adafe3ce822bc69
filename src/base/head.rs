//! The head of a request, which is its request line and header fields (RFC 9112): the edge reads it,
//! the gate judges it, and the upstream receives it. It is the same type for HTTP/1.0, 1.1 and 2.

use std::net::Ipv6Addr;

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;

/// A well-formed head. The gate decides whether the request is permitted.
#[derive(Clone, Debug)]
pub struct Head {
    pub version: Version,
    pub method: Method,
    pub target: Target,
    /// The Host field lines. If Host is absent, the `:authority` of HTTP/2 counts as one.
    pub host: Host,
    pub framing: Framing,
    /// `Expect: 100-continue`: the client waits for an interim response before it sends the body.
    pub expects_continue: bool,
    /// Whether the client may send another request on this connection (HTTP/1 only).
    pub keep_alive: bool,
    /// This header field and the next two are forwarded to the upstream.
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

/// The request method. Methods are case-sensitive (RFC 9110 §9.1). Those that NDES never needs are not
/// distinguished.
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

    /// Reads a method name.
    pub fn parse(method: &[u8]) -> Self {
        match method {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            _ => Self::Other,
        }
    }

    /// Returns the metric label and log field, which for a published method is also its name in Allow.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Other => "other",
        }
    }

    /// Returns the method for the upstream, or `None` for a method that is never published.
    pub fn to_http(self) -> Option<http::Method> {
        match self {
            Self::Get => Some(http::Method::GET),
            Self::Head => Some(http::Method::HEAD),
            Self::Post => Some(http::Method::POST),
            Self::Other => None,
        }
    }
}

/// The request target (RFC 9112 §3.2), byte for byte. It is visible ASCII without `#`.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The length as sent in bytes, including scheme and authority of the absolute form.
    pub bytes: usize,
    /// The authority of the absolute form, if that was used. HTTP/2 always has one: see `Head::host`.
    pub authority: Option<Bytes>,
    /// The path and the query.
    pub path_and_query: Bytes,
    /// The length of the path in `path_and_query`.
    path: usize,
}

impl Target {
    /// Returns `None` if the target is neither in origin-form nor in absolute-form with https, or if it
    /// is not visible ASCII.
    pub fn parse(target: Bytes) -> Option<Self> {
        // Bytes that no URI may contain (RFC 3986 §2), and the fragment, which is never sent. There is
        // no early exit, so that 64 KB are checked with SIMD.
        let forbidden = target.iter().fold(false, |bad, b| {
            let delimiter = (*b == b'#') | (*b == b'"') | (*b == b'<') | (*b == b'>');
            bad | (*b < 0x21) | (*b > 0x7E) | delimiter
        });
        if forbidden {
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

    /// Returns the path.
    pub fn path(&self) -> &[u8] {
        &self.path_and_query[..self.path]
    }

    /// Returns the target with `path` and the same query. If the client sent this path, its bytes are
    /// used without a copy.
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

/// The content of the Host field lines (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Absent,
    One(Bytes),
    /// More than one field line, or an `:authority` of HTTP/2 that differs from Host.
    Several,
}

/// The length of the body (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    /// Chunked, or HTTP/2 without Content-Length.
    Unknown,
}

impl Framing {
    /// Parses the value of Content-Length. Only digits are valid: no sign, no list, no space.
    pub fn content_length(value: &[u8]) -> Option<u64> {
        let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
        text.parse().ok()
    }

    /// Returns the framing for a request with `method`, or `None` if the method is GET or HEAD and there
    /// is a body: NDES gives it no meaning.
    pub fn of(self, method: Method) -> Option<Self> {
        let bodiless = matches!(method, Method::Get | Method::Head);
        (!bodiless || self == Self::Length(0)).then_some(self)
    }
}

/// The sizes that limits apply to, in bytes or, for `fields`, in field lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    pub head: usize,
    pub fields: usize,
    pub largest_field: usize,
}

/// Returns name and value of a header field line or trailer line (RFC 9112 §5), or `None` if it is
/// malformed.
pub fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A token contains neither the space of a folded line nor one before the colon.
    (is_token(name) && is_field_value(value)).then(|| (name, value.trim_ascii()))
}

/// Returns whether `name` is a token (RFC 9110 §5.6.2).
pub fn is_token(name: &[u8]) -> bool {
    let tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !name.is_empty() && name.iter().all(tchar)
}

/// Returns whether `value` contains no control characters except the tab (RFC 9110 §5.5). There is no
/// early exit, so that the compiler can use SIMD.
fn is_field_value(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, b| {
        bad | ((*b < 0x20) & (*b != b'\t')) | (*b == 0x7F)
    })
}

/// Returns the name in a Host value or authority, and its port. Returns `None` if it is malformed
/// (userinfo, empty name, a port that is not a number).
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
    // Only an IPv6 address contains colons, in brackets (RFC 3986 §3.2.2).
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let well_formed = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    (!name.is_empty() && well_formed).then_some((name, port))
}
