//! The head of a response of NDES: the result is the same however the input is split, and another
//! HTTP/1.1 parser finds the same status and number of header fields.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use ndes_proxy::upstream::head::{Head, take};
use ndes_proxy_fuzz::pieces;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(std::iter::once(bytes));
    let in_pieces = read(pieces(bytes));
    assert_eq!(shown(&whole), shown(&in_pieces));
    let Ok(Some((head, rest))) = whole else {
        return;
    };
    // Skips the interim responses, as `take` did.
    let mut before = &bytes[..bytes.len() - rest.len()];
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut plain = httparse::Response::new(&mut fields);
        let parsed = plain
            .parse(before)
            .expect("an accepted head is a valid response head");
        let httparse::Status::Complete(length) = parsed else {
            panic!("an accepted head is complete");
        };
        if length < before.len() {
            before = &before[length..];
            continue;
        }
        assert_eq!(plain.code, Some(head.parts.status.as_u16()));
        assert_eq!(plain.headers.len(), head.parts.headers.len());
        return;
    }
});

type Read = Result<Option<(Head, Vec<u8>)>, String>;

/// Returns the head that `take` finds in the pieces, and the bytes after it.
fn read<'b>(mut pieces: impl Iterator<Item = &'b [u8]>) -> Read {
    let mut input = BytesMut::new();
    while let Some(piece) = pieces.next() {
        input.extend_from_slice(piece);
        if let Some(head) = take(&mut input, false).map_err(|failure| failure.explained())? {
            let rest = pieces.flatten().copied();
            return Ok(Some((head, input.iter().copied().chain(rest).collect())));
        }
    }
    Ok(None)
}

fn shown(read: &Read) -> String {
    format!("{read:?}")
}
