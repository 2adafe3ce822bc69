//! A chunked body: the result is the same however the input is split, the same as that of a simple
//! decoder of RFC 9112 §7.1, and never longer than the input.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use ndes_proxy::base::chunked::Chunked;
use ndes_proxy::base::rejection::Rejection;
use ndes_proxy_fuzz::pieces;

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(std::iter::once(bytes));
    assert!(whole.data.len() <= bytes.len());
    assert_eq!(whole, decode(pieces(bytes)));
    if whole.end == Ok(true) {
        let plain = plain_decode(bytes).expect("a complete body");
        assert_eq!((&whole.data[..], &whole.rest[..]), (&plain.0[..], plain.1));
    }
});

#[derive(Debug, PartialEq)]
struct Decoded {
    /// Whether the body is complete.
    end: Result<bool, Rejection>,
    data: Vec<u8>,
    /// The bytes of the next request.
    rest: Vec<u8>,
}

fn decode<'b>(mut pieces: impl Iterator<Item = &'b [u8]>) -> Decoded {
    let (mut chunked, mut input, mut data) = (Chunked::default(), BytesMut::new(), BytesMut::new());
    let mut end = Ok(false);
    while end == Ok(false)
        && let Some(piece) = pieces.next()
    {
        input.extend_from_slice(piece);
        end = chunked.decode(&mut input, &mut data);
    }
    let rest = match end {
        Ok(true) => [&input, &pieces.collect::<Vec<_>>().concat()[..]].concat(),
        _ => Vec::new(),
    };
    Decoded {
        end,
        data: data.to_vec(),
        rest,
    }
}

/// Returns the data and the bytes after the body.
fn plain_decode(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut data = Vec::new();
    loop {
        let (size, rest) = line(bytes)?;
        let digits = size.split(|b| *b == b';').next()?.trim_ascii();
        let size = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            bytes = rest;
            break;
        }
        let (chunk, rest) = rest.split_at_checked(size as usize)?;
        data.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n")?;
    }
    loop {
        let (trailer, rest) = line(bytes)?;
        bytes = rest;
        if trailer.is_empty() {
            return Some((data, bytes));
        }
    }
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}
