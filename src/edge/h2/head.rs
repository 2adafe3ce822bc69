//! Converts the head of an HTTP/2 request for the gate, and refuses what RFC 9113 §8 forbids and
//! the library accepts.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, USER_AGENT};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::head::{Framing, Head, Host, Method, Size, Target, Version};
use crate::base::rejection::Rejection;

/// Returns the head for the gate. `end_of_stream` is whether no DATA follows.
pub(super) fn parse(parts: &Parts, end_of_stream: bool) -> Result<Head, Rejection> {
    let (uri, fields) = (&parts.uri, &parts.headers);
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) || fields.values().any(is_padded)
    {
        return Err(Rejection::MalformedHead);
    }
    let path = uri.path_and_query().ok_or(Rejection::MalformedHead)?;
    // Copied, because the bytes of the library would keep the whole header block in memory.
    let target = Target::parse(Bytes::copy_from_slice(path.as_str().as_bytes()))
        .filter(|target| target.authority.is_none())
        .ok_or(Rejection::MalformedHead)?;
    let method = Method::parse(parts.method.as_str().as_bytes());
    let one = |name: HeaderName| fields.get(name).cloned();
    Ok(Head {
        version: Version::H2,
        method,
        host: host(uri.authority().map(|authority| authority.as_str()), fields),
        framing: framing(method, fields, end_of_stream)?,
        expects_continue: !end_of_stream
            && fields
                .get(EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        keep_alive: true,
        accept: one(ACCEPT),
        content_type: one(CONTENT_TYPE),
        user_agent: one(USER_AGENT),
        size: size(&target, fields),
        target,
    })
}

/// Returns whether the value has white space before or after it, which RFC 9113 §8.2.1 forbids.
fn is_padded(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().len() != value.len()
}

/// At most one length, and none for GET and HEAD. The library verifies that DATA has this length.
fn framing(method: Method, fields: &HeaderMap, end_of_stream: bool) -> Result<Framing, Rejection> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let framing = match (lengths.next(), lengths.next()) {
        (None, _) if end_of_stream => Framing::Length(0),
        (None, _) => Framing::Unknown,
        (Some(length), None) => {
            let length = Framing::content_length(length.as_bytes());
            Framing::Length(length.ok_or(Rejection::MalformedFraming)?)
        }
        (Some(_), Some(_)) => return Err(Rejection::MalformedFraming),
    };
    framing.of(method).ok_or(Rejection::MalformedFraming)
}

/// `:authority` and Host must agree if both are present (RFC 9113 §8.3.1).
fn host(authority: Option<&str>, fields: &HeaderMap) -> Host {
    let mut hosts = fields.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let one = |value: &[u8]| Host::One(Bytes::copy_from_slice(value));
    match (authority, hosts.next(), hosts.next()) {
        (None, None, _) => Host::Absent,
        (Some(authority), None, _) => one(authority.as_bytes()),
        (None, Some(host), None) => one(host),
        (Some(authority), Some(host), None) if authority.as_bytes().eq_ignore_ascii_case(host) => {
            one(host)
        }
        _ => Host::Several,
    }
}

/// The size as RFC 9113 §6.5.2 counts it, without its 32 bytes per field.
fn size(target: &Target, fields: &HeaderMap) -> Size {
    let lines = || {
        fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
    };
    Size {
        head: target.bytes + lines().sum::<usize>(),
        fields: fields.len(),
        largest_field: lines().max().unwrap_or(0),
    }
}
