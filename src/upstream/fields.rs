//! Which header fields pass: of a request only those that NDES needs; of a response all except
//! those that concern only NDES and the proxy, or that describe the inside to strangers.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SERVER, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::base::head::Head;
use crate::base::text::dotted;
use crate::config::ClientAddress;

/// The header field lines of a request, as they are written to the connection.
#[derive(Debug, Default)]
pub struct Lines(BytesMut);

impl Lines {
    /// Starts the lines of a request to `host`.
    pub fn to(host: &HeaderValue) -> Self {
        let mut lines = Self(BytesMut::with_capacity(256));
        lines.add("host", host);
        lines
    }

    pub fn add(&mut self, name: &'static str, value: &HeaderValue) {
        self.line(&[name.as_bytes(), b": ", value.as_bytes()]);
    }

    fn line(&mut self, pieces: &[&[u8]]) {
        for piece in pieces.iter().copied().chain([&b"\r\n"[..]]) {
            self.0.extend_from_slice(piece);
        }
    }

    /// Returns the lines with the empty line behind them.
    pub fn end(mut self) -> Bytes {
        self.0.extend_from_slice(b"\r\n");
        self.0.freeze()
    }
}

/// Returns the header fields of a request to `host`. Only Host, Content-Length and what
/// `client_address` asks for are added to those of the client, because HTTP.sys limits the size of
/// the whole head.
pub fn request(
    head: &Head,
    method: &Method,
    host: &HeaderValue,
    body: usize,
    client: IpAddr,
    tell: ClientAddress,
) -> Bytes {
    let mut lines = Lines::to(host);
    for (name, value) in [
        ("accept", &head.accept),
        ("content-type", &head.content_type),
        ("user-agent", &head.user_agent),
    ] {
        if let Some(value) = value {
            lines.add(name, value);
        }
    }
    if *method == Method::POST {
        // IIS does not accept a chunked body for an ISAPI extension.
        let mut buffer = itoa::Buffer::new();
        lines.line(&[b"content-length: ", buffer.format(body).as_bytes()]);
    }
    let client = client.to_canonical();
    let (v4, v6);
    let text = match client {
        IpAddr::V4(address) => {
            v4 = dotted(address);
            &v4.0[..v4.1]
        }
        IpAddr::V6(address) => {
            v6 = address.to_string();
            v6.as_bytes()
        }
    };
    match tell {
        ClientAddress::None => {}
        ClientAddress::XForwardedFor => lines.line(&[b"x-forwarded-for: ", text]),
        // IPv6 addresses are in brackets and quotes (RFC 7239 §6).
        ClientAddress::Forwarded if client.is_ipv6() => {
            lines.line(&[b"forwarded: for=\"[", text, b"]\""]);
        }
        ClientAddress::Forwarded => lines.line(&[b"forwarded: for=", text]),
    }
    lines.end()
}

/// Removes from a response what is not for the client, and replaces the internal name in Location
/// by the public name.
pub fn clean_response(
    fields: &mut HeaderMap,
    internal: &[impl AsRef<str>],
    public_host: Option<&str>,
) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // The length and the type describe the response itself.
        .filter(|name| ![CONTENT_LENGTH, CONTENT_TYPE].contains(name))
        .collect();
    let gone: Vec<HeaderName> = fields
        .keys()
        .filter(|name| is_internal(name) || named.contains(name))
        .cloned()
        .collect();
    for name in gone {
        fields.remove(name);
    }
    if fields.contains_key(WWW_AUTHENTICATE) {
        let kept: Vec<HeaderValue> = fields
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter(|v| !is_windows_auth(v))
            .cloned()
            .collect();
        fields.remove(WWW_AUTHENTICATE);
        for value in kept {
            fields.append(WWW_AUTHENTICATE, value);
        }
    }
    if let Some(location) = fields
        .get(LOCATION)
        .and_then(|location| public_location(location, internal, public_host))
    {
        fields.insert(LOCATION, location);
    }
}

/// Returns whether a header field is hop-by-hop (RFC 9110 §7.6.1) or describes the server.
fn is_internal(name: &HeaderName) -> bool {
    const NAMES: [&str; 8] = [
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "x-powered-by",
        "x-aspnet-version",
        "x-aspnetmvc-version",
        "alt-svc",
    ];
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, SERVER].contains(name)
        || NAMES.contains(&name.as_str())
        || name.as_str().starts_with("x-aspnet")
}

/// Windows authentication cannot pass a proxy that terminates TLS, and its challenge names the
/// domain.
fn is_windows_auth(value: &HeaderValue) -> bool {
    let mut schemes = value.as_bytes().split(|b| *b == b',').map(|challenge| {
        let scheme = challenge.trim_ascii().split(|b| *b == b' ').next();
        scheme.unwrap_or_default()
    });
    schemes.any(|scheme| {
        scheme.eq_ignore_ascii_case(b"negotiate") || scheme.eq_ignore_ascii_case(b"ntlm")
    })
}

fn public_location(
    location: &HeaderValue,
    internal: &[impl AsRef<str>],
    public_host: Option<&str>,
) -> Option<HeaderValue> {
    let text = location.to_str().ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let is_internal = internal
        .iter()
        .any(|name| host.eq_ignore_ascii_case(name.as_ref()));
    if !is_web || !is_internal {
        return None;
    }
    HeaderValue::try_from(format!("https://{}{path}", public_host?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_loses_internal_fields_and_no_others() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/html"),
            ("server", "Microsoft-IIS/10.0"),
            ("x-powered-by", "ASP.NET"),
            ("x-aspnet-version", "4"),
            ("x-aspnetmvc-version", "5"),
            ("connection", "x-hop, content-type"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("www-authenticate", "Negotiate"),
            ("www-authenticate", "NTLM"),
            ("www-authenticate", "Basic realm=y, Negotiate"),
            ("www-authenticate", "Basic realm=x"),
            ("location", "https://NDES.corp.local:444/certsrv?x#y"),
            ("date", "today"),
        ] {
            fields.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        clean_response(&mut fields, &["ndes.corp.local"], Some("scep.example.com"));
        let mut left: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                ("content-type", "text/html"),
                ("date", "today"),
                ("location", "https://scep.example.com/certsrv?x#y"),
                ("www-authenticate", "Basic realm=x"),
            ]
        );
    }

    #[test]
    fn other_locations_are_not_changed() {
        for location in [
            "/relative",
            "https://elsewhere.test/",
            "ftp://ndes.corp.local/",
        ] {
            let value = HeaderValue::from_static(location);
            assert_eq!(
                public_location(&value, &["ndes.corp.local"], Some("scep.example.com")),
                None
            );
        }
    }
}
