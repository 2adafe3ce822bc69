//! The head of NDES's answer: read the same in any pieces, and where it is read, another reader of
//! HTTP/1.1 finds the same status and fields.

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
    // Behind the interim answers that were skipped.
    let mut before = &bytes[..bytes.len() - rest.len()];
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut plain = httparse::Response::new(&mut fields);
        let parsed = plain.parse(before).expect("what was read is an answer");
        let httparse::Status::Complete(length) = parsed else {
            panic!("an answer that is not whole");
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

/// What `take` makes of the pieces, and what is left behind the head.
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
