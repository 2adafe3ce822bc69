//! Parses the head of an HTTP/1 request strictly: whatever two parsers could understand differently
//! is refused (RFC 9112). Pure functions of bytes, which `connection` reads.

use bytes::Bytes;
use http::HeaderValue;

use crate::base::head::{Framing, Head, Host, Method, Size, Target, Version, field, is_token};
use crate::base::rejection::Rejection;
use crate::config::Limits;

/// Finds the end of a head that arrives in pieces. Each byte is examined once.
#[derive(Debug, Default)]
pub struct HeadScanner {
    /// Everything before this position was examined.
    examined: usize,
    /// The start of the current line.
    line_start: usize,
    /// Complete lines so far, including the request line.
    lines: usize,
    /// Where the request line starts: after the empty line that some clients send behind a body.
    start: usize,
}

impl HeadScanner {
    /// Returns the range of the head in `bytes`, including its final empty line, once it is
    /// complete. `bytes` must be everything that has arrived, starting with what earlier calls
    /// received.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<std::ops::Range<usize>>, Rejection> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.examined..]) {
            let end = self.examined + found;
            // A line feed alone ends a line for some parsers and not for others.
            let Some(line) = bytes[self.line_start..end].strip_suffix(b"\r") else {
                return Err(Rejection::MalformedHead);
            };
            self.examined = end + 1;
            self.line_start = end + 1;
            match (line.is_empty(), self.lines) {
                (true, 0) if self.start == 0 => self.start = end + 1,
                (true, 0) => return Err(Rejection::MalformedHead),
                (true, _) => return Ok(Some(self.start..end + 1)),
                // Reported at once, because a client that speaks another protocol would wait for
                // the timeout.
                (false, 0) => _ = request_line(line)?,
                (false, _) => {}
            }
            self.lines += usize::from(!line.is_empty());
        }
        self.examined = bytes.len();
        if bytes.len() - self.start > limits.head_bytes {
            return Err(if self.lines == 0 {
                Rejection::UriTooLong
            } else {
                Rejection::HeadTooLarge
            });
        }
        Ok(None)
    }
}

/// Parses a complete head, from the request line to the empty line.
pub fn parse(head: &Bytes) -> Result<Head, Rejection> {
    let mut lines = Lines { rest: head };
    let line = lines.next().ok_or(Rejection::MalformedHead)?;
    let (method, target, version) = request_line(line)?;
    let target = Target::parse(head.slice_ref(target)).ok_or(Rejection::MalformedHead)?;

    let mut fields = Fields::default();
    let mut size = Size {
        head: head.len(),
        ..Size::default()
    };
    for line in lines {
        size.fields += 1;
        size.largest_field = size.largest_field.max(line.len());
        fields.add(head, line)?;
    }
    let framing = fields.framing(method, version)?;
    let keep_alive = version == Version::Http11 && !fields.close;
    Ok(Head {
        version,
        method,
        target,
        host: fields.host.unwrap_or(Host::Absent),
        framing,
        expects_continue: fields.expects_continue && version == Version::Http11,
        keep_alive,
        accept: fields.accept.take(),
        content_type: fields.content_type.take(),
        user_agent: fields.user_agent.take(),
        size,
    })
}

/// Parses `method SP target SP version` with single spaces (RFC 9112 §3).
fn request_line(line: &[u8]) -> Result<(Method, &[u8], Version), Rejection> {
    let version = match line.last_chunk::<9>() {
        Some(b" HTTP/1.1") => Version::Http11,
        Some(b" HTTP/1.0") => Version::Http10,
        _ => return Err(Rejection::MalformedHead),
    };
    let rest = &line[..line.len() - 9];
    let space = memchr::memchr(b' ', rest).ok_or(Rejection::MalformedHead)?;
    let (method, target) = (&rest[..space], &rest[space + 1..]);
    if !is_token(method) {
        return Err(Rejection::MalformedHead);
    }
    Ok((Method::parse(method), target, version))
}

/// Returns the lines of a complete head up to the empty one, without their ends.
struct Lines<'h> {
    rest: &'h [u8],
}

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let line = self.rest[..end].strip_suffix(b"\r")?;
        self.rest = &self.rest[end + 1..];
        (!line.is_empty()).then_some(line)
    }
}

/// The header fields that the proxy uses. All others are discarded.
#[derive(Default)]
struct Fields {
    host: Option<Host>,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    expects_continue: bool,
    accept: ForwardedField,
    content_type: ForwardedField,
    user_agent: ForwardedField,
}

/// A header field that is forwarded, unless Connection names it (RFC 9110 §7.6.1).
#[derive(Default)]
struct ForwardedField {
    value: Option<HeaderValue>,
    hop_by_hop: bool,
}

impl ForwardedField {
    fn take(self) -> Option<HeaderValue> {
        self.value.filter(|_| !self.hop_by_hop)
    }

    fn set(&mut self, head: &Bytes, value: &[u8]) -> Result<(), Rejection> {
        if self.value.is_none() {
            let value = HeaderValue::from_maybe_shared(head.slice_ref(value));
            self.value = Some(value.map_err(|_| Rejection::MalformedHead)?);
        }
        Ok(())
    }
}

impl Fields {
    fn add(&mut self, head: &Bytes, line: &[u8]) -> Result<(), Rejection> {
        let (name, value) = field(line).ok_or(Rejection::MalformedHead)?;
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => self.add_host(head.slice_ref(value)),
            6 if is(b"accept") => self.accept.set(head, value)?,
            6 if is(b"expect") => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue")
            }
            // Neither h2c nor any other protocol is supported.
            7 if is(b"upgrade") => return Err(Rejection::MalformedHead),
            10 if is(b"user-agent") => self.user_agent.set(head, value)?,
            10 if is(b"connection") => self.add_connection(value),
            12 if is(b"content-type") => self.content_type.set(head, value)?,
            14 if is(b"content-length") => {
                let length =
                    Framing::content_length(value).filter(|_| self.content_length.is_none());
                self.content_length = Some(length.ok_or(Rejection::MalformedFraming)?);
            }
            17 if is(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Rejection::MalformedFraming);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_host(&mut self, value: Bytes) {
        self.host = Some(match self.host {
            None => Host::One(value),
            Some(_) => Host::Several,
        });
    }

    fn add_connection(&mut self, value: &[u8]) {
        for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            let is = |known: &[u8]| option.eq_ignore_ascii_case(known);
            self.close |= is(b"close");
            self.accept.hop_by_hop |= is(b"accept");
            self.content_type.hop_by_hop |= is(b"content-type");
            self.user_agent.hop_by_hop |= is(b"user-agent");
        }
    }

    /// Requires exactly one length (RFC 9112 §6.3).
    fn framing(&self, method: Method, version: Version) -> Result<Framing, Rejection> {
        let framing = match (self.content_length, self.chunked) {
            (Some(_), true) => return Err(Rejection::MalformedFraming),
            (None, true) if version == Version::Http10 => return Err(Rejection::MalformedFraming),
            (None, true) => Framing::Unknown,
            (length, false) => Framing::Length(length.unwrap_or(0)),
        };
        framing.of(method).ok_or(Rejection::MalformedFraming)
    }
}

#[cfg(test)]
mod tests;
