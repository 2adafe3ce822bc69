//! Reads the head of a response, and where its body ends. A response that two parties could read in
//! two ways is refused.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, response};
use httparse::ParserConfig;

use super::Failure;
use crate::base::chunked::Chunked;
use crate::base::head::Framing;

/// The most bytes of a head. Those of NDES are below 1 KB.
const MOST_BYTES: usize = 64 << 10;
/// The most header fields.
const MOST_FIELDS: usize = 100;

/// The head of a final response.
#[derive(Debug)]
pub struct Head {
    pub parts: response::Parts,
    pub body: Length,
    /// Whether the connection can carry another request after the body.
    pub keep_alive: bool,
}

/// How the end of a body is determined (RFC 9112 §6.3).
#[derive(Debug)]
pub enum Length {
    /// This many bytes are still to come.
    Left(u64),
    Chunks(Chunked),
    /// The body ends with the connection, and TLS must confirm that (close_notify).
    UntilClosed,
}

/// Takes a complete head from the beginning of `input` and skips interim responses. Returns `None`
/// while it is incomplete.
///
/// `to_head`: the response answers a HEAD and so has no body.
pub fn take(input: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Failure> {
    while let Some(end) = end(input)? {
        let parts = parse(&input.split_to(end).freeze())?;
        // No request asked for another protocol.
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::Upgrade);
        }
        if parts.status.is_informational() {
            continue;
        }
        let without_body =
            to_head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
        let body = match length(&parts)? {
            _ if without_body => Length::Left(0),
            length => length,
        };
        let keep_alive = parts.version == Version::HTTP_11 && !says_close(&parts.headers);
        return Ok(Some(Head {
            parts,
            body,
            keep_alive,
        }));
    }
    Ok(None)
}

/// Returns why the bytes before the end of the connection are not a response.
pub(super) fn cut_off(input: &[u8]) -> Option<Failure> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let parsed = httparse::Response::new(&mut fields).parse(input);
    parsed.err().map(Failure::Invalid)
}

/// The position behind the empty line.
fn end(input: &[u8]) -> Result<Option<usize>, Failure> {
    let end = memchr::memchr_iter(b'\n', input).find_map(|at| match input[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    });
    if end.unwrap_or(input.len()) > MOST_BYTES {
        return Err(Failure::HeadTooLarge);
    }
    Ok(end)
}

fn parse(head: &Bytes) -> Result<response::Parts, Failure> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let read =
        ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, head, &mut fields);
    let whole = read.map_err(Failure::Invalid)?.is_complete();
    let status = parsed.code.filter(|_| whole);
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Failure::Invalid(httparse::Error::Status))?;
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.version = match parsed.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    parts.headers.reserve(parsed.headers.len());
    for field in parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name.map_err(|_| Failure::Invalid(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
        let value = value.map_err(|_| Failure::Invalid(httparse::Error::HeaderValue))?;
        parts.headers.append(name, value);
    }
    Ok(parts)
}

/// Refuses a response with other than one framing (RFC 9112 §6.3): a Transfer-Encoding that is not
/// exactly one `chunked`, Content-Length beside it, several Content-Length, or one that is not a
/// number.
fn length(answer: &response::Parts) -> Result<Length, Failure> {
    let mut codings = answer.headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = answer.headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Length::UntilClosed),
        (Some(_), Some(_)) => Err(Failure::Framing("Content-Length beside Transfer-Encoding")),
        (Some(coding), None) if codings.next().is_some() || !is_chunked(coding) => {
            Err(Failure::Framing("a Transfer-Encoding other than chunked"))
        }
        (Some(_), None) if answer.version == Version::HTTP_10 => {
            Err(Failure::Framing("a Transfer-Encoding in HTTP/1.0"))
        }
        (Some(_), None) => Ok(Length::Chunks(Chunked::default())),
        (None, Some(length)) => match Framing::content_length(length.as_bytes()) {
            Some(length) if lengths.next().is_none() => Ok(Length::Left(length)),
            _ => Err(Failure::Framing("not one Content-Length that is a number")),
        },
    }
}

fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().eq_ignore_ascii_case(b"chunked")
}

fn says_close(fields: &HeaderMap) -> bool {
    let options = fields.get_all(CONNECTION).iter();
    let mut options = options.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Failure> {
        take(&mut BytesMut::from(text), false)
    }

    #[test]
    fn exactly_one_framing_is_accepted() {
        for (fields, is_sound) in [
            ("", true),
            ("Content-Length: 0\r\n", true),
            ("Content-Length: 17\r\n", true),
            ("Transfer-Encoding: chunked\r\n", true),
            ("Transfer-Encoding: Chunked\r\n", true),
            ("Content-Length: 17\r\nContent-Length: 17\r\n", false),
            ("Content-Length: 17, 17\r\n", false),
            ("Content-Length: +17\r\n", false),
            ("Content-Length:\r\n", false),
            ("Content-Length: 0x11\r\n", false),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 17\r\n",
                false,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                false,
            ),
            ("Transfer-Encoding: gzip, chunked\r\n", false),
            ("Transfer-Encoding: identity\r\n", false),
            ("Transfer-Encoding:\r\n", false),
        ] {
            let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            assert_eq!(head.is_ok(), is_sound, "{fields}");
        }
    }

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\n";
        for cut in 0..text.len() {
            assert!(read(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        let mut input = BytesMut::from(format!("{text}ok").as_str());
        let head = take(&mut input, false).unwrap().unwrap();
        assert_eq!(head.parts.headers.len(), 2);
        assert!(matches!(head.body, Length::Left(2)));
        assert!(head.keep_alive);
        assert_eq!(&input[..], b"ok");
    }

    #[test]
    fn a_head_over_the_limit_is_refused_complete_or_not() {
        let head = |bytes: usize| {
            let start = "HTTP/1.1 200 OK\r\nX: ";
            format!("{start}{}\r\n\r\n", "a".repeat(bytes - start.len() - 4))
        };
        assert!(read(&head(MOST_BYTES)).unwrap().is_some());
        let longer = head(MOST_BYTES + 1);
        assert!(matches!(read(&longer), Err(Failure::HeadTooLarge)));
        let endless = &longer[..longer.len() - 1];
        assert!(read(endless).unwrap().is_none());
        assert!(matches!(
            read(&endless.replace("\r\n\r", "aaaa")),
            Err(Failure::HeadTooLarge)
        ));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, line in "HTTP/1.[01] [0-9]{3} ?[ -~]{0,9}\r\n") {
            _ = take(&mut BytesMut::from(&bytes[..]), false);
            let whole = [line.as_bytes(), &bytes, b"\r\n\r\n"].concat();
            _ = take(&mut BytesMut::from(&whole[..]), true);
        }
    }
}
