//! Where the body of an answer ends, judged more strictly than hyper does: what two parties could
//! read in two ways is no answer.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;

use super::Failure;
use crate::head::Framing;

/// Refuses an answer with other than one framing (RFC 9112 §6.3): a Transfer-Encoding that is not
/// exactly one `chunked`, Content-Length beside it, several Content-Length or one that is no
/// number.
pub(super) fn check(answer: &Parts) -> Result<(), Failure> {
    let mut codings = answer.headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = answer.headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err(Failure::Framing("Content-Length beside Transfer-Encoding")),
        (Some(coding), None) if codings.next().is_some() || !is_chunked(coding.as_bytes()) => {
            Err(Failure::Framing("a Transfer-Encoding other than chunked"))
        }
        (None, Some(length)) if lengths.next().is_some() || !is_number(length.as_bytes()) => {
            Err(Failure::Framing("not one Content-Length that is a number"))
        }
        (Some(_), None) | (None, Some(_)) => Ok(()),
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

fn is_number(length: &[u8]) -> bool {
    Framing::content_length(length).is_some()
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    #[test]
    fn one_framing_is_enough_and_two_are_none() {
        const LENGTH: &str = "content-length";
        const CODING: &str = "transfer-encoding";
        for (fields, is_sound) in [
            (&[][..], true),
            (&[(LENGTH, "0")], true),
            (&[(LENGTH, "17")], true),
            (&[(CODING, "chunked")], true),
            (&[(CODING, "Chunked")], true),
            (&[(LENGTH, "17"), (LENGTH, "17")], false),
            (&[(LENGTH, "17, 17")], false),
            (&[(LENGTH, "+17")], false),
            (&[(LENGTH, "")], false),
            (&[(LENGTH, "0x11")], false),
            (&[(CODING, "chunked"), (LENGTH, "17")], false),
            (&[(CODING, "chunked"), (CODING, "chunked")], false),
            (&[(CODING, "gzip, chunked")], false),
            (&[(CODING, "identity")], false),
            (&[(CODING, "")], false),
        ] {
            let mut answer = Response::builder();
            for (name, value) in fields {
                answer = answer.header(*name, *value);
            }
            let (parts, ()) = answer.body(()).unwrap().into_parts();
            assert_eq!(check(&parts).is_ok(), is_sound, "{fields:?}");
        }
    }
}
