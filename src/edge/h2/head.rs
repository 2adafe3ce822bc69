//! The head of an HTTP/2 request as the gate reads it, and what RFC 9113 §8 forbids that the
//! library lets through.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, USER_AGENT};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::head::{Framing, Head, Host, Method, Size, Target, Version};
use crate::base::rejection::Rejection;

/// `ended`: no DATA follows.
pub(super) fn parse(parts: &Parts, ended: bool) -> Result<Head, Rejection> {
    let (uri, fields) = (&parts.uri, &parts.headers);
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) || fields.values().any(padded) {
        return Err(Rejection::MalformedHead);
    }
    let path = uri.path_and_query().ok_or(Rejection::MalformedHead)?;
    // Copied: the library's bytes would keep all of the header block in memory.
    let target = Target::parse(Bytes::copy_from_slice(path.as_str().as_bytes()))
        .filter(|target| target.authority.is_none())
        .ok_or(Rejection::MalformedHead)?;
    let method = Method::parse(parts.method.as_str().as_bytes());
    let one = |name: HeaderName| fields.get(name).cloned();
    Ok(Head {
        version: Version::H2,
        method,
        host: host(uri.authority().map(|authority| authority.as_str()), fields),
        framing: framing(method, fields, ended)?,
        expects_continue: !ended
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

/// RFC 9113 §8.2.1: no space before or after a value.
fn padded(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().len() != value.len()
}

/// One length at most, and none for GET and HEAD. That DATA keeps to it is for the library to see.
fn framing(method: Method, fields: &HeaderMap, ended: bool) -> Result<Framing, Rejection> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let framing = match (lengths.next(), lengths.next()) {
        (None, _) if ended => Framing::Length(0),
        (None, _) => Framing::Unknown,
        (Some(length), None) => {
            let length = Framing::content_length(length.as_bytes());
            Framing::Length(length.ok_or(Rejection::MalformedFraming)?)
        }
        (Some(_), Some(_)) => return Err(Rejection::MalformedFraming),
    };
    framing.of(method).ok_or(Rejection::MalformedFraming)
}

/// `:authority` and Host must agree where both are there (RFC 9113 §8.3.1).
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

/// As RFC 9113 §6.5.2 counts, without its 32 bytes a field.
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
